package stage

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"path"
	"strconv"

	"tfos/internal/client/exit"
	"tfos/internal/dfs"
)

// othersWrite are the permissions by which someone else may change a file.
const othersWrite fs.FileMode = 0o022

// cache is a directory of files that are named by their content's SHA-256.
//
// Jobs run what lies there, so an entry is used only when its content is known to be what its name
// says: it was hashed on its way there, or read back. An empty file beside the entry, its mark,
// says that this was done, and names the modification time that the entry had then. The directory,
// entries and marks belong to the user, and nobody else may write to them.
type cache struct {
	fs    dfs.FS
	dir   string
	owner string // the user, as the filesystem calls them
}

// openCache makes the directory, or looks at the one that is there.
func openCache(ctx context.Context, p Place) (*cache, error) {
	c := &cache{fs: p.FS, dir: p.Cache, owner: p.User}
	if err := c.fs.Mkdir(ctx, c.dir, 0o700); err != nil {
		above := path.Dir(c.dir)
		if info, unseen := c.fs.Stat(ctx, above); errors.Is(err, fs.ErrPermission) && unseen == nil && info.Owner != p.User {
			return nil, exit.Errorf(exit.Refused, "%s, where tfos keeps your files, belongs to %s: %w", c.fs.URI(above), info.Owner, err).
				Try("have it removed, or given to you: hdfs dfs -chown -R %s %s", p.User, c.fs.URI(above))
		}
		return nil, Explain(c.fs, "make the cache directory", c.dir, err)
	}
	info, err := c.fs.Stat(ctx, c.dir)
	if err != nil {
		return nil, Explain(c.fs, "look at the cache directory", c.dir, err)
	}
	if info.Owner != c.owner { // the filesystem may know the user by another name
		if c.owner, err = c.whoAmI(ctx); err != nil {
			return nil, Explain(c.fs, "write to the cache directory", c.dir, err)
		}
	}
	if !c.ours(info) {
		return nil, exit.Errorf(exit.Refused, "the cache directory %s belongs to %s and has mode %04o: others can change the files that your job would run",
			c.fs.URI(c.dir), info.Owner, info.Mode.Perm()).
			Try("remove it, or move it away: tfos makes a new one that only %s can write to", c.owner)
	}
	return c, nil
}

// whoAmI is what the filesystem calls the owner of a file that we make.
func (c *cache) whoAmI(ctx context.Context) (string, error) {
	name := path.Join(c.dir, "."+rand.Text())
	if err := dfs.WriteFile(ctx, c.fs, name, nil, 0o600); err != nil {
		return "", err
	}
	defer removeTemp(ctx, c.fs, name)
	info, err := c.fs.Stat(ctx, name)
	return info.Owner, err
}

// ours reports whether nobody but the user can have written something.
func (c *cache) ours(info dfs.Info) bool { return info.Owner == c.owner && info.Mode&othersWrite == 0 }

// put makes sure that the cache holds f, and says where, and how many bytes it sent for that.
func (c *cache) put(ctx context.Context, f file, progress func(int64)) (info dfs.Info, sent int64, err error) {
	entry := path.Join(c.dir, f.sum+f.suffix)
	info, ok, err := c.find(ctx, entry, f)
	if !ok && err == nil && f.Archive && f.Content == nil && !f.listed {
		if err = f.list(ctx); err == nil && f.suffix != archiveSuffix(f.Source) {
			entry = path.Join(c.dir, f.sum+f.suffix)
			info, ok, err = c.find(ctx, entry, f)
		}
	}
	if ok || err != nil {
		return info, 0, err
	}
	temp := path.Join(c.dir, "."+path.Base(entry)+"."+rand.Text())
	if sent, err = c.send(ctx, f, temp, progress); err == nil {
		err = c.fs.Rename(ctx, temp, entry, false)
	}
	if errors.Is(err, fs.ErrExist) { // a bad entry, or one of somebody who was faster
		if info, ok, err = c.find(ctx, entry, f); err == nil && !ok {
			err = c.fs.Rename(ctx, temp, entry, true)
		}
	}
	if err != nil || ok {
		removeTemp(ctx, c.fs, temp)
		return info, sent, err
	}
	if info, err = c.fs.Stat(ctx, entry); err == nil {
		c.mark(ctx, info)
	}
	return info, sent, err
}

// find looks at an entry; ok says that it holds f. One that is not known to is read.
func (c *cache) find(ctx context.Context, entry string, f file) (info dfs.Info, ok bool, err error) {
	info, err = c.fs.Stat(ctx, entry)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return info, false, nil
	case err != nil || info.IsDir() || info.Size != f.size || !c.ours(info):
		return info, false, err
	}
	mark, err := c.fs.Stat(ctx, markOf(info))
	if err == nil && c.ours(mark) {
		return info, true, nil
	}
	in, err := c.fs.Open(ctx, entry)
	if err != nil {
		return info, false, err
	}
	defer in.Close()
	h := sha256.New()
	if _, err := io.Copy(h, reader(ctx, in, func(int) {})); err != nil {
		return info, false, err
	}
	if ok = sum(h) == f.sum; ok {
		c.mark(ctx, info)
	}
	return info, ok, nil
}

// markOf is the name of an entry's mark.
func markOf(entry dfs.Info) string {
	return entry.Name + ".verified-" + strconv.FormatInt(entry.ModTime.UnixMilli(), 10)
}

// mark is best effort: an entry without a mark is read again the next time.
func (c *cache) mark(ctx context.Context, entry dfs.Info) {
	_ = dfs.WriteFile(ctx, c.fs, markOf(entry), nil, 0o600)
}

// send writes f to a new file, which is there only if its content is what f's hash says.
func (c *cache) send(ctx context.Context, f file, name string, progress func(int64)) (int64, error) {
	in, err := f.open()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	w, err := c.fs.Create(ctx, name, dfs.CreateOptions{Mode: 0o600})
	if err != nil {
		return 0, err
	}
	var read int64
	h := sha256.New()
	n, err := io.Copy(w, io.TeeReader(reader(ctx, in, func(n int) {
		read += int64(n)
		progress(read)
	}), h))
	if err == nil && sum(h) != f.sum {
		err = exit.Errorf(exit.Usage, "%s changed while it was uploaded", f.Source).Try("try again when nothing writes to it")
	}
	if err != nil {
		w.Abort()
		return n, err
	}
	return n, w.Close()
}

func sum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// reader reads from in until ctx is over, and tells how many bytes each time.
func reader(ctx context.Context, in io.Reader, tell func(n int)) io.Reader {
	return readFunc(func(p []byte) (int, error) {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		n, err := in.Read(p)
		tell(n)
		return n, err
	})
}

// readFunc is a function as an io.Reader.
type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// removeTemp is best effort: what it leaves is a hidden file that no entry depends on.
func removeTemp(ctx context.Context, d dfs.FS, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	_ = d.Remove(ctx, name, false)
}
