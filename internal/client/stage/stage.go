// Package stage brings files to where NodeManagers fetch them: a cache on the cluster's filesystem
// whose entries are named by their content.
//
// Collect looks at the local side alone: everything that can be wrong there is found before a
// cluster is asked for anything. Upload then copies what the cache lacks. An entry of the cache is
// complete or absent, never half a file.
package stage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"tfos/internal/client/exit"
	"tfos/internal/hadoop/uri"
	"tfos/internal/launch"
	"tfos/internal/unpack"
)

// Item is a file that the containers are to have.
type Item struct {
	Source  string // a local path, file://…, or the URI of a file on the cluster
	Name    string // in the container's directory
	Archive bool   // unpacked there
	Content []byte // what the file holds; Source is then only what people call it. nil: it is read from Source
}

// Set is what Collect found: files with their hashes, directories packed. Close removes what it
// packed.
type Set struct {
	files []file
	taken map[string]string // names in the container, and whose they are
	temp  string            // directory of packed archives; empty: none
}

// file is one Item, looked at.
type file struct {
	Item
	path   string // local; empty: it is Content, or lies on the cluster already, at Source
	suffix string // of the entry in the cache: archives keep theirs, for NodeManagers unpack by it
	size   int64
	sum    string // SHA-256, hexadecimal
	listed bool   // of an archive: suffix says who unpacks it
}

// Total is the size of all local files, in bytes.
func (s *Set) Total() int64 {
	var n int64
	for _, f := range s.files {
		n += f.size
	}
	return n
}

// Close removes temporary files.
func (s *Set) Close() error {
	if s.temp == "" {
		return nil
	}
	return os.RemoveAll(s.temp)
}

// Collect looks at items: each must exist, be readable, and have a name of its own. Its errors are
// the user's to mend.
func Collect(items []Item) (*Set, error) {
	s := &Set{taken: map[string]string{}}
	for _, it := range items {
		if err := s.Add(it); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// Add looks at one more item, as Collect does.
func (s *Set) Add(it Item) error {
	if other, ok := s.taken[it.Name]; ok {
		return exit.Errorf(exit.Usage, "%s and %s would both be %q in the containers", other, it.Source, it.Name).
			Try("give one of them another name: PATH#NAME")
	}
	f, err := s.collect(it)
	if err == nil {
		err = f.checkName()
	}
	if err != nil {
		return err
	}
	s.taken[it.Name] = it.Source
	s.files = append(s.files, f)
	return nil
}

// checkName wants a name that some link can carry.
func (f file) checkName() error {
	r := launch.Resource{Name: f.Name, URI: f.suffix, Archive: f.Archive}
	if err := r.CheckLink(); err != nil {
		return exit.Errorf(exit.Usage, "%s: %w", f.Source, err).Try("give it a shorter one: PATH#NAME")
	}
	return nil
}

// list finds out who unpacks an archive: the agent, if a NodeManager might not be able to.
func (f *file) list(ctx context.Context) error {
	in, err := os.Open(f.path)
	if err != nil {
		return localError(f.Item, err)
	}
	defer in.Close()
	plain := true
	err = unpack.Names(ctx, in, f.suffix, func(name string) { plain = plain && launch.Plain(name) })
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return exit.Errorf(exit.Usage, "archive %s cannot be unpacked: %w", f.Source, err).Try("is it whole, and of the kind that its name says? YARN would try on every node")
	}
	if !plain {
		f.suffix = launch.AgentArchive + f.suffix
	}
	f.listed = true
	return nil
}

// open reads the file, if it is local.
func (f file) open() (io.ReadCloser, error) {
	if f.Content != nil {
		return io.NopCloser(bytes.NewReader(f.Content)), nil
	}
	return os.Open(f.path)
}

// remote reports whether the file lies on the cluster already.
func (f file) remote() bool { return f.path == "" && f.Content == nil }

func (s *Set) collect(it Item) (file, error) {
	f := file{Item: it}
	if it.Archive {
		if f.suffix = archiveSuffix(it.Source); f.suffix == "" && !isLocalDir(it.Source) {
			return f, exit.Errorf(exit.Usage, "archive %s: YARN unpacks no such file", it.Source).
				Try("make it one of %s", strings.Join(unpacked, ", "))
		}
	}
	if it.Content != nil {
		sum := sha256.Sum256(it.Content)
		f.size, f.sum = int64(len(it.Content)), hex.EncodeToString(sum[:])
		return f, nil
	}
	name, local := LocalPath(it.Source)
	if !local {
		return f, nil
	}
	f.path = name
	info, err := os.Stat(name)
	if err != nil {
		return f, localError(it, err)
	}
	switch {
	case info.IsDir():
		err = s.packDir(&f)
	case info.Mode().IsRegular():
		f.size, f.sum, err = Digest(name)
	default:
		return f, exit.Errorf(exit.Usage, "%s is neither a file nor a directory", it.Source)
	}
	if err != nil {
		return f, localError(it, err)
	}
	return f, nil
}

// packDir replaces f's directory by an archive of it, which unpacks to a directory of f's name.
func (s *Set) packDir(f *file) (err error) {
	if s.temp == "" {
		if s.temp, err = os.MkdirTemp("", "tfos-pack-"); err != nil {
			return TempError(err)
		}
	}
	out, err := os.CreateTemp(s.temp, "*.tar.gz")
	if err != nil {
		return TempError(err)
	}
	defer out.Close()
	h := sha256.New()
	n := &counter{}
	plain, err := pack(f.path, io.MultiWriter(tempWriter{out}, h, n))
	if err != nil {
		return err
	}
	f.path, f.suffix, f.Archive, f.listed = out.Name(), ".tar.gz", true, true
	if !plain {
		f.suffix = launch.AgentArchive + f.suffix
	}
	f.size, f.sum = n.n, hex.EncodeToString(h.Sum(nil))
	if err := out.Close(); err != nil {
		return TempError(err)
	}
	return nil
}

// tempWriter writes a temporary file.
type tempWriter struct{ io.Writer }

func (w tempWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		err = TempError(err)
	}
	return n, err
}

