package membership

import (
	"strings"
	"time"

	"tfos/internal/job"
	"tfos/internal/yarn"
)

// A machine may outlive the application master that stepped it: the next attempt restores it from a
// journal, and the agents, whose processes went on, say what the journal does not know. The journal
// may be older than what was done last. What holds:
//   - No agent was launched, retired or told to stop its process before the journal had it. The
//     caller sees to that.
//   - A process may have been started, and a cluster_spec published, that the journal does not
//     have. Their agents tell.
//   - So while a container's agent has not told, its task is unsure; once that is given up, the
//     numbers of its incarnations leap over those that may have been in use. The same holds for a
//     spare that the task may have moved to.

const (
	// incarnationLeap is more than the incarnations of one task that are started while a journal is
	// written.
	incarnationLeap = 10
	// generationLeap is more than the cluster_specs that are published meanwhile: one for each
	// task, if many are lost at once.
	generationLeap = 1000
)

// leapTo leaves room for the numbers of attempts that nothing is known of.
func (m *Machine) leapTo(attempts int32) {
	m.s.Generation = job.Generation(attempts) * generationLeap
	for i := range m.s.Tasks {
		m.s.Tasks[i].Incarnation = job.Incarnation(attempts) * incarnationLeap
	}
}

// takeOver has a new attempt of the application master go on where the journal ends. Until the
// agents have reported nothing is asked for, started or given up.
func (m *Machine) takeOver(ev TakeoverBegan) {
	k := &m.s.Takeover
	k.begin(ev.Attempt)
	m.first, m.s.Asked = !ev.Ended, nil // who takes over has asked for nothing yet
	if m.s.Phase == idle {
		m.begin(ev.Attempt)
		return
	}
	m.s.Progress.Stalls = 0 // the journal may not have the newest steps
	k.note(m.now)
	patience := m.now.Add(m.opts.ReportTimeout)
	if m.s.Phase == stopping { // agents that come back are told to end, and nobody else is waited for
		m.s.StopUntil = latest(patience, m.now.Add(m.job.Stop.Grace+m.opts.StopMargin))
	} else {
		k.Until, m.s.GangUntil = patience, time.Time{}
	}
	for i := range m.among(holds).all() {
		t := m.edit(i)
		if m.s.Phase != stopping {
			t.Unconfirmed, t.Until = true, patience
		}
		if t.New {
			k.Unheard = append(k.Unheard, t.Task)
		}
		if !ev.Ended {
			m.do(Adopt{t.Task, t.Incarnation, t.Container, t.Node})
		}
	}
	m.s.Spares.doubt(patience)
	if ev.Ended {
		m.endContainers()
	}
	for _, n := range m.s.Nodes.excluded() {
		m.do(Exclude{n.Host})
	}
}

// endContainers gives up all containers, as YARN did when the attempt before ended. No agent tells
// what that attempt did last, so the numbers of generations and incarnations leap.
func (m *Machine) endContainers() {
	for len(m.s.Spares) > 0 {
		m.dropSpare(&m.s.Spares[0], false)
	}
	for i := range m.among(holds).all() {
		t := m.edit(i)
		before := t.Run
		t.Run, t.Until = gone, time.Time{}
		if before != retiring {
			m.lose(t, loss{cause: CauseMaster, what: "its container on " + t.Node.Host + " ended with the application master: the cluster keeps none", container: true})
		}
	}
}

// kept takes note of a container that lives. One that is not known may be of a launch that the
// journal does not have: its agent will tell.
func (m *Machine) kept(ev Kept) {
	s := m.s.Spares.in(ev.Container)
	switch t := m.holder(ev.Container); {
	case s != nil && s.Unconfirmed && s.Address == "":
		s.Until = m.now.Add(m.opts.LaunchTimeout)
	case s != nil:
	case t != nil && t.Unconfirmed && t.Run == launched:
		t.Until = m.now.Add(m.opts.LaunchTimeout) // its files may still be on their way
	case t != nil:
	default:
		m.row().kept(m, ev)
	}
}

// keepStray remembers a container until its agent tells whose it is.
func (m *Machine) keepStray(ev Kept) {
	m.s.Takeover.keep(stray(ev))
}

// refuse gives a container back that is no task's.
func (m *Machine) refuse(ev Kept) { m.do(Release{ev.Container}) }

// adopt gives a task the container whose agent claims to have a later incarnation of it than the
// journal knows. Nil: it has not, or nobody has to ask.
func (m *Machine) adopt(ev Joined) *task {
	t := m.find(ev.Task)
	if t == nil || m.holder(ev.Container) != nil || ev.Incarnation <= t.Incarnation {
		return nil
	}
	if ev.Running == nil && ev.Exited == nil && (t.held() || t.Outcome != open) {
		return nil // it may be a spare: the task has not moved there
	}
	if t.held() {
		m.do(Release{t.Container}) // given up for this one
	}
	var node yarn.NodeID
	if i := strings.LastIndexByte(ev.Agent, ':'); i > 0 {
		node.Host = ev.Agent[:i]
	}
	if s, is := m.s.Takeover.claim(ev.Container); is {
		node = s.Node
	}
	*t = task{Task: t.Task, Incarnation: ev.Incarnation, Run: launched, Container: ev.Container, Node: node, Unconfirmed: true, history: t.history}
	m.do(Adopt{t.Task, t.Incarnation, t.Container, t.Node})
	return t
}

