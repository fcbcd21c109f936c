// Package glob finds the files that patterns match, on any filesystem.
package glob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"tfos/internal/dfs"
	"tfos/internal/lease"
)

// Resolver finds the filesystem of a URI and the name in it.
type Resolver interface {
	Resolve(ctx context.Context, uri string) (dfs.FS, string, error)
}

// Matcher matches patterns on the filesystems of a Resolver: * ? and [a-z] within a name, ** for
// any number of directories. A directory that matches stands for every file under it. Names that
// begin with a dot or an underscore are left out, as Hadoop does, unless the pattern begins so as
// well. A pattern without a scheme is of the local disk, as TensorFlow has it: of the master's
// node, so it must be the same on all.
type Matcher struct{ Resolver Resolver }

const meta = `*?[\`

// Match lists the files that a pattern matches.
func (g Matcher) Match(ctx context.Context, pattern string) ([]lease.File, error) {
	root, name := "", pattern
	if scheme, rest, ok := strings.Cut(pattern, "://"); ok {
		authority, below, found := strings.Cut(rest, "/")
		if !found {
			return nil, errors.New("it names no file")
		}
		root, name = scheme+"://"+authority, "/"+below
	}
	if !path.IsAbs(name) {
		return nil, errors.New("it is relative, and no two tasks have the same directory: say where the files are from / on, or hdfs://")
	}
	if _, err := path.Match(name, ""); err != nil {
		return nil, fmt.Errorf("it is no pattern: %w", err)
	}
	base := root
	if root == "" {
		base = "file://"
	}
	fs, _, err := g.Resolver.Resolve(ctx, base+"/")
	if err != nil {
		return nil, err
	}
	w := walk{ctx: ctx, fs: fs, root: root}
	err = w.match("/", strings.Split(strings.Trim(path.Clean(name), "/"), "/"))
	return w.found, err
}

// walk is one search.
type walk struct {
	ctx   context.Context
	fs    dfs.FS
	root  string // what the program's names begin with
	found []lease.File
}

// match searches dir for what the segments of a pattern match.
func (w *walk) match(dir string, segments []string) error {
	plain := 0
	for plain < len(segments) && !strings.ContainsAny(segments[plain], meta) {
		plain++
	}
	dir = path.Join(dir, path.Join(segments[:plain]...))
	if plain == len(segments) {
		info, err := w.fs.Stat(w.ctx, dir)
		if absent(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return w.take(info)
	}
	segment, rest := segments[plain], segments[plain+1:]
	entries, err := w.fs.List(w.ctx, dir)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if segment == "**" && len(rest) > 0 {
		if err := w.match(dir, rest); err != nil { // for no directory at all
			return err
		}
	}
	for _, e := range entries {
		base := path.Base(e.Name)
		if hidden(base) && !hidden(segment) {
			continue
		}
		if segment == "**" {
			if w.back(dir, e) {
				continue
			}
			if e.IsDir() {
				err = w.match(e.Name, segments[plain:])
			} else if len(rest) == 0 {
				err = w.take(e)
			}
		} else if ok, _ := path.Match(segment, base); ok {
			switch {
			case len(rest) == 0:
				err = w.take(e)
			case e.IsDir():
				err = w.match(e.Name, rest)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// back reports whether an entry of dir is a link that leads back to it, or to a directory above:
// its files are found without it.
func (w *walk) back(dir string, e dfs.Info) bool {
	links, ok := w.fs.(interface {
		Within(dir, directory string) bool
	})
	return ok && e.IsDir() && links.Within(dir, e.Name)
}

// take adds a file, or every file under a directory.
func (w *walk) take(info dfs.Info) error {
	if !info.IsDir() {
		if len(w.found) == lease.MaxPieces {
			return fmt.Errorf("it matches more than %d files", lease.MaxPieces)
		}
		w.found = append(w.found, lease.File{Path: w.root + info.Name, Size: info.Size})
		return nil
	}
	entries, err := w.fs.List(w.ctx, info.Name)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if hidden(path.Base(e.Name)) || w.back(info.Name, e) {
			continue
		}
		if err := w.take(e); err != nil {
			return err
		}
	}
	return nil
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") }

func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, dfs.ErrNotDirectory)
}
