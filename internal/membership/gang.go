package membership

import (
	"math/rand/v2"
	"time"
)

// begin asks for all containers at once. Nothing runs before all are there: half a gang would hold
// what another job needs to be whole.
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
		m.mayHaveSaved(m.edit(i))
	}
}

// ask says how many containers each role still wants, where that is not what was said last. It is
// the one place that asks.
func (m *Machine) ask() {
	for _, r := range m.job.Roles {
		want := 0
		if m.asking() {
			want = m.inRole(waits, r.Name) + m.inRole(spareless, r.Name)
		}
		if want == m.s.Asked[r.Name] {
			continue
		}
		if m.s.Asked == nil {
			m.s.Asked = make(map[string]int)
		}
		if m.s.Asked[r.Name] = want; want == 0 {
			delete(m.s.Asked, r.Name)
		}
		m.do(Ask{r.Name, want})
	}
}

// granted gives a container to the first task of its role that waits, or makes it somebody's spare.
// One that nobody waits for goes back.
func (m *Machine) granted(ev Granted) {
	if m.s.Asked[ev.Role] > 0 {
		m.s.Asked[ev.Role]-- // a grant counts the ask down
	}
	if !m.asking() {
		m.giveBack(ev)
	} else if t := m.firstOf(waits, ev.Role); t != nil {
		m.assign(t, ev)
	} else if t := m.firstOf(spareless, ev.Role); t != nil {
		m.grantSpare(t, ev)
	} else {
		m.giveBack(ev)
	}
}

// giveBack refuses a grant.
func (m *Machine) giveBack(ev Granted) { m.do(Release{ev.Container}) }

// watchGang keeps the clock of an incomplete gang. Waiting in the queue hurts nobody; holding a
// part of a gang does. A job in training is incomplete when it lacks what it cannot go on without.
func (m *Machine) watchGang() {
	lacking := coreLacks
	if m.s.Phase == forming {
		lacking = gangLacks
	}
	switch {
	case m.among(lacking).len() == 0 || m.among(gangHolds).len() == 0:
		m.s.GangUntil = time.Time{}
	case m.s.GangUntil.IsZero():
		m.s.GangUntil = m.now.Add(m.job.Gang.Timeout)
	}
}

// giveUpGang gives back what an incomplete gang holds, so that another job's gang can become whole,
// and pauses.
func (m *Machine) giveUpGang() {
	m.s.Phase = forming
	for i := range m.s.Tasks {
		if t := m.edit(i); t.Outcome == open {
			if t.held() {
				if t.Run == starting || t.Run == running {
					m.mayHaveSaved(t)
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
	m.s.GrowUntil, m.s.RenewLeader = time.Time{}, false // whatever starts now knows all
	m.s.AskAgain = m.now.Add(m.backoff())
	m.s.Attempts++
}

func (m *Machine) askAgain() {
	m.s.AskAgain = time.Time{}
	m.endRests()
}

// backoff is the pause before the next gang: doubling, and spread over half as much to either side,
// so that two jobs in each other's way do not return in step. It depends on the seed and the
// attempt alone, so that a restored machine pauses alike.
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

// begun begins the training once every task's agent has registered.
func (m *Machine) begun() {
	if m.among(absent).len() == 0 {
		m.s.Phase, m.s.AskAgain = training, time.Time{}
	}
}
