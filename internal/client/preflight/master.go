package preflight

import (
	"fmt"

	"tfos/internal/job"
)

// Master has the job's master be large enough for its tasks, where the size is ours to choose. It
// returns the job to submit, and what a person should know of it.
func Master(j job.Job) (_ job.Job, notes []string) {
	short := MasterShort(j)
	if short == "" {
		return j, nil
	}
	if j.Master.MemoryMiB != job.DefaultMasterMiB {
		return j, []string{short}
	}
	was := j.Master.MemoryMiB
	j.Master.MemoryMiB = (job.MasterMiB(j.Size()) + stepMiB - 1) / stepMiB * stepMiB
	return j, []string{fmt.Sprintf("the master gets %d MiB of memory instead of %d: it has %d tasks to look after (master.memory)", j.Master.MemoryMiB, was, j.Size())}
}

// MasterShort warns of a master that is too small for the job's tasks; empty: it is not.
func MasterShort(j job.Job) string {
	least := job.MasterMiB(j.Size())
	if j.Master.MemoryMiB >= least {
		return ""
	}
	return fmt.Sprintf("warning: the master of %d tasks needs %d MiB of memory, and has %d: YARN may kill it (master.memory)", j.Size(), least, j.Master.MemoryMiB)
}
