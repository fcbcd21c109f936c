// Package serve is the feed of one agent: Spark's tasks bring rows over the job's TLS, the program
// takes them over a Unix socket, and the driver hears how that goes.
//
// What waits, what was handed out and what is consumed is decided by package feed. This package moves
// bytes, which it never looks into, and keeps what waits: in memory up to a bound, then on the
// container's disk, and then feeders wait.
package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
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
			q.Close(s.outlook, s.why)
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

// finish is Finish. s.mu is held.
func (s *Server) finish(o feed.Outlook, why string) {
	if s.outlook == feed.Failed || s.outlook == o {
		return
	}
	s.outlook, s.why = o, why
	for _, q := range s.queues {
		q.Close(o, why)
	}
}

// Watch calls show with what the driver wants to know, at once and after each change, until ctx ends,
// the Server is closed, or show fails.
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

// serveFeeder takes the rows of one stream.
func (s *Server) serveFeeder(c net.Conn) {
	r := bufio.NewReaderSize(c, bufferBytes)
	first, err := feed.ReadFrame(r)
	var o feed.Opening
	if err == nil && first.Kind != feed.KindOpen {
		err = feed.ErrFrame
	}
	if err == nil {
		err = first.Decode(&o)
	}
	if err != nil {
		s.o.Logger.Warn("feeder turned away", zap.Error(err))
		return
	}
	var opened feed.Opened
	s.update(func() { opened, err = s.queue(o.Queue).Enter(o) })
	if err != nil {
		s.o.Logger.Info("feeder turned away", zap.String("stream", o.Stream), zap.Error(err))
		writeFrame(c, feed.KindOver, feed.Word{Why: feed.Superseded, Text: err.Error()}, nil) // it may be gone
		return
	}
	opened.Window = s.o.Window
	if err := writeFrame(c, feed.KindOpened, opened, nil); err != nil {
		return
	}
	s.o.Logger.Debug("stream opened", zap.String("stream", o.Stream), zap.Int("attempt", o.Attempt), zap.Uint64("next", opened.Next))
	gone, left := context.WithCancel(context.Background())
	var telling sync.WaitGroup
	telling.Go(func() {
		defer c.Close() // which ends take
		if err := s.tell(gone, c, o); err != nil {
			s.o.Logger.Debug("feeder not told", zap.String("stream", o.Stream), zap.Error(err))
		}
	})
	err = s.take(r, o)
	left()
	telling.Wait()
	s.o.Logger.Debug("stream left", zap.String("stream", o.Stream), zap.Error(err))
	if o.Results {
		s.update(func() { s.queue(o.Queue).Forget(o.Stream, o.Attempt) })
	}
}

// take puts a feeder's chunks into its queue until it leaves.
func (s *Server) take(r io.Reader, o feed.Opening) error {
	for {
		f, err := feed.ReadFrame(r)
		if err != nil {
			return err
		}
		var h feed.ChunkHead
		if err := f.Decode(&h); err != nil {
			return err
		}
		if f.Kind != feed.KindChunk || h.Rows < 0 {
			return feed.ErrFrame
		}
		b, err := s.store.read(r, f.Size, false)
		if err != nil {
			return err
		}
		s.update(func() {
			err = s.queue(o.Queue).Put(o.Attempt, feed.Chunk{Stream: o.Stream, Number: h.Number, Rows: h.Rows, Last: h.Last, Results: o.Results, Share: o.Task != "", Meta: h.Meta, Body: b})
		})
		if err != nil {
			return err
		}
	}
}

// tell says to a feeder how far its stream is consumed, with what results, what the program does, and
// that it wants no more. It returns once the feeder has left or is to leave.
func (s *Server) tell(gone context.Context, c net.Conn, o feed.Opening) error {
	tick := time.NewTicker(stateEvery)
	defer tick.Stop()
	var said feed.Consumed
	for {
		s.mu.Lock()
		changed, closed := s.changed, s.closed
		q := s.queue(o.Queue)
		consumed, results, err := q.Told(o.Stream, o.Attempt)
		outlook, why := q.Outlook()
		state := feed.State{Live: len(s.readers) > 0, Idle: time.Since(s.moved).Milliseconds()}
		s.mu.Unlock()
		if closed {
			drop(results)
			return net.ErrClosed
		}
		if err != nil {
			return writeFrame(c, feed.KindOver, feed.Word{Why: feed.Superseded, Text: err.Error()}, nil)
		}
		for i, r := range results {
			if err := writeFrame(c, feed.KindResult, feed.ResultHead{Rows: r.Rows, Meta: r.Meta}, r.Body); err != nil {
				drop(results[i:])
				return err
			}
			r.Body.Drop()
		}
		if consumed != said {
			if err := writeFrame(c, feed.KindConsumed, consumed, nil); err != nil {
				return err
			}
			said = consumed
		}
		if outlook != feed.Open {
			return writeFrame(c, feed.KindOver, feed.Word{Why: string(outlook), Text: why}, nil)
		}
		select {
		case <-changed:
		case <-tick.C:
			if err := writeFrame(c, feed.KindState, state, nil); err != nil {
				return err
			}
		case <-gone.Done():
			return nil
		}
	}
}

func drop(results []feed.Result) {
	for _, r := range results {
		r.Body.Drop()
	}
}

