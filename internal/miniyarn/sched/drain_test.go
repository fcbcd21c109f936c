package sched

import (
	"slices"
	"testing"
	"time"

	"tfos/internal/yarn"
)

// drained runs an application with a container on node two, which is then drained for a minute.
func drained(t *testing.T) (*world, yarn.AttemptID, yarn.ContainerID) {
	t.Helper()
	w := newWorld(t, Config{MasterExpiry: time.Hour}, one)
	id := w.running(sub(true))
	w.did(w.AddNode(w.now, two, "", room))
	resp := w.granted(id, yarn.AllocateRequest{Asks: []yarn.Ask{{ID: 1, Priority: 1, Resource: mem(1024), Count: 1}}, BlacklistAdd: []string{one.Host}})
	w.ContainerStarted(resp.Granted[0].ID)
	w.did(w.DrainNode(w.now, two, time.Minute))
	resp = w.allocate(id, yarn.AllocateRequest{ResponseID: 2, Asks: []yarn.Ask{{ID: 2, Priority: 2, Resource: mem(1024), Count: 1}}})
	if n := resp.Nodes; len(n) != 1 || n[0].ID != two || n[0].State != yarn.NodeDecommissioning || n[0].DecommissionAfter != time.Minute {
		t.Fatalf("the master is told %+v", n)
	}
	if resp = w.allocate(id, yarn.AllocateRequest{ResponseID: 3}); len(resp.Granted)+len(resp.Nodes) > 0 || resp.ClusterNodes != 1 {
		t.Fatalf("a drained node counts: %+v", resp)
	}
	w.took()
	return w, id, yarn.ContainerID{Attempt: id, ID: 2}
}

func TestDrainedNodeEndsAtItsTimeout(t *testing.T) {
	w, id, c := drained(t)
	w.now = w.now.Add(time.Minute - 1)
	w.did(w.Tick(w.now))
	if as := w.took(); len(as) > 0 || !w.Granted(c, two) {
		t.Fatalf("before its time is up: %v", as)
	}
	w.now = w.now.Add(1)
	w.did(w.Tick(w.now))
	if as := w.took(); !slices.Equal(as, []Action{StopNode{two}}) {
		t.Errorf("when its time is up: %v", as)
	}
	resp := w.allocate(id, yarn.AllocateRequest{ResponseID: 4})
	if len(resp.Completed) != 1 || resp.Completed[0].ExitStatus != yarn.ExitAborted || len(resp.Nodes) != 1 || resp.Nodes[0].State != yarn.NodeDecommissioned {
		t.Errorf("the master is told %+v", resp)
	}
	w.did(w.AddNode(w.now, two, "", room))
	if n := w.Nodes()[1]; n.State != yarn.NodeRunning || n.DecommissionAfter != 0 {
		t.Errorf("started again: %+v", n)
	}
}

// A node outlives its containers as long as their applications do: their logs are there.
func TestDrainedNodeEndsWithItsApplications(t *testing.T) {
	w, id, c := drained(t)
	w.completed(c, two, 0)
	w.did(w.Tick(w.now))
	if as := w.took(); len(as) > 0 {
		t.Fatalf("with an application that lives: %v", as)
	}
	_, as, err := w.Kill(w.now, id.Application, "")
	if err != nil {
		t.Fatal(err)
	}
	w.did(as)
	w.took()
	w.did(w.Tick(w.now))
	if as := w.took(); !slices.Equal(as, []Action{StopNode{two}}) {
		t.Errorf("when its application is over: %v", as)
	}
}

func TestDrainedNodeIsTakenBack(t *testing.T) {
	w, id, c := drained(t)
	w.did(w.RecommissionNode(w.now, two))
	w.now = w.now.Add(time.Hour)
	resp := w.allocate(id, yarn.AllocateRequest{ResponseID: 4})
	if len(resp.Nodes) != 1 || resp.Nodes[0].State != yarn.NodeRunning || len(resp.Granted) != 1 || resp.Granted[0].Node != two || !w.Granted(c, two) {
		t.Errorf("taken back: %+v", resp)
	}
}

// What happens to nodes while an application has no master is told to its next one.
func TestNextMasterIsToldOfNodes(t *testing.T) {
	w, id, _ := drained(t)
	w.completed(masterOf(id), one, 1)
	w.did(w.RecommissionNode(w.now, two))
	id.Attempt = 2
	w.register(id)
	if resp := w.allocate(id, yarn.AllocateRequest{}); len(resp.Nodes) != 1 || resp.Nodes[0].State != yarn.NodeRunning {
		t.Errorf("the next master is told %+v", resp.Nodes)
	}
}

func TestPreemption(t *testing.T) {
	w := newWorld(t, Config{MasterExpiry: time.Hour}, one)
	id := w.running(sub(false))
	ask := []yarn.Ask{{ID: 1, Priority: 1, Resource: mem(1024), Count: 1}}
	c := w.granted(id, yarn.AllocateRequest{Asks: ask}).Granted[0].ID
	w.did(w.Preempt(w.now, masterOf(id), 0))
	w.did(w.Preempt(w.now, c, time.Minute))
	w.took()
	for beat := int32(2); beat < 4; beat++ {
		if resp := w.allocate(id, yarn.AllocateRequest{ResponseID: beat}); !slices.Equal(resp.Preempt.Wish, []yarn.ContainerID{c}) || len(resp.Completed) > 0 {
			t.Errorf("announced: %+v", resp)
		}
	}
	w.now = w.now.Add(time.Minute)
	w.did(w.Tick(w.now))
	if as := w.took(); !slices.Equal(as, []Action{StopContainer{one, c, yarn.ExitPreempted, preemptedDiagnostics}}) {
		t.Errorf("when its time is up: %v", as)
	}
	resp := w.allocate(id, yarn.AllocateRequest{ResponseID: 4, Asks: ask})
	if len(resp.Preempt.Wish) > 0 || len(resp.Completed) != 1 || resp.Completed[0].ExitStatus != yarn.ExitPreempted {
		t.Errorf("preempted: %+v", resp)
	}
	// The next one, of which no master knows: it is taken and granted again without a word.
	next := yarn.ContainerID{Attempt: id, ID: 3}
	w.did(w.Preempt(w.now, next, time.Minute))
	if resp = w.allocate(id, yarn.AllocateRequest{ResponseID: 5}); len(resp.Granted) != 1 || resp.Granted[0].ID.ID != 4 || len(resp.Completed) > 0 {
		t.Errorf("preempted before anybody knew: %+v", resp)
	}
}
