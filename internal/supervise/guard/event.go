package guard

import (
	"fmt"
	"strconv"
	"strings"
)

// Kind is what an Event tells.
type Kind string

// The kinds of events, in the order they come: Started or Failed, and after Started Exited.
const (
	Started Kind = "started" // PID
	Failed  Kind = "failed"  // Text could not be done, Code is the system's error
	Exited  Kind = "exited"  // Code, Signal, Left
)

// Event is what a guard tells its agent, a line each: "kind pid code signal left text".
type Event struct {
	Kind   Kind
	PID    int
	Code   int    // exit code, if Signal is 0; of Failed: errno
	Signal int    // that ended the program
	Left   int    // processes that would not die
	Text   string // what failed
}

// ParseEvent reads a line, without its end.
func ParseEvent(line string) (Event, error) {
	f := strings.SplitN(line, " ", 6)
	if len(f) != 6 {
		return Event{}, fmt.Errorf("guard said %q", line)
	}
	e := Event{Kind: Kind(f[0]), Text: f[5]}
	for i, n := range []*int{&e.PID, &e.Code, &e.Signal, &e.Left} {
		var err error
		if *n, err = strconv.Atoi(f[i+1]); err != nil {
			return Event{}, fmt.Errorf("guard said %q: %w", line, err)
		}
	}
	return e, nil
}
