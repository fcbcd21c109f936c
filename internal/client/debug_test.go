package client

import (
	"strings"
	"testing"
	"testing/synctest"

	"tfos/internal/client/exit"
	"tfos/internal/job"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

func TestDebug(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(w *world)
		task job.Task
		page string
		code exit.Code
		says string
	}{
		{"master", func(*world) {}, job.Task{}, "state", exit.OK, "state of the master"},
		{"agent", func(*world) {}, job.Task{Role: "chief"}, "state", exit.OK, "state of an agent"},
		{"no such page", func(*world) {}, job.Task{}, "secrets", exit.Usage, `no page "secrets"`},
		{"no such task", func(*world) {}, job.Task{Role: "nobody"}, "", exit.Usage, "has no task nobody/0"},
		{"no agent", func(*world) {}, job.Task{Role: "worker"}, "", exit.Refused, "worker/0 has no agent now: it is pending"},
		{"over", func(w *world) { w.finish(view(status.Succeeded, 0), yarn.StateFinished, yarn.FinalSucceeded) }, job.Task{}, "", exit.Refused, "does not run"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var s shown
				if _, err := w.cluster().Submit(t.Context(), prepare(t, aJob()), s.ui()); err != nil {
					t.Fatal(err)
				}
				w.running()
				now := view(status.Running)
				now.Tasks = []status.Task{{Role: "chief", Agent: "node:1"}, {Role: "worker", State: status.Pending}}
				w.publish(now)
				c.set(w)
				var out strings.Builder
				err := w.cluster().Debug(t.Context(), anID, c.task, c.page, &out)
				said := out.String()
				if err != nil {
					said = err.Error()
				}
				if exit.Of(err) != c.code || !strings.Contains(said, c.says) {
					t.Errorf("exit code %d: %s; want %d and %q", exit.Of(err), said, c.code, c.says)
				}
			})
		})
	}
}
