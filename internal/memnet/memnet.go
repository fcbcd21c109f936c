// Package memnet is a network within one process, for tests: hosts that listen and dial by name,
// and cuts between them.
//
// A connection behaves like TCP where tfos can tell: it is a stream with a bounded window and
// deadlines; a dial to a port where nobody listens is refused; to or from a host that is cut off
// nothing arrives, and nothing is said about it, until the host is healed or somebody's deadline
// passes. It waits on channels alone, so that time passes in a testing/synctest bubble that a
// Network was made in.
package memnet

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Network connects hosts. Safe for concurrent use.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener // guarded by mu, by host:port
	conns     map[*Conn]struct{}   // guarded by mu: both ends of each open connection
	cut       map[string]bool      // guarded by mu: hosts that nothing reaches or leaves
	away      map[string]time.Time // guarded by mu: of them those whose systems do not answer, and since when
	changed   chan struct{}        // guarded by mu: closed when a host is cut or healed
	nextPort  int                  // guarded by mu
}

// New makes a network without hosts.
func New() *Network {
	return &Network{
		listeners: make(map[string]*listener),
		conns:     make(map[*Conn]struct{}),
		cut:       make(map[string]bool),
		away:      make(map[string]time.Time),
		changed:   make(chan struct{}),
		nextPort:  40000,
	}
}

// Host is a place on the network, named name. It need not be made known before.
func (n *Network) Host(name string) *Host { return &Host{net: n, name: name} }

// Cut stops everything that goes to and from a host, without a word to either side.
func (n *Network) Cut(host string) { n.setCut(host, true, time.Now()) }

// Stop has the processes of a host stand still: they say nothing and read nothing, but the host's
// system goes on.
func (n *Network) Stop(host string) { n.setCut(host, true, time.Time{}) }

// Heal undoes Cut and Stop. What was written meanwhile arrives.
func (n *Network) Heal(host string) { n.setCut(host, false, time.Time{}) }

func (n *Network) setCut(host string, cut bool, since time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[host] = cut
	if n.away[host] = since; since.IsZero() {
		delete(n.away, host)
	}
	close(n.changed)
	n.changed = make(chan struct{})
}

// Reset breaks every connection of a host, as its crash and restart would: both sides get
// ECONNRESET. Its listeners stay.
func (n *Network) Reset(host string) {
	n.mu.Lock()
	var broken []*Conn
	for c := range n.conns {
		if c.local.host == host || c.remote.host == host {
			broken = append(broken, c)
		}
	}
	n.mu.Unlock()
	for _, c := range broken {
		c.in.fail(syscall.ECONNRESET)
		c.out.fail(syscall.ECONNRESET)
	}
}

// reachable reports whether a and b reach each other now, and a channel that is closed when that
// may have changed.
func (n *Network) reachable(a, b string) (bool, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.cut[a] && !n.cut[b], n.changed
}

// answered is when the systems of a and b last reached each other.
func (n *Network) answered(a, b string) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := time.Now()
	for _, host := range []string{a, b} {
		if since, away := n.away[host]; away && since.Before(at) {
			at = since
		}
	}
	return at
}

func (n *Network) port() int {
	n.nextPort++
	return n.nextPort
}

// Host is one place on a Network.
type Host struct {
	net  *Network
	name string
}

// Name is the host's name.
func (h *Host) Name() string { return h.name }

// Listen takes a port of the host; 0 picks a free one.
func (h *Host) Listen(port int) (net.Listener, error) {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if port == 0 {
		port = n.port()
	}
	a := addr{h.name, port}
	if n.listeners[a.String()] != nil {
		return nil, &net.OpError{Op: "listen", Net: a.Network(), Addr: a, Err: syscall.EADDRINUSE}
	}
	l := &listener{net: n, addr: a, arrived: make(chan *Conn), closed: make(chan struct{})}
	n.listeners[a.String()] = l
	return l, nil
}

// Dial connects to host:port. While either side is cut off it waits for ctx to end, or for the
// network to heal.
func (h *Host) Dial(ctx context.Context, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	to := addr{host, number}
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: to.Network(), Addr: to, Err: err}
	}
	for {
		ok, changed := h.net.reachable(h.name, host)
		if ok {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fail(ctx.Err())
		}
	}
	n := h.net
	n.mu.Lock()
	l := n.listeners[to.String()]
	from := addr{h.name, n.port()}
	n.mu.Unlock()
	if l == nil {
		return fail(syscall.ECONNREFUSED)
	}
	here, there := n.pair(from, to)
	select {
	case l.arrived <- there:
		return here, nil
	case <-l.closed:
		err = syscall.ECONNREFUSED
	case <-ctx.Done():
		err = ctx.Err()
	}
	here.Close()
	there.Close()
	return fail(err)
}

type listener struct {
	net     *Network
	addr    addr
	arrived chan *Conn // unbuffered: a dial waits for the accept
	closed  chan struct{}
	close   sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.arrived:
		return c, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: l.addr.Network(), Addr: l.addr, Err: net.ErrClosed}
	}
}

func (l *listener) Close() error {
	err := error(&net.OpError{Op: "close", Net: l.addr.Network(), Addr: l.addr, Err: net.ErrClosed})
	l.close.Do(func() {
		l.net.mu.Lock()
		delete(l.net.listeners, l.addr.String())
		l.net.mu.Unlock()
		close(l.closed)
		err = nil
	})
	return err
}

func (l *listener) Addr() net.Addr { return l.addr }

// addr is a host and a port.
type addr struct {
	host string
	port int
}

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return net.JoinHostPort(a.host, strconv.Itoa(a.port)) }
