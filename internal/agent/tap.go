package agent

import (
	"bytes"
	"io"
	"os"

	"tfos/internal/agent/step"
)

// tap reads along in the files that a program writes to, for the steps that it prints.
type tap struct {
	tracker step.Tracker
	files   []*tail
}

// tapBytes bounds what one look reads of a file: of a program that prints faster, the newest part.
const tapBytes = 64 << 10

// newTap begins where the files end now: what is there was written by an earlier program.
func newTap(names ...string) *tap {
	t := new(tap)
	for _, name := range names {
		f := &tail{name: name}
		if s, err := os.Stat(name); err == nil {
			f.offset = s.Size()
		}
		t.files = append(t.files, f)
	}
	return t
}

// read looks once, and reports the newest step if one was printed since.
func (t *tap) read() (newest step.Progress, ok bool) {
	for _, f := range t.files {
		for _, line := range f.lines() {
			if p, is := t.tracker.Line(string(line)); is {
				newest, ok = p, true
			}
		}
	}
	return newest, ok
}

// tail is a file that grows.
type tail struct {
	name   string
	offset int64
}

// lines reads what has come since, as far as it ends in a whole line. A progress bar ends its lines with a carriage return or
// a backspace; a line longer than tapBytes is not worth having.
func (t *tail) lines() [][]byte {
	s, err := os.Stat(t.name)
	if err != nil || s.Size() <= t.offset {
		return nil
	}
	if s.Size() > t.offset+tapBytes {
		t.offset = s.Size() - tapBytes // amid a line, perhaps: no harm
	}
	f, err := os.Open(t.name)
	if err != nil {
		return nil
	}
	defer f.Close()
	b := make([]byte, s.Size()-t.offset)
	n, err := f.ReadAt(b, t.offset)
	if err != nil && err != io.EOF {
		return nil
	}
	b = b[:n]
	end := bytes.LastIndexAny(b, "\n\r\b") + 1
	if end == 0 {
		return nil
	}
	t.offset += int64(end)
	return bytes.FieldsFunc(b[:end], func(r rune) bool { return r == '\n' || r == '\r' || r == '\b' })
}
