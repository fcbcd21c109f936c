package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tfos/internal/launch"
	"tfos/internal/unpack"
)

// unpackedModes are a NodeManager's for what one user's applications share; here the program may
// write, for the files are its own.
var unpackedModes = unpack.Modes{File: 0o700, Dir: 0o700}

// arrange gives files of the container's directory the names that the NodeManager could not give
// them, and unpacks the archives that it was not to unpack. What was arranged before stays.
func arrange(ctx context.Context, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, packed, ok := launch.ParseLink(e.Name())
		if !ok {
			continue
		}
		link, to := filepath.Join(dir, e.Name()), filepath.Join(dir, name)
		if filepath.Dir(to) != filepath.Clean(dir) {
			return fmt.Errorf("%s: the name %q leads out of the container's directory", e.Name(), name)
		}
		if packed {
			err = arrangeArchive(ctx, link, to)
		} else {
			err = os.Rename(link, to)
		}
		if err != nil {
			return fmt.Errorf("bring %s into the container: %w", name, err)
		}
	}
	return nil
}

// arrangeArchive unpacks beside the place of the directory, which is there only when it is whole.
func arrangeArchive(ctx context.Context, link, to string) error {
	from, err := os.Open(link)
	if err != nil {
		return err
	}
	defer from.Close()
	half := link + ".half"
	if err := os.RemoveAll(half); err != nil {
		return err
	}
	if err := unpack.Of(link)(ctx, from, half, unpackedModes); err != nil {
		return errors.Join(err, os.RemoveAll(half))
	}
	if err := os.Rename(half, to); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Remove(link)
}
