package term

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"tfos/internal/status"
)

// Plain writes lines with the time of day before them. It is safe for concurrent use.
type Plain struct {
	now func() time.Time

	mu       sync.Mutex
	out, err io.Writer // guarded by mu, as are the fields below
	last     status.View
	quarter  int // of staging, announced last
}

// NewPlain writes a job's own output to out, and what tfos says to err.
func NewPlain(out, err io.Writer, now func() time.Time) *Plain {
	return &Plain{out: out, err: err, now: now}
}

// Note writes a line.
func (p *Plain) Note(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(line)
}

func (p *Plain) note(line string) {
	stamp := p.now().Format(time.TimeOnly)
	for l := range strings.SplitSeq(line, "\n") {
		fmt.Fprintln(p.err, stamp, l)
	}
}

// Staging announces every quarter of what takes long enough to be wondered about.
func (p *Plain) Staging(done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if total < 64<<20 {
		return
	}
	if q := int(4 * done / total); q > p.quarter {
		p.quarter = q
		p.note(fmt.Sprintf("staging: %d %% of %s", 25*q, Bytes(total)))
	}
}

// Status writes what changed since the view before.
func (p *Plain) Status(v status.View) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range Lines(p.last, v) {
		p.note(l)
	}
	p.last = v
}

// Log writes a piece of the job's own output.
func (p *Plain) Log(data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Write(data)
}

// Close does nothing.
func (p *Plain) Close() {}

// Bytes is an amount of data for people: "24.3 MiB".
func Bytes(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, u := float64(n)/1024, 0
	for f >= 1024 && u < len(units)-1 {
		f, u = f/1024, u+1
	}
	return fmt.Sprintf("%.1f %ciB", f, units[u])
}

// LineBuffer hands whole lines on, so that streams that share a writer do not cut each other's
// lines. It belongs to one goroutine.
type LineBuffer struct {
	Write func(lines []byte) // is given one or more whole lines, and may not keep them
	rest  []byte
}

// maxLine is how much of a line is kept back in wait for its end: progress bars may never send one.
const maxLine = 64 << 10

// Add takes the next piece of a stream. What overwrites itself with carriage returns counts as
// lines, too.
func (b *LineBuffer) Add(data []byte) {
	b.rest = append(b.rest, data...)
	if i := bytes.LastIndexAny(b.rest, "\n\r"); i >= 0 {
		b.Write(b.rest[:i+1])
		b.rest = append(b.rest[:0], b.rest[i+1:]...)
	}
	if len(b.rest) > maxLine {
		b.Flush()
	}
}

// Flush hands on an unfinished line, with an end.
func (b *LineBuffer) Flush() {
	if len(b.rest) > 0 {
		b.Write(append(b.rest, '\n'))
		b.rest = b.rest[:0]
	}
}
