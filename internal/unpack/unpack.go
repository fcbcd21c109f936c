// Package unpack unpacks archives as a NodeManager does (org.apache.hadoop.yarn.util.FSDownload),
// whatever locale it runs in.
//
// It writes below the directory that it is given, and nowhere else, whatever an archive holds.
package unpack

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// Modes are what unpacked files and directories get, whatever they had.
type Modes struct{ File, Dir fs.FileMode }

// Func unpacks an archive into a directory that it makes.
type Func func(ctx context.Context, from io.Reader, to string, m Modes) error

// Of chooses by the file's name, as FSDownload does. It is nil for a name that says no archive:
// such a file is copied as it is, even if it is asked for as an archive.
func Of(name string) Func {
	name = strings.ToLower(name)
	switch {
	case strings.HasSuffix(name, ".tar.gz"), strings.HasSuffix(name, ".tgz"):
		return untarGzip
	case strings.HasSuffix(name, ".tar"):
		return untar
	case strings.HasSuffix(name, ".zip"), strings.HasSuffix(name, ".jar"):
		return unzip
	}
	return nil
}

// tree is a directory being filled. Nothing is written outside it: os.Root follows no link that
// leads out. The links themselves may point anywhere, since environments are packed with links to
// the system's own programs.
type tree struct {
	root *os.Root
	mode Modes
	dirs map[string]time.Time // modification times, set when all is there
}

func fill(to string, m Modes, with func(*tree) error) error {
	if err := os.Mkdir(to, m.Dir); err != nil {
		return err
	}
	root, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer root.Close()
	t := &tree{root, m, make(map[string]time.Time)}
	if err := with(t); err != nil {
		return err
	}
	for dir, at := range t.dirs {
		if err := root.Chtimes(dir, at, at); err != nil {
			return err
		}
	}
	return nil
}

// place prepares a name for an entry: it lies within the tree, its parents exist, and nothing but a
// directory is there.
func (t *tree) place(name string) (string, error) {
	clean := path.Clean(strings.TrimPrefix(name, "/"))
	if !fs.ValidPath(clean) {
		return "", fmt.Errorf("expanding %s would create file outside of the resource's directory", name)
	}
	if clean == "." {
		return clean, nil
	}
	if err := t.root.MkdirAll(path.Dir(clean), t.mode.Dir); err != nil {
		return "", err
	}
	info, err := t.root.Lstat(clean)
	if err == nil && !info.IsDir() {
		err = t.root.Remove(clean)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return clean, nil
}

func (t *tree) addDir(name string, at time.Time) error {
	name, err := t.place(name)
	if err != nil {
		return err
	}
	t.dirs[name] = at
	return t.root.MkdirAll(name, t.mode.Dir)
}

func (t *tree) addFile(name string, at time.Time, from io.Reader) error {
	name, err := t.place(name)
	if err != nil {
		return err
	}
	f, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	if err := errors.Join(err, f.Chmod(t.mode.File), f.Close()); err != nil {
		return err
	}
	return t.root.Chtimes(name, at, at) // Python compares a module's time with the one in its .pyc
}

func (t *tree) addLink(name, target string, hard bool) error {
	name, err := t.place(name)
	if err != nil {
		return err
	}
	if hard {
		return t.root.Link(path.Clean(strings.TrimPrefix(target, "/")), name)
	}
	return t.root.Symlink(target, name)
}

func untarGzip(ctx context.Context, from io.Reader, to string, m Modes) error {
	z, err := gzip.NewReader(bufio.NewReaderSize(from, 1<<18))
	if err != nil {
		return err
	}
	return untar(ctx, z, to, m)
}

func untar(ctx context.Context, from io.Reader, to string, m Modes) error {
	return fill(to, m, func(t *tree) error {
		for r := tar.NewReader(contextReader{ctx, from}); ; {
			h, err := r.Next()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			switch h.Typeflag {
			case tar.TypeDir:
				err = t.addDir(h.Name, h.ModTime)
			case tar.TypeReg:
				err = t.addFile(h.Name, h.ModTime, r)
			case tar.TypeSymlink, tar.TypeLink:
				err = t.addLink(h.Name, h.Linkname, h.Typeflag == tar.TypeLink)
			default: // devices and the like are no part of an environment
			}
			if err != nil {
				return fmt.Errorf("unpack %s: %w", h.Name, err)
			}
		}
	})
}

func unzip(ctx context.Context, from io.Reader, to string, m Modes) error {
	at, size, done, err := readerAt(ctx, from, to+".part")
	if err != nil {
		return err
	}
	defer done()
	z, err := zip.NewReader(at, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // which place refuses by itself, with the name
		return err
	}
	return fill(to, m, func(t *tree) error {
		for _, f := range z.File {
			if err := t.addZipped(ctx, f); err != nil {
				return fmt.Errorf("unpack %s: %w", f.Name, err)
			}
		}
		return nil
	})
}

// addZipped adds a member of a zip file. A link is a file that holds its target: the NodeManager
// reads zips as streams, in which nothing tells links from files.
func (t *tree) addZipped(ctx context.Context, f *zip.File) error {
	if f.FileInfo().IsDir() {
		return t.addDir(f.Name, f.Modified)
	}
	body, err := f.Open()
	if err != nil {
		return err
	}
	defer body.Close()
	if !f.Mode().IsRegular() && f.Mode()&fs.ModeSymlink == 0 {
		return nil
	}
	return t.addFile(f.Name, f.Modified, contextReader{ctx, body})
}

// readerAt gives random access to an archive: as it is if it is a local file, else through a copy.
func readerAt(ctx context.Context, from io.Reader, spare string) (io.ReaderAt, int64, func(), error) {
	if f, ok := from.(*os.File); ok {
		info, err := f.Stat()
		if err != nil {
			return nil, 0, nil, err
		}
		return f, info.Size(), func() {}, nil
	}
	if err := File(ctx, spare, from, 0o600); err != nil {
		return nil, 0, nil, err
	}
	f, err := os.Open(spare)
	if err != nil {
		return nil, 0, nil, err
	}
	remove := func() { f.Close(); os.Remove(spare) }
	info, err := f.Stat()
	if err != nil {
		remove()
		return nil, 0, nil, err
	}
	return f, info.Size(), remove, nil
}

// File makes a file that must not exist.
func File(ctx context.Context, name string, from io.Reader, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, contextReader{ctx, from})
	return errors.Join(err, f.Chmod(mode), f.Close())
}

// contextReader ends a copy when its container is stopped.
type contextReader struct {
	ctx  context.Context
	from io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, r.ctx.Err()
	}
	return r.from.Read(p)
}

// Names tells the name of each member of an archive, which is of the kind that as says.
func Names(ctx context.Context, from *os.File, as string, each func(name string)) error {
	as = strings.ToLower(as)
	if strings.HasSuffix(as, ".zip") || strings.HasSuffix(as, ".jar") {
		info, err := from.Stat()
		if err != nil {
			return err
		}
		z, err := zip.NewReader(from, info.Size())
		if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
			return err
		}
		for _, f := range z.File {
			each(f.Name)
		}
		return nil
	}
	plain := io.Reader(contextReader{ctx, from})
	if !strings.HasSuffix(as, ".tar") {
		z, err := gzip.NewReader(bufio.NewReaderSize(plain, 1<<18))
		if err != nil {
			return err
		}
		plain = z
	}
	for r := tar.NewReader(plain); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return err
		}
		each(h.Name)
		each(h.Linkname)
	}
}
