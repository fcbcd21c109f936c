package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tfos/internal/hadoop/uri"
	"tfos/internal/unpack"
	"tfos/internal/yarn"
)

// Source is a file open for localization.
type Source struct {
	Body    io.ReadCloser
	ModTime time.Time // of the file
}

// firstCacheDir is the number of the first directory in a cache; a NodeManager's start there too.
const firstCacheDir = 10

// cache holds localized files by what they came from, so that containers share them.
type cache struct {
	fetch Fetch

	mu      sync.Mutex
	entries map[cacheKey]*cacheEntry // guarded by mu
	last    int                      // number of the last directory, guarded by mu
}

// cacheKey is what makes two resources the same.
type cacheKey struct {
	dir     string // of the cache: visibility decides which
	uri     string
	modTime int64 // ms
	archive bool
}

type cacheEntry struct {
	done chan struct{} // closed when path or err is set
	path string
	err  error
}

// counters is what LOCALIZATION_COUNTERS tells a container: bytes and files brought and found, and
// the time it took.
type counters struct {
	bytesMissed, bytesCached int64
	filesMissed, filesCached int
	took                     time.Duration
}

func (c counters) String() string {
	return fmt.Sprintf("%d,%d,%d,%d,%d", c.bytesMissed, c.bytesCached, c.filesMissed, c.filesCached, c.took.Milliseconds())
}

// localize brings all files of a container into the caches and returns where each lies, by the name
// of its link.
func (r *Runner) localize(ctx context.Context, l Launch, at layout) (map[string]string, counters, error) {
	var (
		mu    sync.Mutex // guards paths and count
		paths = make(map[string]string, len(l.Context.Files))
		count counters
		begin = time.Now()
	)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for link, res := range l.Context.Files {
		g.Go(func() error {
			if err := checkLink(link); err != nil {
				return err
			}
			p, hit, err := r.cache.get(ctx, at, res)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			paths[link] = p
			if hit {
				count.bytesCached, count.filesCached = count.bytesCached+res.Size, count.filesCached+1
			} else {
				count.bytesMissed, count.filesMissed = count.bytesMissed+res.Size, count.filesMissed+1
			}
			return nil
		})
	}
	err := g.Wait()
	count.took = time.Since(begin)
	return paths, count, err
}

// checkLink refuses a name that would lie outside the container's directory.
func checkLink(link string) error {
	if !filepath.IsLocal(link) {
		return fmt.Errorf("resource name %q lies outside the container's directory", link)
	}
	return nil
}

// get returns where a resource lies, and whether it lay there before.
func (c *cache) get(ctx context.Context, at layout, res yarn.LocalResource) (string, bool, error) {
	dir := ""
	switch res.Visibility {
	case yarn.Public:
		dir = at.public
	case yarn.Private:
		dir = filepath.Join(at.user, "filecache")
	default:
		dir = filepath.Join(at.app, "filecache")
	}
	key := cacheKey{dir, res.URI, res.ModTime.UnixMilli(), res.Archive}
	for {
		c.mu.Lock()
		e, found := c.entries[key]
		if !found {
			if c.entries == nil {
				c.entries, c.last = make(map[cacheKey]*cacheEntry), firstCacheDir-1
			}
			c.last++
			e = &cacheEntry{done: make(chan struct{})}
			c.entries[key] = e
		}
		number := c.last
		c.mu.Unlock()
		if !found {
			e.path, e.err = c.bring(ctx, filepath.Join(dir, fmt.Sprint(number)), res)
			if e.err != nil {
				c.mu.Lock()
				delete(c.entries, key)
				c.mu.Unlock()
			}
			close(e.done)
			return e.path, false, e.err
		}
		select {
		case <-e.done:
		case <-ctx.Done():
			return "", false, context.Cause(ctx)
		}
		if e.err == nil || !errors.Is(e.err, context.Canceled) {
			return e.path, true, e.err
		}
		// Whoever was bringing it gave up; the next one to look does it.
	}
}

// forget drops what lies under dir.
func (c *cache) forget(dir string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.entries {
		if strings.HasPrefix(key.dir, dir+string(filepath.Separator)) {
			delete(c.entries, key)
		}
	}
}

// bring copies a resource into a directory made for it. On failure nothing stays.
func (c *cache) bring(ctx context.Context, dir string, res yarn.LocalResource) (_ string, err error) {
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
			err = fmt.Errorf("localize %s: %w", res.URI, err)
		}
	}()
	u := uri.Parse(res.URI)
	src, err := c.open(ctx, u, res)
	if err != nil {
		return "", err
	}
	defer src.Body.Close()
	if got, want := src.ModTime.UnixMilli(), res.ModTime.UnixMilli(); got != want {
		return "", fmt.Errorf("resource %s changed on src filesystem - expected: %q, was: %q, current time: %q", res.URI,
			stamp(res.ModTime), stamp(src.ModTime), stamp(time.Now()))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	to := filepath.Join(dir, path.Base(u.Path))
	m := modesOf(res.Visibility)
	if unpack := unpack.Of(u.Path); res.Archive && unpack != nil {
		return to, unpack(ctx, src.Body, to, m)
	}
	return to, unpack.File(ctx, to, src.Body, m.File)
}

func (c *cache) open(ctx context.Context, u uri.URI, res yarn.LocalResource) (Source, error) {
	if u.Scheme != "file" {
		if c.fetch == nil {
			return Source{}, fmt.Errorf("no FileSystem for scheme %q: this YARN localizes local files only", u.Scheme)
		}
		return c.fetch(ctx, res.URI)
	}
	if res.Visibility == yarn.Public {
		if err := checkPublic(u.Path); err != nil {
			return Source{}, err
		}
	}
	f, err := os.Open(u.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return Source{}, fmt.Errorf("file %s does not exist: %w", res.URI, err)
	}
	if err != nil {
		return Source{}, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", res.URI)
	}
	if err != nil {
		f.Close()
		return Source{}, err
	}
	return Source{Body: f, ModTime: info.ModTime()}, nil
}

// checkPublic refuses a file that not everyone may read.
func checkPublic(name string) error {
	need := fs.FileMode(0o004)
	for p := filepath.Clean(name); ; p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err != nil {
			return err
		}
		if info.Mode()&need != need {
			return fmt.Errorf("resource %s is not publicly accessible: it cannot be shared with everyone", name)
		}
		if p == filepath.Dir(p) {
			return nil
		}
		need = 0o001
	}
}

func modesOf(v yarn.Visibility) unpack.Modes {
	if v == yarn.Public {
		return unpack.Modes{File: 0o555, Dir: 0o755}
	}
	return unpack.Modes{File: 0o500, Dir: 0o700}
}
