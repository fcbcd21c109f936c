package membership

import (
	"slices"
	"time"

	"tfos/internal/job"
	"tfos/internal/status"
)

// ledger is what is known of a job's checkpoints: which there are, and which one a program that
// starts now restores. It looks at none itself. It asks for a look, and is answered; one look at a
// time, and the answer to the newest alone counts.
type ledger struct {
	Known    []checkpoint `json:"known,omitempty"`    // the oldest first
	Looks    int          `json:"looks,omitempty"`    // how many were asked for
	Asked    time.Time    `json:"asked,omitzero"`     // when the newest of them was
	Busy     bool         `json:"busy,omitempty"`     // as it said
	Until    time.Time    `json:"until,omitzero"`     // until when its answer is waited for; zero: it came
	Newest   *restorable  `json:"newest,omitempty"`   // as it answered; nil: none, or not known
	Answered bool         `json:"answered,omitempty"` // without a problem
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

// saw takes a checkpoint in. One that is known keeps its writer, unless it is told anew.
func (k *ledger) saw(c checkpoint) {
	if i := k.find(c.Path); i >= 0 {
		if c.By == (job.Task{}) {
			c.By = k.Known[i].By
		}
		k.Known = slices.Delete(k.Known, i, i+1)
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

// lost forgets a checkpoint.
func (k *ledger) lost(path string) {
	if i := k.find(path); i >= 0 {
		k.Known = slices.Delete(k.Known, i, i+1)
	}
}

func (k *ledger) find(path string) int {
	return slices.IndexFunc(k.Known, func(c checkpoint) bool { return c.Path == path })
}

// ask asks for a look, whose answer is waited for until then.
func (k *ledger) ask(now, until time.Time, busy bool) Inspect {
	k.Looks++
	k.Asked, k.Until, k.Busy = now, until, busy
	return Inspect{k.Looks, busy}
}

// answer takes an answer in. False: nobody waits for it any more.
func (k *ledger) answer(now time.Time, ev Inspected) bool {
	if ev.Number != k.Looks || !k.waits(now) {
		return false
	}
	k.Until, k.Newest, k.Answered = time.Time{}, nil, ev.Problem == ""
	if ev.Newest != "" {
		k.Newest = &restorable{ev.Newest, ev.Step}
	}
	return true
}

// waits reports whether an answer is waited for. One that does not come is given up.
func (k *ledger) waits(now time.Time) bool { return now.Before(k.Until) }

// lookedAfter reports whether a look was asked for since, at or after t.
func (k *ledger) lookedAfter(t time.Time) bool { return !k.Asked.Before(t) }

// restores is the checkpoint from which a program that starts now goes on; false: there is none, or
// none is known.
func (k *ledger) restores() (restorable, bool) {
	if k.Newest == nil || !k.Until.IsZero() {
		return restorable{}, false
	}
	return *k.Newest, true
}

// from is the step from which a program that starts now goes on, 0 for the beginning; false: it is
// not known.
func (k *ledger) from() (int64, bool) {
	r, _ := k.restores() // none: step 0
	return r.Step, k.Answered && k.Until.IsZero() && r.Step >= 0
}

// views are the checkpoints as status shows them.
func (k *ledger) views() []status.Checkpoint {
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