// serveProgram serves one connection of the program's.
func (s *Server) serveProgram(c net.Conn) {
	r := bufio.NewReaderSize(c, bufferBytes)
	var hello feed.Hello
	first, err := feed.ReadFrame(r)
	if err == nil && first.Kind != feed.KindHello {
		err = feed.ErrFrame
	}
	if err == nil {
		err = first.Decode(&hello)
	}
	p := &program{s: s, c: c, queue: hello.Queue}
	if err == nil {
		s.update(func() {
			if hello.Incarnation != s.incarnation {
				err = fmt.Errorf("it is incarnation %d, and %d runs", hello.Incarnation, s.incarnation)
				return
			}
			s.lastReader++
			p.reader = s.lastReader
			s.readers[p.reader], s.moved = true, time.Now()
			if hello.Pace {
				s.pacer = p
			}
		})
	}
	if err != nil {
		s.o.Logger.Warn("program turned away", zap.Error(err))
		return
	}
	gone, left := context.WithCancel(context.Background())
	var giving sync.WaitGroup
	giving.Go(func() {
		if err := p.give(gone); err != nil {
			c.Close() // which ends hear
		}
	})
	err = p.hear(r)
	left()
	c.Close() // which ends a write to a program that does not read
	giving.Wait()
	s.o.Logger.Debug("program left", zap.Error(err))
	s.update(func() {
		delete(s.readers, p.reader)
		s.queue(hello.Queue).Lose(p.reader)
		if s.pacer == p {
			s.pacer = nil
		}
	})
}

// program is one connection of the program's, which takes the rows of one queue.
type program struct {
	s      *Server
	c      net.Conn
	reader int
	queue  string
	room   int   // guarded by s.mu: how many chunks it has room for
	rows   int64 // guarded by s.mu: of the chunks that it was handed
}

// give hands chunks out, and says how many rows may be used and that there are no more, until the
// program has left.
func (p *program) give(gone context.Context) error {
	var said feed.Limit
	ended := false
	for {
		p.s.mu.Lock()
		changed, closed := p.s.changed, p.s.closed
		limit := said
		if p.s.order.Reader == p.reader {
			limit = feed.Limit{Rows: p.s.order.Rows, Final: p.s.order.Final}
		}
		q := p.s.queue(p.queue)
		var ticket feed.Ticket
		var chunk feed.Chunk
		var let func()
		over := !ended && p.room > 0 && q.Over(p.reader)
		if p.room > 0 && !over && !ended && limit == said {
			var ok bool
			if ticket, chunk, ok = q.Take(p.reader); ok {
				p.room--
				p.rows += int64(chunk.Rows)
				let = hold(chunk.Body)
				p.s.moved = time.Now()
			}
		}
		p.s.mu.Unlock()
		switch {
		case closed:
			return net.ErrClosed
		case limit != said:
			if err := writeFrame(p.c, feed.KindLimit, limit, nil); err != nil {
				return err
			}
			said = limit
			continue
		case over:
			if err := writeFrame(p.c, feed.KindEnd, struct{}{}, nil); err != nil {
				return err
			}
			ended = true
			continue
		case let != nil:
			head := feed.ChunkHead{Number: chunk.Number, Rows: chunk.Rows, Last: chunk.Last, Meta: chunk.Meta, Ticket: ticket, Stream: chunk.Stream, Results: chunk.Results, Share: chunk.Share}
			err := writeFrame(p.c, feed.KindChunk, head, chunk.Body)
			let()
			if err != nil {
				return err
			}
			continue
		}
		select {
		case <-changed:
		case <-gone.Done():
			return nil
		}
	}
}

// hear takes in what the program says until it leaves.
func (p *program) hear(r io.Reader) error {
	for {
		f, err := feed.ReadFrame(r)
		if err != nil {
			return err
		}
		if f.Size > 0 && f.Kind != feed.KindResult {
			return feed.ErrFrame
		}
		if err := p.heard(f, r); err != nil {
			return err
		}
	}
}

func (p *program) heard(f feed.Frame, r io.Reader) error {
	s := p.s
	switch f.Kind {
	case feed.KindTake:
		var t feed.Taking
		if err := f.Decode(&t); err != nil {
			return err
		}
		s.update(func() { p.room += t.Chunks })
	case feed.KindAck:
		var a feed.Acks
		if err := f.Decode(&a); err != nil {
			return err
		}
		s.update(func() {
			s.moved = time.Now()
			for _, t := range a.Tickets {
				if a.Held {
					s.queue(p.queue).Release(p.reader, t)
				} else {
					s.queue(p.queue).Consume(p.reader, t)
				}
			}
		})
	case feed.KindResult:
		var h feed.ResultHead
		if err := f.Decode(&h); err != nil {
			return err
		}
		b, err := s.store.read(r, f.Size, true)
		if err != nil {
			return err
		}
		s.update(func() {
			s.moved = time.Now()
			err = s.queue(p.queue).Answer(p.reader, h.Ticket, feed.Result{Rows: h.Rows, Meta: h.Meta, Body: b})
		})
		return err
	case feed.KindTerminate:
		s.Finish(feed.Terminated, "")
	case feed.KindFail:
		var w feed.Word
		if err := f.Decode(&w); err != nil {
			return err
		}
		s.Finish(feed.Failed, w.Text)
	default:
		return feed.ErrFrame
	}
	return nil
}
