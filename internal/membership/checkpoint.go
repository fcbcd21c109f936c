package membership

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tfos/internal/job"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// What the machine knows of checkpoints: which there are, and which one a program that starts now restores. It does not look at
// them itself. Before a program that restores is started, Inspect has them looked at, and broken ones set aside; the answer is
// awaited, since a program that finds a broken one fails or, worse, does not.

// CheckpointSeen is a checkpoint that was found and verified, or looked at again after it had changed.
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

// Mirrored is what happened between a task's local directory of checkpoints and the one that it is kept in. It changes nothing: what
// is in the latter is said by CheckpointSeen.
type Mirrored struct {
	Task        job.Task         `json:"task"`
	Incarnation job.Incarnation  `json:"incarnation"`
	Container   yarn.ContainerID `json:"container,omitzero"` // whose agent says so
	What        string           `json:"what"`               // fetched, uploaded, broken, failing, works again, lost
	Checkpoint  string           `json:"checkpoint,omitempty"`
	Step        int64            `json:"step"` // -1: not known
	Bytes       int64            `json:"bytes,omitempty"`
	Seconds     float64          `json:"seconds,omitempty"` // that a copy took
	Problem     string           `json:"problem,omitempty"`
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

// Inspect has the job's checkpoints looked at: Inspected is to answer once it is known which is the newest whole one, and
// newer ones that are broken are set aside.
type Inspect struct {
	Number int  `json:"number"`         // each is a new look; the answer to the newest alone counts
	Busy   bool `json:"busy,omitempty"` // a program that may write checkpoints goes on: nothing is to be set aside
}

func (CheckpointSeen) event() {}
func (CheckpointGone) event() {}
func (Inspected) event()      {}
func (Mirrored) event()       {}
func (Inspect) action()       {}

// checkpoints is the ledger.
type checkpoints struct {
	Known  []checkpoint `json:"known,omitempty"`  // the oldest first
	Looks  int          `json:"looks,omitempty"`  // how many Inspect were given out
	Asked  time.Time    `json:"asked,omitzero"`   // the newest of them
	Busy   bool         `json:"busy,omitempty"`   // as it said
	Until  time.Time    `json:"until,omitzero"`   // until when its answer is waited for; zero: it came
	Newest *restorable  `json:"newest,omitempty"` // as it answered; nil: none, or not known
	Sure   bool         `json:"sure,omitempty"`   // it answered without a problem
}

// checkpoint is one that is there.
type checkpoint struct {
	CheckpointSeen
	By job.Task `json:"by,omitzero"` // who wrote it; zero: it was there before the job, or that is not known
}

// restorable is where a program that starts now goes on.
type restorable struct {
	Path string `json:"path"`
	Step int64  `json:"step"` // -1: not known
}

// maxCheckpoints bounds how many checkpoints are remembered: the newest.
const maxCheckpoints = 200

func (m *Machine) checkpointSeen(ev CheckpointSeen) {
	ev.Time = ev.Time.UTC().Round(0)
	k := &m.s.Checkpoints
	c := checkpoint{CheckpointSeen: ev}
	if i := slices.IndexFunc(k.Known, func(c checkpoint) bool { return c.Path == ev.Path }); i >= 0 {
		c.By = k.Known[i].By
		k.Known = slices.Delete(k.Known, i, i+1)
	}
	if !ev.Time.Before(m.s.Began) {
		c.By = m.writer()
		if ev.Verdict == Whole && !ev.Exported {
			m.saved(ev.Step)
		}
	}
	at, _ := slices.BinarySearchFunc(k.Known, c, func(a, b checkpoint) int {
		if a.Time.After(b.Time) {
			return 1
		}
		return -1
	})
	k.Known = slices.Insert(k.Known, at, c)
	k.Known = k.Known[max(0, len(k.Known)-maxCheckpoints):]
}

// writer is the task that writes the job's checkpoints: the leader, as TensorFlow's strategies have it. Parameter servers may write the
// shards, but it is the leader that completes them. Where several tasks train each for itself any of them may be: zero.
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

func (m *Machine) checkpointGone(ev CheckpointGone) {
	k := &m.s.Checkpoints
	k.Known = slices.DeleteFunc(k.Known, func(c checkpoint) bool { return c.Path == ev.Path })
}

func (m *Machine) inspected(ev Inspected) {
	k := &m.s.Checkpoints
	if ev.Number != k.Looks || !m.awaiting() {
		return // late
	}
	k.Until, k.Newest, k.Sure = time.Time{}, nil, ev.Problem == ""
	if ev.Newest != "" {
		k.Newest = &restorable{ev.Newest, ev.Step}
	}
	if ev.Barred != "" {
		code := job.ExitFailed
		if ev.Barred == BarAway {
			code = job.ExitInfrastructure
		}
		m.end(Result{code, m.sentenceOfBar(ev.Problem)})
	}
}

// sentenceOfBar says why no program is started, and what failed before, if that is why one was to be.
func (m *Machine) sentenceOfBar(problem string) string {
	what := fmt.Sprintf("the checkpoints in %s cannot be read, and without them a program would begin at step 0: %s. Once that is mended, tfos resume goes on from the newest",
		m.job.Checkpoint.Dir, strings.TrimRight(problem, ". "))
	for i := range m.s.Tasks {
		if b := m.s.Blame; !b.At.IsZero() && m.s.Tasks[i].Doubt.Equal(b.At) {
			return b.Text + "\nNothing is started again: " + what
		}
	}
	return what
}

// Restores is the checkpoint from which a program that starts now goes on, and the step that it is of, -1 if that is not known;
// false: there is none, or none is known.
func (m *Machine) Restores() (path string, step int64, ok bool) {
	if n := m.s.Checkpoints.Newest; n != nil && m.s.Checkpoints.Until.IsZero() {
		return n.Path, n.Step, true
	}
	return "", 0, false
}

// Inspecting is the Inspect whose answer is awaited; false: none is.
func (m *Machine) Inspecting() (Inspect, bool) {
	return Inspect{m.s.Checkpoints.Looks, m.s.Checkpoints.Busy}, m.awaiting()
}

// awaiting reports whether the answer to a look is waited for. One that does not come is given up.
func (m *Machine) awaiting() bool { return m.now.Before(m.s.Checkpoints.Until) }

// restores reports whether a task's program reads checkpoints when it starts. Parameter servers get their variables from others,
// and so do workers, except where each holds the whole model.
func (m *Machine) restores(t job.Task) bool {
	switch m.job.Strategy {
	case job.StrategyMirrored, job.StrategyNone:
		return m.trains(t)
	}
	return t == m.job.Leader()
}

// doubt notes that what the task's process may have written since it was looked at last is not known.
func (m *Machine) doubt(t *task) {
	if m.opts.Inspect && m.restores(t.Task) {
		t.Doubt = m.now
	}
}

// sure reports whether the checkpoints were looked at since the task's process ended, or that was given up.
func (m *Machine) sure(t *task) bool {
	k := &m.s.Checkpoints
	return t.Doubt.IsZero() || !m.awaiting() && !k.Asked.Before(t.Doubt)
}

// inspect asks for a look at the checkpoints when a program that restores is to start, and none was asked for since there is doubt.
// It waits for the look that is under way: the peers of a lost task end one after the other.
func (m *Machine) inspect() {
	k := &m.s.Checkpoints
	if m.awaiting() || m.among(unlooked).len() == 0 {
		return
	}
	for i := range m.among(unlooked).all() {
		m.edit(i)
	}
	k.Looks++
	k.Asked, k.Until, k.Busy = m.now, m.now.Add(m.opts.InspectTimeout), m.among(writing).len() > 0
	m.do(Inspect{k.Looks, k.Busy})
}

// doubtOutdated has the checkpoints looked at before processes are started anew that run, and may have written.
func (m *Machine) doubtOutdated() {
	for i := range m.among(outlived).all() {
		if t := m.edit(i); !t.Doubt.After(t.Ordered) {
			m.doubt(t)
		}
	}
	m.inspect()
}

// views are the checkpoints as status shows them.
func (k *checkpoints) views() []status.Checkpoint {
	out := make([]status.Checkpoint, 0, len(k.Known))
	for _, c := range k.Known {
		v := status.Checkpoint{Path: c.Path, Format: c.Format, Step: c.Step, Bytes: c.Bytes, Time: c.Time, Verdict: c.Verdict}
		if c.By != (job.Task{}) {
			v.By = c.By.String()
		}
		out = append(out, v)
	}
	return out
}

// looking says that programs wait for their checkpoints to be looked at; empty: none does.
func (m *Machine) looking() string {
	if !m.awaiting() {
		return ""
	}
	return fmt.Sprintf("looks for the newest whole checkpoint in %s", m.job.Checkpoint.Dir)
}
