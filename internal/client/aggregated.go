package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"tfos/internal/dfs"
)

// aggregatedLogs are the logs that NodeManagers collected: a file for each node, in a directory for each application.
//
// The directories between are named differently by every generation of Hadoop (LogAggregationUtils): <root>/<user>/logs/<app>
// up to 3.2, <root>/<user>/bucket-logs-tfile/<sequence mod 10000>/<app> since, and the words in them can be configured. So
// they are found by looking.
type aggregatedLogs struct {
	fs   dfs.FS
	root string // yarn.nodemanager.remote-app-log-dir
	// open finds one stream of one container in a node's file; fs.ErrNotExist if it is not in there.
	open func(f dfs.File, container, stream string) (io.Reader, error)
}

// Read implements ContainerLogs.
func (a aggregatedLogs) Read(ctx context.Context, f LogFile, offset int64, chunk func([]byte) error) error {
	files, err := a.nodeFiles(ctx, f)
	if err != nil {
		return err
	}
	for _, name := range files {
		err := a.readFrom(ctx, name, f, offset, chunk)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return fmt.Errorf("%s of %s: %w", f.Stream, f.Container, fs.ErrNotExist)
}

// unfinished is the suffix of a node's file that is still being written.
const unfinished = ".tmp"

// nodeFiles are the files of all nodes that ran containers of an application.
func (a aggregatedLogs) nodeFiles(ctx context.Context, f LogFile) ([]string, error) {
	formats, err := a.fs.List(ctx, path.Join(a.root, f.User))
	if err != nil {
		return nil, err
	}
	app, bucket := f.Application.String(), fmt.Sprintf("%04d", f.Application.Sequence%10000)
	var files []string
	for _, format := range formats {
		for _, dir := range []string{path.Join(format.Name, app), path.Join(format.Name, bucket, app)} {
			list, err := a.fs.List(ctx, dir)
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, dfs.ErrNotDirectory) {
				return nil, err
			}
			for _, info := range list {
				if !info.IsDir() && !strings.HasSuffix(info.Name, unfinished) {
					files = append(files, info.Name)
				}
			}
		}
	}
	return files, nil
}

func (a aggregatedLogs) readFrom(ctx context.Context, name string, f LogFile, offset int64, chunk func([]byte) error) error {
	in, err := a.fs.Open(ctx, name)
	if err != nil {
		return err
	}
	defer in.Close()
	log, err := a.open(in, f.Container, f.Stream)
	if err != nil {
		return fmt.Errorf("read the aggregated log %s: %w", a.fs.URI(name), err)
	}
	if _, err := io.CopyN(io.Discard, log, offset); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return copyChunks(ctx, log, chunk)
}
