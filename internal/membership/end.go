package membership

import (
	"time"

	"tfos/internal/job"
)

// succeed ends the job well once the tasks that decide have all ended well. New ones decide nothing, unless they may have been taken in by a
// master before this one.
func (m *Machine) succeed() {
	done := m.all(func(t *task) bool { return !m.job.Decides(t.Task.Role) || t.Outcome == succeeded || !t.member() })
	if done && m.s.Phase == training && len(m.s.Takeover.Unheard) == 0 {
		m.end(Result{ExitCode: job.ExitSucceeded})
	}
}

// end settles the result and stops whatever runs. The first result stays.
func (m *Machine) end(r Result) {
	if m.s.Phase == stopping {
		return
	}
	if m.asking() {
		for _, r := range m.job.Roles { // a spare may have been asked for whom this very event has made of no use
			if m.waiting(r.Name)+m.s.Wanting[r.Name] > 0 {
				m.do(Ask{r.Name, 0})
			}
		}
		m.s.Wanting = nil
	}
	m.s.Phase, m.s.Result = stopping, &r
	m.s.GangUntil, m.s.AskAgain = time.Time{}, time.Time{}
	m.s.StopUntil = m.now.Add(m.job.Stop.Grace + m.opts.StopMargin)
	m.abandonTakeover()
	for i := range m.s.Tasks {
		m.stop(&m.s.Tasks[i])
	}
}

// stop ends one task in the way that fits how far it is.
func (m *Machine) stop(t *task) {
	switch t.Run {
	case resting, waiting:
		t.close(m.now, stopped, CauseStopped)
		t.Run, t.Rest = gone, time.Time{}
	case launched: // no agent to talk to
		t.close(m.now, stopped, CauseStopped)
		m.release(t, gone)
	case joined, pausing:
		t.close(m.now, stopped, CauseStopped)
		m.retire(t)
	case starting, running:
		m.do(StopProcess{t.Task, t.Incarnation, m.job.Stop.Grace})
		t.Run, t.Until = ending, time.Time{}
	}
}

// abandon gives back what did not end in time.
func (m *Machine) abandon() {
	for i := range m.s.Tasks {
		if t := &m.s.Tasks[i]; t.held() {
			t.close(m.now, stopped, CauseStopped)
			m.release(t, gone)
		}
	}
}

// settle finishes the job once nothing is held any more.
func (m *Machine) settle() {
	if m.s.Phase == stopping && m.all((*task).away) {
		m.s.Phase, m.s.Ended, m.s.StopUntil = finished, m.now, time.Time{}
		m.do(Finish{*m.s.Result})
	}
}
