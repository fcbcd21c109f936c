package preflight

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"tfos/internal/job"
	"tfos/internal/launch"
)

// What programs map of address space, in MiB.
const (
	// littleMiB is for a program that is small itself: a shell, and a Python without TensorFlow.
	littleMiB = 128
	// tensorflowMiB is for TensorFlow, with a margin: 2.21 maps 1.2 GB when it is loaded, and each of its threads a stack of 8 MiB. The C
	// library maps 64 MiB of heap for each thread, up to eight times the cores, unless arenas bounds that.
	tensorflowMiB = 2800
	// stepMiB is what containers are rounded up to.
	stepMiB = 64
)

// arenas bounds the heaps of a process. Hadoop's own scripts set it to 4, and pass it on to containers, for the same reason.
const arenas = "MALLOC_ARENA_MAX"

// Virtual has every container of a job be large enough for tfos and what it runs, on a cluster whose NodeManagers kill those that
// map more than ratio times their memory of address space (0: there is no such check) and grant most MiB at most. Who runs Python
// is taken to run TensorFlow. It returns the job to submit, and what a person should know of it.
func Virtual(j job.Job, ratio float64, most int64) (_ job.Job, notes []string) {
	if ratio <= 0 {
		return j, nil
	}
	if least := memoryFor(launch.AddressSpaceMiB, ratio); j.Master.MemoryMiB < least {
		if j.Master.MemoryMiB != job.DefaultMasterMiB { // the default is ours to choose
			notes = append(notes, raised("the master", j.Master.MemoryMiB, least, ratio))
		}
		j.Master.MemoryMiB = least
	}
	if _, ok := j.Env[arenas]; !ok {
		j.Env = maps.Clone(j.Env)
		if j.Env == nil {
			j.Env = make(map[string]string)
		}
		j.Env[arenas] = "4"
	}
	j.Roles = slices.Clone(j.Roles)
	for i := range j.Roles {
		r := &j.Roles[i]
		least, want := memoryFor(launch.AddressSpaceMiB+littleMiB, ratio), int64(0)
		if strings.Contains(strings.ToLower(r.Command), "python") {
			want = memoryFor(launch.AddressSpaceMiB+tensorflowMiB, ratio)
		}
		if want > most {
			notes = append(notes, fmt.Sprintf("warning: role %s may be too small for TensorFlow: YARN kills containers that map more than %g times their memory of address space "+
				"(yarn.nodemanager.vmem-check-enabled), TensorFlow and tfos want %d MiB of memory for that, and the largest container is of %d", r.Name, ratio, want, most))
			want = 0
		}
		if least = max(least, want); r.MemoryMiB < least {
			notes = append(notes, raised("role "+r.Name, r.MemoryMiB, least, ratio))
			r.MemoryMiB = least
		}
	}
	return j, notes
}

func raised(what string, from, to int64, ratio float64) string {
	return fmt.Sprintf("%s gets %d MiB of memory instead of %d: YARN kills containers that map more than %g times their memory of address space (yarn.nodemanager.vmem-check-enabled)",
		what, to, from, ratio)
}

// memoryFor is the smallest container, in MiB, that may map so many MiB.
func memoryFor(space int64, ratio float64) int64 {
	return int64(math.Ceil(float64(space)/ratio/stepMiB)) * stepMiB
}