// confirm puts what an agent says of itself in the place of what the journal says of it.
func (m *Machine) confirm(t *task, ev Joined) {
	t.Unconfirmed = false
	m.s.Takeover.hear(t.Task, m.s.Generation, ev)
	if s := m.s.Spares.of(t.Task); s != nil && ev.Running != nil { // it has not moved
		s.Unconfirmed = false
	}
	t.Agent, t.Address, t.Witness = ev.Agent, ev.Address, ev.Witness
	newer := ev.Incarnation > t.Incarnation
	if newer {
		*t = task{Task: t.Task, Incarnation: ev.Incarnation, Run: joined, Container: t.Container, Node: t.Node,
			Agent: t.Agent, Address: t.Address, Witness: t.Witness, history: t.history}
	}
	if t.Run != launched && t.Run != joined || ev.Incarnation < t.Incarnation {
		return
	}
	if ev.Running != nil || ev.Exited != nil {
		t.Run, t.Generation, t.New = starting, ev.Since, false // others may know it already
		if m.s.Phase == forming {
			m.s.Phase, m.s.AskAgain = training, time.Time{}
			m.s.Takeover.Until = m.now.Add(m.opts.ReportTimeout) // the others may be as far
		}
	}
}

// endTakeover ends the wait for agents when nobody is left to wait for. What YARN kept comes after
// the event that begins the wait.
func (m *Machine) endTakeover() {
	if m.first || len(m.s.Takeover.Strays) > 0 || m.among(unheard).len() > 0 {
		return
	}
	wanted := func(s *spare) bool { // by a task that goes on
		t := m.find(s.Task)
		return s.Unconfirmed && t != nil && t.Outcome == open
	}
	if m.s.Spares.first(wanted) == nil {
		m.goOn()
	}
}

// giveUpUnheard ends the wait for agents that have had their time.
func (m *Machine) giveUpUnheard() {
	if m.due(m.s.Takeover.Until) {
		m.goOn()
	}
}

// settleSpares gives up what a task may have left, with the numbers that it may have in the spare
// of which nothing is heard. A spare whose agent has not come yet goes on being awaited.
func (m *Machine) settleSpares() {
	for i := len(m.s.Spares) - 1; i >= 0; i-- {
		s := m.s.Spares[i]
		if !s.Unconfirmed {
			continue
		}
		m.s.Spares[i].Unconfirmed = false
		if t := m.find(s.Task); t != nil && t.held() && !t.Unconfirmed && t.Outcome == open {
			m.release(t, gone)
			t.Unconfirmed = true
			m.vacate(t, time.Time{})
		}
		if m.due(s.Until) {
			m.dropSpare(&s, true)
		}
	}
}

// goOn ends the wait for agents: what did not report is lost, and the job goes on. One that was
// launched, and whose container lives, may take as long as any that was.
func (m *Machine) goOn() {
	k := &m.s.Takeover
	until := k.Until
	k.MaybeNewer = k.MaybeNewer || len(k.Strays) > 0
	missing := m.among(unheard).len()
	m.do(TakeoverEnded{Reported: m.among(holds).len() - missing, Missing: missing})
	m.settleSpares()
	for _, s := range k.Strays {
		m.do(Release{s.Container})
	}
	for i := range m.s.Tasks { // what was launched there, and for whom, nobody has told
		switch t := m.edit(i); {
		case len(k.Strays) == 0 || t.held():
		case t.Outcome == open:
			t.Incarnation += incarnationLeap
		default: // its number stays in the cluster_spec, and leaps if it has to run again
			t.Unconfirmed = true
		}
	}
	k.Strays = nil
	for _, name := range k.Unheard {
		if t := m.find(name); t != nil && k.Generation > m.s.Generation && !(t.held() && t.Until.After(until)) {
			t.New = false // others may count on it
		}
	}
	k.Unheard = nil
	for i := range m.s.Tasks {
		t := m.edit(i)
		k.MaybeNewer = k.MaybeNewer || t.Unconfirmed && t.held()
		switch {
		case !t.Unconfirmed || !t.held() || t.Until.After(until):
		case t.Run == retiring:
			m.release(t, gone)
		default:
			m.lost(t, "its agent on "+t.Node.Host+" did not report to the application master that took over within "+m.opts.ReportTimeout.String())
		}
	}
	k.Until = time.Time{}
	if m.asking() {
		m.endRests()
	}
}

// abandonTakeover ends the wait for agents because the job ends. Those that come late are told to
// end.
func (m *Machine) abandonTakeover() {
	k := &m.s.Takeover
	m.s.StopUntil = latest(m.s.StopUntil, k.Until)
	for _, s := range k.Strays {
		m.do(Release{s.Container})
	}
	k.Until, k.Strays = time.Time{}, nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
