package membership

import (
	"fmt"
	"time"

	"tfos/internal/job"
	"tfos/internal/yarn"
)

// What happens when YARN says that it will take a container or its node away.
//
//   - A node that is drained is remembered: YARN says it once, and whoever comes to live there
//     later, or is found to live there after the application master was replaced, is warned as
//     well.
//   - The program is told, with the deadline, and has time to write a checkpoint.
//   - A spare container is asked for at once. When its agent is there the task moves: after
//     job.Notice.Wait, or before the deadline if that is sooner, its process is stopped in order,
//     and the next incarnation starts in the spare. A process that ends by itself moves at once. So
//     two containers are held for one task, and never two processes run.
//   - Nobody is charged, and no node blamed, for what a task that was warned does: its end, clean
//     ones excepted, is a move.

// Warned says that a container will be taken away.
type Warned struct {
	Container yarn.ContainerID `json:"container,omitzero"`
	Cause     Cause            `json:"cause"`    // CausePreempted or CauseDraining
	Deadline  time.Time        `json:"deadline"` // until when it stays, as far as is known
}

// WarningLifted takes a Warned back.
type WarningLifted struct {
	Container yarn.ContainerID `json:"container,omitzero"`
}

// Draining says that a node is being decommissioned, and all containers on it will be taken away.
type Draining struct {
	Node    yarn.NodeID   `json:"node,omitzero"`
	Timeout time.Duration `json:"timeout"` // ns; from when this was said first
}

// Drained takes a Draining back, or says that the node is gone.
type Drained struct {
	Node yarn.NodeID `json:"node,omitzero"`
	Gone bool        `json:"gone,omitempty"` // what ran there ends without another word
}

func (Warned) event()        {}
func (WarningLifted) event() {}
func (Draining) event()      {}
func (Drained) event()       {}

// Notify has the agent in a container tell its program that the container will be taken away, or,
// without a cause, that it will not.
type Notify struct {
	Task      job.Task         `json:"task"`
	Container yarn.ContainerID `json:"container,omitzero"`
	Cause     Cause            `json:"cause,omitempty"`
	Deadline  time.Time        `json:"deadline,omitzero"`
}

// Move has a task live in its spare container from now on. The one before was given back, or has
// ended.
type Move struct {
	Task        job.Task         `json:"task"`
	Incarnation job.Incarnation  `json:"incarnation"`
	Container   yarn.ContainerID `json:"container,omitzero"`
	Node        yarn.NodeID      `json:"node,omitzero"`
}

func (Notify) action() {}
func (Move) action()   {}

// leaveNode has a task start over elsewhere: nothing runs yet where it is.
func (m *Machine) leaveNode(t *task, _ Warned) {
	if t.Outcome == open {
		m.release(t, gone)
		m.vacate(t, time.Time{})
	}
}

// warn remembers a warning, and has the program told.
func (m *Machine) warn(t *task, ev Warned) {
	if t.Outcome != open {
		return
	}
	if t.Run == launched {
		m.leaveNode(t, ev)
		return
	}
	if n, news := t.Notice.hear(m.now, ev); news {
		t.Notice = n
		m.do(Notify{t.Task, t.Container, n.Cause, n.Deadline})
	}
}

func (m *Machine) liftWarning(ev WarningLifted) {
	if t := m.holder(ev.Container); t != nil {
		m.lift(t)
	}
}

// lift takes a task's warning back, if it is not on its way already.
func (m *Machine) lift(t *task) {
	if t.Notice != nil && !t.Moving {
		t.Notice, t.Spares = nil, 0
		m.do(Notify{Task: t.Task, Container: t.Container})
	}
}

func (m *Machine) draining(ev Draining) {
	deadline, news := m.s.Draining.begin(m.now, ev)
	if !news {
		return
	}
	m.x.drained = false
	for i := range m.among(warnedOf).all() {
		if t := m.edit(i); t.held() && t.Node == ev.Node && t.Notice.Cause == CauseDraining {
			m.row().warned(m, t, Warned{t.Container, CauseDraining, deadline})
		}
	}
}

func (m *Machine) drained(ev Drained) {
	if !m.s.Draining.end(ev.Node) {
		return
	}
	for i := range m.among(warnedOf).all() {
		if t := m.edit(i); !ev.Gone && t.held() && t.Node == ev.Node && t.Notice.Cause == CauseDraining {
			m.lift(t)
		}
	}
}

// drain warns those who live on a node that is drained, and nobody has warned yet: they may have
// been launched there before YARN thought of it, or be what an earlier application master left
// there.
func (m *Machine) drain() {
	candidates := m.some(holds, m.x.drained)
	m.x.drained = true
	for _, d := range m.s.Draining {
		for i := len(m.s.Spares) - 1; i >= 0; i-- {
			if s := m.s.Spares[i]; s.Node == d.Node {
				m.dropSpare(&s, true)
			}
		}
		for _, i := range candidates {
			if t := &m.s.Tasks[i]; t.held() && t.Node == d.Node && t.Notice == nil {
				m.row().warned(m, m.edit(i), Warned{t.Container, CauseDraining, d.Deadline})
			}
		}
	}
}

// movable reports whether a task is to move, and can.
func (m *Machine) movable(t *task) bool {
	return t.Notice != nil && t.Outcome == open && t.member() && m.s.Phase == training &&
		(t.Run == joined || t.Run == starting || t.Run == running || t.Run == pausing || t.Moving)
}

