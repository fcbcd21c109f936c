package membership

import (
	"fmt"
	"strings"
	"time"

	"tfos/internal/job"
)

// What the machine knows of checkpoints: which there are, and which one a program that starts now
// restores. It does not look at them itself. Before a program that restores is started, Inspect has
// them looked at, and broken ones set aside; the answer is awaited, since a program that finds a
// broken one fails or, worse, does not.

// CheckpointSeen is a checkpoint that was found and verified, or looked at again after it had
// changed.
type CheckpointSeen struct {
	Path    string    `json:"path"` // below checkpoint.dir, and written as that is
	Step    int64     `json:"step"` // -1: not known
	Bytes   int64     `json:"bytes"`
	Time    time.Time `json:"time"`    // when it was completed
	Verdict string    `json:"verdict"` // Whole, or what is wrong with it
	Format  string    `json:"format,omitempty"`
	// Exported is a model for serving: a program does not go on training from it.
	Exported bool `json:"exported,omitempty"`
}

// Whole is the verdict on a checkpoint that has everything it needs.
const Whole = "whole"

// CheckpointGone is a checkpoint that is no longer at its place.
type CheckpointGone struct {
	Path string `json:"path"`
	Why  string `json:"why"` // "set aside: …"; "removed by checkpoint.keep"; empty: not by us
}

// Inspected answers an Inspect.
type Inspected struct {
	Number  int    `json:"number"`            // of the Inspect
	Newest  string `json:"newest,omitempty"`  // path of the newest whole checkpoint; empty: there is none
	Step    int64  `json:"step"`              // of it; -1: not known
	Problem string `json:"problem,omitempty"` // why it is not known which one is the newest
	Barred  Bar    `json:"barred,omitempty"`  // no program may start: it would find no checkpoint, take that for a beginning, and train anew
}

// Bar is why a directory cannot be read. Empty: it can, or there is hope.
type Bar string

// What bars a directory. The first is for a person to mend, the other is the cluster's failure.
const (
	BarRefused Bar = "refused" // the job has no right to, or it is no directory
	BarAway    Bar = "away"    // its filesystem does not answer, and has not for long
)

// Inspect has the job's checkpoints looked at: Inspected is to answer once it is known which is the
// newest whole one, and newer ones that are broken are set aside.
type Inspect struct {
	Number int  `json:"number"`         // each is a new look; the answer to the newest alone counts
	Busy   bool `json:"busy,omitempty"` // a program that may write checkpoints goes on: nothing is to be set aside
}

func (CheckpointSeen) event() {}
func (CheckpointGone) event() {}
func (Inspected) event()      {}
func (Inspect) action()       {}

func (m *Machine) checkpointSeen(ev CheckpointSeen) {
	ev.Time = ev.Time.UTC().Round(0)
	c := checkpoint{CheckpointSeen: ev}
	if !ev.Time.Before(m.s.Began) {
		c.By = m.writer()
		if ev.Verdict == Whole && !ev.Exported {
			m.s.Progress.saved(m.now, ev.Step)
		}
	}
	m.s.Checkpoints.saw(c)
}

// writer is the task that writes the job's checkpoints: the leader, as TensorFlow's strategies have
// it. Parameter servers may write the shards, but it is the leader that completes them. Where
// several tasks train each for itself any of them may be: zero.
func (m *Machine) writer() job.Task {
	if m.job.Strategy == job.StrategyNone {
		trainers := 0
		for i := range m.s.Tasks {
			if m.trains(m.s.Tasks[i].Task) {
				trainers++
			}
		}
		if trainers > 1 {
			return job.Task{}
		}
	}
	return m.job.Leader()
}

func (m *Machine) inspected(ev Inspected) {
	if m.s.Checkpoints.answer(m.now, ev) && ev.Barred != "" {
		code := job.ExitFailed
		if ev.Barred == BarAway {
			code = job.ExitInfrastructure
		}
		m.end(Result{code, m.sentenceOfBar(ev.Problem)})
	}
}

// sentenceOfBar says why no program is started, and what failed before, if that is why one was to
// be.
func (m *Machine) sentenceOfBar(problem string) string {
	what := fmt.Sprintf("the checkpoints in %s cannot be read, and without them a program would begin at step 0: %s. Once that is mended, tfos resume goes on from the newest",
		m.job.Checkpoint.Dir, strings.TrimRight(problem, ". "))
	for i := range m.s.Tasks {
		if b := m.s.Blame; !b.At.IsZero() && m.s.Tasks[i].Unlooked.Equal(b.At) {
			return b.Text + "\nNothing is started again: " + what
		}
	}
	return what
}

// Restores is the checkpoint from which a program that starts now goes on, and the step that it is
// of, -1 if that is not known; false: there is none, or none is known.
func (m *Machine) Restores() (path string, step int64, ok bool) {
	r, ok := m.s.Checkpoints.restores()
	return r.Path, r.Step, ok
}

// Checkpoints are those that are known, the oldest first.
func (m *Machine) Checkpoints() []CheckpointSeen {
	known := make([]CheckpointSeen, 0, len(m.s.Checkpoints.Known))
	for _, c := range m.s.Checkpoints.Known {
		known = append(known, c.CheckpointSeen)
	}
	return known
}

// Inspecting is the Inspect whose answer is awaited; false: none is.
func (m *Machine) Inspecting() (Inspect, bool) {
	return Inspect{m.s.Checkpoints.Looks, m.s.Checkpoints.Busy}, m.awaiting()
}

// awaiting reports whether the answer to a look is waited for.
func (m *Machine) awaiting() bool { return m.s.Checkpoints.waits(m.now) }

// restores reports whether a task's program reads checkpoints when it starts. Parameter servers get
// their variables from others, and so do workers, except where each holds the whole model.
func (m *Machine) restores(t job.Task) bool {
	switch m.job.Strategy {
	case job.StrategyMirrored, job.StrategyNone:
		return m.trains(t)
	}
	return t == m.job.Leader()
}

// mayHaveSaved notes that the task's process may have written checkpoints that nobody has looked
// at.
func (m *Machine) mayHaveSaved(t *task) {
	if m.opts.Inspect && m.restores(t.Task) {
		t.Unlooked = m.now
	}
}

// looked reports whether the checkpoints were looked at since the task's process ended, or that was
// given up.
func (m *Machine) looked(t *task) bool {
	return t.Unlooked.IsZero() || !m.awaiting() && m.s.Checkpoints.lookedAfter(t.Unlooked)
}

// inspect asks for a look at the checkpoints when a program that restores is to start, and may have
// written since the last look. It waits for the look that is under way: the peers of a lost task
// end one after the other.
func (m *Machine) inspect() {
	if m.awaiting() || m.among(unlooked).len() == 0 {
		return
	}
	for i := range m.among(unlooked).all() {
		m.edit(i)
	}
	m.do(m.s.Checkpoints.ask(m.now, m.now.Add(m.opts.InspectTimeout), m.among(writing).len() > 0))
}

// lookBeforeRestarts has the checkpoints looked at before processes are started anew that run, and
// may have written.
func (m *Machine) lookBeforeRestarts() {
	for i := range m.among(outlived).all() {
		if t := m.edit(i); !t.Unlooked.After(t.Ordered) {
			m.mayHaveSaved(t)
		}
	}
	m.inspect()
}

// looking says that programs wait for their checkpoints to be looked at; empty: none does.
func (m *Machine) looking() string {
	if !m.awaiting() {
		return ""
	}
	return fmt.Sprintf("looks for the newest whole checkpoint in %s", m.job.Checkpoint.Dir)
}
