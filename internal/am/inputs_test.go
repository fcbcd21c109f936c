package am

import (
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/dfs"
	"tfos/internal/job"
	"tfos/internal/lease"
)

// TestInputSurvivesTheMaster: what one task holds of the shared input is not given to another by the next master.
func TestInputSurvivesTheMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(5*time.Minute, 0)}.programs())
		if err := w.fs.Mkdir(t.Context(), "/in", 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"/in/a", "/in/b"} {
			f, err := w.fs.Create(t.Context(), name, dfs.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		leased := make(map[string]string) // whose each file is
		take := func(index int) {
			a := w.agent(job.Task{Role: "worker", Index: index})
			answer, err := a.link.Lease(w.ctx, lease.Call{
				Holder: lease.Holder{Task: a.task, Incarnation: 1}, Client: "c", Number: 1,
				Op: lease.Next{Dataset: lease.Definition{Name: "d", Patterns: []string{"/in/*"}, Kind: lease.Files, Epochs: 1}},
			})
			if err != nil || answer.State != lease.Granted {
				t.Errorf("%s: %+v, %v", a.task, answer, err)
			}
			leased[answer.Lease.Path] += a.task.String()
		}
		w.after(time.Minute, func() { take(0) })
		w.after(2*time.Minute, w.kill)
		w.after(3*time.Minute, func() { take(1) })
		attempts(t, w.succeeded(t, digits), 2)
		if len(leased) != 2 {
			t.Errorf("leased %v, want a file each", leased)
		}
	})
}
