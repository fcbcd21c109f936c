// Package listen accepts connections: in bad times, and from strangers.
//
// A Listener goes on when the system cannot give it a connection, for want of descriptors or memory
// most likely. It bounds the connections that have not shown yet who they are, in number, from one
// address, and in time. Who has shown it is its user's to say. It knows no protocol.
package listen

import (
	"cmp"
	"container/list"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"tfos/internal/pause"
)

// Options are the bounds of a Listener. Zero values are the defaults.
type Options struct {
	// Unfinished bounds the connections that are not admitted yet, all together; 1024, or a quarter
	// of what this process may have open. Each costs a server of gRPC 20 KiB.
	Unfinished int
	PerAddress int           // of them from one address; 64
	Timeout    time.Duration // until one has to be admitted; 10 s
	// Grace is how long each may take in any case: when there are too many, those that have had it
	// make room, the oldest first; 1.5 s. Where thousands of agents connect at once, each takes
	// that long. In a flood from many addresses, who connects waits for those before it in the
	// system's queue: 4096 take 6 s.
	Grace  time.Duration
	Logger *zap.Logger
}

// How long to wait after the system would not give a connection, and between two warnings of the
// same kind.
const (
	pauseMin  = 5 * time.Millisecond
	pauseMax  = time.Second
	warnEvery = time.Minute
)

// Listener wraps another one. Its Accept is for one goroutine, the rest is safe for concurrent use.
type Listener struct {
	net.Listener
	o      Options
	closed chan struct{} // closed by Close
	close  sync.Once
	room   chan struct{} // capacity 1: has something when a connection has left unfinished

	mu         sync.Mutex
	unfinished *list.List     // guarded by mu: of *Conn, the oldest first
	from       map[string]int // guarded by mu: how many of them an address has
	turnedAway int            // guarded by mu: since the last warning
	warned     time.Time      // guarded by mu
}

// New makes a Listener of l, which it owns.
func New(l net.Listener, o Options) *Listener {
	o.Unfinished, o.PerAddress = cmp.Or(o.Unfinished, min(1024, Descriptors()/4)), cmp.Or(o.PerAddress, 64)
	o.Timeout, o.Grace = cmp.Or(o.Timeout, 10*time.Second), cmp.Or(o.Grace, 1500*time.Millisecond)
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return &Listener{Listener: l, o: o, closed: make(chan struct{}), room: make(chan struct{}, 1), unfinished: list.New(), from: make(map[string]int)}
}

// Close implements net.Listener. Connections stay open.
func (l *Listener) Close() error {
	l.close.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// Accept waits for a connection, a *Conn. An error is final.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := Accept(l.Listener.Accept, l.closed, l.o.Logger)
		if err != nil {
			return nil, err
		}
		if !l.waitForRoom() {
			c.Close()
			return nil, &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: net.ErrClosed}
		}
		if conn := l.take(c); conn != nil {
			return conn, nil
		}
		c.Close()
	}
}

// Patient is a listener that goes on when the system cannot give it a connection, and bounds
// nothing.
func Patient(l net.Listener, logger *zap.Logger) net.Listener { return patient{l, logger} }

type patient struct {
	net.Listener
	logger *zap.Logger
}

// Accept implements net.Listener. Close ends it within pauseMax.
func (p patient) Accept() (net.Conn, error) { return Accept(p.Listener.Accept, nil, p.logger) }

// Accept waits for a connection by a listener's function. It goes on when the system cannot give
// one, until done is closed.
func Accept[C any](accept func() (C, error), done <-chan struct{}, logger *zap.Logger) (C, error) {
	for pauses := pause.Growing(pauseMin, pauseMax); ; {
		c, err := accept()
		if err == nil || !passes(err) {
			return c, err
		}
		if pauses.Taken() == 0 {
			logger.Warn("a connection could not be accepted, and others wait", zap.Error(err))
		}
		t := time.NewTimer(pauses.Next())
		select {
		case <-t.C:
		case <-done:
			t.Stop()
			return c, err
		}
	}
}

