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
	root   string // yarn.nodemanager.remote-app-log-dir
	suffix string // yarn.nodemanager.remote-app-log-dir-suffix
}

// Read implements ContainerLogs.
func (a aggregatedLogs) Read(ctx context.Context, f LogFile, offset int64, chunk func([]byte) error) error {
	files, err := a.nodeFiles(ctx, f)
	if err != nil {
		return err
	}
	for _, name := range files {
		if err := a.readFrom(ctx, name, f, offset, chunk); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return fmt.Errorf("%s of %s: %w", f.Stream, f.Container, fs.ErrNotExist)
}

// nodeFiles are the files of all nodes that ran containers of an application, the container's own node first.
func (a aggregatedLogs) nodeFiles(ctx context.Context, f LogFile) ([]string, error) {
	var near, far []string
	for _, dir := range tfile.Directories(a.root, a.suffix, f.User, f.Application) {
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
