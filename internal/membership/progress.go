package membership

import (
	"fmt"
	"time"

	"tfos/internal/job"
)

// How far the training is, in steps, as far as programs say: for what a loss costs, and to end a
// job that does not get on.

// Progressed says how far the job's training is. Steps come by far more often than they matter: it
// is told before an event that may be a loss, and only if it has changed.
type Progressed struct {
	// Step is the highest that the tasks' current processes said last, and that is known to be the
	// training's: it was reported, or printed in a long row of rising ones. 0: there is none.
	Step int64 `json:"step"`
	// Guess is the highest of what they printed that looks like a step. People are shown it, and
	// nothing is decided by it.
	Guess int64 `json:"guess,omitempty"`
	// Unsteady says that a process's steps went back while it ran: they count something else,
	// batches of an epoch say.
	Unsteady bool `json:"unsteady,omitempty"`
}

func (Progressed) event() {}

// progress is how far the training is, and has been.
type progress struct {
	Shown    int64     `json:"step,omitempty"`     // where the job is, for people; 0: not known
	Best     int64     `json:"best,omitempty"`     // the highest Progressed.Step ever
	Saved    int64     `json:"saved,omitempty"`    // the highest step of a whole checkpoint of this job's
	Grew     time.Time `json:"grew,omitzero"`      // when Best or Saved did last
	Stalls   int       `json:"stalls,omitempty"`   // failures of the program, one for each start, since then
	Stalled  time.Time `json:"stalled,omitzero"`   // the newest of them
	Unsteady bool      `json:"unsteady,omitempty"` // steps say nothing
}

// told takes in what programs say.
func (p *progress) told(now time.Time, ev Progressed) {
	p.Unsteady = p.Unsteady || ev.Unsteady
	if p.Shown = ev.Step; p.Shown == 0 {
		p.Shown = ev.Guess
	}
	if ev.Step > p.Best {
		p.Best = ev.Step
		p.gotOn(now)
	}
}

// saved notes a whole checkpoint that this job wrote. One whose step is not known may be progress.
func (p *progress) saved(now time.Time, step int64) {
	if step < 0 || step > p.Saved {
		p.Saved = max(p.Saved, step)
		p.gotOn(now)
	}
}

// gotOn begins a new row of failures: the first one after this counts, whenever its process began.
func (p *progress) gotOn(now time.Time) { p.Grew, p.Stalls, p.Stalled = now, 0, time.Time{} }

// maxStalls is how many failures of the program in a row, without a new step, end the job: the one
// after the last progress, and two restarts that brought none.
const maxStalls = 3

// failed counts a failure of a program that was ordered to start then, and reports whether the job
// gets on no more. The cluster's failures are not the program's: they neither count nor start the
// count anew. Several processes that fail together fail once. Where only checkpoints show how far
// the training is, nobody knows what happens between two of them, unless the failure takes the
// training back.
func (p *progress) failed(now, ordered time.Time, takesBack bool) (stuck bool) {
	if p.Unsteady || p.Best == 0 && (p.Saved == 0 || !takesBack) {
		return false
	}
	if !ordered.Before(p.Stalled) {
		p.Stalls++
		p.Stalled = now
	}
	return p.Stalls >= maxStalls
}

// gotOn reports whether the training got on while the task's process ran.
func (m *Machine) gotOn(t *task) bool {
	return !t.Started.IsZero() && m.s.Progress.Grew.After(t.Started)
}

// stuck says of a failure that the job gets on no more.
func (m *Machine) stuck(what string) string {
	s := fmt.Sprintf("%s. Two restarts in a row brought no new step: the training has not come beyond step %d", what, max(m.s.Progress.Best, m.s.Progress.Saved))
	if _, step, ok := m.Restores(); ok && step >= 0 {
		s += fmt.Sprintf(", and goes on from step %d each time", step)
	}
	return s
}

// rolledBack notes what was lost: the leader's program is about to start, and goes on from the
// newest checkpoint. The steps count once, for the loss that came first.
func (m *Machine) rolledBack(t *task) {
	if t.Task != m.job.Leader() {
		return
	}
	from, known := m.s.Checkpoints.from()
	for i := range m.s.Restarts {
		r := &m.s.Restarts[i]
		if known && !r.Settled && r.Step > 0 && m.startsOver(t.Task, *r) {
			r.Restored, r.RolledBack = from, from <= r.Step
			known = false
		}
		r.Settled = true
	}
}

// startsOver reports whether a restart had the leader's program start anew: its own, that of a task
// which it depends on, or where addresses are real that of one which moved.
func (m *Machine) startsOver(leader job.Task, r restart) bool {
	return r.Cause != CauseAftershock &&
		(r.Task == leader || m.depends(leader, r.Task) || !m.opts.StableEndpoints && r.NewContainer && m.meets(leader, r.Task))
}

// known is the step that the job is at; 0: not known.
func (p progress) known() int64 {
	if p.Unsteady {
		return 0
	}
	return p.Shown
}

// lost is how many steps are taken again.
func (r restart) lost() int64 {
	if !r.RolledBack {
		return 0
	}
	return r.Step - r.Restored
}

// restored is the step that a restart went on from; nil: it did not roll the training back, or that
// is not known.
func (r restart) restored() *int64 {
	if !r.RolledBack {
		return nil
	}
	return &r.Restored
}
