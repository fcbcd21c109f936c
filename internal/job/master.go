package job

// What a master needs of memory, by test/light's BenchmarkMaster and control's
// BenchmarkMemoryPerAgent: 40 KiB of a task are its connection (docs/decisions/0014-the-heart.md).
const (
	masterBaseMiB    = 24
	masterPerTaskKiB = 48
)

// MasterMiB is how much memory the master of so many tasks needs, in MiB: less, and it spends its
// time on collecting garbage, until YARN kills it.
func MasterMiB(tasks int) int64 {
	return masterBaseMiB + (int64(tasks)*masterPerTaskKiB+1023)/1024
}

// Size is how many tasks the job has.
func (j Job) Size() int {
	n := 0
	for _, r := range j.Roles {
		n += r.Instances
	}
	return n
}
