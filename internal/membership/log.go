package membership

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tfos/internal/job"
)

// The event log is NDJSON: a header, then a turn in each line. Together they are all that went into
// a machine, so that another one, given the same, does the same. A log that became too long has
// parts: a header in its midst says where the machine stood then, and a Gap before it which turns
// are missing.

// Header is the first line of an event log: what the machine was made of.
type Header struct {
	Version int     `json:"tfos_events"` // of the format
	Job     string  `json:"job"`         // the job file
	Seed    uint64  `json:"seed"`
	Options Options `json:"options"`
	// State is where the machine stood before the first turn: in the log of an attempt that took
	// over. Absent: at its beginning.
	State json.RawMessage `json:"state,omitempty"`
}

// logVersion changes when older logs cannot be re-stepped any more.
const logVersion = 6

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
		return nil, fmt.Errorf("the event log is of version %d, this program reads %d: replay it with the tfos that ran the job", h.Version, logVersion)
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

// Gap is a line of an event log that stands for turns that are not in it.
type Gap struct {
	Turns int       `json:"missing_turns"`
	From  time.Time `json:"from"` // when the first of them was taken
	To    time.Time `json:"to"`   // and the last
}

// With is g and a later gap as one.
func (g Gap) With(later Gap) Gap {
	if g.Turns == 0 {
		return later
	}
	if later.Turns > 0 {
		g.Turns, g.To = g.Turns+later.Turns, later.To
	}
	return g
}

// Part is a stretch of an event log without a gap.
type Part struct {
	Before Gap // what is missing before it; zero: nothing
	Header Header
	Turns  []Turn
}

// Turn is one step: what happened when, and what was done about it. A Tick that led to nothing may
// be left out of a log: it changes nothing.
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

// ReadLog reads an event log that is whole: its end aside, where a line may have been cut off.
func ReadLog(data []byte) (Header, []Turn, error) {
	parts, err := ReadParts(data)
	if err != nil {
		return Header{}, nil, err
	}
	if len(parts) > 1 {
		return Header{}, nil, fmt.Errorf("event log: %d turns are missing", parts[1].Before.Turns)
	}
	return parts[0].Header, parts[0].Turns, nil
}

// ReadParts reads an event log. A last line that was cut off, by a crash while it was written, is
// left out.
func ReadParts(data []byte) ([]Part, error) {
	var parts []Part
	var gap Gap
	n := 0
	for line := range bytes.Lines(data) {
		n++
		whole := bytes.HasSuffix(line, []byte("\n"))
		var l struct {
			Version *int `json:"tfos_events"`
			Missing *int `json:"missing_turns"`
		}
		err := json.Unmarshal(line, &l)
		switch {
		case err != nil:
		case l.Missing != nil:
			err = json.Unmarshal(line, &gap)
		case n == 1, l.Version != nil:
			var h Header
			// A header without a gap before it only says again where the machine stands.
			if err = json.Unmarshal(line, &h); err == nil && (n == 1 || gap != Gap{}) {
				parts = append(parts, Part{Before: gap, Header: h})
				gap = Gap{}
			}
		case gap != Gap{}:
			err = errors.New("what follows a gap must begin with a header")
		default:
			var t Turn
			if err = json.Unmarshal(line, &t); err == nil {
				last := &parts[len(parts)-1]
				last.Turns = append(last.Turns, t)
			}
		}
		if err != nil && (whole || n == 1) {
			return nil, fmt.Errorf("event log, line %d: %w", n, err)
		}
	}
	if len(parts) == 0 {
		return nil, errors.New("event log: it is empty")
	}
	return parts, nil
}
