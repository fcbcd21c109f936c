package dfs

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/hadoop/conf"
	"tfos/internal/hadoop/token"
	"tfos/internal/hadoop/uri"
)

// Options says how filesystems are reached, and as which user.
type Options struct {
	Conf   *conf.Conf    // nil: nothing is configured; names without a scheme are local
	User   string        // on HDFS without a token; a token says by itself whose it is, and User then only names the home
	Tokens []token.Token // those whose service is the NameNode's are shown to it
	// Dial connects to NameNodes and DataNodes; nil: net.Dialer's.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Timeout bounds a call to a NameNode whose context has no deadline, its retries included, and
	// each step of moving data to and from DataNodes. 0: a minute.
	Timeout time.Duration
	// Patience is how long such a call waits for a NameNode that has been reached before and went
	// away, or is in safe mode. 0: it waits for 20 s, and safe mode is an error at once.
	Patience time.Duration
	// LocalHome is the home directory on the local disk; empty: os.UserHomeDir.
	LocalHome string
	Log       *zap.Logger
}

func (o Options) withDefaults() Options {
	if o.Conf == nil {
		o.Conf = conf.New(conf.Environment{})
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	return o
}

// Open opens the filesystem that name names: "hdfs://namenode:8020", "hdfs://nameservice",
// "file:///". A name without a scheme, the empty one too, stands for fs.defaultFS. It does not
// connect: the first operation does.
func Open(ctx context.Context, name string, o Options) (FS, error) {
	o = o.withDefaults()
	place, err := locate(uri.Parse(name), o.Conf)
	if err != nil {
		return nil, err
	}
	return place.open(ctx, o)
}

// Resolver maps URIs to filesystems, and opens each filesystem once. It is safe for concurrent use.
type Resolver struct {
	o Options

	mu     sync.Mutex
	opened map[place]FS // by canonical place; guarded by mu
}

// NewResolver makes a Resolver, which opens filesystems with these options.
func NewResolver(o Options) *Resolver {
	return &Resolver{o: o.withDefaults(), opened: map[place]FS{}}
}

// Resolve finds the filesystem of a URI (package uri), and the name of the file in it. A path
// without a scheme lies in fs.defaultFS, and a viewfs:// URI where the configuration's mount table
// says, the directories of the table itself included. Two spellings of one filesystem are one: it
// is known by the first.
func (r *Resolver) Resolve(ctx context.Context, name string) (FS, string, error) {
	u, table, err := unmount(uri.Parse(name), r.o.Conf)
	if err != nil {
		return nil, "", err
	}
	if table.table != "" {
		r.mu.Lock()
		defer r.mu.Unlock()
		at := place{"viewfs", table.table}
		if r.opened[at] == nil {
			r.opened[at] = &mountTable{table.table, r}
		}
		return r.opened[at], table.name, nil
	}
	where, err := locate(u, r.o.Conf)
	if err != nil {
		return nil, "", err
	}
	if name, err = cleanName("resolve", cmp.Or(u.Path, "/")); err != nil {
		return nil, "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := where.canonical(r.o.Conf)
	if known := r.opened[key]; known != nil {
		return known, name, nil
	}
	opened, err := where.open(ctx, r.o)
	if err != nil {
		return nil, "", err
	}
	r.opened[key] = opened
	return opened, name, nil
}

// Close closes every filesystem that was opened.
func (r *Resolver) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var first error
	for where, opened := range r.opened {
		if err := opened.Close(); err != nil && first == nil {
			first = err
		}
		delete(r.opened, where)
	}
	return first
}

// place is a filesystem: scheme, and host:port or nameservice.
type place struct{ scheme, authority string }

// locate finds the filesystem of a URI.
func locate(u uri.URI, c *conf.Conf) (place, error) {
	name := u
	if u.Scheme == "" || u.Scheme == "hdfs" && u.Authority == "" {
		u = defaultFS(c)
	}
	switch {
	case name.Scheme == "hdfs" && u.Scheme != "hdfs":
		return place{}, fmt.Errorf("%s names no host, and fs.defaultFS, %s, is no HDFS: say which, hdfs://HOST:PORT%s", name, u, name.Path)
	case u.Scheme == "file" && u.Authority != "" && u.Authority != "localhost":
		return place{}, fmt.Errorf("%s names a file of host %s, which is %w: a path of this machine's disk has three slashes, file:///%s",
			u, u.Authority, ErrUnsupported, u.Authority)
	case u.Scheme == "file":
		return place{scheme: "file"}, nil
	case u.Scheme == "hdfs" && u.Authority != "":
		return place{scheme: "hdfs", authority: strings.ToLower(u.Authority[strings.LastIndexByte(u.Authority, '@')+1:])}, nil
	case u.Scheme == "hdfs":
		return place{}, fmt.Errorf("fs.defaultFS is %s, which names no filesystem: it wants hdfs://HOST:PORT or hdfs://NAMESERVICE", u)
	case u.Scheme == "viewfs":
		return place{}, fmt.Errorf("%s: mount tables are %w: name the filesystem behind it, hdfs://NAMESERVICE/…", u, ErrUnsupported)
	default:
		return place{}, fmt.Errorf("%s: scheme %s is %w: use hdfs:// or file://", u, u.Scheme, ErrUnsupported)
	}
}

// defaultFS is fs.defaultFS with the old forms that org.apache.hadoop.fs.FileSystem#fixName knows:
// "local", and a host without a scheme.
func defaultFS(c *conf.Conf) uri.URI {
	name := cmp.Or(c.String("fs.defaultFS"), "file:///")
	switch {
	case name == "local":
		name = "file:///"
	case !strings.Contains(name, "/"):
		name = "hdfs://" + name
	}
	return uri.Parse(name)
}

// canonical is the one place of all spellings of a filesystem: a NameNode without a port has the
// default one, and one that belongs to a nameservice is that.
func (p place) canonical(c *conf.Conf) place {
	if p.scheme != "hdfs" {
		return p
	}
	nodes, err := nameNodes(p.authority, c)
	if err != nil {
		return p // it cannot be opened either
	}
	return place{scheme: p.scheme, authority: strings.ToLower(cmp.Or(nodes.service, nodes.authority))}
}

func (p place) open(ctx context.Context, o Options) (FS, error) {
	if p.scheme == "hdfs" {
		return openHDFS(ctx, p.authority, o)
	}
	home := o.LocalHome
	if home == "" {
		var err error
		if home, err = os.UserHomeDir(); err != nil {
			home = "/"
		}
	}
	return NewLocal(home), nil
}
