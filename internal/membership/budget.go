package membership

import (
	"fmt"
	"slices"
	"time"

	"tfos/internal/job"
)

// budget counts the program's own failures within a sliding window. What the cluster did is not in
// it.
type budget struct {
	Charges []failure `json:"charges,omitempty"` // oldest first
}

// failure is one that people may be told of again when the job has ended.
type failure struct {
	At   time.Time `json:"at"`
	Task job.Task  `json:"task"`
	Why  string    `json:"why"`
}

// charge takes a failure in, and returns the first within the window. Spent says that it was one
// more than are forgiven.
func (b *budget) charge(f failure, r job.Recovery) (first failure, spent bool) {
	b.forget(f.At, r.Window)
	b.Charges = append(b.Charges, f)
	return b.Charges[0], len(b.Charges) > r.UserFailures
}

// forget drops what is older than the window.
func (b *budget) forget(now time.Time, window time.Duration) {
	b.Charges = slices.DeleteFunc(b.Charges, func(f failure) bool { return now.Sub(f.At) >= window })
}

// within counts the failures of the window.
func (b *budget) within(now time.Time, window time.Duration) int {
	n := 0
	for _, f := range b.Charges {
		if now.Sub(f.At) < window {
			n++
		}
	}
	return n
}

// sentence says of the last failure that the budget is spent.
func (b *budget) sentence(what string, r job.Recovery) string {
	if r.UserFailures == 0 {
		return what
	}
	return fmt.Sprintf("%s. It was failure %d of the program within %s, and %d are forgiven (recovery.user-failures)", what, len(b.Charges), r.Window, r.UserFailures)
}

// after says what failed first, if that was something else: a rerun often ends by what the run
// before it left, and tells nothing of what is wrong.
func (f failure) after(first failure) string {
	if f.Why == first.Why {
		return ""
	}
	return fmt.Sprintf("\nThe first failure was that of %s at %s: %s", first.Task, first.At.Format(time.TimeOnly+" MST"), first.Why)
}
