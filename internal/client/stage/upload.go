package stage

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"tfos/internal/client/exit"
	"tfos/internal/dfs"
	"tfos/internal/hadoop/uri"
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

// Place is where Upload brings files.
type Place struct {
	FS    dfs.FS
	Cache string // directory in FS for what is local now
	User  string // whose cache it is
	// Resolve finds the filesystem of a file that is on the cluster already, and its name there.
	Resolve func(ctx context.Context, uri string) (dfs.FS, string, error)
}

// Upload brings the local files of s into the directory cache, unless they are there already, and
// looks at those that lie on the cluster. A failure leaves nothing incomplete behind.
func (s *Set) Upload(ctx context.Context, p Place, progress Progress) (Staged, error) {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	st := Staged{Total: s.Total()}
	var done int64
	progress(0, st.Total)
	c, err := openCache(ctx, p)
	if err != nil {
		return st, err
	}
	for _, f := range s.files {
		if f.remote() {
			r, err := remote(ctx, p, f.Item)
			if err != nil {
				return st, err
			}
			st.Resources = append(st.Resources, r)
			continue
		}
		info, sent, err := c.put(ctx, f, func(n int64) { progress(done+n, st.Total) })
		st.Uploaded += sent
		if err != nil {
			return st, Explain(p.FS, "upload "+f.Source+" to", p.Cache, err)
		}
		done += f.size
		progress(done, st.Total)
		st.Resources = append(st.Resources, resource(f.Item, p.FS.URI(info.Name), info))
	}
	return st, nil
}

// remote describes a file that lies on the cluster.
func remote(ctx context.Context, p Place, it Item) (launch.Resource, error) {
	d, name, err := p.Resolve(ctx, it.Source)
	if err != nil {
		return launch.Resource{}, exit.Errorf(exit.Usage, "file %s: %w", it.Source, err)
	}
	if uri.Parse(p.FS.URI("/")).Scheme == "file" { // the embedded YARN
		return launch.Resource{}, exit.Errorf(exit.Usage, "file %s does not lie on this machine, and the local YARN brings no other into containers", it.Source).
			Try("name a local file")
	}
	info, err := d.Stat(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return launch.Resource{}, exit.Errorf(exit.Usage, "%s does not exist: %w", it.Source, err).Try("%s", hint(it))
	case err != nil:
		return launch.Resource{}, Explain(d, "look at", name, err)
	case info.IsDir():
		return launch.Resource{}, exit.Errorf(exit.Usage, "%s is a directory", it.Source).
			Try("pack it: YARN brings files and archives into containers, no directories")
	}
	return resource(it, d.URI(name), info), nil
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
			Try("is the NameNode running, fs.defaultFS in core-site.xml right, and can this host reach NameNode and DataNodes?")
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
