package endpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"tfos/internal/clusterspec"
	"tfos/internal/job"
	"tfos/internal/listen"
)

// dialWait bounds how long a connection may wait for its target to answer. One that is held for
// longer does more harm than one that is refused: TensorFlow's coordinator stands still meanwhile.
const dialWait = 3 * time.Second

// loopback is where ports are that only this node needs.
const loopback = "127.0.0.1"

// forward carries connections through ports of this process, one a peer.
type forward struct {
	self   job.Task
	host   string
	proof  func(job.Task) Proof
	logger *zap.Logger
	links  *crowd
	ports  []*forwarded // by slot; nil: the task itself
}

func newForward(o Options) *forward {
	return &forward{self: o.Self, host: cmp.Or(o.Host, loopback), proof: o.Proof, logger: o.Logger, links: newCrowd(listen.Descriptors()/4, o.Logger)}
}

func (f *forward) add(t job.Task) (int, string, error) {
	if t == f.self {
		f.ports = append(f.ports, nil)
		return len(f.ports) - 1, "", nil
	}
	at := "" // every address of the node
	if ip, err := netip.ParseAddr(f.host); err == nil && ip.IsLoopback() {
		at = f.host
	}
	l, err := net.Listen("tcp", net.JoinHostPort(at, "0"))
	if err != nil {
		return 0, "", fmt.Errorf("forward to %s: %w", t, err)
	}
	p := &forwarded{listener: l.(*net.TCPListener), proof: f.proof(t), links: f.links, logger: f.logger.With(zap.Stringer("task", t)), open: make(map[*link]struct{}), end: make(chan struct{})}
	p.change, p.changed = context.WithCancel(context.Background())
	p.running.Go(p.accept)
	f.ports = append(f.ports, p)
	_, number, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, "", fmt.Errorf("forward to %s: %w", t, err)
	}
	return len(f.ports) - 1, net.JoinHostPort(f.host, number), nil
}

func (f *forward) retarget(slot int, to target) {
	if p := f.ports[slot]; p != nil {
		p.retarget(to)
	}
}

func (f *forward) env(environ []string) []string { return environ }

func (f *forward) count(slot int, c *clusterspec.Counters) {
	if p := f.ports[slot]; p != nil {
		c.Connections, c.Refused, c.Resets = p.connections.Load(), p.refused.Load(), p.resets.Load()
		c.Sent, c.Received = p.sent.Load(), p.received.Load()
	}
}

func (f *forward) close() error {
	var errs []error
	for _, p := range f.ports {
		if p != nil {
			errs = append(errs, p.close())
		}
	}
	return errors.Join(errs...)
}

// forwarded is one peer's port.
type forwarded struct {
	listener *net.TCPListener
	proof    Proof // that a target must give; zero: none
	logger   *zap.Logger
	links    *crowd
	running  sync.WaitGroup // everything that was started
	end      chan struct{}  // closed by close

	connections, refused, resets atomic.Uint64
	sent, received               atomic.Int64

	mu      sync.Mutex
	target  target             // guarded by mu
	change  context.Context    // guarded by mu: ends when target does
	changed context.CancelFunc // guarded by mu
	open    map[*link]struct{} // guarded by mu: the connections to target
}

// link is one connection that is carried: near is the process's side, far the target's.
type link struct{ near, far *net.TCPConn }

// accept serves the port until it is closed.
func (p *forwarded) accept() {
	for {
		c, err := listen.Accept(p.listener.AcceptTCP, p.end, p.logger)
		if err != nil {
			return
		}
		if !p.links.enter(c) {
			p.refused.Add(1)
			reset(c)
			continue
		}
		p.running.Go(func() {
			defer p.links.leave(c)
			p.serve(c)
		})
	}
}

// serve carries one connection to its end.
func (p *forwarded) serve(near *net.TCPConn) {
	p.mu.Lock()
	target, change := p.target, p.change
	p.mu.Unlock()
	if !target.IsValid() {
		p.refused.Add(1)
		reset(near)
		return
	}
	d := net.Dialer{Timeout: dialWait}
	c, err := d.DialContext(change, "tcp", target.String())
	if err != nil {
		p.refused.Add(1)
		reset(near)
		return
	}
	l := &link{near, c.(*net.TCPConn)}
	if p.proof != (Proof{}) {
		if err := prove(change, target, p.proof); err != nil {
			p.logger.Debug("connection refused: who listens there is not proven to be the peer", zap.Stringer("target", target), zap.Error(err))
			p.refused.Add(1)
			l.reset()
			return
		}
	}
	p.connections.Add(1)
	if !p.begin(l, change) {
		p.resets.Add(1) // first: who sees the end sees it counted
		l.reset()
		return
	}
	defer p.finish(l)
	var there sync.WaitGroup
	there.Go(func() { l.carry(l.far, l.near, &p.sent) })
	l.carry(l.near, l.far, &p.received)
	there.Wait()
	near.Close()
	c.Close()
}

// begin counts a link among those to the target, unless that has changed since it was dialled.
func (p *forwarded) begin(l *link, change context.Context) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if change.Err() != nil {
		return false
	}
	p.open[l] = struct{}{}
	return true
}

func (p *forwarded) finish(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, l)
}

func (p *forwarded) retarget(to target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed()
	p.target = to
	p.change, p.changed = context.WithCancel(context.Background())
	for l := range p.open {
		p.resets.Add(1)
		l.reset()
	}
	clear(p.open)
}

// close waits until nothing runs any more.
func (p *forwarded) close() error {
	p.retarget(target{})
	close(p.end)
	err := p.listener.Close()
	p.running.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed()
	return err
}
