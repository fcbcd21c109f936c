package agent

import (
	"bytes"
	"io"

	"tfos/internal/agent/step"
	"tfos/internal/supervise"
)

// tap hears along what one program prints, for the steps in it.
type tap struct {
	tracker step.Tracker
	streams []*heard
}

// tapBytes bounds what is kept of a stream between two looks: of a program that prints faster, the
// newest.
const tapBytes = 64 << 10

// heard is one stream. What a look leaves is the beginning of a line.
type heard struct {
	newest  *supervise.Recent
	partial []byte
}

// listen returns a writer to which a stream goes on its way to to.
func (t *tap) listen(to io.Writer) io.Writer {
	h := &heard{newest: supervise.NewRecent(tapBytes)}
	t.streams = append(t.streams, h)
	return io.MultiWriter(h.newest, to)
}

// read looks once, and reports the newest step if one was printed since.
func (t *tap) read() (newest step.Progress, ok bool) {
	for _, h := range t.streams {
		for _, line := range h.lines() {
			if p, is := t.tracker.Line(string(line)); is {
				newest, ok = p, true
			}
		}
	}
	return newest, ok
}

// lines are what has come since, as far as it ends in a whole line. A progress bar ends its lines
// with a carriage return or a backspace; a line longer than tapBytes is not worth having.
func (h *heard) lines() [][]byte {
	b, cut := h.newest.Take()
	if !cut { // otherwise it begins amid a line, perhaps: no harm
		b = append(h.partial, b...)
	}
	end := bytes.LastIndexAny(b, "\n\r\b") + 1
	h.partial = bytes.Clone(b[max(end, len(b)-tapBytes):])
	return bytes.FieldsFunc(b[:end], func(r rune) bool { return r == '\n' || r == '\r' || r == '\b' })
}
