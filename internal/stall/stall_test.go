package stall

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tfos/internal/job"
)

var (
	worker0 = job.Task{Role: "worker"}
	worker1 = job.Task{Role: "worker", Index: 1}
)

// world is a watch, and a time.
type world struct {
	*Watch
	now  time.Time
	step int64
}

func begin(r Rules) *world { return &world{Watch: New(r), now: time.Unix(1_800_000_000, 0)} }

// train takes steps, one after each interval.
func (w *world) train(task job.Task, every time.Duration, steps int) {
	for range steps {
		w.wait(every)
		w.step++
		w.Step(w.now, task, w.step, 0)
	}
}

// wait lets time pass, and returns what is said meanwhile, and when.
func (w *world) wait(d time.Duration) (said []string) {
	for end := w.now.Add(d); ; {
		at := w.Next()
		if at.IsZero() || at.After(end) {
			w.now = end
			return said
		}
		from := end.Add(-d)
		w.now = at
		for _, s := range w.Check(at) {
			said = append(said, fmt.Sprintf("%v: %v at %d, silent %v, usual %v, again %v", at.Sub(from), s.Task, s.Step, s.Silent, s.Usual, s.Again))
		}
	}
}

func (w *world) says(t *testing.T, d time.Duration, want ...string) {
	t.Helper()
	if got := w.wait(d); !slices.Equal(got, want) {
		t.Errorf("in %v it says\n%q, want\n%q", d, got, want)
	}
}

var rules = Rules{After: 10, Least: time.Minute}

func TestStall(t *testing.T) {
	w := begin(rules)
	w.train(worker0, 20*time.Second, 20)
	w.says(t, time.Hour,
		"3m20s: /0 at 20, silent 3m20s, usual 20s, again false",
		"3m30s: /0 at 20, silent 3m30s, usual 20s, again true") // and no more
	if s := w.Standing(w.now); len(s) != 1 || s[0].Silent != time.Hour {
		t.Errorf("standing: %v", s)
	}
	w.train(worker0, 20*time.Second, 20) // it goes on by itself: it may pause as long again
	if s := w.Standing(w.now); len(s) != 0 {
		t.Errorf("standing although it goes on: %v", s)
	}
	w.says(t, 2*time.Hour)
	w.Interrupt(worker0)
	w.train(worker0, 20*time.Second, 20)
	w.says(t, time.Hour)
}

func TestWhatIsNoStall(t *testing.T) {
	for name, play := range map[string]func(w *world){
		"no steps":      func(*world) {},
		"a few":         func(w *world) { w.train(worker0, time.Second, known) },
		"steps of 0":    func(w *world) { w.Step(w.now, worker0, 0, 0) },
		"the last step": func(w *world) { w.train(worker0, time.Second, 50); w.Step(w.now, worker0, 51, 51) },
		"a process that was lost": func(w *world) {
			w.train(worker0, time.Second, 50)
			w.Interrupt(worker1)
		},
		"a process that starts and has made no step": func(w *world) {
			w.train(worker0, time.Second, 50)
			w.wait(time.Hour)
			w.Interrupt(worker0)
		},
	} {
		w := begin(rules)
		play(w)
		if got := w.wait(24 * time.Hour); len(got) > 0 {
			t.Errorf("%s: %q", name, got)
		}
	}
	off := begin(Rules{Least: time.Minute})
	off.train(worker0, time.Second, 50)
	off.says(t, time.Hour)
}

// TestPausesThatAreUsual: a program that validates every ten steps for two minutes is given twice
// that.
func TestPausesThatAreUsual(t *testing.T) {
	w := begin(rules)
	for range 4 {
		w.train(worker0, time.Second, 9)
		w.train(worker0, 2*time.Minute, 1)
	}
	w.says(t, 4*time.Minute-time.Second)
	w.says(t, 2*time.Second, "1s: /0 at 40, silent 4m0s, usual 1s, again false")
}

// TestRestoring: a process that goes on from an earlier step is watched from its first step on.
func TestRestoring(t *testing.T) {
	w := begin(rules)
	w.train(worker0, time.Second, 50)
	w.Interrupt(worker0)
	w.step = 20
	w.wait(time.Hour)
	w.train(worker0, time.Second, 1)
	w.says(t, 65*time.Second, "1m0s: /0 at 21, silent 1m0s, usual 1s, again false")
}

// TestTogether: the steps of those who step together are one row; of others each is watched.
func TestTogether(t *testing.T) {
	for apart, want := range map[bool][]string{
		false: nil,
		true:  {"1m0s: worker/1 at 50, silent 1m0s, usual 1s, again false", "1m10s: worker/1 at 50, silent 1m10s, usual 1s, again true"},
	} {
		w := begin(Rules{After: 10, Least: time.Minute, Apart: apart})
		for range 50 {
			w.step++
			w.now = w.now.Add(time.Second)
			w.Step(w.now, worker0, w.step, 0)
			w.Step(w.now, worker1, w.step, 0)
		}
		from, said := w.now, []string(nil)
		for range 100 {
			w.step++
			w.now = w.now.Add(time.Second)
			w.Step(w.now, worker0, w.step, 0)
			for _, s := range w.Check(w.now) {
				said = append(said, fmt.Sprintf("%v: %v at %d, silent %v, usual %v, again %v", w.now.Sub(from), s.Task, s.Step, s.Silent, s.Usual, s.Again))
			}
		}
		if !slices.Equal(said, want) {
			t.Errorf("apart %v: %q, want %q", apart, said, want)
		}
	}
}
