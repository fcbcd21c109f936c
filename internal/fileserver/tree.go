package fileserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"tfos/internal/dfs"
)

const (
	dirMode = 0o755
	// workingEvery is how often a long operation says that it is not over.
	workingEvery = 5 * time.Second
)

// tree does with names what POSIX does, where HDFS itself does otherwise.
type tree struct {
	files   Files
	growing *growingFiles
	working func() error // tells the peer that an operation goes on
}

// location is a path as programs write it, taken apart.
type location struct {
	prefix string // "hdfs://host:port"; empty: there is none
	path   string // absolute
}

func locate(name string) location {
	prefix, rest, ok := strings.Cut(name, "://")
	if !ok {
		return location{path: name}
	}
	authority, below, _ := strings.Cut(rest, "/")
	return location{prefix: prefix + "://" + authority, path: "/" + below}
}

func (l location) String() string { return l.prefix + l.path }

// at does something with a file or directory.
func (t tree) at(ctx context.Context, name string, do func(f dfs.FS, name string) error) error {
	f, inside, release, err := t.files.Use(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	return do(f, inside)
}

func (t tree) stat(ctx context.Context, name string) (info dfs.Info, err error) {
	err = t.at(ctx, name, func(f dfs.FS, name string) error {
		t.growing.settle(f, name)
		info, err = f.Stat(ctx, name)
		return err
	})
	return info, err
}

func (t tree) list(ctx context.Context, name string) (names []string, err error) {
	err = t.at(ctx, name, func(f dfs.FS, name string) error {
		infos, err := f.List(ctx, name)
		for _, i := range infos {
			names = append(names, path.Base(i.Name))
		}
		return belowFile(ctx, f, name, err)
	})
	return names, err
}

// wrong is an error about a name.
func wrong(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// mkdir makes one directory, in one that exists.
func (t tree) mkdir(ctx context.Context, name string) error {
	return t.at(ctx, name, func(f dfs.FS, name string) error {
		if _, err := f.Stat(ctx, name); err == nil {
			return wrong("mkdir", f.URI(name), fs.ErrExist)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := directory(ctx, f, path.Dir(name)); err != nil {
			return err
		}
		return f.Mkdir(ctx, name, dirMode)
	})
}

// directory fails unless name is one.
func directory(ctx context.Context, f dfs.FS, name string) error {
	info, err := f.Stat(ctx, name)
	if err == nil && !info.IsDir() {
		err = wrong("stat", f.URI(name), dfs.ErrNotDirectory)
	}
	return err
}

// belowFile is err, or that something above name is a file if that is why there is no such file:
// HDFS does not tell everyone, and calls it a lack of permission where a directory is listed.
func belowFile(ctx context.Context, f dfs.FS, name string, err error) error {
	unclear := func(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) }
	if !unclear(err) {
		return err
	}
	for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
		wrongly := directory(ctx, f, dir)
		if errors.Is(wrongly, dfs.ErrNotDirectory) {
			return wrongly
		}
		if !unclear(wrongly) {
			break
		}
	}
	return err
}

func (t tree) mkdirs(ctx context.Context, name string) error {
	return t.at(ctx, name, func(f dfs.FS, name string) error {
		err := f.Mkdir(ctx, name, dirMode)
		if errors.Is(err, fs.ErrExist) {
			err = wrong("mkdir", f.URI(name), dfs.ErrNotDirectory)
		}
		return err
	})
}

func (t tree) remove(ctx context.Context, name string) error {
	return t.at(ctx, name, func(f dfs.FS, name string) error {
		info, err := f.Stat(ctx, name)
		if err != nil {
			return err
		}
		if info.IsDir() {
			return wrong("remove", f.URI(name), dfs.ErrIsDirectory)
		}
		return f.Remove(ctx, name, false)
	})
}

func (t tree) rmdir(ctx context.Context, name string) error {
	return t.at(ctx, name, func(f dfs.FS, name string) error {
		if err := directory(ctx, f, name); err != nil {
			return err
		}
		return f.Remove(ctx, name, false)
	})
}

func (t tree) removeAll(ctx context.Context, name string) error {
	return t.at(ctx, name, func(f dfs.FS, name string) error { return f.Remove(ctx, name, true) })
}

// rename moves a file or directory. As rename(2) does, it replaces a file by a file and an empty
// directory by a directory.
func (t tree) rename(ctx context.Context, old, new string) error {
	return t.at(ctx, old, func(f dfs.FS, from string) error {
		return t.at(ctx, new, func(g dfs.FS, to string) error {
			if f != g {
				return wrong("rename", old, fmt.Errorf("%w: %s lies on another filesystem; copy it", dfs.ErrUnsupported, new))
			}
			source, err := f.Stat(ctx, from)
			if err != nil || from == to {
				return err
			}
			err = f.Rename(ctx, from, to, true)
			if !errors.Is(err, fs.ErrExist) {
				return err
			}
			target, statErr := f.Stat(ctx, to)
			switch {
			case statErr != nil:
				return err
			case target.IsDir() && !source.IsDir():
				return wrong("rename", f.URI(to), dfs.ErrIsDirectory)
			case !target.IsDir():
				return wrong("rename", f.URI(to), dfs.ErrNotDirectory)
			}
			if err := f.Remove(ctx, to, false); err != nil {
				return err
			}
			return f.Rename(ctx, from, to, false)
		})
	})
}

// copy copies a file, in place of one that is there.
func (t tree) copy(ctx context.Context, old, new string) error {
	return t.at(ctx, old, func(f dfs.FS, from string) error {
		t.growing.settle(f, from)
		in, err := f.Open(ctx, from)
		if errors.Is(err, dfs.ErrIsDirectory) {
			err = wrong("copy", f.URI(from), fmt.Errorf("%w: it is a directory", fs.ErrInvalid))
		}
		if err != nil {
			return err
		}
		defer in.Close()
		return t.at(ctx, new, func(g dfs.FS, to string) error {
			out, err := createOver(ctx, g, to)
			if err != nil {
				return err
			}
			if _, err := io.CopyBuffer(onlyWriter{out}, &ticking{r: in, tick: t.working, last: time.Now()}, make([]byte, maxData)); err != nil {
				out.Abort()
				return err
			}
			return out.Close()
		})
	})
}

// onlyWriter and ticking keep io.Copy to its buffer.
type onlyWriter struct{ io.Writer }

// ticking calls tick now and then while it is read.
type ticking struct {
	r    io.Reader
	tick func() error
	last time.Time
}

func (t *ticking) Read(p []byte) (int, error) {
	if time.Since(t.last) > workingEvery {
		if err := t.tick(); err != nil {
			return 0, err
		}
		t.last = time.Now()
	}
	return t.r.Read(p)
}

// createOver creates a file in place of one that is there.
func createOver(ctx context.Context, f dfs.FS, name string) (dfs.Writer, error) {
	w, err := f.Create(ctx, name, dfs.CreateOptions{Overwrite: true})
	if errors.Is(err, fs.ErrExist) {
		err = wrong("create", f.URI(name), dfs.ErrIsDirectory)
	}
	return w, err
}
