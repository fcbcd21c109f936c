package membership

import (
	"fmt"
	"slices"
	"time"

	"tfos/internal/job"
	"tfos/internal/yarn"
)

// What happens when YARN says that it will take a container or its node away.
//
//   - A node that is drained is remembered: YARN says it once, and whoever comes to live there later, or is found to live there
//     after the application master was replaced, is warned as well.
//   - The program is told, with the deadline, and has time to write a checkpoint.
//   - A spare container is asked for at once. When its agent is there the task moves: after job.Notice.Wait, or before the
//     deadline if that is sooner, its process is stopped in order, and the next incarnation starts in the spare. A process that
//     ends by itself moves at once. So two containers are held for one task, and never two processes run.
//   - Nobody is charged, and no node blamed, for what a task that was warned does: its end, clean ones excepted, is a move.

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

// Notify has the agent in a container tell its program that the container will be taken away, or, without a cause, that it
// will not.
type Notify struct {
	Task      job.Task         `json:"task"`
	Container yarn.ContainerID `json:"container,omitzero"`
	Cause     Cause            `json:"cause,omitempty"`
	Deadline  time.Time        `json:"deadline,omitzero"`
}

// Move has a task live in its spare container from now on. The one before was given back, or has ended.
type Move struct {
	Task        job.Task         `json:"task"`
	Incarnation job.Incarnation  `json:"incarnation"`
	Container   yarn.ContainerID `json:"container,omitzero"`
	Node        yarn.NodeID      `json:"node,omitzero"`
}

func (Notify) action() {}
func (Move) action()   {}

// notice is a warning that stands.
type notice struct {
	Cause    Cause     `json:"cause"`
	Deadline time.Time `json:"deadline"`
	Since    time.Time `json:"since"`
}

// draining is a node that is being decommissioned.
type draining struct {
	Node     yarn.NodeID   `json:"node,omitzero"`
	Timeout  time.Duration `json:"timeout"` // as it was told
	Deadline time.Time     `json:"deadline"`
}

// spare is a container that a task is to move to.
type spare struct {
	Task        job.Task         `json:"task"`
	Incarnation job.Incarnation  `json:"incarnation"` // that its agent was launched with
	Container   yarn.ContainerID `json:"container,omitzero"`
	Node        yarn.NodeID      `json:"node,omitzero"`
	Agent       string           `json:"agent,omitempty"`   // host:port
	Address     string           `json:"address,omitempty"` // host:port; empty: its agent is not there yet
	Witness     int              `json:"witness,omitempty"` // port: see clusterspec.Member
	Until       time.Time        `json:"until,omitzero"`    // as a task's
	// Unconfirmed says that the task may have moved here, which the journal of an attempt before does not have.
	Unconfirmed bool `json:"unconfirmed,omitempty"`
}

// maxSpares is how many spares one warning may cost: if so many are lost, the task waits for its end where it is.
const maxSpares = 3

// leaveNode has a task start over elsewhere: nothing runs yet where it is.
func (m *Machine) leaveNode(t *task, _ Warned) {
	if t.Outcome == open {
		m.release(t, gone)
		m.vacate(t, time.Time{})
	}
}

// warn remembers a warning, and has the program told.
func (m *Machine) warn(t *task, ev Warned) {
	switch {
	case t.Outcome != open:
		return
	case t.Run == launched:
		m.leaveNode(t, ev)
		return
	case t.Notice != nil && t.Notice.Cause == ev.Cause && t.Notice.Deadline.Equal(ev.Deadline):
		return // told again
	case t.Notice != nil && m.now.Before(t.Notice.Deadline) && t.Notice.Deadline.Before(ev.Deadline) && (ev.Cause == CausePreempted || t.Notice.Cause != ev.Cause):
		return // the earlier one counts; one of preemption is said again and again, without its deadline
	}
	since := m.now
	if t.Notice != nil {
		since = t.Notice.Since
	}
	t.Notice = &notice{ev.Cause, ev.Deadline.UTC().Round(0), since}
	m.do(Notify{t.Task, t.Container, ev.Cause, t.Notice.Deadline})
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

// drainingAt finds a node among those that are drained; nil: it is none.
func (m *Machine) drainingAt(n yarn.NodeID) *draining {
	i := slices.IndexFunc(m.s.Draining, func(d draining) bool { return d.Node == n })
	if i < 0 {
		return nil
	}
	return &m.s.Draining[i]
}

func (m *Machine) draining(ev Draining) {
	d := m.drainingAt(ev.Node)
	switch {
	case d == nil:
		m.s.Draining = append(m.s.Draining, draining{Node: ev.Node})
		d = &m.s.Draining[len(m.s.Draining)-1]
	case d.Timeout == ev.Timeout:
		return // told again
	}
	d.Timeout, d.Deadline = ev.Timeout, m.now.Add(ev.Timeout)
	m.x.drained = false
	for i := range m.among(warnedOf).all() {
		if t := m.edit(i); t.held() && t.Node == ev.Node && t.Notice.Cause == CauseDraining {
			m.row().warned(m, t, Warned{t.Container, CauseDraining, d.Deadline})
		}
	}
}

func (m *Machine) drained(ev Drained) {
	if m.drainingAt(ev.Node) == nil {
		return
	}
	m.s.Draining = slices.DeleteFunc(m.s.Draining, func(d draining) bool { return d.Node == ev.Node })
	for i := range m.among(warnedOf).all() {
		if t := m.edit(i); !ev.Gone && t.held() && t.Node == ev.Node && t.Notice.Cause == CauseDraining {
			m.lift(t)
		}
	}
}

// drain warns those who live on a node that is drained, and nobody has warned yet: they may have been launched there before YARN
// thought of it, or be what an application master of before left there.
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
	return m.movable(t) && t.Spares < maxSpares && m.spareOf(t.Task) == nil
}

