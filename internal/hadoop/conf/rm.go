package conf

import (
	"fmt"
	"strings"
)

// An RMService is one of the ResourceManager's ports, by the key of its address.
type RMService string

// The services of a ResourceManager that tfos speaks to.
const (
	RMClient    RMService = "yarn.resourcemanager.address"
	RMScheduler RMService = "yarn.resourcemanager.scheduler.address"
	RMWeb       RMService = "yarn.resourcemanager.webapp.address"
	RMWebTLS    RMService = "yarn.resourcemanager.webapp.https.address"
)

var rmPorts = map[RMService]string{RMClient: "8032", RMScheduler: "8030", RMWeb: "8088", RMWebTLS: "8090"}

// ResourceManagers returns the host:port of a service of every ResourceManager: one, or with
// yarn.resourcemanager.ha.enabled one for each of yarn.resourcemanager.ha.rm-ids, in that order.
func (c *Conf) ResourceManagers(s RMService) ([]string, error) {
	ha, err := c.Bool("yarn.resourcemanager.ha.enabled", false)
	if err != nil {
		return nil, err
	}
	if !ha {
		return []string{withPort(c.String(string(s)), rmPorts[s])}, nil
	}
	ids := c.List("yarn.resourcemanager.ha.rm-ids")
	if len(ids) == 0 {
		return nil, fmt.Errorf("%s: yarn.resourcemanager.ha.enabled is true but yarn.resourcemanager.ha.rm-ids names none", c.Source("yarn.resourcemanager.ha.enabled"))
	}
	var addrs []string
	for _, id := range ids {
		addr := c.String(string(s) + "." + id)
		if addr == "" {
			addr = c.String("yarn.resourcemanager.hostname." + id)
		}
		if addr == "" {
			return nil, fmt.Errorf("%s: ResourceManager %q has neither %s.%s nor yarn.resourcemanager.hostname.%s", c.Source("yarn.resourcemanager.ha.rm-ids"), id, s, id, id)
		}
		addrs = append(addrs, withPort(addr, rmPorts[s]))
	}
	return addrs, nil
}

// withPort adds the port to an address that has none.
func withPort(addr, port string) string {
	switch {
	case strings.Count(addr, ":") > 1 && !strings.HasPrefix(addr, "["): // an IPv6 address
		return "[" + addr + "]:" + port
	case strings.LastIndexByte(addr, ':') > strings.LastIndexByte(addr, ']'):
		return addr
	}
	return addr + ":" + port
}
