package membership

import (
	"fmt"
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

// end settles the result and stops whatever runs, but for an evaluator that has its time after a
// training that went well. The first result stays; whatever else would end the job ends that time.
func (m *Machine) end(r Result) {
	if m.s.Phase == stopping {
		m.stopEvaluators("")
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
		if t := &m.s.Tasks[i]; r.ExitCode == job.ExitSucceeded && m.evaluates(t) {
			role, _ := m.job.Role(t.Task.Role)
			m.s.EvaluateUntil = m.now.Add(role.Wait)
		} else {
			m.stop(t)
		}
	}
	if m.due(m.s.EvaluateUntil) { // it has no time
		m.stopEvaluators("")
	}
}

// evaluates reports whether a task is an evaluator at work: the last checkpoint may be what it is
// looking at.
func (m *Machine) evaluates(t *task) bool {
	return m.job.Part(t.Task.Role) == job.PartEvaluates && (t.Run == starting || t.Run == running)
}

// stopEvaluators ends the time that evaluators have after the training; why is for people.
func (m *Machine) stopEvaluators(why string) {
	if m.s.EvaluateUntil.IsZero() {
		return
	}
	m.s.EvaluateUntil = time.Time{}
	m.s.StopUntil = m.now.Add(m.job.Stop.Grace + m.opts.StopMargin)
	for i := range m.s.Tasks {
		if t := &m.s.Tasks[i]; m.evaluates(t) {
			m.stop(t)
			if why != "" {
				m.s.Result.Diagnostics = fmt.Sprintf("%s %s, and was stopped", t.Task, why)
			}
		}
	}
}

// evaluating says which evaluator the job waits for; empty: none.
func (m *Machine) evaluating() string {
	for i := range m.s.Tasks {
		if t := &m.s.Tasks[i]; !m.s.EvaluateUntil.IsZero() && m.evaluates(t) {
			return fmt.Sprintf("the training has ended; %s has until %s to end by itself (roles.%s.wait)", t.Task,
				m.s.EvaluateUntil.Format(time.TimeOnly+" MST"), t.Task.Role)
		}
	}
	return ""
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
	m.s.StopUntil = time.Time{}
	for i := range m.s.Tasks {
		if t := &m.s.Tasks[i]; t.held() && (m.s.EvaluateUntil.IsZero() || !m.evaluates(t)) {
			t.close(m.now, stopped, CauseStopped)
			m.release(t, gone)
		}
	}
}

// settle finishes the job once nothing is held any more.
func (m *Machine) settle() {
	if m.s.Phase == stopping && m.all((*task).away) {
		m.s.Phase, m.s.Ended, m.s.StopUntil, m.s.EvaluateUntil = finished, m.now, time.Time{}, time.Time{}
		m.do(Finish{*m.s.Result})
	}
}
