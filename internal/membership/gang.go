package membership

import (
	"math/rand/v2"
	"slices"
	"time"
)

// begin asks for all containers at once. Nothing runs before all are there: half a gang would hold what another job needs
// to be whole.
func (m *Machine) begin(attempt int32) {
	if m.s.Phase != idle {
		return
	}
	if m.s.Takeover.Attempt = attempt; attempt > 1 {
		m.s.Takeover.Times = []time.Time{m.now}
		m.leapTo(attempt - 1)
	}
	m.s.Phase, m.s.Began = forming, m.now
	for i := range m.s.Tasks {
		m.doubt(&m.s.Tasks[i])
	}
	m.ask(func(n int) int { return n })
}

// ask sets each role's ask, given how many of its tasks wait.
func (m *Machine) ask(count func(waiting int) int) {
	for _, r := range m.job.Roles {
		if n := m.waiting(r.Name); n > 0 {
			m.do(Ask{r.Name, count(n)})
		}
	}
}

// waiting counts the tasks of a role that have no container, or are to move to another one.
func (m *Machine) waiting(role string) int {
	n := 0
	for i := range m.s.Tasks {
		if t := &m.s.Tasks[i]; t.Task.Role == role && (t.Run == waiting || m.wantsSpare(t)) {
			n++
		}
	}
	return n
}

// asking reports whether containers are wanted now.
func (m *Machine) asking() bool {
	return !m.resuming() && (m.s.Phase == training || m.s.Phase == forming && m.s.AskAgain.IsZero())
}

// granted gives a container to the first task of its role that waits. One that nobody waits for goes back.
func (m *Machine) granted(ev Granted) {
	m.drained(Drained{Node: ev.Node}) // YARN gives out nothing on a node that it drains: it must be back
	i := slices.IndexFunc(m.s.Tasks, func(t task) bool { return t.Task.Role == ev.Role && t.Run == waiting })
	switch {
	case m.holder(ev.Container) != nil: // told twice
		return
	case m.spareIn(ev.Container) != nil:
		return
	case m.asking() && i < 0 && m.grantSpare(ev):
		return
	case !m.asking() || i < 0:
		m.do(Release{ev.Container})
		return
	}
	m.assign(&m.s.Tasks[i], ev)
}

// watchGang keeps the clock of an incomplete gang. Waiting in the queue hurts nobody; holding a part of a gang does. A job in
// training is incomplete when it lacks what it cannot go on without.
func (m *Machine) watchGang() {
	lacks, holds := false, false
	for i := range m.s.Tasks {
		switch t := &m.s.Tasks[i]; {
		case t.Outcome != open || !t.member():
		case t.held():
			holds = true
		default:
			lacks = lacks || m.s.Phase == forming || m.essential(t.Task)
		}
	}
	switch {
	case m.s.Phase != forming && m.s.Phase != training || m.resuming():
	case !lacks || !holds:
		m.s.GangUntil = time.Time{}
	case m.s.GangUntil.IsZero():
		m.s.GangUntil = m.now.Add(m.job.Gang.Timeout)
	}
}

// giveUpGang gives back what an incomplete gang holds, so that another job's gang can become whole, and pauses.
func (m *Machine) giveUpGang() {
	m.ask(func(int) int { return 0 })
	m.s.Phase = forming
	for i := range m.s.Tasks {
		if t := &m.s.Tasks[i]; t.Outcome == open {
			if t.held() {
				if t.Run == starting || t.Run == running {
					m.doubt(t)
				}
				m.release(t, gone)
			}
			t.New = false
			if t.Run != resting {
				*t = task{Task: t.Task, Incarnation: t.Incarnation, Run: waiting, Cause: t.Cause, Why: t.Why, history: t.history}
			}
		}
	}
	m.s.GangUntil = time.Time{}
	m.s.AskAgain = m.now.Add(m.backoff())
	m.s.Attempts++
}

func (m *Machine) askAgain() {
	m.s.AskAgain = time.Time{}
	for i := range m.s.Tasks {
		m.rested(&m.s.Tasks[i])
	}
	m.ask(func(n int) int { return n })
}

// backoff is the pause before the next gang: doubling, and spread over half as much to either side, so that two jobs in each
// other's way do not return in step. It depends on the seed and the attempt alone, so that a restored machine pauses alike.
func (m *Machine) backoff() time.Duration {
	d := m.opts.BackoffMin
	for range m.s.Attempts {
		if d *= 2; d >= m.opts.BackoffMax {
			d = m.opts.BackoffMax
			break
		}
	}
	random := rand.New(rand.NewPCG(m.seed, uint64(m.s.Attempts)))
	return d/2 + time.Duration(random.Int64N(int64(d)))
}

// publishWhole begins the training once every task's agent has registered.
func (m *Machine) publishWhole() {
	if m.s.Phase == forming && !m.resuming() && m.all(func(t *task) bool { return t.Run == joined || t.Outcome != open && !m.returns(t) }) {
		m.s.Phase = training
	}
}
