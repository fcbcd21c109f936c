package sim

import (
	"strings"
	"time"

	"tfos/internal/job"
	"tfos/internal/membership"
)

// steps is how far a model job's training is, and what its master says of it.
type steps struct {
	now, best int64
	told      int64
	failed    map[job.Task]bool // whose programs failed
}

// fail moves on to where the training is when a program fails: further than ever, or no further
// than before.
func (s *steps) fail(w *world, t job.Task) {
	s.failed[t] = true
	if !w.sc.looping && w.chance(2) {
		s.best += 1 + w.rng.Int64N(100)
		s.now = s.best
	} else {
		s.now = w.rng.Int64N(s.best + 1)
	}
}

// tellSteps tells the machine of steps before an event that may be a loss.
func (m *master) tellSteps(ev membership.Event) {
	switch ev.(type) {
	case membership.Exited, membership.Completed, membership.Left, membership.LaunchFailed:
		if m.w.sc.stepping && m.steps.now != m.steps.told {
			m.steps.told = m.steps.now
			m.turn(membership.Progressed{Step: m.steps.now})
		}
	}
}

// look is the model of who looks at checkpoints: it takes its time, and now and then never answers.
func (m *master) look(a membership.Inspect) {
	w := m.w
	if w.sc.blind > 0 && w.chance(w.sc.blind) && w.clock.now.Sub(epoch) < faultsEnd {
		return
	}
	answer := membership.Inspected{Number: a.Number, Step: -1}
	if w.chance(3) {
		answer.Newest, answer.Step = "hdfs:///m/ckpt-7", w.rng.Int64N(m.steps.best+1)
	}
	if w.sc.barred > 0 && w.chance(w.sc.barred) {
		answer = membership.Inspected{Number: a.Number, Step: -1, Problem: "no right to", Barred: membership.BarRefused}
		if w.chance(2) {
			answer.Barred = membership.BarAway
		}
	}
	w.after(w.latency()+w.upTo(5*time.Second), m.living(func() { m.repeatable(answer) }))
}

// restoring audits that no program that reads checkpoints starts before they were looked at, and
// progress, that a job which gets on no more is stopped, and no other.
type restoring struct {
	inspect  bool
	asked    time.Time // the newest look
	number   int
	answered time.Time                    // when the newest look that was answered was asked for
	lost     map[job.Task]time.Time       // the newest end of its process, as the machine was told
	ended    map[job.Task]job.Incarnation // which that was
	barred   membership.Bar               // what the machine was told, in time and for the first time
	bars     map[membership.Bar]bool      // all that a machine was told: one that was restored may not know of the first

	grew     time.Time // when there was a new step, or a new checkpoint, the last time
	best     int64
	row      int       // failures of programs that depend on nobody since the last progress, at least
	at       time.Time // of the last
	failures int       // of all programs, as the world knows, at the last progress
	decided  bool      // the machine knows how the job ends: what comes later cannot change it
}

// patience is the machine's own, with a look that is not answered.
const patience = 10 * time.Minute

func (a *auditor) restores(t job.Task) bool {
	switch a.job.Strategy {
	case job.StrategyMirrored, job.StrategyNone:
		return a.job.Trains(t.Role)
	}
	return t == a.job.Leader()
}

// noteCheckpoints takes an event in, before the actions that answer it are looked at.
func (a *auditor) noteCheckpoints(now time.Time, ev membership.Event) {
	r := &a.restoring
	switch ev := ev.(type) {
	case membership.Exited:
		c := a.current(ev.Task, ev.Incarnation)
		if c.IsZero() || a.state[c] != held || a.done[ev.Task] {
			return
		}
		if r.ended[ev.Task] == ev.Incarnation {
			return // told again
		}
		r.lost[ev.Task], r.ended[ev.Task] = now, ev.Incarnation
		if ev.Code == 0 && ev.Reason == "" || !a.alone(ev.Task) || r.best == 0 || ev.Stopped || a.warned[c] { // its end was to be
			return
		}
		if started := a.crashed[ev.Task].started; started.After(r.at) && !started.IsZero() {
			r.row, r.at = r.row+1, now
		}
	case membership.Progressed:
		if ev.Step > r.best {
			r.grew = now
		}
		if ev.Step > r.best && !r.decided {
			r.best, r.row, r.failures = ev.Step, 0, a.failures
		}
	case membership.CheckpointSeen:
		r.grew = now
		if r.decided {
			return
		}
		r.row, r.failures = 0, a.failures
	case membership.Inspected:
		if ev.Number != r.number {
			return
		}
		r.bars[ev.Barred] = true
		if r.barred == "" && !r.decided && r.answered != r.asked && now.Sub(r.asked) < patience {
			r.barred = ev.Barred
		}
		r.answered = r.asked
	}
}

func (a *auditor) inspects(now time.Time, i membership.Inspect) {
	r := &a.restoring
	if i.Number <= r.number {
		a.violate("restore", "look %d comes after look %d", i.Number, r.number)
	}
	known := !now.Before(a.awaits) // else its agent may not have told this master
	if leader := a.job.Leader(); i.Busy && known && a.job.Strategy != job.StrategyNone && a.ordered[leader] > 0 && r.ended[leader] == a.ordered[leader] {
		a.violate("restore", "look %d is to leave broken checkpoints where they are, and %s, who writes them, does not run", i.Number, leader)
	}
	r.asked, r.number = now, i.Number
}

// startsProgram checks an order to start a process that is new.
func (a *auditor) startsProgram(now time.Time, t job.Task) {
	r := &a.restoring
	if r.row >= 3 {
		a.violate("progress", "%s is started, and programs failed %d times since the last new step, %d", t, r.row, r.best)
	}
	switch {
	case !r.inspect || !a.restores(t):
	case r.asked.IsZero() || r.asked.Before(r.lost[t]):
		a.violate("restore", "%s is started, and nobody looked at the checkpoints since its process before it ended", t)
	case r.barred != "":
		a.violate("restore", "%s is started, and the checkpoints cannot be read", t)
	case (r.answered.IsZero() || r.answered.Before(r.lost[t])) && now.Sub(r.asked) < patience:
		a.violate("restore", "%s is started, and look %d is not answered", t, r.number)
	}
}

// stuck reports whether a job was ended because it got on no more, and checks that it did not.
func (a *auditor) stuck(r membership.Result) bool {
	if !strings.Contains(r.Diagnostics, "brought no new step") {
		return false
	}
	if n := a.failures - a.restoring.failures; n < 2 {
		a.violate("progress", "the job is ended, and its programs failed %d times since the last new step: %s", n, r.Diagnostics)
	}
	return true
}
