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

// aggregatedLogs are the logs that NodeManagers collected: a file for each node, in a directory for
// each application.
type aggregatedLogs struct {
	// resolve finds the filesystem of a place, which a site can name: hdfs://logs/app-logs.
	resolve func(ctx context.Context, uri string) (dfs.FS, string, error)
	places  []tfile.Place
}

// nodeFile is the file of a node.
type nodeFile struct {
	fs   dfs.FS
	name string
}

// Read implements ContainerLogs.
func (a aggregatedLogs) Read(ctx context.Context, f LogFile, offset int64, chunk func([]byte) error) error {
	files, err := a.nodeFiles(ctx, f)
	if err != nil {
		return err
	}
	missing := fmt.Errorf("%s of %s: %w", f.Stream, f.Container, fs.ErrNotExist)
	for _, file := range files {
		err := file.read(ctx, f, offset, chunk)
		switch {
		case !errors.Is(err, fs.ErrNotExist):
			return err
		case errors.Is(err, tfile.ErrFormat):
			missing = err
		}
	}
	return missing
}

// nodeFiles are the files of all nodes that ran containers of an application, the container's own
// node first.
func (a aggregatedLogs) nodeFiles(ctx context.Context, f LogFile) ([]nodeFile, error) {
	var near, far []nodeFile
	var unknown error
	for _, p := range a.places {
		files, root, err := a.resolve(ctx, p.Root)
		if err != nil {
			unknown = fmt.Errorf("where the cluster aggregates logs: %w", err)
			continue
		}
		p.Root = root
		for _, dir := range p.Directories(f.User, f.Application) {
			list, err := files.List(ctx, dir)
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, dfs.ErrNotDirectory) {
				return nil, err
			}
			for _, info := range list {
				node, _, ok := tfile.ParseName(path.Base(info.Name))
				switch {
				case !ok || info.IsDir():
				case node.Host == f.Node:
					near = append(near, nodeFile{files, info.Name})
				default:
					far = append(far, nodeFile{files, info.Name})
				}
			}
		}
	}
	if len(near)+len(far) == 0 && unknown != nil {
		return nil, unknown
	}
	return slices.Concat(near, far), nil
}

// read copies a log out of a node's file; fs.ErrNotExist if it is not in there.
func (n nodeFile) read(ctx context.Context, f LogFile, offset int64, chunk func([]byte) error) error {
	in, err := n.fs.Open(ctx, n.name)
	if err != nil {
		return err
	}
	defer in.Close()
	fail := func(err error) error { return fmt.Errorf("read the aggregated log %s: %w", n.fs.URI(n.name), err) }
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
