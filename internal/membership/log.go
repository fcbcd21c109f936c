package membership

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"tfos/internal/job"
)

// The event log is NDJSON: a header, then a turn in each line. Together they are all that went into a machine, so that
// another one, given the same, does the same.

// Header is the first line of an event log: what the machine was made of.
type Header struct {
	Version int     `json:"tfos_events"` // of the format
	Job     string  `json:"job"`         // the job file
	Seed    uint64  `json:"seed"`
	Options Options `json:"options"`
	// State is where the machine stood before the first turn: in the log of an attempt that took over. Absent: at its beginning.
	State json.RawMessage `json:"state,omitempty"`
}

// logVersion changes when a log of before cannot be re-stepped any more.
const logVersion = 1

// Header is the first line of an event log whose first turn is this machine's next.
func (m *Machine) Header() Header {
	h := Header{Version: logVersion, Job: string(job.Marshal(m.job)), Seed: m.seed, Options: m.opts}
	if m.s.Phase != idle {
		b, err := json.Marshal(m.s)
		if err != nil {
			panic("membership: a state that JSON cannot hold: " + err.Error())
		}
		h.State = b
	}
	return h
}

// Machine makes the machine that the log was written by, as it was before its first turn.
func (h Header) Machine() (*Machine, error) {
	if h.Version != logVersion {
		return nil, fmt.Errorf("the event log is of version %d, this program reads %d", h.Version, logVersion)
	}
	j, err := job.Parse("job.yaml", []byte(h.Job), nil)
	if err != nil {
		return nil, fmt.Errorf("the job of the event log: %w", err)
	}
	if h.State == nil {
		return New(j, h.Seed, h.Options), nil
	}
	var s state
	if err := json.Unmarshal(h.State, &s); err != nil {
		return nil, fmt.Errorf("the state at the beginning of the event log: %w", err)
	}
	return restore(j, h.Seed, h.Options, s)
}

// Turn is one step: what happened when, and what was done about it. A Tick that led to nothing may be left out of a log: it
// changes nothing.
type Turn struct {
	Time    time.Time
	Event   Event
	Actions []Action
}

type turn struct {
	Time    time.Time         `json:"time"`
	Event   json.RawMessage   `json:"event"`
	Actions []json.RawMessage `json:"actions,omitempty"`
}

// MarshalJSON writes {"time":…,"event":{"kind":…},"actions":[{"kind":…}]}.
func (t Turn) MarshalJSON() ([]byte, error) {
	out := turn{Time: t.Time.UTC()}
	var err error
	if out.Event, err = EncodeEvent(t.Event); err != nil {
		return nil, err
	}
	for _, a := range t.Actions {
		b, err := EncodeAction(a)
		if err != nil {
			return nil, err
		}
		out.Actions = append(out.Actions, b)
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (t *Turn) UnmarshalJSON(b []byte) error {
	var in turn
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	ev, err := DecodeEvent(in.Event)
	if err != nil {
		return err
	}
	*t = Turn{Time: in.Time, Event: ev}
	for _, raw := range in.Actions {
		a, err := DecodeAction(raw)
		if err != nil {
			return err
		}
		t.Actions = append(t.Actions, a)
	}
	return nil
}

// ReadLog reads an event log. A last line that was cut off, by a crash while it was written, is left out.
func ReadLog(data []byte) (Header, []Turn, error) {
	var header Header
	var turns []Turn
	n := 0
	for line := range bytes.Lines(data) {
		n++
		whole := bytes.HasSuffix(line, []byte("\n"))
		var err error
		if n == 1 {
			err = json.Unmarshal(line, &header)
		} else {
			var t Turn
			if err = json.Unmarshal(line, &t); err == nil {
				turns = append(turns, t)
			}
		}
		if err != nil && (whole || n == 1) {
			return Header{}, nil, fmt.Errorf("event log, line %d: %w", n, err)
		}
	}
	if n == 0 {
		return Header{}, nil, fmt.Errorf("event log: it is empty")
	}
	return header, turns, nil
}
