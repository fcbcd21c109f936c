package membership

import (
	"fmt"
	"time"

	"tfos/internal/job"
)

// Stalled says that a training takes no steps any more, though nothing was lost. The machine
// remembers nothing of it; with Restart it starts the processes again in place, as it does with
// those that do not outlive a loss.
type Stalled struct {
	Task    job.Task      `json:"task,omitzero"` // that stands still; zero: all that train, together
	Step    int64         `json:"step"`          // where it stands
	Silent  time.Duration `json:"silent"`        // ns since that step
	Usual   time.Duration `json:"usual"`         // ns between two steps
	Restart bool          `json:"restart,omitempty"`
}

func (Stalled) event() {}

// DeadlinePassed says that the job should have ended by now. It decides nothing: who reads the log
// is told, and the next master that it was said.
type DeadlinePassed struct{}

func (DeadlinePassed) event() {}

// Late reports whether there was a DeadlinePassed.
func (m *Machine) Late() bool { return m.s.Late }

// Says is the event as a part of a sentence.
func (ev Stalled) Says() string {
	round := func(d time.Duration) time.Duration {
		if d > 10*time.Second {
			return d.Round(time.Second)
		}
		return d.Round(10 * time.Millisecond)
	}
	return fmt.Sprintf("no step for %v, where %v is usual (at step %d)", round(ev.Silent), round(ev.Usual), ev.Step)
}

// stalled has processes start again that take no steps. It is one failure of the program's, whoever
// else starts again with it. It looks at each task.
func (m *Machine) stalled(ev Stalled) {
	if !ev.Restart || m.mode() != modeTraining {
		return
	}
	charged := false
	for i := range m.s.Tasks {
		t := &m.s.Tasks[i]
		if t.Run != running || t.Outcome != open || t.Leaving || t.Renew || ev.Task != t.Task && (ev.Task != job.Task{} || !m.trains(t.Task)) {
			continue
		}
		t = m.edit(i)
		if !charged {
			charged = true
			if verdict := m.book(t, loss{cause: CauseStalled, what: ev.Says()}); verdict != nil {
				m.end(*verdict)
				return
			}
		}
		t.Renew, t.Stalled = true, ev.Says()
	}
}
