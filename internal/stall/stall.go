// Package stall notices that a training takes no steps any more.
//
// It learns how long a step usually takes and says once when one takes far longer, and once more
// after a while, for whoever wants to do something about it. It knows steps and times, and nothing
// of processes. Of a training that has not told a few steps it says nothing. One owner; it reads no
// clock.
package stall

import (
	"slices"
	"time"

	"tfos/internal/job"
)

// Rules are what counts as a stall.
type Rules struct {
	After int           // times the usual interval without a step; 0: nothing is ever said
	Least time.Duration // without a step, however short the usual interval is
	// Apart says that tasks train each for itself. Otherwise they step together, and the job's
	// highest step is everyone's.
	Apart bool
}

// Stall is a training that takes no step.
type Stall struct {
	Task   job.Task      // the one that stands still; zero: all do, together
	Step   int64         // where it stands
	Since  time.Time     // of that step
	Silent time.Duration // since then
	Usual  time.Duration // between two steps
	Again  bool          // it was said before
}

// How many intervals must be known, how many are kept, and how many times the longest that there
// was a step may take.
const (
	known    = 8
	kept     = 64
	tolerant = 2
)

// Pause is the time between a Stall and the same one again: who looks at the first has it to find
// out where the processes are.
const Pause = 10 * time.Second

// Watch watches one job.
type Watch struct {
	rules Rules
	at    map[job.Task]int // in paces
	paces []pace           // in the order in which they were first heard of
	next  time.Time        // nothing is due before; zero: nothing is
}

// pace is how one task, or the whole job, steps.
type pace struct {
	of     job.Task
	armed  bool // a step has come since it was interrupted
	at     time.Time
	newest int64
	gaps   []time.Duration // the newest last
	// longest is of all intervals there were, a stall that ended by itself included: a program that
	// validates once an hour pauses as long again.
	longest time.Duration
	usual   time.Duration // the median of gaps
	said    int           // how often of this stall
	due     time.Time     // when it is to be said, or said again; zero: never
}

// New makes a Watch.
func New(r Rules) *Watch { return &Watch{rules: r, at: make(map[job.Task]int)} }

// Step takes in that a task is at a step, out of how many (0: not known).
func (w *Watch) Step(now time.Time, task job.Task, step, steps int64) {
	p := w.pace(task)
	switch {
	case step <= 0 || p.armed && step <= p.newest:
		return
	case steps > 0 && step >= steps: // what comes after the last step is no step
		p.disarm()
		return
	case p.armed:
		gap := now.Sub(p.at)
		p.gaps = append(p.gaps, gap)
		p.gaps = p.gaps[max(0, len(p.gaps)-kept):]
		p.longest = max(p.longest, gap)
		p.usual = slices.Sorted(slices.Values(p.gaps))[len(p.gaps)/2]
	}
	p.armed, p.at, p.newest, p.said = true, now, step, 0
	w.schedule(p)
}

// Interrupt takes in that a task's process was lost, or starts: how long that takes says nothing.
// The next step is where the watch begins again.
func (w *Watch) Interrupt(task job.Task) {
	p := w.pace(task)
	p.said = 0
	p.disarm()
}

func (p *pace) disarm() { p.armed, p.due = false, time.Time{} }

// pace finds the one that a task's steps count for.
func (w *Watch) pace(task job.Task) *pace {
	if !w.rules.Apart {
		task = job.Task{}
	}
	i, known := w.at[task]
	if !known {
		i = len(w.paces)
		w.at[task] = i
		w.paces = append(w.paces, pace{of: task})
	}
	return &w.paces[i]
}

// Check returns those that are to be said now. It is cheap while nothing is due.
func (w *Watch) Check(now time.Time) []Stall {
	if w.next.IsZero() || now.Before(w.next) {
		return nil
	}
	var stalls []Stall
	w.next = time.Time{}
	for i := range w.paces {
		p := &w.paces[i]
		if !p.due.IsZero() && !now.Before(p.due) {
			p.said++
			stalls = append(stalls, Stall{p.of, p.newest, p.at, now.Sub(p.at), p.usual, p.said > 1})
			w.schedule(p)
		}
		w.await(p.due)
	}
	return stalls
}

// Next is when Check is to be asked again if no step comes; zero: it need not be. It may be too
// soon, never too late.
func (w *Watch) Next() time.Time { return w.next }

// Standing are those that were said and have taken no step since.
func (w *Watch) Standing(now time.Time) []Stall {
	var stalls []Stall
	for i := range w.paces {
		if p := &w.paces[i]; p.said > 0 {
			stalls = append(stalls, Stall{p.of, p.newest, p.at, now.Sub(p.at), p.usual, true})
		}
	}
	return stalls
}

// schedule finds out when a pace's stall is to be said, or said again.
func (w *Watch) schedule(p *pace) {
	p.due = time.Time{}
	if w.rules.After == 0 || len(p.gaps) < known || p.said > 1 {
		return
	}
	limit := max(time.Duration(w.rules.After)*p.usual, tolerant*p.longest, w.rules.Least)
	p.due = p.at.Add(limit + time.Duration(p.said)*Pause)
	w.await(p.due)
}

// await has Check look at a time; zero: at none.
func (w *Watch) await(at time.Time) {
	if !at.IsZero() && (w.next.IsZero() || at.Before(w.next)) {
		w.next = at
	}
}
