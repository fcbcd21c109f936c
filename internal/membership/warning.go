package membership

import "time"

// notice is a warning that stands: a task's container will be taken away. A nil notice is none.
type notice struct {
	Cause    Cause     `json:"cause"`
	Deadline time.Time `json:"deadline"`
	Since    time.Time `json:"since"`
}

const (
	// departMargin is how much before the deadline the grace period of a process ends: YARN's own
	// clock decides.
	departMargin = 2 * time.Second
	// overtime is how long after its deadline a warning is believed. YARN changes its mind about
	// preemption without a word.
	overtime = time.Minute
)

// hear returns the notice that stands after a warning, and whether it says anything new.
func (n *notice) hear(now time.Time, w Warned) (*notice, bool) {
	since := now
	if n != nil {
		again := n.Cause == w.Cause && n.Deadline.Equal(w.Deadline)
		// The earlier deadline counts; a warning of preemption is said again and again, without its
		// deadline.
		later := now.Before(n.Deadline) && n.Deadline.Before(w.Deadline) && (w.Cause == CausePreempted || n.Cause != w.Cause)
		if again || later {
			return n, false
		}
		since = n.Since
	}
	return &notice{w.Cause, w.Deadline.UTC().Round(0), since}, true
}

// departure is when the process of a task whose spare is ready is stopped: after wait, or sooner if
// its grace period would end after the deadline otherwise.
func (n *notice) departure(wait, grace time.Duration) time.Time {
	at, last := n.Since.Add(wait), n.Deadline.Add(-grace-departMargin)
	if last.Before(at) {
		return last
	}
	return at
}

// grace is how long a process that is stopped now may take: most, or what is left until the
// deadline.
func (n *notice) grace(now time.Time, most time.Duration) time.Duration {
	return min(most, max(time.Second, n.Deadline.Sub(now)-departMargin))
}

// believed is until when the container may still be taken away.
func (n *notice) believed() time.Time { return n.Deadline.Add(overtime) }

// aside is until when a warned task waits for its spare once its process has ended: it would be
// started again where it is for nothing. Zero: it was not warned.
func (n *notice) aside(now time.Time) time.Time {
	if n == nil {
		return time.Time{}
	}
	if patience := now.Add(time.Minute); patience.Before(n.Deadline) {
		return patience
	}
	if now.After(n.Deadline) {
		return now.Add(time.Second)
	}
	return n.Deadline.Add(time.Second)
}
