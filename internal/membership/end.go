package membership

import (
	"fmt"
	"time"

	"tfos/internal/job"
)

// succeed ends the job well once the tasks that decide have all ended well. New ones decide
// nothing, unless they may have been taken in by a master before this one.
func (m *Machine) succeed() {
	if m.s.Phase == training && m.among(undecided).len() == 0 && len(m.s.Takeover.Unheard) == 0 {
		m.end(Result{ExitCode: job.ExitSucceeded})
	}
}

// stopJob settles the result and stops whatever runs, but for an evaluator that has its time after
// a training that went well.
func (m *Machine) stopJob(r Result) {
	m.s.Phase, m.s.Result = stopping, &r
	m.s.GangUntil, m.s.AskAgain, m.s.GrowUntil, m.s.RenewLeader = time.Time{}, time.Time{}, time.Time{}, false
	m.s.StopUntil = m.now.Add(m.job.Stop.Grace + m.opts.StopMargin)
	m.abandonTakeover()
	for i := range m.s.Tasks {
		if t := m.edit(i); r.ExitCode == job.ExitSucceeded && m.evaluates(t) {
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

// expireStop acts on the deadlines of a job that ends.
func (m *Machine) expireStop() {
	if m.due(m.s.EvaluateUntil) {
		m.stopEvaluators("had not ended when its time after the training was over (roles." + job.Evaluator + ".wait)")
	}
	if m.due(m.s.StopUntil) {
		m.abandon()
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
		if t := m.edit(i); m.evaluates(t) {
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
		m.do(StopProcess{t.Task, t.Incarnation, t.Container, m.job.Stop.Grace})
		t.Run, t.Until = ending, time.Time{}
	}
}

// abandon gives back what did not end in time.
func (m *Machine) abandon() {
	m.s.StopUntil = time.Time{}
	for i := range m.among(holds).all() {
		if t := m.edit(i); m.s.EvaluateUntil.IsZero() || !m.evaluates(t) {
			t.close(m.now, stopped, CauseStopped)
			m.release(t, gone)
		}
	}
}

// settle finishes the job once nothing is held any more.
func (m *Machine) settle() {
	if m.s.Phase == stopping && m.among(holds).len() == 0 {
		m.s.Phase, m.s.Ended, m.s.StopUntil, m.s.EvaluateUntil = finished, m.now, time.Time{}, time.Time{}
		m.out.Later = nil // it was for those who held a container until this step
		m.do(Finish{*m.s.Result})
	}
}
