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

const (
	// tensorflowMiB is what TensorFlow maps of address space, in MiB, with a margin: 2.21 maps 1.2
	// GB when it is loaded, and each of its threads a stack of 8 MiB. The C library maps 64 MiB of
	// heap for each thread, up to eight times the cores, unless arenas bounds that.
	tensorflowMiB = 2800
	// likelyMiB is the memory from which a program in Python is taken to be TensorFlow: it needs
	// 0.6 GiB to be loaded.
	likelyMiB = 1024
	// stepMiB is what containers are rounded up to.
	stepMiB = 64
)

// arenas bounds the heaps of a process. Hadoop's own scripts set it to 4, and pass it on to
// containers, for the same reason.
const arenas = "MALLOC_ARENA_MAX"

// Virtual makes the containers of a job large enough on a cluster whose NodeManagers kill those
// that map more than ratio times their memory of address space (0: there is no such check) and
// grant most MiB at most. What tfos maps comes on top of what the job file gives to a program, as
// far as TensorFlow may need that. It returns the job to submit, and what a person should know of
// it.
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
		program := min(float64(r.MemoryMiB)*ratio, tensorflowMiB)
		switch python := r.Builtin != "" || strings.Contains(strings.ToLower(r.Command), "python"); {
		case python && r.MemoryMiB >= likelyMiB:
			program = tensorflowMiB
		case python && program < tensorflowMiB:
			notes = append(notes, fmt.Sprintf("warning: role %s may be too small for TensorFlow: YARN kills containers that map more than %g times their memory of address space "+
				"(yarn.nodemanager.vmem-check-enabled), which TensorFlow may do with less than %d MiB (roles.%s.memory)", r.Name, ratio, min(likelyMiB, memoryFor(tensorflowMiB, ratio)), r.Name))
		}
		want := memoryFor(launch.AddressSpaceMiB+program, ratio)
		if want > most {
			notes = append(notes, fmt.Sprintf("warning: role %s should have %d MiB of memory for the address space of tfos and its program, more than any container may have here: YARN may kill it (yarn.nodemanager.vmem-check-enabled)",
				r.Name, want))
			want = most
		}
		if r.MemoryMiB < want {
			notes = append(notes, raised("role "+r.Name, r.MemoryMiB, want, ratio))
			r.MemoryMiB = want
		}
	}
	return j, notes
}

func raised(what string, from, to int64, ratio float64) string {
	return fmt.Sprintf("%s gets %d MiB of memory instead of %d: YARN kills containers that map more than %g times their memory of address space (yarn.nodemanager.vmem-check-enabled), and tfos itself maps %.1f GiB",
		what, to, from, ratio, launch.AddressSpaceMiB/1024.)
}

// memoryFor is the smallest container, in MiB, that may map so many MiB.
func memoryFor(space, ratio float64) int64 {
	return int64(math.Ceil(space/ratio/stepMiB)) * stepMiB
}
