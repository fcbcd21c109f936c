package conf

// VirtualRatio returns how many times the memory of a container its processes may map of address
// space, as NodeManagers check it who have this configuration; 0: they do not. Since Hadoop 3.2
// NodeManagers who have memory enforced by cgroups, which is the default whether there are cgroups
// or not, look at containers no more (ContainersMonitorImpl): then old is true, and only older ones
// do.
func (c *Conf) VirtualRatio() (ratio float64, old bool, err error) {
	checked, err := c.Bool("yarn.nodemanager.vmem-check-enabled", true)
	if err != nil || !checked {
		return 0, false, err
	}
	enforced, err := c.Bool("yarn.nodemanager.resource.memory.enforced", true)
	if err != nil {
		return 0, false, err
	}
	elastic, err := c.Bool("yarn.nodemanager.elastic-memory-control.enabled", false)
	if err != nil {
		return 0, false, err
	}
	ratio, err = c.Float("yarn.nodemanager.vmem-pmem-ratio", 2.1)
	return ratio, enforced && !elastic, err
}
