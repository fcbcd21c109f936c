package slots

import (
	"testing"
	"time"
)

// TestRoster follows a job of two slots, in two executors with place for one node each, of which
// one is lost.
func TestRoster(t *testing.T) {
	start := time.Unix(0, 0)
	r := NewRoster(2)
	for i, step := range []struct {
		why      string
		at       time.Duration
		leave    bool
		slot     int
		executor string
		held     bool
		want     Verdict
		all      bool
	}{
		{why: "the first offer", slot: 0, executor: "a", want: Take},
		{why: "Spark runs a second copy of the task", slot: 0, executor: "b", want: Wait},
		{why: "no such slot", slot: 2, executor: "b", want: Over},
		{why: "all are there", slot: 1, executor: "b", want: Take, all: true},
		{why: "an executor is lost", at: time.Hour, leave: true, slot: 1, all: true},
		{why: "the other one has its node", at: time.Hour, slot: 1, executor: "a", want: Refuse, all: true},
		{why: "but where a task holds the slot, Spark has chosen", at: time.Hour, slot: 1, executor: "a", held: true, want: Take, all: true},
		{why: "lost again", at: time.Hour, leave: true, slot: 1, all: true},
		{why: "a new executor has place", at: time.Hour + time.Second, slot: 1, executor: "c", want: Take, all: true},
		{why: "and is lost", at: 2 * time.Hour, leave: true, slot: 1, all: true},
		{why: "a node more in an executor", at: 2*time.Hour + elsewhere - 1, slot: 1, executor: "a", want: Refuse, all: true},
		{why: "is better than none in the end", at: 2*time.Hour + elsewhere, slot: 1, executor: "a", want: Take, all: true},
	} {
		now := start.Add(step.at)
		if step.leave {
			if !r.Leave(step.slot, now) {
				t.Errorf("%d, %s: nobody is told that it is lost", i, step.why)
			}
		} else if got := r.Offer(Offer{Slot: step.slot, Executor: step.executor, Held: step.held}, now); got != step.want {
			t.Errorf("%d, %s: %q, want %q", i, step.why, got, step.want)
		}
		if r.All() != step.all {
			t.Errorf("%d, %s: all: %v", i, step.why, r.All())
		}
	}
	r.Finish()
	if got := r.Offer(Offer{Slot: 1, Executor: "d"}, start); got != Over {
		t.Errorf("after the end: %q", got)
	}
	if r.Leave(0, start) {
		t.Error("after the end a slot that is left counts as lost")
	}
}

// TestAnExecutorWithTwoNodesTakesTwoAgain: what Spark found place for once it finds again.
func TestAnExecutorWithTwoNodesTakesTwoAgain(t *testing.T) {
	r, now := NewRoster(3), time.Unix(0, 0)
	for slot, executor := range []string{"a", "a", "b"} {
		if got := r.Offer(Offer{Slot: slot, Executor: executor}, now); got != Take {
			t.Fatalf("slot %d: %q", slot, got)
		}
	}
	r.Leave(1, now)
	r.Leave(2, now)
	for _, c := range []struct {
		slot     int
		executor string
		want     Verdict
	}{{2, "a", Take}, {1, "a", Refuse}, {1, "c", Take}} {
		if got := r.Offer(Offer{Slot: c.slot, Executor: c.executor}, now); got != c.want {
			t.Errorf("slot %d in %s: %q, want %q", c.slot, c.executor, got, c.want)
		}
	}
}
