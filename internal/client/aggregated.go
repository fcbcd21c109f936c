package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"tfos/internal/dfs"
	"tfos/internal/hadoop/tfile"
)

// aggregatedLogs are the logs that NodeManagers collected: a file for each node, in a directory for each application.
type aggregatedLogs struct {
	fs     dfs.FS
	places []tfile.Place
}

// Read implements ContainerLogs.
func (a aggregatedLogs) Read(ctx context.Context, f LogFile, offset int64, chunk func([]byte) error) error {
	files, err := a.nodeFiles(ctx, f)
	if err != nil {
		return err
	}
	missing := fmt.Errorf("%s of %s: %w", f.Stream, f.Container, fs.ErrNotExist)
	for _, name := range files {
		err := a.readFrom(ctx, name, f, offset, chunk)
		switch {
		case !errors.Is(err, fs.ErrNotExist):
			return err
		case errors.Is(err, tfile.ErrFormat):
			missing = err
		}
	}
	return missing
}

// nodeFiles are the files of all nodes that ran containers of an application, the container's own node first.
func (a aggregatedLogs) nodeFiles(ctx context.Context, f LogFile) ([]string, error) {
	var near, far []string
	var dirs []string
	for _, p := range a.places {
		dirs = append(dirs, p.Directories(f.User, f.Application)...)
	}
	for _, dir := range dirs {
		list, err := a.fs.List(ctx, dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, dfs.ErrNotDirectory) {
			return nil, err
		}
		for _, info := range list {
			node, _, ok := tfile.ParseName(path.Base(info.Name))
			switch {
			case !ok || info.IsDir():
			case node.Host == f.Node:
				near = append(near, info.Name)
			default:
				far = append(far, info.Name)
			}
		}
	}
	return slices.Concat(near, far), nil
}

// readFrom copies a log out of a node's file; fs.ErrNotExist if it is not in there.
func (a aggregatedLogs) readFrom(ctx context.Context, name string, f LogFile, offset int64, chunk func([]byte) error) error {
	in, err := a.fs.Open(ctx, name)
	if err != nil {
		return err
	}
	defer in.Close()
	fail := func(err error) error { return fmt.Errorf("read the aggregated log %s: %w", a.fs.URI(name), err) }
	logs, err := tfile.NewReader(in, in.Size())
	if errors.Is(err, tfile.ErrFormat) { // its NodeManager may be writing it: files of the indexed format have no name of their own until then
		return fmt.Errorf("%w (%w)", fail(err), fs.ErrNotExist)
	}
	if err != nil {
		return fail(err)
	}
	for {
		log, err := logs.Next()
		switch {
		case err == io.EOF:
			return fs.ErrNotExist
		case err != nil:
			return fail(err)
		case log.Container != f.Container || log.Name != f.Stream:
			continue
		}
		if _, err := io.CopyN(io.Discard, logs, min(offset, log.Size)); err != nil {
			return fail(err)
		}
		return copyChunks(ctx, logs, chunk)
	}
}
