package light

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"tfos/internal/clusterspec"
	"tfos/internal/control"
	"tfos/internal/job"
)

// agent plays one agent and its program.
type agent struct {
	launched
	crowd *Crowd
	link  *control.Link
	cables
	over chan struct{} // closed when it was told to end
	lost chan struct{} // closed when its node is lost

	mu          sync.Mutex
	stands      Agent           // guarded by mu
	incarnation job.Incarnation // guarded by mu: of the program; 0: none was started
	step        int64           // guarded by mu
	ending      sync.Once
	vanishing   sync.Once
}

func newAgent(c *Crowd, l launched) *agent {
	return &agent{launched: l, crowd: c, cables: cables{from: &net.TCPAddr{IP: net.ParseIP(l.host)}}, over: make(chan struct{}), lost: make(chan struct{}),
		stands: Agent{Container: l.container, Host: l.host, Task: l.task}}
}

func (a *agent) state() Agent {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stands
}

// gone is the code of a container that its NodeManager has ended already.
const gone = -2

// run is the agent's life, and returns its container's exit code.
func (a *agent) run(killed <-chan struct{}) int32 {
	var err error
	if a.link, err = control.NewLink(control.LinkOptions{
		Identity: a.identity,
		Hello:    control.Hello{Container: a.container, Task: a.task, Incarnation: a.launched.incarnation, Agent: a.host + ":1", Address: a.host + ":2"},
		Handler:  a,
		Master:   func(ctx context.Context) (string, error) { return a.crowd.master(ctx, a.launched) },
		Dialer:   a.cables.dial,
	}); err != nil {
		a.crowd.o.Logger.Error("agent", zap.Stringer("task", a.task), zap.Error(err))
		return 1
	}
	ctx, cancel := context.WithCancel(a.crowd.ctx)
	linked := make(chan error, 1)
	go func() { linked <- a.link.Run(ctx) }()
	var steps <-chan time.Time
	if every := a.crowd.o.Step; every > 0 {
		tick := time.NewTicker(every)
		defer tick.Stop()
		steps = tick.C
	}
	code := int32(0)
	for ended := false; !ended; {
		select {
		case <-steps:
			a.report()
			continue
		case <-a.over:
		case <-a.lost:
			code = nodeLost
			a.cables.cut()
		case <-killed:
			code = gone
		case <-a.crowd.ctx.Done():
			code = gone
		case err := <-linked:
			a.crowd.o.Logger.Error("agent", zap.Stringer("task", a.task), zap.Error(err))
			linked <- err
			code = 1
		}
		ended = true
	}
	a.mu.Lock()
	a.stands.Over, a.stands.Running = true, false
	a.mu.Unlock()
	cancel()
	<-linked
	return code
}

// report takes a step.
func (a *agent) report() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stands.Running {
		a.step++
		a.link.Progress(control.Progress{Incarnation: a.incarnation, Step: a.step, Counted: a.step})
	}
}

// vanish has the agent be gone with its node.
func (a *agent) vanish() {
	a.mu.Lock()
	a.stands.Over, a.stands.Running = true, false
	a.mu.Unlock()
	a.vanishing.Do(func() { close(a.lost) })
}

// Spec implements control.AgentHandler.
func (a *agent) Spec(s clusterspec.Spec) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.Generation > a.stands.Generation {
		a.stands.Generation, a.stands.Members, a.stands.Informed = s.Generation, len(s.Members), time.Now()
	}
	a.link.Spec(s)
}

// Start implements control.AgentHandler.
func (a *agent) Start(s control.Start) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.Incarnation > a.incarnation && !a.stands.Over {
		a.incarnation, a.step, a.stands.Running = s.Incarnation, 0, true
		a.link.Started(control.Started{Incarnation: s.Incarnation, Generation: s.Generation, PID: 1})
	}
}

// Stop implements control.AgentHandler.
func (a *agent) Stop(s control.Stop) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.Incarnation == a.incarnation && a.stands.Running {
		a.stands.Running = false
		a.link.Exited(control.Exited{Incarnation: s.Incarnation, Ended: job.Ended{Code: 143, Signal: "SIGTERM", Stopped: true}})
	}
}

// Retire implements control.AgentHandler.
func (a *agent) Retire(control.Retire) { a.ending.Do(func() { close(a.over) }) }

// Notice implements control.AgentHandler.
func (a *agent) Notice(control.Notice) {}

// Forward implements control.AgentHandler.
func (a *agent) Stacks(string) {}

func (a *agent) Forward(reason string) {
	a.link.Peers(control.Peers{Endpoints: job.EndpointsForward, Reason: reason})
}

// cables are an agent's connections, which can be cut: then nothing comes through, and the other
// side is not told.
type cables struct {
	from net.Addr // the node's; a master bounds how many strangers it lets in from one address

	mu    sync.Mutex
	conns []*cable // guarded by mu
}

func (c *cables) dial(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: c.from}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	one := &cable{Conn: conn}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, one)
	return one, nil
}

func (c *cables) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.conns {
		one.mu.Lock()
		one.cut = true
		one.mu.Unlock()
		if s, ok := one.Conn.(syscall.Conn); ok {
			deafen(s)
		}
	}
}

// deafen has a connection take no packet any more, and answer none: this machine's system goes on,
// and the node that it stands for does not.
func deafen(s syscall.Conn) {
	drop := unix.SockFprog{Len: 1, Filter: &unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}} // 0 bytes of each
	if raw, err := s.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &drop) })
	}
}

type cable struct {
	net.Conn
	mu  sync.Mutex
	cut bool // guarded by mu
}

// Write implements net.Conn.
func (c *cable) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// Close implements net.Conn. The other side of a connection that was cut is not told.
func (c *cable) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return c.Conn.SetDeadline(time.Now()) // its reader ends
	}
	return c.Conn.Close()
}
