package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tfos/internal/job"
	"tfos/internal/slots"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// noLogs is a cluster that collects none: they stay on its nodes' disks for a while.
type noLogs struct{}

// Read implements ContainerLogs.
func (noLogs) Read(context.Context, LogFile, int64, func([]byte) error) error { return fs.ErrNotExist }

// diskLogs are the logs of containers in a log directory of this machine.
type diskLogs struct{ dir string }

// elsewhereLog is a log that is not here: it stays in Spark's executor, host:directory.
type elsewhereLog string

// Error implements error.
func (e elsewhereLog) Error() string { return "the log is in Spark's executor, at " + string(e) }

// Is lets it be a log that is not to be had.
func (e elsewhereLog) Is(target error) bool { return target == fs.ErrNotExist }

func (d diskLogs) file(f LogFile, name string) string {
	return filepath.Join(d.dir, f.Application.String(), filepath.Base(f.Container), filepath.Base(name))
}

// away says where a container's logs are, if they are not here.
func (d diskLogs) away(f LogFile) (where elsewhereLog, ok bool) {
	b, err := os.ReadFile(d.file(f, slots.Elsewhere))
	return elsewhereLog(b), err == nil
}

// saidLogs is how many tasks a failure names the logs of at most.
const saidLogs = 3

// elsewhere names, a line each, the places of logs that tfos logs cannot show: those of a task, or
// of those that failed if none is given. Without a directory there are none.
func (d diskLogs) elsewhere(id yarn.ApplicationID, v status.View, task ...job.Task) string {
	if d.dir == "" {
		return ""
	}
	var lines []string
	for _, t := range v.Tasks {
		if len(task) == 0 && t.State != status.Failed || len(task) > 0 && !slices.Contains(task, t.ID()) {
			continue
		}
		if where, ok := d.away(LogFile{Application: id, Container: t.Container}); ok && len(lines) < saidLogs {
			lines = append(lines, fmt.Sprintf("\n%s: %s", t.ID(), where.Error()))
		}
	}
	return strings.Join(lines, "")
}

// Read implements ContainerLogs.
func (d diskLogs) Read(ctx context.Context, f LogFile, offset int64, chunk func([]byte) error) error {
	in, err := os.Open(d.file(f, f.Stream))
	if err != nil {
		if where, ok := d.away(f); ok {
			return where
		}
		return err
	}
	defer in.Close()
	if _, err := in.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	return copyChunks(ctx, in, chunk)
}

// chunkSize is how much of a log is handed on at a time, in bytes.
const chunkSize = 64 << 10

// copyChunks hands on all of r, piece by piece.
func copyChunks(ctx context.Context, r io.Reader, chunk func([]byte) error) error {
	buffer := make([]byte, chunkSize)
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := r.Read(buffer)
		if n > 0 {
			if err := chunk(buffer[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}
