package sched

import (
	"slices"
	"time"

	"tfos/internal/yarn"
)

// lostDiagnostics and its kin are the sentences that Hadoop's SchedulerUtils puts into the statuses that the
// ResourceManager makes up.
const (
	lostDiagnostics     = "Container released on a *lost* node"
	releasedDiagnostics = "Container released by application"
	expiredDiagnostics  = "Container expired since it was unused"
)

// node is one NodeManager.
type node struct {
	id         yarn.NodeID
	http       string
	capacity   yarn.Resource
	used       yarn.Resource // the sum over containers; never more than capacity
	state      yarn.NodeState
	containers []*container // granted and not complete, in the order of granting
}

func (n *node) free() yarn.Resource { return n.capacity.Sub(n.used) }

func (n *node) report() yarn.NodeReport {
	return yarn.NodeReport{ID: n.id, HTTP: n.http, Rack: "/default-rack", State: n.state, Used: n.used, Capability: n.capacity, Containers: len(n.containers)}
}

// AddNode adds a node, or takes one back that was lost. One that is still counted as running has restarted: what ran on
// it is lost first.
func (s *Scheduler) AddNode(now time.Time, id yarn.NodeID, http string, capacity yarn.Resource) []Action {
	n := s.node(id)
	if n != nil && n.state.Usable() {
		s.lose(now, n, yarn.NodeRebooted)
	}
	if n == nil {
		n = &node{id: id}
		s.nodes = append(s.nodes, n)
	}
	n.http, n.capacity, n.state = http, capacity, yarn.NodeRunning
	s.tellNodeChanged(id)
	return s.settle(now)
}

// DropNode takes a node away: what ran on it is lost. A node that was told to stop is shut down, one that fell silent is
// lost; the containers fare the same.
func (s *Scheduler) DropNode(now time.Time, id yarn.NodeID, state yarn.NodeState) []Action {
	if n := s.node(id); n != nil && n.state.Usable() {
		s.lose(now, n, state)
		s.tellNodeChanged(id)
	}
	return s.settle(now)
}

// NodeHeartbeat grants what fits on one node. It has work to do only under Config.OnHeartbeat.
func (s *Scheduler) NodeHeartbeat(now time.Time, id yarn.NodeID) []Action {
	if n := s.node(id); n != nil {
		s.grant(now, []*node{n})
	}
	return s.settle(now)
}

func (s *Scheduler) lose(now time.Time, n *node, state yarn.NodeState) {
	n.state = state
	for _, c := range slices.Clone(n.containers) {
		s.complete(now, c, yarn.ExitAborted, lostDiagnostics)
	}
}

// tellNodeChanged lets every registered master learn of it with its next heartbeat.
func (s *Scheduler) tellNodeChanged(id yarn.NodeID) {
	for _, a := range s.apps {
		if t := a.attempt; t != nil && t.stage == registered && !slices.Contains(t.changedNodes, id) {
			t.changedNodes = append(t.changedNodes, id)
		}
	}
}

// Nodes describes all nodes, in the order in which they came.
func (s *Scheduler) Nodes() []yarn.NodeReport {
	reports := make([]yarn.NodeReport, len(s.nodes))
	for i, n := range s.nodes {
		reports[i] = n.report()
	}
	return reports
}

func (s *Scheduler) node(id yarn.NodeID) *node {
	for _, n := range s.nodes {
		if n.id == id {
			return n
		}
	}
	return nil
}

func (s *Scheduler) usableNodes() int {
	count := 0
	for _, n := range s.nodes {
		if n.state.Usable() {
			count++
		}
	}
	return count
}

// container is a grant, from granting to completion.
type container struct {
	grant   yarn.Container
	app     *app
	node    *node
	master  bool
	started bool      // its node said that it runs
	since   time.Time // of the grant

	// Of a master, for those who ask afterwards; others are forgotten.
	ended       time.Time
	exit        yarn.ExitStatus
	diagnostics string
}

// noteEnd remembers how a container ended; the first word counts.
func (c *container) noteEnd(now time.Time, exit yarn.ExitStatus, diagnostics string) {
	if c.ended.IsZero() {
		c.ended, c.exit, c.diagnostics = now, exit, diagnostics
	}
}

func (c *container) report() yarn.ContainerReport {
	r := yarn.ContainerReport{
		ID: c.grant.ID, Node: c.node.id, NodeHTTP: c.node.http, Resource: c.grant.Resource, Priority: c.grant.Priority,
		State: yarn.ContainerNew, ExitStatus: yarn.ExitInvalid, Created: c.since,
	}
	switch {
	case !c.ended.IsZero():
		r.State, r.ExitStatus, r.Diagnostics, r.Finished = yarn.ContainerComplete, c.exit, c.diagnostics, c.ended
	case c.started:
		r.State = yarn.ContainerRunning
	}
	return r
}

// place counts a grant.
func (s *Scheduler) place(now time.Time, a *app, n *node, r yarn.Resource, priority int32, ask int64) *container {
	t := a.attempt
	t.lastContainer++
	c := &container{app: a, node: n, since: now, grant: yarn.Container{
		ID:   yarn.ContainerID{Attempt: t.id, ID: t.lastContainer},
		Node: n.id, NodeHTTP: n.http, Resource: r, Priority: priority, AskID: ask,
	}}
	n.used = n.used.Add(r)
	n.containers = append(n.containers, c)
	a.containers = append(a.containers, c)
	return c
}

// unplace takes a grant out of the books. It reports whether it was still in them.
func (s *Scheduler) unplace(c *container) bool {
	i := slices.Index(c.app.containers, c)
	if i < 0 {
		return false
	}
	c.app.containers = slices.Delete(c.app.containers, i, i+1)
	c.node.containers = slices.DeleteFunc(c.node.containers, func(x *container) bool { return x == c })
	c.node.used = c.node.used.Sub(c.grant.Resource)
	return true
}

// stop takes a grant out of the books and has its node stop it.
func (s *Scheduler) stop(c *container, exit yarn.ExitStatus, diagnostics string) {
	if s.unplace(c) {
		s.do(StopContainer{Node: c.node.id, ID: c.grant.ID, Exit: exit, Diagnostics: diagnostics})
	}
}
