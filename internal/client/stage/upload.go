package stage

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"path"
	"strings"
	"time"

	"tfos/internal/client/exit"
	"tfos/internal/dfs"
	"tfos/internal/launch"
)

// cleanupTimeout bounds what is undone after a failure, when the caller's context may be over.
const cleanupTimeout = 10 * time.Second

// Progress is told how many bytes of Total are at their place; it is called often.
type Progress func(done, total int64)

// Staged is what Upload made of a Set.
type Staged struct {
	Resources []launch.Resource // in the order of the items
	Uploaded  int64             // bytes that went over the network
	Total     int64             // bytes of all local files
}

// Upload brings the local files of s into the directory cache, unless they are there already, and looks at those that lie on
// the cluster. A failure leaves nothing incomplete behind.
func (s *Set) Upload(ctx context.Context, d dfs.FS, cache string, progress Progress) (Staged, error) {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	st := Staged{Total: s.Total()}
	var done int64
	progress(0, st.Total)
	if err := d.Mkdir(ctx, cache, 0o700); err != nil {
		return st, Explain(d, "make the cache directory", cache, err)
	}
	for _, f := range s.files {
		if f.remote() {
			r, err := remote(ctx, d, f.Item)
			if err != nil {
				return st, err
			}
			st.Resources = append(st.Resources, r)
			continue
		}
		entry := path.Join(cache, f.sum+f.suffix)
		info, sent, err := put(ctx, d, f, entry, func(n int64) { progress(done+n, st.Total) })
		st.Uploaded += sent
		if err != nil {
			return st, Explain(d, "upload "+f.Source+" to", entry, err)
		}
		done += f.size
		progress(done, st.Total)
		st.Resources = append(st.Resources, resource(f.Item, d.URI(entry), info))
	}
	return st, nil
}

// put makes sure that entry holds f, and says how many bytes it sent for that.
func put(ctx context.Context, d dfs.FS, f file, entry string, progress func(int64)) (dfs.Info, int64, error) {
	info, err := d.Stat(ctx, entry)
	if err == nil && info.Size == f.size {
		return info, 0, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return dfs.Info{}, 0, err
	}
	damaged := err == nil // a file of this name with another size: somebody wrote into the cache
	temp := path.Join(path.Dir(entry), "."+path.Base(entry)+"."+rand.Text())
	sent, err := copyTo(ctx, d, f, temp, progress)
	if err == nil {
		err = d.Rename(ctx, temp, entry, damaged)
		if errors.Is(err, fs.ErrExist) { // someone else was faster, with the same content
			removeTemp(ctx, d, temp)
			err = nil
		}
	}
	if err != nil {
		removeTemp(ctx, d, temp)
		return dfs.Info{}, sent, err
	}
	info, err = d.Stat(ctx, entry)
	return info, sent, err
}

