package sched

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"tfos/internal/yarn"
)

// ask is what an attempt still wants of one kind.
type ask struct {
	priority int32
	id       int64
	resource yarn.Resource
	count    int // at least 1
}

// want replaces what the attempt wanted under the same priority and id: asks are absolute.
func (t *attempt) want(w ask) {
	i, found := slices.BinarySearchFunc(t.asks, w, func(x, y ask) int {
		return cmp.Or(cmp.Compare(x.priority, y.priority), cmp.Compare(x.id, y.id))
	})
	switch {
	case found && w.count == 0:
		t.asks = slices.Delete(t.asks, i, i+1)
	case found:
		t.asks[i] = w
	case w.count > 0:
		t.asks = slices.Insert(t.asks, i, w)
	}
}

// wantAgain adds one to what the attempt wants of a granted container's kind.
func (t *attempt) wantAgain(c yarn.Container) {
	w := ask{priority: c.Priority, id: c.AskID, resource: c.Resource, count: 1}
	for _, x := range t.asks {
		if x.priority == w.priority && x.id == w.id {
			w.resource, w.count = x.resource, x.count+1
		}
	}
	t.want(w)
}

// grant gives out what fits on the nodes, oldest application first; within one the master first,
// then its asks by priority.
func (s *Scheduler) grant(now time.Time, nodes []*node) {
	for _, a := range s.apps {
		if a.state.Terminal() {
			continue
		}
		t := a.attempt
		if t.stage == waiting {
			s.grantMaster(now, a, nodes)
			continue
		}
		if t.stage != registered {
			continue
		}
		for i := range t.asks {
			for w := &t.asks[i]; w.count > 0; w.count-- {
				n := s.choose(nodes, false, w.resource, t.blacklist)
				if n == nil {
					break
				}
				t.fresh = append(t.fresh, s.place(now, a, n, w.resource, w.priority, w.id))
			}
		}
		t.asks = slices.DeleteFunc(t.asks, func(w ask) bool { return w.count == 0 })
	}
}

func (s *Scheduler) grantMaster(now time.Time, a *app, nodes []*node) {
	n := s.choose(nodes, true, a.resource, nil)
	if n == nil {
		return
	}
	t := a.attempt
	c := s.place(now, a, n, a.resource, 0, -1)
	c.master = true
	t.stage, t.state, t.master, t.lastHeard = launching, yarn.AttemptLaunched, c, now
	if a.launched.IsZero() {
		a.launched = now
	}
	s.do(StartMaster{Attempt: t.id, User: a.user, Submitted: a.submitted, Container: c.grant, Launch: a.sub.Launch})
}

// choose picks the next node in turn on which r fits, as nodes' heartbeats would come: containers
// spread, and an application that gives a container back gets another one elsewhere. It is nil if r
// fits nowhere.
func (s *Scheduler) choose(nodes []*node, master bool, r yarn.Resource, blacklist []string) *node {
	for range nodes {
		s.turn++
		n := nodes[s.turn%len(nodes)]
		if !slices.Contains(blacklist, n.id.Host) && n.takes(master, r) {
			return n
		}
	}
	return nil
}

// ContainerStarted notes that a container's node runs it, so that it will not be taken back for
// want of use.
func (s *Scheduler) ContainerStarted(id yarn.ContainerID) {
	if c := s.container(id); c != nil {
		c.started = true
	}
}

// ContainerCompleted takes a node's word that a container ended. One that is not in the books any
// more, or not on that node, is ignored: the ResourceManager had decided its end before.
func (s *Scheduler) ContainerCompleted(now time.Time, on yarn.NodeID, st yarn.ContainerStatus) []Action {
	if c := s.container(st.ID); c != nil && c.node.id == on {
		s.complete(now, c, st.ExitStatus, st.Diagnostics)
	}
	return s.settle(now)
}

// Preempt announces that a container is taken back after wait: its master is told so with every
// heartbeat until then, as something that another container would do for, which is how Hadoop's
// capacity scheduler puts it. A master's own container is never preempted here, and one that no
// master knows of yet is taken at once and given again to whoever is first.
func (s *Scheduler) Preempt(now time.Time, id yarn.ContainerID, wait time.Duration) []Action {
	switch c := s.container(id); {
	case c == nil || c.master:
	case slices.Contains(c.app.attempt.fresh, c):
		s.takeBack(now, c)
	default:
		c.preempt = now.Add(wait)
	}
	return s.settle(now)
}

// takeBack preempts a container.
func (s *Scheduler) takeBack(now time.Time, c *container) {
	s.do(StopContainer{Node: c.node.id, ID: c.grant.ID, Exit: yarn.ExitPreempted, Diagnostics: preemptedDiagnostics})
	s.complete(now, c, yarn.ExitPreempted, preemptedDiagnostics)
}

// complete takes a container out of the books and lets its application know.
func (s *Scheduler) complete(now time.Time, c *container, exit yarn.ExitStatus, diagnostics string) {
	if !s.unplace(c) {
		return
	}
	a := c.app
	t := a.attempt
	st := yarn.ContainerStatus{ID: c.grant.ID, State: yarn.ContainerComplete, ExitStatus: exit, Diagnostics: diagnostics}
	if !c.master {
		if i := slices.Index(t.fresh, c); i >= 0 {
			// The master never knew of it: it is wanted again, as if it had not been granted.
			t.fresh = slices.Delete(t.fresh, i, i+1)
			t.wantAgain(c.grant)
		} else if t.stage != ended {
			t.completed = append(t.completed, st)
		}
		return
	}
	if c != t.master || t.stage == ended {
		return
	}
	c.noteEnd(now, exit, diagnostics)
	if t.stage == unregistered {
		s.end(a, now, a.state, a.final, a.diagnostics)
		return
	}
	// These are not the application's fault (RMAppAttemptImpl.shouldCountTowardsMaxAttemptRetry).
	blameless := []yarn.ExitStatus{yarn.ExitPreempted, yarn.ExitAborted, yarn.ExitDisksFailed, yarn.ExitKilledByRM}
	s.failAttempt(a, now, fmt.Sprintf("AM Container for %s exited with  exitCode: %d\nFailing this attempt.Diagnostics: %s", t.id, exit, diagnostics),
		!slices.Contains(blameless, exit))
}

func (s *Scheduler) container(id yarn.ContainerID) *container {
	a := s.byID[id.Attempt.Application]
	if a == nil {
		return nil
	}
	for _, c := range a.containers {
		if c.grant.ID == id {
			return c
		}
	}
	return nil
}

// Granted reports whether a container is granted on a node and not complete.
func (s *Scheduler) Granted(id yarn.ContainerID, on yarn.NodeID) bool {
	c := s.container(id)
	return c != nil && c.node.id == on
}
