// Package serve is the feed of one agent: Spark's tasks bring rows over the job's TLS, the program
// takes them over a Unix socket, and the driver hears how that goes.
//
// What waits, what was handed out and what is consumed is decided by package feed. This package
// moves bytes, which it never looks into, and keeps what waits: in memory up to a bound, then on
// the container's disk, and then feeders wait.
package serve

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/control"
	"tfos/internal/feed"
	"tfos/internal/listen"
)

// Defaults of Options.
const (
	defaultMemory = 32 << 20
	defaultDisk   = 1 << 30
	defaultWindow = 32 << 20
)

// stateEvery is how often a feeder hears what the program does.
const stateEvery = time.Second

// bufferBytes is for the heads of frames: bodies larger than it pass it by.
const bufferBytes = 32 << 10

// Options are what a Server needs.
type Options struct {
	Feeders  net.Listener     // where Spark's tasks connect; the Server closes it
	Identity control.Identity // of the agent
	Program  net.Listener     // where the program connects; the Server closes it
	Dir      string           // for what has no room in memory
	Memory   int64            // bytes of rows held in memory; 0: 32 MiB
	Disk     int64            // bytes of rows held in Dir; 0: 1 GiB
	Window   int64            // bytes that one feeder may have on their way, unconsumed; 0: 32 MiB
	Logger   *zap.Logger
}

// Server serves from Run on.
type Server struct {
	o       Options
	gate    *control.Gate
	program *listen.Closer
	store   *store

	mu          sync.Mutex
	changed     chan struct{}          // guarded by mu: closed when anything below has changed
	incarnation int                    // guarded by mu: of the program that may take rows
	queues      map[string]*feed.Queue // guarded by mu
	ended       map[string]bool        // guarded by mu: by name
	readers     map[int]bool           // guarded by mu: the program's connections
	lastReader  int                    // guarded by mu
	pacer       *program               // guarded by mu: the connection that keeps pace with other tasks; nil: none does
	order       control.FeedOrder      // guarded by mu: the newest
	moved       time.Time              // guarded by mu: when the program took or finished rows last
	outlook     feed.Outlook           // guarded by mu
	why         string                 // guarded by mu
	closed      bool                   // guarded by mu
}

// New prepares a Server.
func New(o Options) (*Server, error) {
	if o.Memory == 0 {
		o.Memory = defaultMemory
	}
	if o.Disk == 0 {
		o.Disk = defaultDisk
	}
	if o.Window == 0 {
		o.Window = defaultWindow
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	gate, err := control.NewGate(o.Feeders, o.Identity, o.Logger, control.PartyFeeder)
	if err != nil {
		return nil, err
	}
	return &Server{o: o, gate: gate, program: listen.NewCloser(o.Program, o.Logger), store: newStore(o.Dir, o.Memory, o.Disk),
		changed: make(chan struct{}), queues: map[string]*feed.Queue{}, ended: map[string]bool{}, readers: map[int]bool{}, outlook: feed.Open}, nil
}

// Run serves until Close; then it is nil.
func (s *Server) Run() error {
	var both sync.WaitGroup
	errs := make(chan error, 2)
	both.Go(func() { errs <- s.gate.Run(s.serveFeeder) })
	both.Go(func() { errs <- s.program.Run(s.serveProgram) })
	both.Wait()
	return errors.Join(<-errs, <-errs)
}

// Close ends everything. It is safe to call more than once.
func (s *Server) Close() {
	s.update(func() { s.closed = true })
	s.store.close()
	s.gate.Close()
	s.program.Close()
}

// update changes what mu guards, and wakes whoever waits for that.
func (s *Server) update(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// queue is the one of a name. s.mu is held.
func (s *Server) queue(name string) *feed.Queue {
	q := s.queues[name]
	if q == nil {
		q = feed.NewQueue()
		if s.ended[name] {
			q.End()
		}
		if s.outlook != feed.Open {
			q.Close()
		}
		s.queues[name] = q
	}
	return q
}

// Order does what the driver orders.
func (s *Server) Order(o control.FeedOrder) {
	s.update(func() {
		s.order = o
		for _, name := range o.Ended {
			s.ended[name] = true
			s.queue(name).End()
		}
	})
}

// Start says which incarnation of the program may take rows.
func (s *Server) Start(incarnation int) {
	s.update(func() { s.incarnation = incarnation })
}

// Finish says that the program takes no rows any more.
func (s *Server) Finish(o feed.Outlook, why string) {
	s.update(func() { s.finish(o, why) })
}

// finish is Finish. The first word counts, but a failure outweighs that the program wanted no more.
// s.mu is held.
func (s *Server) finish(o feed.Outlook, why string) {
	if s.outlook == feed.Failed || s.outlook == o {
		return
	}
	s.outlook, s.why = o, why
	for _, q := range s.queues {
		q.Close()
	}
}

// Watch calls show with what the driver wants to know, at once and after each change, until ctx
// ends, the Server is closed, or show fails.
func (s *Server) Watch(ctx context.Context, show func(control.FeedState) error) error {
	var last control.FeedState
	for first := true; ; first = false {
		s.mu.Lock()
		changed, closed := s.changed, s.closed
		now := control.FeedState{Live: len(s.readers) > 0, Outlook: string(s.outlook), Why: s.why}
		if p := s.pacer; p != nil {
			_, rows := s.queue(p.queue).Waiting()
			now.Reader, now.Rows, now.Ended = p.reader, p.rows+rows, s.queue(p.queue).Ended()
		}
		s.mu.Unlock()
		if closed {
			return nil
		}
		if first || now != last {
			if err := show(now); err != nil {
				return err
			}
			last = now
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Port is where feeders connect.
func (s *Server) Port() net.Addr { return s.gate.Addr() }
