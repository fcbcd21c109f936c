package rpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/wire"
)

// call is one call over all its attempts. Its id stays the same, so that a retry cache knows it
// again.
type call struct {
	id         int32
	method     string
	req        proto.Message
	idempotent bool
	tries      int32 // how often it was sent
	last       error // of the attempt before
}

// waiting is an attempt on one link.
type waiting struct {
	frame  []byte
	sent   atomic.Bool // the writer has begun to write it
	answer chan answer // capacity 1: the reader never waits
}

type answer struct {
	body []byte
	err  error
}

// link is one connection with the calls in flight on it. A writer and a reader goroutine own its
// two directions.
type link struct {
	addr    string
	byToken bool // or by a plain name
	conn    net.Conn
	out     chan *waiting // unbuffered: what the writer took is about to be written
	done    chan struct{} // closed when the link has failed
	frames  atomic.Int64  // that came in

	mu       sync.Mutex
	flight   map[int32]*waiting // guarded by mu; nil once the link has failed
	err      error              // guarded by mu; why it failed
	retiring bool               // guarded by mu; takes no new calls and ends with its last one
	writeErr error              // guarded by mu; why the writer has ended
}

// errIdle and errSilent are why we ended a link ourselves.
var (
	errIdle   = errors.New("connection was idle")
	errSilent = errors.New("no answer")
)

func newLink(conn net.Conn, addr string, byToken bool) *link {
	return &link{addr: addr, byToken: byToken, conn: conn, out: make(chan *waiting), done: make(chan struct{}), flight: map[int32]*waiting{}}
}

func (l *link) alive() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err == nil && !l.retiring
}

// add puts an attempt in flight. It fails with the reason if the link takes none.
func (l *link) add(id int32, w *waiting) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.err != nil:
		return l.err
	case l.retiring:
		return errIdle
	}
	l.flight[id] = w
	return nil
}

func (l *link) remove(id int32) {
	l.mu.Lock()
	delete(l.flight, id)
	last := l.retiring && len(l.flight) == 0
	l.mu.Unlock()
	if last {
		l.fail(errIdle)
	}
}

// retire lets the calls in flight end and takes no new ones.
func (l *link) retire() {
	l.mu.Lock()
	l.retiring = true
	last := len(l.flight) == 0
	l.mu.Unlock()
	if last {
		l.fail(errIdle)
	}
}

// await hands the request to the writer and waits for the answer.
func (l *link) await(ctx context.Context, c *call, w *waiting) ([]byte, error) {
	defer l.remove(c.id)
	before := l.frames.Load()
	select {
	case l.out <- w:
	case a := <-w.answer: // the link failed
		return nil, a.err
	case <-ctx.Done():
		return nil, l.timeout(ctx, before)
	}
	select {
	case a := <-w.answer:
		return a.body, a.err
	case <-ctx.Done():
		return nil, l.timeout(ctx, before)
	}
}

// timeout tells whether the whole connection was silent: then the next call had better use another.
func (l *link) timeout(ctx context.Context, before int64) error {
	err := ctx.Err()
	if errors.Is(err, context.DeadlineExceeded) && l.frames.Load() == before {
		return fmt.Errorf("%w from %s: %w", errSilent, l.addr, err)
	}
	return fmt.Errorf("answer from %s: %w", l.addr, err)
}

// fail ends the link. The first reason stays, and every call in flight gets it.
func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.err = err
	for _, w := range l.flight {
		w.answer <- answer{err: err}
	}
	l.flight = nil
	close(l.done)
	_ = l.conn.Close()
}

// write sends requests, pings a silent service, and ends a link that nobody uses.
func (l *link) write() {
	idle := time.NewTicker(idleTimeout)
	defer idle.Stop()
	used, quiet, seen := true, time.Duration(0), int64(0)
	for {
		var f []byte
		var w *waiting
		select {
		case <-l.done:
			return
		case w = <-l.out:
			w.sent.Store(true)
			f, used = w.frame, true
		case <-idle.C:
			if l.waiting() == 0 {
				if !used {
					l.fail(errIdle)
					return
				}
				used = false
				continue
			}
			if n := l.frames.Load(); n != seen {
				seen, quiet = n, 0
			}
			if quiet += idleTimeout; quiet < pingInterval {
				continue
			}
			quiet = 0
			f, _ = requestFrame(callPing, nil, -1) // cannot fail: its parts are constants
		}
		if err := l.conn.SetWriteDeadline(time.Now().Add(pingInterval)); err != nil {
			l.failWriting(err)
			return
		}
		if n, err := l.conn.Write(f); err != nil {
			if n == 0 && w != nil {
				w.sent.Store(false)
			}
			l.failWriting(err)
			return
		}
	}
}

// failWriting ends the link once the reader has had the time to: a service that closes the
// connection has often said why.
func (l *link) failWriting(err error) {
	l.mu.Lock()
	l.retiring, l.writeErr = true, err
	l.mu.Unlock()
	t := time.NewTimer(lastWords)
	defer t.Stop()
	select {
	case <-l.done:
	case <-t.C:
		l.fail(err)
	}
}

// failReading ends the link with what the service said, or else with what went wrong first.
func (l *link) failReading(err error) {
	if _, said := errors.AsType[*RemoteError](err); !said {
		l.mu.Lock()
		if l.writeErr != nil {
			err = l.writeErr
		}
		l.mu.Unlock()
	}
	l.fail(err)
}

// lastWords is how long we listen to a service that reads no more.
const lastWords = time.Second

func (l *link) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.flight)
}

// read hands answers to the calls they belong to.
func (l *link) read() {
	r := bufio.NewReaderSize(l.conn, 32<<10)
	for {
		f, err := wire.ReadFrame(r, wire.MaxFrame)
		if err == io.EOF {
			err = fmt.Errorf("connection closed by the service: %w", err)
		}
		if err != nil {
			l.failReading(err)
			return
		}
		l.frames.Add(1)
		header, body, failure, err := cutResponse(f)
		if err != nil {
			l.failReading(err)
			return
		}
		id := int32(header.GetCallId())
		if failure != nil && (failure.Fatal || id < 0) {
			l.failReading(failure)
			return
		}
		a := answer{body: body}
		if failure != nil {
			a.err = failure
		}
		l.deliver(id, a)
	}
}

// deliver answers a call. One that nobody waits for any more is dropped.
func (l *link) deliver(id int32, a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.flight[id]; w != nil {
		delete(l.flight, id)
		w.answer <- a
	}
}
