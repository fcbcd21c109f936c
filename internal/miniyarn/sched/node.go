package sched

import (
	"slices"
	"time"

	"tfos/internal/yarn"
)

// lostDiagnostics and its kin are the sentences that Hadoop's SchedulerUtils puts into the statuses
// that the ResourceManager makes up.
const (
	lostDiagnostics      = "Container released on a *lost* node"
	releasedDiagnostics  = "Container released by application"
	expiredDiagnostics   = "Container expired since it was unused"
	preemptedDiagnostics = "Container preempted by scheduler"
)

// node is one NodeManager.
type node struct {
	id         yarn.NodeID
	http       string
	capacity   yarn.Resource
	use        Use
	used       yarn.Resource // the sum over containers; never more than capacity
	state      yarn.NodeState
	drained    time.Time     // when a decommissioning node is shut down whatever runs on it; zero: the node is none
	timeout    time.Duration // that was given for it
	containers []*container  // granted and not complete, in the order of granting
	apps       []*app        // that had containers here, and were not over when somebody last looked
}

// Use says which containers a node is for.
type Use int

// The uses.
const (
	Any     Use = iota
	Masters     // of applications
	OneTask     // one container at a time, of no master
)

// takes reports whether a node would hold another container of so much.
func (n *node) takes(master bool, r yarn.Resource) bool {
	switch n.use {
	case Masters:
		if !master {
			return false
		}
	case OneTask:
		if master || len(n.containers) > 0 {
			return false
		}
	}
	return n.state.Usable() && r.Fits(n.free())
}

func (n *node) free() yarn.Resource { return n.capacity.Sub(n.used) }

// up reports whether a node's containers run: on one that is being drained they do, though it takes
// no new ones.
func (n *node) up() bool { return n.state.Usable() || n.state == yarn.NodeDecommissioning }

func (n *node) report() yarn.NodeReport {
	return yarn.NodeReport{ID: n.id, HTTP: n.http, Rack: "/default-rack", State: n.state, Used: n.used, Capability: n.capacity, Containers: len(n.containers),
		DecommissionAfter: n.timeout}
}

// AddNode adds a node, or takes one back that was lost. One that is still counted as running has
// restarted: what ran on it is lost first.
func (s *Scheduler) AddNode(now time.Time, id yarn.NodeID, http string, capacity yarn.Resource) []Action {
	return s.AddNodeFor(now, id, http, capacity, Any)
}

// AddNodeFor is AddNode of a node that is for some containers only.
func (s *Scheduler) AddNodeFor(now time.Time, id yarn.NodeID, http string, capacity yarn.Resource, use Use) []Action {
	n := s.node(id)
	if n != nil && n.up() {
		s.lose(now, n, yarn.NodeRebooted)
	}
	if n == nil {
		n = &node{id: id}
		s.nodes = append(s.nodes, n)
	}
	n.http, n.capacity, n.use, n.state = http, capacity, use, yarn.NodeRunning
	s.tellNodeChanged(id)
	return s.settle(now)
}

// DropNode takes a node away: what ran on it is lost. A node that was told to stop is shut down,
// one that fell silent is lost; the containers fare the same.
func (s *Scheduler) DropNode(now time.Time, id yarn.NodeID, state yarn.NodeState) []Action {
	if n := s.node(id); n != nil && n.up() {
		s.lose(now, n, state)
		s.tellNodeChanged(id)
	}
	return s.settle(now)
}

// DrainNode decommissions a running node gracefully: it gets no new containers, and is shut down
// when the applications that had some there are over, or after the timeout. Another timeout for one
// that is drained already counts from now.
func (s *Scheduler) DrainNode(now time.Time, id yarn.NodeID, timeout time.Duration) []Action {
	if n := s.node(id); n != nil && n.up() {
		n.state, n.drained, n.timeout = yarn.NodeDecommissioning, now.Add(timeout), timeout
		s.tellNodeChanged(id)
	}
	return s.settle(now)
}

// RecommissionNode takes a DrainNode back, if the node is still there.
func (s *Scheduler) RecommissionNode(now time.Time, id yarn.NodeID) []Action {
	if n := s.node(id); n != nil && n.state == yarn.NodeDecommissioning {
		n.state, n.drained, n.timeout = yarn.NodeRunning, time.Time{}, 0
		s.tellNodeChanged(id)
	}
	return s.settle(now)
}

// drain shuts down the decommissioning nodes that nobody needs, or whose time is up
// (DecommissioningNodesWatcher in Hadoop).
func (s *Scheduler) drain(now time.Time) {
	for _, n := range s.nodes {
		n.apps = slices.DeleteFunc(n.apps, (*app).over)
		if n.state == yarn.NodeDecommissioning && (len(n.containers)+len(n.apps) == 0 || !now.Before(n.drained)) {
			s.lose(now, n, yarn.NodeDecommissioned)
			s.tellNodeChanged(n.id)
			s.do(StopNode{Node: n.id})
		}
	}
}

// NodeHeartbeat grants what fits on one node. It has work to do only under Config.OnHeartbeat.
func (s *Scheduler) NodeHeartbeat(now time.Time, id yarn.NodeID) []Action {
	if n := s.node(id); n != nil {
		s.grant(now, []*node{n})
	}
	return s.settle(now)
}

func (s *Scheduler) lose(now time.Time, n *node, state yarn.NodeState) {
	n.state, n.drained, n.timeout = state, time.Time{}, 0
	for _, c := range slices.Clone(n.containers) {
		s.complete(now, c, yarn.ExitAborted, lostDiagnostics)
	}
}

// tellNodeChanged lets every application learn of it with the next heartbeat of its master, of the
// next one if it has none now. What a master was told that died since is not told again.
func (s *Scheduler) tellNodeChanged(id yarn.NodeID) {
	for _, a := range s.apps {
		if !a.state.Terminal() && !slices.Contains(a.nodes, id) {
			a.nodes = append(a.nodes, id)
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
	preempt time.Time // when it is taken back, of which every heartbeat tells its master until then; zero: it is not

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
	if !slices.Contains(n.apps, a) {
		n.apps = append(n.apps, a)
	}
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
