package yarntest

import (
	"slices"
	"testing"
	"time"

	"tfos/internal/yarn"
)

// testDraining decommissions a node gracefully: it is announced with its timeout, what runs there
// runs on, nothing new comes, it can be taken back, and what is there when the timeout is over is
// lost.
func testDraining(t *testing.T, s *suite) {
	a := s.submit(t, nil)
	a.register()
	c, master := a.awayFromMaster()
	a.start(c, "sleep")
	a.up(c)
	a.known(c) // a node of which the ResourceManager knows no container is decommissioned at once
	a.ledger.Readmit(master)
	a.beat()
	t.Cleanup(func() { s.Recommission(t, c.Node) })

	const timeout = 10 * time.Minute
	s.Drain(t, c.Node, timeout)
	a.turns(c.Node, yarn.NodeDecommissioning)
	if left := a.changed[c.Node].DecommissionAfter; left != timeout {
		t.Errorf("the timeout is told as %v, want %v", left, timeout)
	}
	metrics, err := s.client.ClusterMetrics(s.context(t))
	must(t, err)
	nodes, err := s.client.Nodes(s.context(t))
	must(t, err)
	nodes = slices.DeleteFunc(nodes, func(n yarn.NodeReport) bool { return n.State != yarn.NodeDecommissioning })
	if len(nodes) != 1 || nodes[0].ID != c.Node || metrics.Decommissioning != 1 {
		t.Errorf("nodes that are drained: %+v; counted: %d", nodes, metrics.Decommissioning)
	}
	for _, other := range a.ask(yarn.Ask{ID: 2, Priority: 2, Resource: small, Count: 2}) {
		if other.Node == c.Node {
			t.Errorf("%s was granted on %s, which is drained", other.ID, c.Node)
		}
		a.ledger.Release(other.ID)
	}
	statuses, err := a.nodes.Statuses(s.context(t), c.Node, c.ID)
	if err != nil || len(statuses) != 1 || statuses[0].State != yarn.ContainerRunning {
		t.Errorf("the container on the node that is drained: %+v, %v", statuses, err)
	}

	s.Recommission(t, c.Node)
	a.turns(c.Node, yarn.NodeRunning)
	s.Drain(t, c.Node, time.Second)
	if st := a.ended(c); st.ExitStatus != yarn.ExitAborted {
		t.Errorf("when the timeout was over: %+v", st)
	}
	s.until(t, "its process lives", func() bool { return !alive(a.pid(c)) })
}

// testDrainingUnheard drains a node while an application has no master: the next one is told.
func testDrainingUnheard(t *testing.T, s *suite) {
	a := s.submit(t, func(sub *yarn.Submission) { sub.MaxAttempts, sub.KeepContainers = 2, true })
	a.register()
	c, _ := a.awayFromMaster()
	a.start(c, "sleep")
	a.up(c)
	a.known(c)
	a.secondAttempt(func() {
		s.Drain(t, c.Node, 10*time.Minute)
		t.Cleanup(func() { s.Recommission(t, c.Node) })
	})
	a.register()
	a.turns(c.Node, yarn.NodeDecommissioning)
}

// testPreemption has a container taken back: it is announced with heartbeats before it ends.
func testPreemption(t *testing.T, s *suite) {
	a := s.submit(t, func(sub *yarn.Submission) { sub.Queue = s.PreemptQueue })
	a.register()
	large := yarn.Resource{MemoryMiB: a.registered.Max.MemoryMiB / 4, VCores: 1} // more than the queue's share together
	cs := a.ask(yarn.Ask{ID: 1, Priority: 1, Resource: large, Count: 2})
	for _, c := range cs {
		a.start(c, "sleep")
		a.up(c)
	}
	s.Preempt(t, cs[len(cs)-1].ID)
	var announced []yarn.ContainerID
	a.beatUntil("no preemption was announced", func() bool {
		announced = slices.Concat(a.answer.Preempt.Strict, a.answer.Preempt.Wish)
		return len(announced) > 0
	})
	for _, id := range announced { // all, before any of them ends
		if _, over := a.completed[id]; over {
			t.Errorf("%s ended before its preemption was announced", id)
		}
	}
	for _, id := range announced {
		i := slices.IndexFunc(cs, func(c yarn.Container) bool { return c.ID == id })
		if i < 0 {
			t.Fatalf("%s is to be preempted, and is none of %v", id, cs)
		}
		if st := a.ended(cs[i]); st.ExitStatus != yarn.ExitPreempted {
			t.Errorf("preempted: %+v", st)
		}
		s.until(t, "a preempted container's process lives", func() bool { return !alive(a.pid(cs[i])) })
	}
}

// awayFromMaster asks for a container on another host than the master's, which is excluded from
// then on.
func (a *application) awayFromMaster() (c yarn.Container, master string) {
	a.t.Helper()
	reports, err := a.client.Containers(a.context(a.t), a.container.Attempt)
	must(a.t, err)
	master = reports[0].Node.Host
	a.ledger.Exclude(master)
	a.beat()
	return a.ask(yarn.Ask{ID: 1, Priority: 1, Resource: small, Count: 1})[0], master
}

// turns waits until a heartbeat tells that a node has a state.
func (a *application) turns(node yarn.NodeID, state yarn.NodeState) {
	a.t.Helper()
	a.beatUntil(node.String()+" is not told to be "+state.String(), func() bool { return a.changed[node].State == state })
}