// TempError says where tfos could not keep something for as long as it runs.
func TempError(err error) error {
	return exit.Errorf(exit.Usage, "tfos cannot keep temporary files in %s: %w", os.TempDir(), err).
		Try("set TMPDIR to a directory that you may write to, with room in it")
}

// counter counts the bytes written to it.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// Digest reads a local file: its length, and its SHA-256 in hexadecimal digits.
func Digest(name string) (size int64, sum string, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, f)
	return size, hex.EncodeToString(h.Sum(nil)), err
}

// LocalPath is where a source lies on this machine; ok is false for one that lies on the cluster.
func LocalPath(source string) (path string, ok bool) {
	if !strings.Contains(source, "://") {
		return source, true
	}
	u := uri.Parse(source)
	return u.Path, u.Scheme == "file"
}

// hint says what may be wrong with the path of an item that is not there.
func hint(it Item) string {
	if it.Name != path.Base(it.Source) {
		return fmt.Sprintf("the last # begins the name in the container: if the file is %s#%s, write %[1]s#%[2]s#NAME", it.Source, it.Name)
	}
	return "is the path right? hdfs dfs -ls shows what is there"
}

func isLocalDir(source string) bool {
	name, ok := LocalPath(source)
	if !ok {
		return false
	}
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

func localError(it Item, err error) error {
	var known *exit.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, fs.ErrNotExist):
		abs, _ := filepath.Abs(it.Source)
		try := fmt.Sprintf("looked for %s; paths in a job file are relative to the file's directory", abs)
		if it.Name != path.Base(it.Source) {
			try = hint(it)
		}
		return exit.Errorf(exit.Usage, "%s does not exist: %w", it.Source, err).Try("%s", try)
	case errors.Is(err, fs.ErrPermission):
		return exit.Errorf(exit.Usage, "%s cannot be read: %w", it.Source, err)
	}
	return exit.Errorf(exit.Usage, "read %s: %w", it.Source, err)
}
