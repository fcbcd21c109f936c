package dfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"tfos/internal/hadoop/uri"
)

// Local is the disk of this machine.
type Local struct {
	home   string
	owners owners
}

// NewLocal makes the filesystem of this machine's disk. home is the user's home directory there:
// os.UserHomeDir, or a directory of a test.
func NewLocal(home string) *Local {
	return &Local{home: path.Clean("/" + filepath.ToSlash(home))}
}

// Stat implements FS.
func (l *Local) Stat(ctx context.Context, name string) (Info, error) {
	name, err := l.enter(ctx, "stat", name)
	if err != nil {
		return Info{}, err
	}
	info, err := os.Stat(name)
	if err != nil {
		return Info{}, localError(err)
	}
	return l.info(name, info), nil
}

// List implements FS.
func (l *Local) List(ctx context.Context, dir string) ([]Info, error) {
	dir, err := l.enter(ctx, "list", dir)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, localError(err)
	}
	list := make([]Info, 0, len(entries))
	for _, entry := range entries {
		if isTemporary(entry.Name()) {
			continue
		}
		name := path.Join(dir, entry.Name())
		info, err := os.Stat(name) // follows links, as HDFS users expect of a name
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went, or the link leads nowhere
		}
		if err != nil {
			return nil, localError(err)
		}
		list = append(list, l.info(name, info))
	}
	return list, nil
}

// Within reports whether a directory holds dir, or is it, by way of a link: who descends into it
// from there comes back.
func (l *Local) Within(dir, directory string) bool {
	inner, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	outer, err := filepath.EvalSymlinks(directory)
	return err == nil && (inner == outer || strings.HasPrefix(inner, strings.TrimSuffix(outer, "/")+"/"))
}

// Open implements FS.
func (l *Local) Open(ctx context.Context, name string) (File, error) {
	name, err := l.enter(ctx, "open", name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, localError(err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = &fs.PathError{Op: "open", Path: name, Err: ErrIsDirectory}
	}
	if err != nil {
		f.Close()
		return nil, localError(err)
	}
	return &localFile{File: f, size: info.Size()}, nil
}

// Create implements FS.
func (l *Local) Create(ctx context.Context, name string, o CreateOptions) (Writer, error) {
	name, err := l.enter(ctx, "create", name)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(name)
	switch {
	case err == nil && (info.IsDir() || !o.Overwrite):
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, localError(err)
	}
	temporary := temporaryName(name)
	mode := fileMode(o)
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, localError(err)
	}
	err = f.Chmod(mode) // past the umask
	if err == nil {
		err = claim(f)
	}
	if err != nil {
		f.Close()
		os.Remove(temporary)
		return nil, localError(err)
	}
	return &localWriter{f: f, temporary: temporary, name: name, overwrite: o.Overwrite}, nil
}

// Append implements FS.
func (l *Local) Append(ctx context.Context, name string) (Writer, error) {
	name, err := l.enter(ctx, "append", name)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, localError(err)
	}
	return &localWriter{f: f, name: name}, nil
}

// Mkdir implements FS.
func (l *Local) Mkdir(ctx context.Context, dir string, mode fs.FileMode) error {
	dir, err := l.enter(ctx, "mkdir", dir)
	if err != nil {
		return err
	}
	mode &= permissionBits
	var missing []string // the highest last
	for at := dir; ; at = path.Dir(at) {
		info, err := os.Stat(at)
		if err == nil && info.IsDir() {
			break
		}
		if err == nil && at == dir {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: fs.ErrExist}
		}
		if err == nil {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: fmt.Errorf("%s is %w", at, ErrNotDirectory)}
		}
		// Below a file the look-up says "not a directory": the walk goes on up to the file itself.
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return localError(err)
		}
		missing = append(missing, at)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		own := mode
		if i > 0 {
			own |= 0o300
		}
		err := os.Mkdir(missing[i], own)
		if errors.Is(err, fs.ErrExist) {
			continue // another made it meanwhile: it keeps its mode
		}
		if err == nil {
			err = os.Chmod(missing[i], own) // past the umask
		}
		if err != nil {
			return localError(err)
		}
	}
	return nil
}

// Rename implements FS.
func (l *Local) Rename(ctx context.Context, old, new string, overwrite bool) error {
	old, err := l.enter(ctx, "rename", old)
	if err != nil {
		return err
	}
	if new, err = cleanName("rename", new); err != nil {
		return err
	}
	if err := checkRename(old, new); err != nil {
		return err
	}
	source, err := os.Stat(old)
	if err != nil {
		return localError(err)
	}
	if target, err := os.Stat(new); err == nil && (!overwrite || source.IsDir() || target.IsDir()) {
		return &fs.PathError{Op: "rename", Path: new, Err: fs.ErrExist}
	}
	if overwrite && !source.IsDir() {
		return localError(os.Rename(old, new))
	}
	return localError(renameNoReplace(old, new))
}

