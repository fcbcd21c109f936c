package membership

import (
	"slices"
	"time"

	"tfos/internal/job"
	"tfos/internal/yarn"
)

// takeover is what is known of the attempts of the application master, and what the journal of the
// attempt before leaves in doubt.
type takeover struct {
	Attempt int32       `json:"attempt,omitempty"` // the current one
	Times   []time.Time `json:"times,omitempty"`   // when later ones took over, oldest first
	Until   time.Time   `json:"until,omitzero"`    // agents are awaited until then, and nothing else is done; zero: none is
	Strays  []stray     `json:"strays,omitempty"`  // live containers that no task of the journal has; their agents may tell whose they are
	// Generation and Digest are of the newest cluster_spec that agents have and the journal does
	// not; zero: there is none.
	Generation job.Generation `json:"generation,omitempty"`
	Digest     uint64         `json:"digest,omitempty"`
	// MaybeNewer says that an agent which did not report may have a still newer one.
	MaybeNewer bool `json:"maybe_newer,omitempty"`
	// Unheard are tasks that were new as the journal ends, and whose agents have not told since:
	// they may be in a cluster_spec that the journal does not have.
	Unheard []job.Task `json:"unheard,omitempty"`
}

type stray struct {
	Container yarn.ContainerID `json:"container"`
	Node      yarn.NodeID      `json:"node,omitzero"`
}

// maxTakeovers bounds how many are remembered.
const maxTakeovers = 100

// begin is a new attempt: who was in doubt for the one before is not any more.
func (k *takeover) begin(attempt int32) {
	k.Attempt, k.Strays, k.Unheard = attempt, nil, nil
}

// note remembers when an attempt took over.
func (k *takeover) note(now time.Time) {
	k.Times = append(k.Times, now)
	k.Times = k.Times[max(0, len(k.Times)-maxTakeovers):]
}

// keep remembers a container until its agent tells whose it is.
func (k *takeover) keep(s stray) {
	k.claim(s.Container)
	k.Strays = append(k.Strays, s)
}

// claim forgets a container that nobody has to wait for any more. It is false for one that is no
// stray.
func (k *takeover) claim(c yarn.ContainerID) (stray, bool) {
	i := slices.IndexFunc(k.Strays, func(s stray) bool { return s.Container == c })
	if i < 0 {
		return stray{}, false
	}
	s := k.Strays[i]
	k.Strays = slices.Delete(k.Strays, i, i+1)
	return s, true
}

// hear takes in what a task's agent says. Known is the newest cluster_spec that the journal has.
func (k *takeover) hear(name job.Task, known job.Generation, ev Joined) {
	k.Unheard = slices.DeleteFunc(k.Unheard, func(x job.Task) bool { return x == name })
	if ev.Generation > max(known, k.Generation) {
		k.Generation, k.Digest = ev.Generation, ev.Digest
	}
}

// next is a generation that no agent can have.
func (k *takeover) next(known job.Generation) job.Generation {
	next := max(known, k.Generation) + 1
	if k.MaybeNewer {
		next += generationLeap
	}
	return next
}

// published says that a cluster_spec which is newer than any other is given out.
func (k *takeover) published() { k.Generation, k.Digest, k.MaybeNewer = 0, 0, false }
