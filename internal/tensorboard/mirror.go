package tensorboard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"tfos/internal/dfs"
	"tfos/internal/pause"
)

// settled is after how long a file that has not grown is taken to be complete. One that is being
// written on HDFS has the length and the time of its newest block until then.
const settled = time.Hour

// mostFiles bounds what is copied: a directory with more is hardly one for TensorBoard.
const mostFiles = 5000

// Mirror is a local copy of the files that TensorBoard reads below a directory of any filesystem.
// What is gone there stays in the copy. It is not safe for concurrent use.
type Mirror struct {
	fs       dfs.FS
	from, to string
	done     map[string]dfs.Info // complete, as they were listed
}

// NewMirror makes a Mirror of a directory. It copies nothing.
func NewMirror(from dfs.FS, dir, to string) *Mirror {
	return &Mirror{fs: from, from: path.Clean(dir), to: to, done: make(map[string]dfs.Info)}
}

// Copied is what an Update did.
type Copied struct {
	Files int // that there are
	Bytes int64
}

// Update copies what is new. Of several errors it returns the first, and goes on.
func (m *Mirror) Update(ctx context.Context) (Copied, error) {
	var all Copied
	files, err := m.find(ctx, m.from)
	for _, f := range files {
		if ctx.Err() != nil {
			return all, ctx.Err()
		}
		all.Files++
		if was := m.done[f.Name]; was.Size == f.Size && was.ModTime.Equal(f.ModTime) && !f.ModTime.IsZero() {
			continue
		}
		n, wrong := m.copy(ctx, f)
		all.Bytes += n
		switch {
		case errors.Is(wrong, fs.ErrNotExist): // gone since
		case wrong != nil:
			err = cmp.Or(err, fmt.Errorf("copy %s: %w", m.fs.URI(f.Name), wrong))
		case n == 0 && time.Since(f.ModTime) > settled:
			m.done[f.Name] = f
		}
	}
	return all, err
}

// Follow copies what is new every so often until ctx ends. Of a row of errors the first is told.
func (m *Mirror) Follow(ctx context.Context, failed func(error)) {
	for failing := false; ; {
		_, err := m.Update(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			failed(err)
		}
		failing = err != nil
		if pause.For(ctx, Every) != nil {
			return
		}
	}
}

// find lists the files of a directory and those below it.
func (m *Mirror) find(ctx context.Context, dir string) (files []dfs.Info, err error) {
	entries, err := m.fs.List(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("look into %s: %w", m.fs.URI(dir), err)
	}
	for _, e := range entries {
		if e.IsDir() {
			below, wrong := m.find(ctx, e.Name)
			files = append(files, below...)
			err = cmp.Or(err, wrong)
		} else if wanted(strings.TrimPrefix(e.Name, m.from)) {
			files = append(files, e)
		}
		if len(files) > mostFiles {
			return files[:mostFiles], fmt.Errorf("%s has more than %d files for TensorBoard: name a directory below it", m.fs.URI(m.from), mostFiles)
		}
	}
	return files, err
}

// wanted reports whether TensorBoard reads a file: events, and what its plugins keep beside them.
func wanted(name string) bool {
	return strings.Contains(path.Base(name), "tfevents") || strings.Contains(name, "/plugins/")
}

// copy appends to the copy of a file what is new in it.
func (m *Mirror) copy(ctx context.Context, f dfs.Info) (int64, error) {
	name := filepath.Join(m.to, filepath.FromSlash(strings.TrimPrefix(f.Name, m.from)))
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return 0, err
	}
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	info, err := out.Stat()
	if err != nil {
		return 0, err
	}
	in, err := m.fs.Open(ctx, f.Name)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	if in.Size() < info.Size() { // another one has taken its place
		if err := out.Truncate(0); err != nil {
			return 0, err
		}
	} else if _, err := in.Seek(info.Size(), io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.Copy(out, in)
	return n, errors.Join(err, out.Close())
}
