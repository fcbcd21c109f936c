package term

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	xterm "golang.org/x/term"

	"tfos/internal/status"
)

// Live keeps one line per task at the foot of a terminal, and lets everything else scroll by above.
// It reads no input, asks the terminal nothing, and leaves signals and the cursor alone, so that
// the process may end at any moment. It is safe for concurrent use.
type Live struct {
	terminal io.Writer
	out      io.Writer // of the job's own output; nil: the terminal
	progress *mpb.Progress

	mu  sync.Mutex
	m   model    // guarded by mu
	bar *mpb.Bar // of the whole drawing; nil until there is something to draw; guarded by mu
}

// redraw is the pause between two drawings.
const redraw = 200 * time.Millisecond

// NewLive draws on terminal, which must obey what it is written; of foreign text it gets what is
// Printable. The job's own output goes to out, or above the drawing if out is nil.
func NewLive(terminal, out io.Writer) *Live {
	return &Live{terminal: terminal, out: out, m: model{started: time.Now()},
		progress: mpb.New(mpb.WithOutput(terminal), mpb.WithRefreshRate(redraw), mpb.WithAutoRefresh())}
}

// Note writes a line above the drawing.
func (l *Live) Note(line string) { fmt.Fprintln(l.progress, printable(line, "\n\t")) }

// Staging moves the bar.
func (l *Live) Staging(done, total int64) {
	l.change(func(m model) model {
		m.done, m.total = done, total
		return m
	})
}

// Status draws v. What went wrong is written above the drawing as well, which will show something
// else soon.
func (l *Live) Status(v status.View) {
	var lines []string
	l.change(func(m model) model {
		lines = notable(m.view, v)
		m.view = v
		return m
	})
	for _, line := range lines {
		l.Note(line)
	}
}

// change replaces the model, and begins to draw when there is something to.
func (l *Live) change(f func(model) model) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.m = f(l.m)
	if l.bar != nil || l.m.empty() {
		return
	}
	// One bar stands for the whole drawing: its first line and those that extend it.
	first := mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
		head, _, _ := strings.Cut(l.draw(s), "\n")
		_, err := io.WriteString(w, head)
		return err
	})
	others := mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
		_, rest, _ := strings.Cut(l.draw(s), "\n")
		_, err := io.WriteString(w, rest)
		return err
	})
	// The error is that drawing has ended, after which nothing more is drawn.
	l.bar, _ = l.progress.Add(1, first, mpb.BarRemoveOnComplete(), mpb.BarFillerTrim(), mpb.BarExtender(others, false))
}

func (l *Live) draw(s decor.Statistics) string {
	l.mu.Lock()
	m := l.m
	l.mu.Unlock()
	m.now, m.width = time.Now(), s.AvailableWidth
	if f, ok := l.terminal.(*os.File); ok {
		if _, height, err := xterm.GetSize(int(f.Fd())); err == nil {
			m.height = height
		}
	}
	return m.draw()
}

// Log writes a piece of the job's own output.
func (l *Live) Log(data []byte) {
	if l.out != nil {
		l.out.Write(data)
		return
	}
	for line := range bytes.Lines(data) {
		// Of a line that overwrites itself the last state is left.
		line = bytes.TrimRight(line, "\r\n")
		l.Note(string(line[bytes.LastIndexByte(line, '\r')+1:]))
	}
}

// Close erases the drawing and waits until everything is written.
func (l *Live) Close() {
	l.mu.Lock()
	bar := l.bar
	l.mu.Unlock()
	if bar != nil {
		bar.Abort(true)
	}
	l.progress.Wait()
}