// Remove implements FS.
func (l *Local) Remove(ctx context.Context, name string, recursive bool) error {
	name, err := cleanRemovable(name)
	if err != nil {
		return err
	}
	if _, err := l.enter(ctx, "remove", name); err != nil {
		return err
	}
	if _, err := os.Lstat(name); err != nil {
		return localError(err)
	}
	if recursive {
		return localError(os.RemoveAll(name))
	}
	return localError(os.Remove(name))
}

// Chmod implements FS.
func (l *Local) Chmod(ctx context.Context, name string, mode fs.FileMode) error {
	name, err := l.enter(ctx, "chmod", name)
	if err != nil {
		return err
	}
	return localError(os.Chmod(name, mode&permissionBits))
}

// Home implements FS.
func (l *Local) Home() string { return l.home }

// URI implements FS.
func (l *Local) URI(name string) string {
	return uri.URI{Scheme: "file", Path: path.Clean(name)}.String()
}

// Close implements FS. There is nothing to end; open files stay usable.
func (l *Local) Close() error { return nil }

func (l *Local) enter(ctx context.Context, op, name string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", &fs.PathError{Op: op, Path: name, Err: err}
	}
	return cleanName(op, name)
}

func (l *Local) info(name string, info fs.FileInfo) Info {
	i := Info{
		Name:    name,
		Mode:    info.Mode() & (permissionBits | fs.ModeDir),
		ModTime: info.ModTime().Truncate(time.Millisecond),
	}
	if !info.IsDir() {
		i.Size = info.Size()
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		i.Owner, i.Group = l.owners.user(stat.Uid), l.owners.group(stat.Gid)
	}
	return i
}

// owners looks the names of numeric users and groups up, once each: a look-up reads a file.
type owners struct {
	users, groups sync.Map // uint32 → string
}

func (o *owners) user(uid uint32) string {
	return lookup(&o.users, uid, func(id string) (string, error) {
		u, err := user.LookupId(id)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
}

func (o *owners) group(gid uint32) string {
	return lookup(&o.groups, gid, func(id string) (string, error) {
		g, err := user.LookupGroupId(id)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	})
}

// lookup answers with the number itself where it has no name.
func lookup(known *sync.Map, id uint32, find func(string) (string, error)) string {
	if name, ok := known.Load(id); ok {
		return name.(string)
	}
	text := strconv.FormatUint(uint64(id), 10)
	name, err := find(text)
	if err != nil {
		name = text
	}
	known.Store(id, name)
	return name
}

type localFile struct {
	*os.File
	size int64
}

func (f *localFile) Size() int64 { return f.size }

// localWriter writes to a temporary file that Close moves to its name, or, with temporary empty, to
// the end of a file.
type localWriter struct {
	f         *os.File
	temporary string
	name      string
	overwrite bool
	done      bool
}

func (w *localWriter) Write(b []byte) (int, error) {
	n, err := w.f.Write(b)
	return n, localError(err)
}

func (w *localWriter) Sync() error { return localError(w.f.Sync()) }

func (w *localWriter) Close() error {
	if w.done {
		return &fs.PathError{Op: "close", Path: w.name, Err: fs.ErrClosed}
	}
	w.done = true
	// Synced before it takes its name: a machine that loses power must not have an empty file
	// there.
	err := w.f.Sync()
	if closeErr := w.f.Close(); err == nil {
		err = closeErr
	}
	if w.temporary == "" {
		return localError(err)
	}
	switch {
	case err != nil:
	case w.overwrite:
		err = os.Rename(w.temporary, w.name)
	default:
		err = renameNoReplace(w.temporary, w.name)
	}
	if err != nil {
		os.Remove(w.temporary)
	}
	return localError(err)
}

func (w *localWriter) Abort() {
	if w.done {
		return
	}
	w.done = true
	w.f.Close()
	if w.temporary != "" {
		os.Remove(w.temporary)
	}
}

// localErrors says which of our errors an errno is, where the standard library does not.
var localErrors = []struct {
	errno syscall.Errno
	ours  error
}{
	{syscall.ENOSPC, ErrNoSpace},
	{syscall.EDQUOT, ErrQuota},
	{syscall.ENOTDIR, ErrNotDirectory},
	{syscall.EISDIR, ErrIsDirectory},
	{syscall.ENOTEMPTY, ErrNotEmpty},
	{syscall.EINVAL, fs.ErrInvalid},
}

// localError makes the operating system's errors ours.
func localError(err error) error {
	if errors.Is(err, fs.ErrExist) && !errors.Is(err, syscall.ENOTEMPTY) { // the library counts ENOTEMPTY as "exists"
		return err
	}
	for _, e := range localErrors {
		if errors.Is(err, e.errno) {
			return &foreignError{ours: e.ours, err: err}
		}
	}
	return err
}

// foreignError is an error of an operating system or a NameNode that is also one of ours. It prints
// the foreign words, which say more.
type foreignError struct {
	ours error // what errors.Is finds
	err  error
}

func (e *foreignError) Error() string   { return e.err.Error() }
func (e *foreignError) Unwrap() []error { return []error{e.ours, e.err} }
