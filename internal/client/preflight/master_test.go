package preflight

import (
	"strings"
	"testing"

	"tfos/internal/job"
)

func TestMaster(t *testing.T) {
	for _, c := range []struct {
		tasks     int
		has, gets int64
		note      string
	}{
		{10000, job.DefaultMasterMiB, 512, ""},
		{11000, job.DefaultMasterMiB, 576, "the master gets 576 MiB of memory instead of 512: it has 11000 tasks"},
		{1000, 96, 96, ""},
		{1000, 64, 64, "warning: the master of 1000 tasks needs 71 MiB of memory, and has 64"},
	} {
		j := job.Job{Master: job.Resources{MemoryMiB: c.has}, Roles: []job.Role{{Name: "worker", Instances: c.tasks}}}
		j, notes := Master(j)
		if said := strings.Join(notes, "\n"); j.Master.MemoryMiB != c.gets || !strings.Contains(said, c.note) || (c.note == "") != (said == "") {
			t.Errorf("%d tasks and %d MiB: it gets %d MiB, %q; want %d, %q", c.tasks, c.has, j.Master.MemoryMiB, said, c.gets, c.note)
		}
	}
}
