package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"tfos/internal/agent/logfile"
	"tfos/internal/control"
)

const (
	chunkBytes = 32 << 10
	// followEvery is how often a follower's log is looked at. A program may write into its files
	// itself.
	followEvery = 100 * time.Millisecond
)

// agentLogLimits bound the agent's own log, which grows with what goes wrong.
var agentLogLimits = logfile.Limits{Size: 64 << 20, Keep: 2}

// logs are the logs of a container: its agent's, and those of its task. It serves them.
type logs struct {
	files map[string]*logfile.File // by stream
	timed map[string]*timed        // of the program's streams, whoever writes them
	over  chan struct{}            // closed when nothing more is written
	once  sync.Once
}

// newLogs makes those of a task in a directory, beside the agent's own; nil: that is in the
// directory too.
func newLogs(dir string, limits logfile.Limits, own *logfile.File) *logs {
	if own == nil {
		own = logfile.New(logFile(dir, control.AgentLog), agentLogLimits)
	}
	l := &logs{over: make(chan struct{}), timed: map[string]*timed{}, files: map[string]*logfile.File{
		control.Times: logfile.New(logFile(dir, control.Times), timesLimits), control.AgentLog: own,
	}}
	for _, stream := range []string{control.Stdout, control.Stderr} {
		l.files[stream] = logfile.New(logFile(dir, stream), limits)
		l.timed[stream] = &timed{stream: stream, log: l.files[stream], times: l.files[control.Times]}
	}
	return l
}

// timesLimits bound the marks of when what was printed: those of twelve days without a pause.
var timesLimits = logfile.Limits{Size: 8 << 20, Keep: 2}

// timed writes a log, and marks when what was written.
type timed struct {
	stream     string
	log, times *logfile.File

	mu   sync.Mutex // guards next
	next time.Time  // when a mark is due
}

func (t *timed) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); !now.Before(t.next) {
		t.next = now.Add(control.TimesEvery)
		if at, err := t.log.End(); err == nil {
			t.times.Write(control.Mark(t.stream, now, at)) // what is lost of it makes --since show more
		}
	}
	return t.log.Write(b)
}

// end tells followers that what is there is all.
func (l *logs) end() { l.once.Do(func() { close(l.over) }) }

// close closes the files. Whoever writes or reads after it opens them again.
func (l *logs) close() error {
	var errs []error
	for _, f := range l.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

func logFile(dir, stream string) string { return filepath.Join(dir, stream) }

// Logs implements control.LogSource.
func (l *logs) Logs(ctx context.Context, r control.LogsRequest, send func(control.LogChunk) error) error {
	f := l.files[r.Stream]
	if f == nil {
		return fmt.Errorf("%w: %q", control.ErrNoLog, r.Stream)
	}
	at := r.Offset
	if at < 0 {
		end, err := f.End()
		if err != nil {
			return err
		}
		at = max(end+at, 0)
	}
	look := time.NewTicker(followEvery)
	defer look.Stop()
	for over := false; ; {
		var err error
		if at, err = sendFrom(f, at, send); err != nil || over || !r.Follow {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.over:
			over = true // once more, for what was written meanwhile
		case <-look.C:
		}
	}
}

// sendFrom sends what is there from a position on, and returns where it ended. A log that is not
// there yet is an empty one.
func sendFrom(f *logfile.File, at int64, send func(control.LogChunk) error) (int64, error) {
	for {
		b := make([]byte, chunkBytes) // a new one each time: who sends may keep it
		n, next, offset, err := f.Read(b, at)
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist):
			return next, nil
		case err != nil:
			return next, err
		}
		if err := send(control.LogChunk{Data: b[:n], Offset: next - int64(n), File: offset}); err != nil {
			return at, err
		}
		at = next
	}
}