func (m *Machine) spareOf(name job.Task) *spare {
	return m.spareAt(func(s spare) bool { return s.Task == name })
}

// spareIn finds the spare that is this container; nil: it is none.
func (m *Machine) spareIn(c yarn.ContainerID) *spare {
	return m.spareAt(func(s spare) bool { return s.Container == c })
}

func (m *Machine) spareAt(is func(spare) bool) *spare {
	i := slices.IndexFunc(m.s.Spares, is)
	if i < 0 {
		return nil
	}
	return &m.s.Spares[i]
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
	var c yarn.ContainerID
	switch ev := ev.(type) {
	case Completed:
		c = ev.Container
	case LaunchFailed:
		c = ev.Container
	case Joined:
		c = ev.Container
	case Left:
		c = ev.Container
	case Warned:
		c = ev.Container
	default:
		return false
	}
	s := m.spareIn(c)
	if s == nil {
		return false
	}
	switch ev := ev.(type) {
	case Completed:
		m.dropSpare(s, false)
	case LaunchFailed:
		if s.Address == "" { // the answer was lost otherwise, the launch was not
			m.dropSpare(s, true)
		}
	case Warned:
		m.dropSpare(s, true)
	case Joined:
		if ev.Running != nil || ev.Exited != nil { // the task lives there already, or did
			m.dropSpare(s, false)
			return false
		}
		s.Agent, s.Address, s.Witness, s.Until, s.Unconfirmed = ev.Agent, ev.Address, ev.Witness, time.Time{}, false
	case Left:
		switch {
		case s.Address == "":
		case ev.Silent:
			m.dropSpare(s, true)
		default:
			s.Until = m.now.Add(m.opts.RejoinTimeout)
		}
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
	m.s.Spares = slices.DeleteFunc(m.s.Spares, func(x spare) bool { return x.Container == c })
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
		case s.Address == "" || !s.Until.IsZero():
		case t.Run == pausing || t.Run == joined:
			m.moveTo(t, s, t.Notice.Cause)
		case m.due(m.leavesAt(&s)):
			m.depart(t)
		}
	}
}

// leavesAt is when the process of the task that is to move to a spare is stopped; zero: it does not wait for that.
func (m *Machine) leavesAt(s *spare) time.Time {
	i, ok := m.x.at[s.Task]
	if !ok {
		return time.Time{}
	}
	if t := &m.s.Tasks[i]; s.Address != "" && t.Notice != nil && (t.Run == starting || t.Run == running) {
		return m.departure(t)
	}
	return time.Time{}
}

// departure is when the process of a task whose spare is ready is stopped.
func (m *Machine) departure(t *task) time.Time {
	wait := t.Notice.Since.Add(m.job.Notice.Wait)
	last := t.Notice.Deadline.Add(-m.job.Stop.Grace - departMargin)
	if last.Before(wait) {
		return last
	}
	return wait
}

// departMargin is how much before the deadline the grace period of a process ends: YARN's own clock decides.
const departMargin = 2 * time.Second

// depart stops a process so that its task can move.
func (m *Machine) depart(t *task) {
	grace := min(m.job.Stop.Grace, max(time.Second, t.Notice.Deadline.Sub(m.now)-departMargin))
	m.do(StopProcess{t.Task, t.Incarnation, t.Container, grace})
	t.Run, t.Moving, t.Until = ending, true, m.now.Add(grace+m.opts.StopMargin)
}

// moveTo has a task live in its spare. The container that it leaves is given back, if it is still held.
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
	m.s.Spares = slices.DeleteFunc(m.s.Spares, func(x spare) bool { return x.Container == s.Container })
	m.do(Move{t.Task, t.Incarnation, t.Container, t.Node})
}

// excuse has a loss of a task that was warned be part of its move.
func (m *Machine) excuse(t *task, l *loss) {
	if n := t.Notice; n != nil && !l.hopeless && m.now.Before(n.Deadline.Add(overtime)) {
		l.cause, l.excused = t.Notice.Cause, true
	}
}

// aside is until when a task that was warned waits for its spare once its process has ended: starting it again where it is
// would be for nothing. Zero: it was not warned.
func (t *task) aside(now time.Time) time.Time {
	if t.Notice == nil {
		return time.Time{}
	}
	if patience := now.Add(time.Minute); patience.Before(t.Notice.Deadline) {
		return patience
	}
	if now.After(t.Notice.Deadline) {
		return now.Add(time.Second)
	}
	return t.Notice.Deadline.Add(time.Second)
}

// overtime is how long after its deadline a warning is believed. YARN changes its mind about preemption without a word.
const overtime = time.Minute

// doubted is when a task's warning is taken back if its container is still there; zero: never.
func (t *task) warningEnds() time.Time {
	if t.Notice == nil || t.Notice.Cause != CausePreempted || t.Moving || !t.held() {
		return time.Time{}
	}
	return t.Notice.Deadline.Add(overtime)
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
