package am

import (
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/dfs"
	"tfos/internal/job"
	"tfos/internal/lease"
	"tfos/internal/yarn"
)

// leasing is a world with an input of two files, and whose each of them was.
type leasing struct {
	*world
	t      *testing.T
	leased map[string]string
}

func newLeasing(t *testing.T, p plan) *leasing {
	w := newWorld(t, p.programs())
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
	return &leasing{w, t, make(map[string]string)}
}

// take has a worker ask for its next file.
func (l *leasing) take(index int, number uint64, want lease.State) {
	a := l.agent(job.Task{Role: "worker", Index: index})
	answer, err := a.link.Lease(l.ctx, lease.Call{
		Holder: lease.Holder{Task: a.task, Incarnation: 1}, Client: "c", Number: number,
		Op: lease.Next{Dataset: lease.Definition{Name: "d", Patterns: []string{"/in/*"}, Kind: lease.Files, Epochs: 1}},
	})
	if err != nil || answer.State != want {
		l.t.Errorf("%s: %+v, %v", a.task, answer, err)
	}
	if answer.State == lease.Granted {
		l.leased[answer.Lease.Path] += a.task.String()
	}
}

// TestInputSurvivesTheMaster: what one task holds of the shared input is not given to another by
// the next master.
func TestInputSurvivesTheMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLeasing(t, plan{"chief/0#1": after(5*time.Minute, 0)})
		w.after(time.Minute, func() { w.take(0, 1, lease.Granted) })
		w.after(2*time.Minute, w.kill)
		w.after(3*time.Minute, func() { w.take(1, 1, lease.Granted) })
		attempts(t, w.succeeded(t, digits), 2)
		if len(w.leased) != 2 {
			t.Errorf("leased %v, want a file each", w.leased)
		}
	})
}

// TestInputOfOneThatMoves: a task that will move keeps what it holds for as long as its process
// runs. A spare container for it is not the end of that.
func TestInputOfOneThatMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLeasing(t, plan{"chief/0#1": after(10*time.Minute, 0)})
		moves := job.Task{Role: "worker", Index: 1}
		w.after(30*time.Second, func() { w.take(1, 1, lease.Granted) })
		w.after(time.Minute, func() { w.tell(moves, yarn.NodeDecommissioning) })
		w.after(2*time.Minute, func() {
			w.take(0, 1, lease.Granted)
			w.take(0, 2, lease.Waiting)
		})
		w.after(7*time.Minute, func() { w.take(0, 3, lease.Granted) })
		w.succeeded(t, digits+"notice: {wait: 5m}\n")
		if n := len(w.places[moves]); n != 2 || len(w.leased) != 2 {
			t.Errorf("%d containers, leased %v", n, w.leased)
		}
	})
}