// passes reports whether an error of accept says nothing of the listener: accept(2) has the list.
// The system is short of something, or that connection is gone already.
func passes(err error) bool {
	for _, e := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR, syscall.EAGAIN, syscall.EPERM,
		syscall.EPROTO, syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EOPNOTSUPP, syscall.ECONNRESET, syscall.ETIMEDOUT,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// waitForRoom waits, with one in hand, until one more connection may be unfinished. It reports
// whether the Listener is still open.
func (l *Listener) waitForRoom() bool {
	for {
		l.mu.Lock()
		if l.unfinished.Len() < l.o.Unfinished {
			l.mu.Unlock()
			return true
		}
		oldest := l.unfinished.Front().Value.(*Conn)
		wait := l.o.Grace - time.Since(oldest.began)
		if wait <= 0 {
			l.turnAway("too many connections have not shown who they are")
			l.mu.Unlock()
			oldest.Close()
			continue
		}
		l.mu.Unlock()
		t := time.NewTimer(wait)
		select {
		case <-l.room:
		case <-t.C:
		case <-l.closed:
			t.Stop()
			return false
		}
		t.Stop()
	}
}

// take makes a Conn of a connection; nil: its address has too many that are young.
func (l *Listener) take(c net.Conn) *Conn {
	from := addressOf(c)
	l.mu.Lock()
	var old *Conn // makes room
	if l.from[from] >= l.o.PerAddress {
		l.turnAway("too many connections from one address have not shown who they are")
		old = l.oldest(from)
		if time.Since(old.began) < l.o.Grace {
			l.mu.Unlock()
			return nil
		}
	}
	conn := &Conn{Conn: c, l: l, from: from, began: time.Now()}
	conn.place = l.unfinished.PushBack(conn)
	l.from[from]++
	conn.timer = time.AfterFunc(l.o.Timeout, func() { conn.expire() })
	l.mu.Unlock()
	if old != nil {
		old.Close()
	}
	return conn
}

// oldest finds the first unfinished connection of an address that has one. l.mu is held.
func (l *Listener) oldest(from string) *Conn {
	for e := l.unfinished.Front(); ; e = e.Next() {
		if c := e.Value.(*Conn); c.from == from {
			return c
		}
	}
}

// turnAway counts a connection that is given up, and says so now and then. l.mu is held.
func (l *Listener) turnAway(why string) {
	l.turnedAway++
	if now := time.Now(); l.warned.IsZero() || now.Sub(l.warned) >= warnEvery {
		l.o.Logger.Warn(why, zap.Stringer("listener", l.Addr()), zap.Int("turned_away", l.turnedAway))
		l.warned, l.turnedAway = now, 0
	}
}

// addressOf is the host that a connection comes from; of a Unix socket it is empty.
func addressOf(c net.Conn) string {
	a := c.RemoteAddr()
	if a == nil {
		return ""
	}
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() && !ip.Is4In6() {
		if network, err := ip.Prefix(64); err == nil { // whose addresses one host may have all
			return network.String()
		}
	}
	return host
}

// Conn is an accepted connection. It counts as unfinished until Admit or Close.
type Conn struct {
	net.Conn
	l     *Listener
	from  string
	began time.Time
	timer *time.Timer   // closes it; guarded by l.mu; nil: it is not unfinished
	place *list.Element // guarded by l.mu; nil: it is not unfinished
}

// Admit says that the connection has shown who it is. It reports whether it is still there.
func (c *Conn) Admit() bool {
	l := c.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.place == nil {
		return false
	}
	c.timer.Stop()
	l.unfinished.Remove(c.place)
	c.timer, c.place = nil, nil // thousands may stay for days
	if l.from[c.from]--; l.from[c.from] == 0 {
		delete(l.from, c.from)
	}
	select {
	case l.room <- struct{}{}:
	default:
	}
	return true
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.Admit()
	return c.Conn.Close()
}

// CloseWrite says that nothing more will be sent, where the connection can.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// expire ends a connection that is still unfinished.
func (c *Conn) expire() {
	if c.Admit() {
		c.Conn.Close()
	}
}
