// Package storage opens the filesystems that a container's processes name, as the job's user, when
// they are first needed, and lets go of them when nobody has needed them for a while.
//
// What it goes by is the client's Hadoop configuration, which lies in the container, and the
// container's tokens. The configuration is read at once, for a NodeManager that has lost a
// container deletes its directory; it is made sense of at the first use: an agent whose program
// keeps to local files pays no more than its bytes.
package storage

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/dfs"
	"tfos/internal/hadoop/conf"
	"tfos/internal/hadoop/token"
)

// defaultIdle is how long filesystems that nobody uses stay open.
const defaultIdle = time.Minute

// patience is how long a program that reads or writes waits for a NameNode that restarts, before it
// gets an error.
const patience = 2 * time.Minute

// Options says where a Storage finds what it needs.
type Options struct {
	Conf   string // file of the Hadoop configuration
	Tokens []token.Token
	User   string // whose home it is, and who asks where there is no token
	Getenv func(name string) string
	Idle   time.Duration // how long to keep open what nobody uses; 0: a minute
	Logger *zap.Logger
}

// Storage is the filesystems of a container. It is safe for concurrent use.
type Storage struct {
	o       Options
	site    []byte // the Hadoop configuration
	siteErr error

	mu     sync.Mutex
	open   *dfs.Resolver // guarded by mu, as what follows; nil: nobody needed one lately
	users  int
	idle   *time.Timer // closes open; nil: there are users, or nothing is open
	closed bool
}

// New makes a Storage. It opens no filesystem.
func New(o Options) *Storage {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Idle == 0 {
		o.Idle = defaultIdle
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	s := &Storage{o: o}
	s.site, s.siteErr = os.ReadFile(o.Conf)
	return s
}

// Use finds the filesystem of a URI, and the name of the file in it. A path without a scheme lies
// in the default filesystem. The filesystem is the caller's until it calls release, once.
func (s *Storage) Use(ctx context.Context, uri string) (f dfs.FS, name string, release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, "", nil, fmt.Errorf("%s: %w", uri, fs.ErrClosed)
	}
	if s.open == nil {
		if s.open, err = s.resolver(); err != nil {
			return nil, "", nil, fmt.Errorf("%s: %w", uri, err)
		}
	}
	s.hold()
	if f, name, err = s.open.Resolve(ctx, uri); err != nil {
		s.release()
		return nil, "", nil, err
	}
	return f, name, sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.release()
	}), nil
}

// hold counts a user. The caller holds mu, as for release.
func (s *Storage) hold() {
	s.users++
	if s.idle != nil {
		s.idle.Stop()
		s.idle = nil
	}
}

func (s *Storage) release() {
	s.users--
	if s.users > 0 || s.open == nil {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(s.o.Idle, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.idle == timer { // else it was stopped too late
			s.let()
		}
	})
	s.idle = timer
}

// let closes what is open. The caller holds mu.
func (s *Storage) let() error {
	if s.idle != nil {
		s.idle.Stop()
		s.idle = nil
	}
	if s.open == nil {
		return nil
	}
	err := s.open.Close()
	s.open = nil
	return err
}

// resolver is of the configuration that the container held.
func (s *Storage) resolver() (*dfs.Resolver, error) {
	if s.siteErr != nil {
		return nil, fmt.Errorf("read the Hadoop configuration: %w", s.siteErr)
	}
	c := conf.New(conf.Environment{Env: func(name string) (string, bool) { v := s.o.Getenv(name); return v, v != "" }})
	if err := c.AddResource(s.o.Conf, s.site, nil); err != nil {
		return nil, err
	}
	return dfs.NewResolver(dfs.Options{Conf: c, User: s.o.User, Tokens: s.o.Tokens, Patience: patience, Log: s.o.Logger}), nil
}

// Close closes what is open, whoever uses it. It may be called more than once.
func (s *Storage) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if err := s.let(); err != nil {
		return fmt.Errorf("close the filesystems: %w", err)
	}
	return nil
}
