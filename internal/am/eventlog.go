package am

import (
	"bytes"
	"encoding/json"

	"tfos/internal/membership"
)

// eventLog remembers turns of the machine: membership's NDJSON, which `tfos replay` re-steps. A job
// that goes on for weeks must not eat its master's memory, so the log keeps its beginning and its
// newest turns. Where turns are missing a Gap says how many.
type eventLog struct {
	first  segment // never dropped
	middle segment // the older half of the newest turns
	last   segment
	gap    membership.Gap // what was dropped between first and middle
}

// segment is a stretch of the log: a header, and turns.
type segment struct {
	buf bytes.Buffer
	gap membership.Gap // what is missing when it is dropped: its turns and their times
}

// What a segment holds before the next one begins, in bytes.
const (
	firstSegment = 1 << 20
	laterSegment = 3 << 19
)

// append adds a turn that the machine has taken.
func (l *eventLog) append(t membership.Turn, machine *membership.Machine) error {
	s, limit := &l.last, laterSegment
	if l.last.buf.Len() == 0 {
		s, limit = &l.first, firstSegment
	}
	if err := s.line(t); err != nil {
		return err
	}
	s.gap = s.gap.With(membership.Gap{Turns: 1, From: t.Time.UTC(), To: t.Time.UTC()})
	if s.buf.Len() < limit {
		return nil
	}
	if s == &l.last {
		l.gap, l.middle = l.gap.With(l.middle.gap), l.last
	}
	l.last = segment{}
	return l.last.line(machine.Header())
}

func (s *segment) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	s.buf.Write(b)
	s.buf.WriteByte('\n')
	return nil
}

// bytes is the log as it stands.
func (l *eventLog) bytes() ([]byte, error) {
	var out segment
	out.buf.Write(l.first.buf.Bytes())
	if l.gap.Turns > 0 {
		if err := out.line(l.gap); err != nil {
			return nil, err
		}
	}
	out.buf.Write(l.middle.buf.Bytes())
	out.buf.Write(l.last.buf.Bytes())
	return out.buf.Bytes(), nil
}
