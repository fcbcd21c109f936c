package am

import (
	"fmt"
	"strings"
	"time"

	"tfos/internal/yarn"
)

// waiting is why containers that were asked for do not come.
type waiting struct {
	since   time.Time // of the newest grant, or of when the first was asked for; zero: none is wanted
	full    bool      // the queue is, as problem says
	problem string    // a sentence; empty: it has not been long
}

// room is what the scheduler would give this application now.
type room struct {
	queue  string
	left   yarn.Resource
	vcores bool // the scheduler counts them
}

func (r room) fits(want yarn.Resource) bool {
	if !r.vcores {
		want.VCores = 0
	}
	return want.Fits(r.left)
}

func (r room) String() string {
	left := r.left.String()
	if !r.vcores {
		left, _, _ = strings.Cut(left, ", ")
	}
	return fmt.Sprintf("queue %s has %s left for this job", r.queue, left)
}

// patience is how long the ResourceManager may take for a container before people are told.
const patience = 15 * time.Second

// wait is what is known after an answer of the ResourceManager; asks are those that are still open.
// The sentence stays the same for as long as the reason does.
func (w waiting) wait(now time.Time, asks []yarn.Ask, granted bool, role func(yarn.Ask) string, r room) waiting {
	switch {
	case len(asks) == 0:
		return waiting{}
	case granted || w.since.IsZero():
		return waiting{since: now}
	case now.Sub(w.since) < patience:
		return w
	}
	full := true
	wanted := make([]string, len(asks))
	for i, a := range asks {
		full = full && !r.fits(a.Resource)
		wanted[i] = fmt.Sprintf("%d × %s (%s)", a.Count, role(a), a.Resource)
		if a.NodeLabel != "" {
			wanted[i] = fmt.Sprintf("%d × %s (%s, label %s)", a.Count, role(a), a.Resource, a.NodeLabel)
		}
	}
	if w.problem != "" && w.full == full {
		return w
	}
	w.full = full
	why := "no node that may be used has that much free"
	if full {
		why = "others in the queue, or the limit of a user there, leave no more"
	}
	w.problem = fmt.Sprintf("no container since %s: %s wanted, and %s: %s", w.since.Format(time.TimeOnly+" MST"), strings.Join(wanted, ", "), r, why)
	return w
}
