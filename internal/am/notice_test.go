package am

import (
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/job"
	"tfos/internal/yarn"
)

// TestDrainingNodeIsLeft: who is on a node that is drained is told, and moves to another container
// before the deadline.
func TestDrainingNodeIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(10*time.Minute, 0), "chief/0#2": after(5*time.Minute, 0)}.programs())
		moved := job.Task{Role: "worker", Index: 1}
		time.AfterFunc(time.Minute, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.nodes = []yarn.NodeReport{{ID: w.nodeOf(moved), State: yarn.NodeDecommissioning, DecommissionAfter: 30 * time.Minute}}
		})
		v := w.succeeded(t, digits)
		if n := len(w.places[moved]); n != 2 {
			t.Fatalf("%s had %d containers, want 2", moved, n)
		}
		expect(t, "agents told", w.notices, []string{w.places[moved][0].container.String() + " draining"})
		if r := v.Restarts[0]; r.Task != "worker/1" || r.Cause != "draining" || !r.NewContainer || r.Seconds > 1 {
			t.Errorf("restarts %+v", v.Restarts)
		}
	})
}

// TestPreemptedContainerIsReplacedBeforehand: the notice comes with every heartbeat, and is told
// once.
func TestPreemptedContainerIsReplacedBeforehand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(10*time.Minute, 0), "chief/0#2": after(5*time.Minute, 0)}.programs())
		moved := job.Task{Role: "worker", Index: 0}
		time.AfterFunc(time.Minute, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.preempt = []yarn.ContainerID{w.places[moved][0].container}
		})
		v := w.succeeded(t, digits)
		expect(t, "agents told", w.notices, []string{w.places[moved][0].container.String() + " preempted"})
		if r := v.Restarts[0]; r.Task != "worker/0" || r.Cause != "preempted" || !r.NewContainer {
			t.Errorf("restarts %+v", v.Restarts)
		}
	})
}

// nodeOf is where a task's newest container is. w.mu is held.
func (w *world) nodeOf(t job.Task) yarn.NodeID {
	all := w.places[t]
	return yarn.NodeID{Host: all[len(all)-1].node, Port: 1}
}

// tell has YARN say something of a task's first node with the next heartbeat, whichever master
// sends it.
func (w *world) tell(task job.Task, state yarn.NodeState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes = []yarn.NodeReport{{ID: yarn.NodeID{Host: w.places[task][0].node, Port: 1}, State: state, DecommissionAfter: 30 * time.Minute}}
}

// TestDrainingNodeOutlivesMaster: a node is drained that the master before this one was told of,
// and taken back: who lives there hears so and stays.
func TestDrainingNodeOutlivesMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(10*time.Minute, 0)}.programs())
		warned := job.Task{Role: "worker", Index: 1}
		w.after(time.Minute, func() { w.tell(warned, yarn.NodeDecommissioning) })
		w.after(time.Minute+5*time.Second, w.kill)
		w.after(2*time.Minute, func() { w.tell(warned, yarn.NodeRunning) })
		v := w.succeeded(t, digits+"notice: {wait: 5m}\n")
		expect(t, "restarts", restarts(v), nil)
		c := w.places[warned][0].container.String()
		expect(t, "agents told", w.notices, []string{c + " draining", c + " draining", c + " "})
		attempts(t, v, 2)
	})
}

// TestNodeIsDrainedWithoutMaster: the next one is told, and the task moves.
func TestNodeIsDrainedWithoutMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(10*time.Minute, 0), "chief/0#2": after(5*time.Minute, 0)}.programs())
		moved := job.Task{Role: "worker", Index: 1}
		w.after(time.Minute, func() {
			w.kill()
			w.tell(moved, yarn.NodeDecommissioning)
		})
		v := w.succeeded(t, digits)
		if got := restarts(v); len(got) == 0 || got[0] != "worker/1 draining new container" {
			t.Errorf("restarts %q", got)
		}
		attempts(t, v, 2)
	})
}

// TestSpareThatIsNotWanted: it was given back while its launch waited for the journal, and nothing
// is started there.
func TestSpareThatIsNotWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(10*time.Minute, 0)}.programs())
		w.fs = slowFS{FS: w.fs, delay: 10 * time.Second, from: time.Now().Add(30 * time.Second)}
		warned := job.Task{Role: "worker", Index: 1}
		w.after(time.Minute, func() { w.tell(warned, yarn.NodeDecommissioning) })
		w.after(time.Minute+5*time.Second, func() { w.tell(warned, yarn.NodeRunning) })
		v := w.succeeded(t, digits)
		expect(t, "restarts", restarts(v), nil)
		if n := len(w.places[warned]); n != 1 {
			t.Errorf("%s had %d containers, want 1", warned, n)
		}
	})
}
