package membership

import (
	"slices"
	"time"

	"tfos/internal/job"
	"tfos/internal/yarn"
)

// spares are the containers that tasks are to move to, at most one for each task.
type spares []spare

// spare is one of them.
type spare struct {
	Task        job.Task         `json:"task"`
	Incarnation job.Incarnation  `json:"incarnation"` // that its agent was launched with
	Container   yarn.ContainerID `json:"container,omitzero"`
	Node        yarn.NodeID      `json:"node,omitzero"`
	Agent       string           `json:"agent,omitempty"`   // host:port
	Address     string           `json:"address,omitempty"` // host:port; empty: its agent is not there yet
	Witness     int              `json:"witness,omitempty"` // port: see clusterspec.Member
	Until       time.Time        `json:"until,omitzero"`    // as a task's
	// Unconfirmed says that the task may have moved here, which the journal of an attempt before
	// does not have.
	Unconfirmed bool `json:"unconfirmed,omitempty"`
}

// maxSpares is how many spares one warning may cost: if so many are lost, the task waits for its
// end where it is.
const maxSpares = 3

// fate is what becomes of a spare by an event.
type fate int

const (
	spareStays   fate = iota
	spareEnded        // its container is gone
	spareUseless      // its container is to be given back
	spareLivedIn      // the task lives there, or did: it is no spare any more, and the event is the task's
)

// of finds a task's spare; nil: it has none.
func (s spares) of(name job.Task) *spare {
	return s.first(func(x *spare) bool { return x.Task == name })
}

// in finds the spare that is this container; nil: it is none.
func (s spares) in(c yarn.ContainerID) *spare {
	return s.first(func(x *spare) bool { return x.Container == c })
}

func (s spares) first(is func(*spare) bool) *spare {
	for i := range s {
		if is(&s[i]) {
			return &s[i]
		}
	}
	return nil
}

// drop forgets the spare in a container.
func (s *spares) drop(c yarn.ContainerID) {
	*s = slices.DeleteFunc(*s, func(x spare) bool { return x.Container == c })
}

// doubt says that each task may have moved to its spare, whose agent has until then to tell.
func (s spares) doubt(until time.Time) {
	for i := range s {
		s[i].Unconfirmed, s[i].Until = true, until
	}
}

// ready reports whether the task can move here.
func (s *spare) ready() bool { return s.Address != "" && s.Until.IsZero() }

// hear takes in an event about the spare's container. An agent whose connection ended has rejoin to
// come back.
func (s *spare) hear(now time.Time, ev Event, rejoin time.Duration) fate {
	switch ev := ev.(type) {
	case Completed:
		return spareEnded
	case LaunchFailed:
		if s.Address == "" { // the answer was lost otherwise, the launch was not
			return spareUseless
		}
	case Warned:
		return spareUseless
	case Joined:
		if ev.Running != nil || ev.Exited != nil {
			return spareLivedIn
		}
		s.Agent, s.Address, s.Witness, s.Until, s.Unconfirmed = ev.Agent, ev.Address, ev.Witness, time.Time{}, false
	case Left:
		switch {
		case s.Address == "":
		case ev.Silent:
			return spareUseless
		default:
			s.Until = now.Add(rejoin)
		}
	}
	return spareStays
}

// containerOf is the container that an event about a spare names; zero: the event is about none.
func containerOf(ev Event) yarn.ContainerID {
	switch ev := ev.(type) {
	case Completed:
		return ev.Container
	case LaunchFailed:
		return ev.Container
	case Joined:
		return ev.Container
	case Left:
		return ev.Container
	case Warned:
		return ev.Container
	}
	return yarn.ContainerID{}
}
