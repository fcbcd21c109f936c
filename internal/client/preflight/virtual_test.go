package preflight

import (
	"cmp"
	"strings"
	"testing"

	"tfos/internal/job"
)

func TestVirtual(t *testing.T) {
	for _, c := range []struct {
		name           string
		ratio          float64
		mib, most      int64
		command        string
		builtin        job.Builtin
		master, worker int64
		notes          []string
	}{
		{name: "not checked", ratio: 0, mib: 256, command: "python3 x.py", master: 512, worker: 256},
		{name: "Hadoop's default, and ours", ratio: 2.1, mib: 2048, command: "python3 x.py", master: 704, worker: 2048},
		{name: "a small program", ratio: 2.1, mib: 512, command: "echo", master: 704, worker: 1216,
			notes: []string{"role worker gets 1216 MiB of memory instead of 512: YARN kills containers that map more than 2.1 times their memory of address space (yarn.nodemanager.vmem-check-enabled), and tfos itself maps 1.4 GiB"}},
		{name: "TensorFlow in too little", ratio: 2.1, mib: 768, command: "${PYTHON:-python3} x.py", master: 704, worker: 1472,
			notes: []string{"warning: role worker may be too small for TensorFlow: YARN kills containers that map more than 2.1 times their memory of address space (yarn.nodemanager.vmem-check-enabled), which TensorFlow may do with less than 1024 MiB (roles.worker.memory)",
				"role worker gets 1472 MiB of memory instead of 768"}},
		{name: "TensorFlow", ratio: 2.1, mib: 1024, command: "${PYTHON:-python3} x.py", master: 704, worker: 2048, notes: []string{"role worker gets 2048 MiB of memory instead of 1024"}},
		{name: "TensorFlow without Python", ratio: 2.1, mib: 1024, builtin: job.BuiltinPS, master: 704, worker: 2048, notes: []string{"role worker gets 2048 MiB of memory instead of 1024"}},
		{name: "another program", ratio: 2.1, mib: 1024, command: "./x", master: 704, worker: 1728, notes: []string{"role worker gets 1728 MiB of memory instead of 1024"}},
		{name: "too much for the cluster", ratio: 2.1, mib: 1024, most: 1536, command: "./x", master: 704, worker: 1536,
			notes: []string{"warning: role worker should have 1728 MiB of memory for the address space of tfos and its program, more than any container may have here", "role worker gets 1536 MiB of memory instead of 1024"}},
		{name: "a generous ratio", ratio: 10, mib: 512, command: "python3 x.py", master: 512, worker: 512},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := job.Job{Master: job.Resources{MemoryMiB: 512}, Roles: []job.Role{{Name: "worker", Command: c.command, Builtin: c.builtin, Resources: job.Resources{MemoryMiB: c.mib}}}}
			j, notes := Virtual(before, c.ratio, cmp.Or(c.most, 8192))
			if j.Master.MemoryMiB != c.master || j.Roles[0].MemoryMiB != c.worker {
				t.Errorf("master %d, worker %d MiB; want %d and %d", j.Master.MemoryMiB, j.Roles[0].MemoryMiB, c.master, c.worker)
			}
			if got := j.Env["MALLOC_ARENA_MAX"]; (got == "4") != (c.ratio > 0) {
				t.Errorf("MALLOC_ARENA_MAX is %q", got)
			}
			if before.Roles[0].MemoryMiB != c.mib {
				t.Error("the job that was given has changed")
			}
			if len(notes) != len(c.notes) {
				t.Fatalf("notes %q, want %q", notes, c.notes)
			}
			for i, n := range notes {
				if !strings.Contains(n, c.notes[i]) {
					t.Errorf("note %q, want one with %q", n, c.notes[i])
				}
			}
		})
	}
}
