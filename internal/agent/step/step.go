// Package step finds how far a training has come in what its program prints.
//
// It knows the habits of TensorFlow's programs: "step 120/1000", "global_step = 120", Keras'
// progress bars, "Epoch 3/10". It reads text and remembers the epoch; it touches no files.
package step

import (
	"regexp"
	"strconv"
	"strings"
)

// Progress is a step, and out of how many; 0: not said.
type Progress struct{ Step, Steps int64 }

// most bounds what counts as a step. Longer numbers are something else, and products of two stay
// far from overflow.
const most = 1_000_000_000

var (
	// Not followed by a decimal or a unit: "step 0.5", "step 12ms".
	stepped = regexp.MustCompile(`(?i)\b(?:global[_ ]?|train(?:ing)?[_ ])?step\b\s*[:=#]?\s*(\d{1,10})(?:\s*(?:/|of)\s*(\d{1,10}))?(?:[^\w.]|\.(?:\D|$)|$)`)
	// A bar's "120/1000 [====>...]", Keras 3's heavy line, verbose=2's "120/1000 - 2s".
	bar   = regexp.MustCompile(`^\s*(\d{1,10})/(\d{1,10})\s*(?:\[|━|- \d)`)
	epoch = regexp.MustCompile(`(?i)\bepoch\b\s*[:=#]?\s*\[?(\d{1,10})\s*(?:/|of)\s*(\d{1,10})`)
	// What a line says of a loss: "loss: 0.31", "loss = 3.1e-02", and not "val_loss".
	lossy   = regexp.MustCompile(`(?i)\bloss\b\s*[:=]\s*([-+]?\d{1,20}(?:\.\d{0,20})?(?:e[-+]?\d{1,3})?)`)
	escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)
)

// Tracker follows one program's output. What tells more precisely where a training is wins for
// good: a step over a bar, a bar over an epoch.
type Tracker struct {
	epoch, epochs int64 // the newest said; 0: none
	rank          int   // of the most precise kind seen

	newest  int64 // step
	row     int   // how many steps have risen in a row, to the newest
	counted int64 // see Counted
	over    bool  // a long row has come to its end, and another one would count something else

	loss   float64
	losing bool // loss is known
}

// long is how many steps in a row must rise before they are taken for a training's. Phases of a
// program ("Step 2/3: build the vocabulary") are fewer.
const long = 10

// Counted is the newest step of a long row of rising steps, which shows that the program counts its
// training; 0: there is none, or the row came to its own end ("step 100/100"), so that the program
// has since gone on to something else.
func (t *Tracker) Counted() int64 { return t.counted }

// Loss is the newest that was printed; ok: there is one.
func (t *Tracker) Loss() (loss float64, ok bool) { return t.loss, t.losing }

// note takes in a step that the output tells.
func (t *Tracker) note(p Progress) {
	switch {
	case p.Step > t.newest:
		t.row++
	case p.Step < t.newest:
		t.row = 1
	}
	t.newest = p.Step
	switch {
	case t.row < long || t.over:
	case p.Step == p.Steps:
		t.counted, t.over = 0, true
	default:
		t.counted = p.Step
	}
}

// The kinds, by how precise they are.
const (
	byEpoch = iota + 1
	byBar
	byStep
)

// Line reads one line, without its end, and reports what it says of the progress, if it says
// anything.
func (t *Tracker) Line(line string) (Progress, bool) {
	p, ok := t.line(line)
	if ok {
		t.note(p)
	}
	return p, ok
}

func (t *Tracker) line(line string) (Progress, bool) {
	if !strings.ContainsAny(line, "0123456789") {
		return Progress{}, false
	}
	if strings.Contains(line, "\x1b[") {
		line = escapes.ReplaceAllString(line, "")
	}
	if m := lossy.FindStringSubmatch(line); m != nil {
		if loss, err := strconv.ParseFloat(m[1], 64); err == nil {
			t.loss, t.losing = loss, true
		}
	}
	e, isEpoch := numbers(epoch, line)
	if isEpoch {
		t.epoch, t.epochs = e.Step, e.Steps
	}
	if p, ok := numbers(stepped, line); ok {
		if isEpoch {
			p = t.overall(p)
		}
		return p, t.takes(byStep)
	}
	if p, ok := numbers(bar, line); ok {
		return t.overall(p), t.takes(byBar)
	}
	return e, isEpoch && t.takes(byEpoch)
}

func (t *Tracker) takes(rank int) bool {
	if rank > t.rank { // which counts something else
		t.rank, t.newest, t.row, t.counted, t.over = rank, 0, 0, 0, false
	}
	return rank == t.rank
}

// overall counts a step within the current epoch over all of them.
func (t *Tracker) overall(p Progress) Progress {
	if t.epoch == 0 || p.Steps == 0 {
		return p
	}
	return Progress{Step: (t.epoch-1)*p.Steps + p.Step, Steps: t.epochs * p.Steps}
}

func numbers(re *regexp.Regexp, line string) (Progress, bool) {
	m := re.FindStringSubmatch(line)
	if m == nil {
		return Progress{}, false
	}
	var p Progress
	p.Step, _ = strconv.ParseInt(m[1], 10, 64) // ten digits always fit
	if m[2] != "" {
		p.Steps, _ = strconv.ParseInt(m[2], 10, 64)
	}
	if p.Step > most || p.Steps > most || p.Steps > 0 && p.Step > p.Steps {
		return Progress{}, false
	}
	return p, true
}
