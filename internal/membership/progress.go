package membership

import (
	"fmt"
	"time"

	"tfos/internal/job"
)

// How far the training is, in steps, as far as programs say: for what a loss costs, and to end a job that does not get on.

// Progressed says how far the job's training is. Steps come by far more often than they matter: it is told before an event that
// may be a loss, and only if it has changed.
type Progressed struct {
	Step int64 `json:"step"` // the highest of those that the tasks' current processes said last; 0: none did
	// Unsteady says that a process's steps went back while it ran: they count something else, batches of an epoch say.
	Unsteady bool `json:"unsteady,omitempty"`
}

func (Progressed) event() {}

// progress is how far the training is, and has been.
type progress struct {
	Step     int64     `json:"step,omitempty"`     // 0: not known
	Best     int64     `json:"best,omitempty"`     // ever
	Saved    int64     `json:"saved,omitempty"`    // the highest step of a whole checkpoint of this job's
	Stalls   int       `json:"stalls,omitempty"`   // failures of the program, one for each start, since Best or Saved grew
	Stalled  time.Time `json:"stalled,omitzero"`   // the newest of them
	Unsteady bool      `json:"unsteady,omitempty"` // steps say nothing
}

func (m *Machine) progressed(ev Progressed) {
	p := &m.s.Progress
	p.Unsteady = p.Unsteady || ev.Unsteady
	if p.Step = ev.Step; p.Step > p.Best {
		p.Best, p.Stalls = p.Step, 0
	}
}

// saved notes a whole checkpoint that this job wrote. One whose step is not known may be progress.
func (m *Machine) saved(step int64) {
	p := &m.s.Progress
	if step < 0 || step > p.Saved {
		p.Saved, p.Stalls = max(p.Saved, step), 0
	}
}

// maxStalls is how many failures of the program in a row, without a new step, end the job: the one after the last progress, and
// two restarts that brought none.
const maxStalls = 3

// stall counts a failure of the program, and reports whether the job gets on no more. The cluster's failures are not the
// program's: they neither count nor start the count anew. Several processes that fail together fail once.
func (m *Machine) stall(t *task) bool {
	p := &m.s.Progress
	if p.Unsteady || p.Best == 0 {
		return false
	}
	if !t.Ordered.Before(p.Stalled) {
		p.Stalls++
		p.Stalled = m.now
	}
	return p.Stalls >= maxStalls
}

// stuck says of a failure that the job gets on no more.
func (m *Machine) stuck(what string) string {
	s := fmt.Sprintf("%s. Two restarts in a row brought no new step: the training has not come beyond step %d", what, m.s.Progress.Best)
	if _, step, ok := m.Restores(); ok && step >= 0 {
		s += fmt.Sprintf(", and goes on from step %d each time", step)
	}
	return s
}

// rolledBack notes what was lost: the leader's program is about to start, and goes on from the newest checkpoint. The steps
// count once, for the loss that came first.
func (m *Machine) rolledBack(t *task) {
	if t.Task != m.job.Leader() {
		return
	}
	from := int64(0)
	if _, step, ok := m.Restores(); ok {
		from = step
	}
	known := m.s.Checkpoints.Sure && m.s.Checkpoints.Until.IsZero() && from >= 0
	for i := range m.s.Restarts {
		r := &m.s.Restarts[i]
		if known && !r.Settled && r.Step > 0 && m.startsOver(t.Task, *r) {
			r.Resumed, r.RolledBack = from, from <= r.Step
			known = false
		}
		r.Settled = true
	}
}

// startsOver reports whether a restart had the leader's program start anew: its own, that of a task which it depends on, or where
// addresses are real that of one which moved.
func (m *Machine) startsOver(leader job.Task, r restart) bool {
	return r.Cause != CauseAftershock &&
		(r.Task == leader || m.depends(leader, r.Task) || !m.opts.StableEndpoints && r.NewContainer && m.meets(leader, r.Task))
}

// known is the step that the job is at; 0: not known.
func (p progress) known() int64 {
	if p.Unsteady {
		return 0
	}
	return p.Step
}

// lost is how many steps are taken again.
func (r restart) lost() int64 {
	if !r.RolledBack {
		return 0
	}
	return r.Step - r.Resumed
}

// restored is the step that a restart went on from; nil: it did not roll the training back, or that is not known.
func (r restart) restored() *int64 {
	if !r.RolledBack {
		return nil
	}
	return &r.Resumed
}
