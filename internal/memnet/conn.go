package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// window is how many bytes one side may be ahead of the other.
const window = 256 << 10

// Conn is one end of a connection.
type Conn struct {
	net           *Network
	local, remote addr
	in, out       *pipe
	read, write   deadline
	close         sync.Once
}

func (n *Network) pair(a, b addr) (*Conn, *Conn) {
	ab, ba := newPipe(), newPipe()
	ca := &Conn{net: n, local: a, remote: b, in: ba, out: ab, read: newDeadline(), write: newDeadline()}
	cb := &Conn{net: n, local: b, remote: a, in: ab, out: ba, read: newDeadline(), write: newDeadline()}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[ca], n.conns[cb] = struct{}{}, struct{}{}
	return ca, cb
}

// Read takes what has arrived. Nothing arrives over a cut.
func (c *Conn) Read(b []byte) (int, error) {
	for {
		passed := c.read.passed()
		if expired(passed) {
			return 0, c.fail("read", os.ErrDeadlineExceeded)
		}
		ok, healed := c.net.reachable(c.local.host, c.remote.host)
		changed := c.in.watch()
		n, err, wait := c.in.take(b, ok)
		if !wait {
			if err != nil && err != io.EOF {
				err = c.fail("read", err)
			}
			return n, err
		}
		select {
		case <-changed:
		case <-healed:
		case <-passed:
		}
	}
}

// Write queues b for the other end. It waits while the window is full.
func (c *Conn) Write(b []byte) (int, error) {
	done := 0
	for {
		passed := c.write.passed()
		if expired(passed) {
			return done, c.fail("write", os.ErrDeadlineExceeded)
		}
		ok, healed := c.net.reachable(c.local.host, c.remote.host)
		changed := c.out.watch()
		n, err := c.out.put(b[done:], ok)
		if done += n; err != nil {
			return done, c.fail("write", err)
		}
		if done == len(b) {
			return done, nil
		}
		select {
		case <-changed:
		case <-healed:
		case <-passed:
		}
	}
}

// Close ends both directions. The other end reads what was written before, then EOF.
func (c *Conn) Close() error {
	err := c.fail("close", net.ErrClosed)
	c.close.Do(func() {
		c.net.mu.Lock()
		delete(c.net.conns, c)
		c.net.mu.Unlock()
		c.out.finish()
		c.in.abandon()
		c.SetDeadline(time.Time{})
		err = nil
	})
	return err
}

func (c *Conn) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: c.remote, Err: err}
}

// Acknowledged is when the other end's system last acknowledged something, if it was sent something
// to acknowledge all the time.
func (c *Conn) Acknowledged() time.Time { return c.net.answered(c.local.host, c.remote.host) }

// LocalAddr is this end's address.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the other end's address.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline bounds reads and writes, those under way included. Zero means no bound.
func (c *Conn) SetDeadline(t time.Time) error {
	c.read.set(t)
	c.write.set(t)
	return nil
}

// SetReadDeadline bounds reads.
func (c *Conn) SetReadDeadline(t time.Time) error { c.read.set(t); return nil }

// SetWriteDeadline bounds writes.
func (c *Conn) SetWriteDeadline(t time.Time) error { c.write.set(t); return nil }

// pipe is one direction of a connection.
type pipe struct {
	mu        sync.Mutex
	data      []byte        // guarded by mu: on its way
	finished  bool          // guarded by mu: the writer closed
	abandoned bool          // guarded by mu: the reader closed
	broken    error         // guarded by mu: the connection broke
	changed   chan struct{} // guarded by mu: closed at the next change
}

func newPipe() *pipe { return &pipe{changed: make(chan struct{})} }

// watch gives a channel that is closed at the next change. Take it before looking.
func (p *pipe) watch() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// notify tells of a change. The caller holds mu.
func (p *pipe) notify() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// take moves what is there into b. Over a cut only what this side did itself shows. It reports
// whether to wait.
func (p *pipe) take(b []byte, reachable bool) (int, error, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.abandoned:
		return 0, net.ErrClosed, false
	case !reachable:
		return 0, nil, true
	case p.broken != nil:
		return 0, p.broken, false
	case len(p.data) > 0:
		n := copy(b, p.data)
		p.data = p.data[n:]
		p.notify()
		return n, nil, false
	case p.finished:
		return 0, io.EOF, false
	case len(b) == 0:
		return 0, nil, false
	}
	return 0, nil, true
}

// put queues as much of b as the window takes. Over a cut it does not learn what became of the
// other side.
func (p *pipe) put(b []byte, reachable bool) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.finished:
		return 0, net.ErrClosed
	case reachable && p.broken != nil:
		return 0, p.broken
	case reachable && p.abandoned:
		return 0, syscall.EPIPE
	}
	n := min(len(b), window-len(p.data))
	if n > 0 {
		p.data = append(p.data, b[:n]...)
		p.notify()
	}
	return n, nil
}

func (p *pipe) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished = true
	p.notify()
}

func (p *pipe) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.abandoned = true
	p.notify()
}

func (p *pipe) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken == nil {
		p.broken = err
		p.notify()
	}
}

// deadline is a point in time that can be moved.
type deadline struct{ *deadlineState }

type deadlineState struct {
	mu    sync.Mutex
	timer *time.Timer   // guarded by mu; nil: none
	over  chan struct{} // guarded by mu: closed when the point is reached
}

func newDeadline() deadline { return deadline{&deadlineState{over: make(chan struct{})}} }

// passed gives a channel that is closed when the deadline passes, or is moved to the past.
func (d deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.over
}

func expired(over <-chan struct{}) bool {
	select {
	case <-over:
		return true
	default:
		return false
	}
}

func (d deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.over // it fires, or has: let it be done with this channel
	}
	d.timer = nil
	if expired(d.over) {
		d.over = make(chan struct{})
	}
	if t.IsZero() {
		return
	}
	over := d.over
	if wait := time.Until(t); wait > 0 {
		d.timer = time.AfterFunc(wait, func() { close(over) })
	} else {
		close(over)
	}
}