func copyTo(ctx context.Context, d dfs.FS, f file, name string, progress func(int64)) (int64, error) {
	in, err := f.open()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	w, err := d.Create(ctx, name, dfs.CreateOptions{Mode: 0o600})
	if err != nil {
		return 0, err
	}
	var read int64
	n, err := io.Copy(w, readFunc(func(p []byte) (int, error) {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		n, err := in.Read(p)
		read += int64(n)
		progress(read)
		return n, err
	}))
	if err == nil && n != f.size {
		err = exit.Errorf(exit.Usage, "%s changed while it was uploaded", f.Source).Try("try again when nothing writes to it")
	}
	if err != nil {
		w.Abort()
		return n, err
	}
	return n, w.Close()
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

// remote describes a file that lies on the cluster. Only one on the default filesystem can be looked at.
func remote(ctx context.Context, d dfs.FS, it Item) (launch.Resource, error) {
	u, err := url.Parse(it.Source)
	if err != nil {
		return launch.Resource{}, exit.Errorf(exit.Usage, "file %s: %w", it.Source, err)
	}
	if home, err := url.Parse(d.URI("/")); err == nil && (u.Scheme != home.Scheme || u.Host != "" && u.Host != home.Host) {
		return launch.Resource{}, exit.Errorf(exit.Usage, "file %s lies on another filesystem than the cluster's, %s", it.Source, d.URI("/")).
			Try("copy it there, or name a local file")
	}
	info, err := d.Stat(ctx, u.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return launch.Resource{}, exit.Errorf(exit.Usage, "%s does not exist: %w", it.Source, err)
	case err != nil:
		return launch.Resource{}, Explain(d, "look at", u.Path, err)
	case info.IsDir():
		return launch.Resource{}, exit.Errorf(exit.Usage, "%s is a directory", it.Source).
			Try("pack it: YARN brings files and archives into containers, no directories")
	}
	return resource(it, d.URI(u.Path), info), nil
}

func resource(it Item, uri string, info dfs.Info) launch.Resource {
	return launch.Resource{Name: it.Name, URI: uri, Size: info.Size, ModTime: info.ModTime.UnixMilli(), Archive: it.Archive}
}

// Explain makes of a filesystem's error one that says what to do. doing completes "cannot …".
func Explain(d dfs.FS, doing, name string, err error) error {
	var known *exit.Error
	if errors.As(err, &known) {
		return err
	}
	uri := d.URI(name)
	root := path.Join(d.Home(), launch.Root)
	ours := name == root || name == d.Home() || strings.HasPrefix(name, root+"/")
	switch {
	case errors.Is(err, fs.ErrPermission) && !ours:
		return exit.Errorf(exit.Refused, "cannot %s %s: no permission: %w", doing, uri, err).
			Try("have it given to you: hdfs dfs -chmod, -chown or -setfacl")
	case errors.Is(err, fs.ErrPermission):
		return exit.Errorf(exit.Refused, "cannot %s %s: no permission: %w", doing, uri, err).
			Try("tfos keeps its files in %s: ask an administrator to make %s and to give it to you", d.URI(root), d.URI(d.Home()))
	case errors.Is(err, dfs.ErrSafeMode):
		return exit.Errorf(exit.Refused, "cannot %s %s: the NameNode is in safe mode and takes no changes: %w", doing, uri, err).
			Try("it leaves safe mode by itself soon after a start; hdfs dfsadmin -safemode get shows it")
	case errors.Is(err, dfs.ErrQuota) && !ours:
		return exit.Errorf(exit.Refused, "cannot %s %s: the directory's quota is used up: %w", doing, uri, err).
			Try("remove what is not needed from it, or have the quota raised: hdfs dfsadmin -setSpaceQuota, -setQuota")
	case errors.Is(err, dfs.ErrQuota):
		return exit.Errorf(exit.Refused, "cannot %s %s: the directory's quota is used up: %w", doing, uri, err).
			Try("remove what is not needed from %s, or ask for more", d.URI(root))
	case errors.Is(err, dfs.ErrNoSpace):
		return exit.Errorf(exit.Refused, "cannot %s %s: the filesystem is full: %w", doing, uri, err).
			Try("make room: hdfs dfs -df shows how much is left")
	case errors.Is(err, dfs.ErrEncrypted), errors.Is(err, dfs.ErrErasureCoded):
		return exit.Errorf(exit.Refused, "cannot %s %s: %w", doing, uri, err).Try("use a directory outside of such a zone")
	case errors.Is(err, dfs.ErrNotDirectory), errors.Is(err, dfs.ErrIsDirectory), errors.Is(err, fs.ErrExist):
		return exit.Errorf(exit.Refused, "cannot %s %s: %w", doing, uri, err).Try("move away what is in the way there")
	case errors.Is(err, dfs.ErrUnreachable), errors.Is(err, context.DeadlineExceeded):
		return exit.Errorf(exit.Infrastructure, "cannot %s %s: no answer from the filesystem: %w", doing, uri, err).
			Try("is the NameNode running, and fs.defaultFS in core-site.xml right?")
	}
	return exit.Errorf(exit.Infrastructure, "cannot %s %s: %w", doing, uri, err)
}

// maxSmall bounds what ReadSmall takes into memory, in bytes.
const maxSmall = 64 << 20

// ReadSmall reads a file of d whole.
func ReadSmall(ctx context.Context, d dfs.FS, name string) ([]byte, error) {
	f, err := d.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Size() > maxSmall {
		return nil, exit.Errorf(exit.Infrastructure, "%s is implausibly large: %d bytes", d.URI(name), f.Size())
	}
	return io.ReadAll(f)
}
