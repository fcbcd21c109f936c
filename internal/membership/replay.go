package membership

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Difference is a turn that a machine took otherwise than the log says.
type Difference struct {
	Turn    int // from 1, as they come in the log
	Time    time.Time
	Event   Event
	Logged  []Action
	Decided []Action // by the machine now
}

// Replay gives the events of a log to a machine of this program, and says where it decides
// otherwise than the one that wrote the log. What follows a first difference may be its
// consequence.
func Replay(h Header, turns []Turn) ([]Difference, error) {
	m, err := h.Machine()
	if err != nil {
		return nil, err
	}
	var differences []Difference
	for i, t := range turns {
		decided := m.Step(t.Time, t.Event).All()
		same, err := sameActions(decided, t.Actions)
		if err != nil {
			return nil, fmt.Errorf("turn %d: %w", i+1, err)
		}
		if !same {
			differences = append(differences, Difference{i + 1, t.Time, t.Event, t.Actions, decided})
		}
	}
	return differences, nil
}

// sameActions compares actions as they are logged: there an empty list and none are the same.
func sameActions(a, b []Action) (bool, error) {
	if len(a) != len(b) {
		return false, nil
	}
	for i := range a {
		x, err := EncodeAction(a[i])
		if err != nil {
			return false, err
		}
		y, err := EncodeAction(b[i])
		if err != nil {
			return false, err
		}
		if !bytes.Equal(x, y) {
			return false, nil
		}
	}
	return true, nil
}

// String is the difference for a person: when, what happened, and both answers, a line each.
func (d Difference) String() string {
	event, err := EncodeEvent(d.Event)
	if err != nil {
		event = fmt.Appendf(nil, "%T", d.Event)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "turn %d at %s: %s\n", d.Turn, d.Time.UTC().Format(time.RFC3339Nano), event)
	tell := func(who string, actions []Action) {
		fmt.Fprintf(&b, "  %s\n", who)
		for _, a := range actions {
			line, err := json.Marshal(a)
			if err != nil {
				line = []byte(err.Error())
			}
			fmt.Fprintf(&b, "    %s %s\n", ActionKind(a), line)
		}
		if len(actions) == 0 {
			fmt.Fprintln(&b, "    nothing")
		}
	}
	tell("the log says", d.Logged)
	tell("this program decides", d.Decided)
	return b.String()
}
