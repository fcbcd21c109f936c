package membership

import (
	"slices"
	"time"

	"tfos/internal/job"
	"tfos/internal/yarn"
)

// Decision is what a step wants done.
type Decision struct {
	Now []Action // at once, in order
	// Later are done once the journal has this step, in order: what destroys that which the agents
	// could tell the next attempt of the application master, or starts what could not tell. An
	// Outbox keeps them until then.
	Later []Action
	// Over are processes that have ended, or that nobody counts on any more. Whatever one of them
	// held, and those of its task before it, is free. A machine that was restored says again what
	// an attempt of the application master before may have heard already: of a task that had a
	// container, once its agent has told which process runs, or is given up.
	Over []Process
}

// Process is a start of a task's program.
type Process struct {
	Task        job.Task
	Incarnation job.Incarnation
}

// All are the actions of both lists, as the event log has them.
func (d Decision) All() []Action {
	if len(d.Later) == 0 {
		return d.Now
	}
	return slices.Concat(d.Now, d.Later)
}

// JournalPatience is how long the end of a process waits for the journal to have what led to it. A
// filesystem that takes longer must not hold up the job: then a death of the master at the wrong
// moment costs a restart. A launch, whose files come from the same filesystem, waits for as long as
// no write fails, so that no incarnation is given out twice.
const JournalPatience = 3 * time.Second

// Outbox keeps actions until the journal has the step that they are of. Its zero value is empty.
type Outbox struct {
	waiting []letter // oldest first
}

// letter is an action that waits.
type letter struct {
	step   int64
	until  time.Time // when it is done in any case; zero: it waits for as long as it takes
	action Action
}

// Put takes in what a step wants done later. A launch that waits is forgotten if its container is
// given back now.
func (o *Outbox) Put(step int64, now time.Time, d Decision) {
	for _, a := range d.Now {
		if r, ok := a.(Release); ok {
			o.cancel(r.Container)
		}
	}
	for _, a := range d.Later {
		l := letter{step: step, action: a}
		if _, launches := a.(Launch); !launches {
			l.until = now.Add(JournalPatience)
		}
		o.waiting = append(o.waiting, l)
	}
}

// cancel forgets the launch of a container.
func (o *Outbox) cancel(c yarn.ContainerID) {
	o.waiting = slices.DeleteFunc(o.waiting, func(l letter) bool {
		launch, ok := l.action.(Launch)
		return ok && launch.Container == c
	})
}

// Take takes out what may be done now, in order: what the journal has the step of, what has waited
// for too long, and everything if the journal cannot be written.
func (o *Outbox) Take(now time.Time, written int64, failing bool) []Action {
	var out []Action
	o.waiting = slices.DeleteFunc(o.waiting, func(l letter) bool {
		ready := failing || l.step <= written || !l.until.IsZero() && !now.Before(l.until)
		if ready {
			out = append(out, l.action)
		}
		return ready
	})
	return out
}

// Wake is when Take has to be asked even if nothing happens; zero: never.
func (o *Outbox) Wake() time.Time {
	var at time.Time
	for _, l := range o.waiting {
		at = soonest(at, l.until)
	}
	return at
}
