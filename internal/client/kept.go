package client

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// noLogs is a cluster that collects none: they stay on its nodes' disks for a while.
type noLogs struct{}

// Read implements ContainerLogs.
func (noLogs) Read(context.Context, LogFile, int64, func([]byte) error) error { return fs.ErrNotExist }

// diskLogs are the logs of containers in a log directory of this machine.
type diskLogs struct{ dir string }

// Read implements ContainerLogs.
func (d diskLogs) Read(ctx context.Context, f LogFile, offset int64, chunk func([]byte) error) error {
	in, err := os.Open(filepath.Join(d.dir, f.Application.String(), filepath.Base(f.Container), filepath.Base(f.Stream)))
	if err != nil {
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
