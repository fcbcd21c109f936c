package fileserver

import (
	"cmp"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/dfs"
	"tfos/internal/listen"
)

// Files finds filesystems. storage.Storage is one.
type Files interface {
	// Use finds the filesystem of a URI and the name of the file in it. The filesystem stays open
	// until release.
	Use(ctx context.Context, uri string) (f dfs.FS, name string, release func(), err error)
}

// Options are what a Server needs.
type Options struct {
	Files    Files
	Listener net.Listener // the Server closes it
	Logger   *zap.Logger
	Dir      string // where files on their way are kept, without names; empty: the system's directory for temporary files
	// Memory bounds the contents that are read ahead, in bytes; 0: 32 MiB.
	Memory int
	// Connections bounds how many there may be; 0: a quarter of what this process may have open,
	// for each may read a block besides.
	Connections int
	// Silence is how long a DataNode may say nothing before a program that reads from it for itself
	// comes back; twice as long, where a part of what the program waited for came first. 0: 10 s.
	Silence time.Duration
}

// Server serves until it is closed.
type Server struct {
	o       Options
	log     *zap.Logger
	chunks  *pool
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	busy    sync.WaitGroup // of sessions
	growing growingFiles

	mu      sync.Mutex
	conns   map[net.Conn]bool    // guarded by mu, as what follows
	opened  map[uint64]*openFile // files open for reading
	handles uint64               // the last that was given out
	swept   map[string]time.Time // by directory, as programs write it
	closed  bool
	full    bool // there are as many connections as may be
}

// New makes a Server. Run serves.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	o.Memory, o.Silence = cmp.Or(o.Memory, 32<<20), cmp.Or(o.Silence, 10*time.Second)
	o.Connections = cmp.Or(o.Connections, listen.Descriptors()/4)
	s := &Server{o: o, log: o.Logger, chunks: newPool(o.Memory / chunkSize), conns: map[net.Conn]bool{}, opened: map[uint64]*openFile{}, swept: map[string]time.Time{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Run accepts connections until Close, and then waits for what they are at.
func (s *Server) Run() error {
	for {
		conn, err := listen.Accept(s.o.Listener.Accept, s.ctx.Done(), s.log)
		if err != nil {
			s.busy.Wait()
			if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		if !s.admit(conn) {
			conn.Close()
			continue
		}
		go func() {
			defer s.busy.Done()
			defer s.dismiss(conn)
			defer s.survive()
			newSession(s, conn).serve()
		}()
	}
}

// survive ends one session for a panic, and not the agent.
func (s *Server) survive() {
	if p := recover(); p != nil {
		s.log.Error("a program's connection to its files ended by a panic", zap.Any("panic", p), zap.Stack("stack"))
	}
}

// admit takes a connection in. What a program opens leaves descriptors for everything else that the
// agent does.
func (s *Server) admit(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if len(s.conns) >= s.o.Connections {
		if !s.full {
			s.full = true
			s.log.Warn("a program has too many connections to its files: more are refused", zap.Int("connections", len(s.conns)))
		}
		return false
	}
	s.full = false
	s.busy.Add(1)
	s.conns[conn] = true
	return true
}

func (s *Server) dismiss(conn net.Conn) {
	s.mu.Lock()
	delete(s.conns, conn)
	s.mu.Unlock()
	conn.Close() // last: who sees the end may connect again
}

// Close ends Run, every connection, and what is being written: its writers have died. It may be
// called more than once.
func (s *Server) Close() {
	s.cancel()
	s.o.Listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for conn := range s.conns {
		conn.Close()
	}
}
