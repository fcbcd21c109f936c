package am

import (
	"bytes"
	"encoding/json"

	"tfos/internal/membership"
)

// eventLog remembers every turn of the machine: membership's NDJSON, which `tfos replay` re-steps.
type eventLog struct {
	buf bytes.Buffer
	// dropped counts turns that did not fit: a job that goes on for weeks must not eat its master's memory.
	dropped int
}

// maxEventLog bounds the log, in bytes.
const maxEventLog = 4 << 20

// begin writes the header that a replay needs.
func (l *eventLog) begin(h membership.Header) error { return l.line(h) }

func (l *eventLog) append(t membership.Turn) error { return l.line(t) }

func (l *eventLog) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if l.dropped > 0 || l.buf.Len()+len(b) >= maxEventLog {
		l.dropped++ // and all that follow: a log with a hole could not be re-stepped
		return nil
	}
	l.buf.Write(b)
	l.buf.WriteByte('\n')
	return nil
}