// wantsSpare reports whether a container is wanted for a task to move to.
func (m *Machine) wantsSpare(t *task) bool {
	return m.movable(t) && t.Spares < maxSpares && m.s.Spares.of(t.Task) == nil
}

// grantSpare makes a container the spare of a task.
func (m *Machine) grantSpare(t *task, ev Granted) {
	t.Spares++
	s := spare{Task: t.Task, Incarnation: t.Incarnation + 1, Container: ev.Container, Node: ev.Node, Until: m.now.Add(m.opts.LaunchTimeout)}
	m.s.Spares = append(m.s.Spares, s)
	m.do(Launch{s.Task, s.Incarnation, s.Container, s.Node, true})
}

// spareEvent takes in what is told of a spare. False: the event is about none.
func (m *Machine) spareEvent(ev Event) bool {
	s := m.s.Spares.in(containerOf(ev))
	if s == nil {
		return false
	}
	switch s.hear(m.now, ev, m.opts.RejoinTimeout) {
	case spareEnded:
		m.dropSpare(s, false)
	case spareUseless:
		m.dropSpare(s, true)
	case spareLivedIn:
		m.dropSpare(s, false)
		return false
	}
	return true
}

// dropSpare gives a spare up.
func (m *Machine) dropSpare(s *spare, release bool) {
	c := s.Container // s may lie in the list
	m.find(s.Task)   // may want another one
	if release {
		m.do(Release{c})
	}
	m.s.Spares.drop(c)
}

// dropSpares gives all spares up: nobody moves.
func (m *Machine) dropSpares() {
	for i := len(m.s.Spares) - 1; i >= 0; i-- {
		m.dropSpare(&m.s.Spares[i], true)
	}
}

// move brings those who were warned away.
func (m *Machine) move() {
	for i := len(m.s.Spares) - 1; i >= 0; i-- {
		s := m.s.Spares[i]
		t := m.find(s.Task)
		switch {
		case t != nil && t.Run == gone && t.Outcome == open: // cannot be: a loss vacates
		case t != nil && t.Outcome == open && t.member() && (t.Run == waiting || t.Run == resting):
			m.moveTo(t, s, CauseNone) // its container went before the spare's agent came
		case t == nil || !m.movable(t):
			m.dropSpare(&s, true)
		case m.due(s.Until):
			m.dropSpare(&s, true)
		case !s.ready():
		case t.Run == pausing || t.Run == joined:
			m.moveTo(t, s, t.Notice.Cause)
		case m.due(m.leavesAt(&s)):
			m.depart(t)
		}
	}
}

// leavesAt is when the process of the task that is to move to a spare is stopped; zero: it does not
// wait for that.
func (m *Machine) leavesAt(s *spare) time.Time {
	i, ok := m.x.at[s.Task]
	if !ok {
		return time.Time{}
	}
	if t := &m.s.Tasks[i]; s.Address != "" && t.Notice != nil && (t.Run == starting || t.Run == running) {
		return t.Notice.departure(m.job.Notice.Wait, m.job.Stop.Grace)
	}
	return time.Time{}
}

// depart stops a process so that its task can move.
func (m *Machine) depart(t *task) {
	grace := t.Notice.grace(m.now, m.job.Stop.Grace)
	m.do(StopProcess{t.Task, t.Incarnation, t.Container, grace})
	t.Run, t.Moving, t.Until = ending, true, m.now.Add(grace+m.opts.StopMargin)
}

// moveTo has a task live in its spare. The container that it leaves is given back, if it is still
// held.
func (m *Machine) moveTo(t *task, s spare, why Cause) {
	if t.held() {
		m.do(Release{t.Container})
		m.note(t, why, "", true)
		m.shake(t)
	}
	next := task{Task: t.Task, Incarnation: t.Incarnation + 1, Run: joined, Container: s.Container, Node: s.Node,
		Agent: s.Agent, Address: s.Address, Witness: s.Witness, Until: s.Until, Cause: t.Cause, Why: t.Why, history: t.history}
	if s.Address == "" {
		next.Run = launched
	}
	*t = next
	m.s.Spares.drop(s.Container)
	m.do(Move{t.Task, t.Incarnation, t.Container, t.Node})
}

// excuse counts a warned task's loss as its move, not as a failure.
func (m *Machine) excuse(t *task, l *loss) {
	if t.Notice != nil && !l.hopeless && m.now.Before(t.Notice.believed()) {
		l.cause, l.excused = t.Notice.Cause, true
	}
}

// warningEnds is when a task's warning is taken back if its container is still there; zero: never.
func (t *task) warningEnds() time.Time {
	if t.Notice == nil || t.Notice.Cause != CausePreempted || t.Moving || !t.held() {
		return time.Time{}
	}
	return t.Notice.believed()
}

// moving says who moves where; empty: nobody does.
func (m *Machine) moving() string {
	for i := range m.s.Tasks {
		t := &m.s.Tasks[i]
		if t.Notice == nil || t.Outcome != open {
			continue
		}
		why := "which is being drained"
		if t.Notice.Cause == CausePreempted {
			why = "where YARN needs its room"
		}
		text := fmt.Sprintf("moves %s away from %s, %s, before %s", t.Task, t.Node.Host, why, t.Notice.Deadline.Format(time.TimeOnly+" MST"))
		if m.wantsSpare(t) {
			text += ": waits for a container"
		}
		return text
	}
	return ""
}
