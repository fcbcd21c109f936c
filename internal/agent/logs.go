package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tfos/internal/control"
)

const (
	chunkBytes = 32 << 10
	// followEvery is how often a follower's file is looked at. The program writes to the file itself, so that no process of
	// ours stands between it and its disk.
	followEvery = 100 * time.Millisecond
)

// logs serves the files in the container's log directory.
type logs struct {
	dir  string
	over chan struct{} // closed when nothing more is written
	once sync.Once
}

func newLogs(dir string) *logs { return &logs{dir: dir, over: make(chan struct{})} }

// end tells followers that what is there is all.
func (l *logs) end() { l.once.Do(func() { close(l.over) }) }

func logFile(dir, stream string) string { return filepath.Join(dir, stream) }

// Logs implements control.LogSource.
func (l *logs) Logs(ctx context.Context, r control.LogsRequest, send func(control.LogChunk) error) error {
	switch r.Stream {
	case control.Stdout, control.Stderr, control.AgentLog:
	default:
		return fmt.Errorf("%w: %q", control.ErrNoLog, r.Stream)
	}
	f, over, err := l.open(ctx, r)
	if f == nil {
		return err
	}
	defer f.Close()
	offset, err := startOf(f, r.Offset)
	if err != nil {
		return err
	}
	look := time.NewTicker(followEvery)
	defer look.Stop()
	for {
		if offset, err = sendFrom(f, offset, send); err != nil || over || !r.Follow {
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

// open opens the file, waiting for it if it is to be followed. It reports whether the log is over; a nil file is an empty log.
func (l *logs) open(ctx context.Context, r control.LogsRequest) (f *os.File, over bool, err error) {
	look := time.NewTicker(followEvery)
	defer look.Stop()
	for {
		f, err := os.Open(logFile(l.dir, r.Stream))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return f, over, err
		}
		if over || !r.Follow {
			return nil, true, nil
		}
		select {
		case <-ctx.Done():
			return nil, false, ctx.Err()
		case <-l.over:
			over = true
		case <-look.C:
		}
	}
}

// startOf makes an offset from the end one from the beginning.
func startOf(f *os.File, offset int64) (int64, error) {
	if offset >= 0 {
		return offset, nil
	}
	end, err := f.Seek(0, io.SeekEnd)
	return max(end+offset, 0), err
}

// sendFrom sends what is there from offset on, and returns where it ended.
func sendFrom(f *os.File, offset int64, send func(control.LogChunk) error) (int64, error) {
	for {
		b := make([]byte, chunkBytes) // a new one each time: who sends may keep it
		n, err := f.ReadAt(b, offset)
		if n > 0 {
			if err := send(control.LogChunk{Data: b[:n], Offset: offset}); err != nil {
				return offset, err
			}
			offset += int64(n)
		}
		if err == io.EOF {
			return offset, nil
		}
		if err != nil {
			return offset, err
		}
	}
}
