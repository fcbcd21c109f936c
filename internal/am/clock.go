package am

import "time"

// clock is the time by which the owner lives. Deadlines are in the journal, so they cannot be
// readings of the node's monotonic clock; and the wall clock may be set, forward or back, while a
// job runs. So the wall clock is read once, and from then on time passes as the monotonic clock
// says. Nodes have other clocks: what crosses to them is a duration.
type clock struct {
	began  time.Time // with its monotonic reading
	anchor time.Time // what the wall clock said then
}

// newClock begins at the wall clock's time, or where a master before this one stopped if that is
// later: time never goes back.
func newClock(wall, least time.Time) clock {
	if wall.Before(least) {
		wall = least
	}
	return clock{began: time.Now(), anchor: wall.UTC().Round(0)}
}

func (c clock) now() time.Time { return c.anchor.Add(time.Since(c.began)) }

// until is how long it is until then.
func (c clock) until(then time.Time) time.Duration { return then.Sub(c.now()) }
