package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	"tfos/internal/clusterspec"
	"tfos/internal/control/controlpb"
	"tfos/internal/pause"
)

// ErrNoMaster says that an agent has been without a master for longer than it waits for one.
var ErrNoMaster = errors.New("no master")

// ErrOver says that the application is over: there will be no master.
var ErrOver = errors.New("the application is over")

// LinkOptions are what a Link needs. Zero durations mean the defaults.
type LinkOptions struct {
	Identity Identity // of PartyAgent
	Hello    Hello    // what the first session opens with
	Handler  AgentHandler
	// Master tells where the current master listens. It is asked before each attempt. ErrOver ends
	// the Link.
	Master   func(ctx context.Context) (string, error)
	Dialer   Dialer // nil: TCP
	Logger   *zap.Logger
	Patience time.Duration // how long to be without a master before giving up; default 20 min
	MaxPause time.Duration // the longest pause between two attempts; default 2 s
}

// firstPause is the pause after the first attempt that did not work; each further one doubles it.
const firstPause = 200 * time.Millisecond

// Link keeps an agent in touch with its master: it dials, greets, says that the agent lives, and
// starts over when the connection breaks. It remembers where the agent stands, so that each session
// tells it whole: what is reported while there is no session goes into the next Hello, and what was
// told in a Hello is not told again in its session. Safe for concurrent use.
type Link struct {
	o LinkOptions

	mu    sync.Mutex
	hello Hello      // guarded by mu: where the agent stands now
	open  *agentSide // guarded by mu: the session, once its Hello is made; nil: none
}

// NewLink prepares a Link. It dials from Run on.
func NewLink(o LinkOptions) (*Link, error) {
	if o.Identity.Subject().Party != PartyAgent {
		return nil, fmt.Errorf("join the job: the identity is %s", o.Identity)
	}
	orDefault(&o.Patience, 20*time.Minute) // YARN takes up to 15 to notice that a master is lost, and then starts another one
	orDefault(&o.MaxPause, 2*time.Second)
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return &Link{o: o, hello: o.Hello}, nil
}

// Started reports a process that runs.
func (l *Link) Started(s Started) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hello.Incarnation, l.hello.Running, l.hello.Exited, l.hello.Since = s.Incarnation, &s, nil, s.Generation
	l.open.queue(&controlpb.FromAgent{Message: &controlpb.FromAgent_Started{Started: startedToPB(s)}})
}

// Exited reports a process that ended, or could not be started.
func (l *Link) Exited(e Exited) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hello.Incarnation, l.hello.Running, l.hello.Exited = e.Incarnation, nil, &e
	l.open.queue(&controlpb.FromAgent{Message: &controlpb.FromAgent_Exited{Exited: exitedToPB(e)}})
}

// Progress reports a step. Without a session it is dropped: a newer one follows.
func (l *Link) Progress(p Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open.queue(&controlpb.FromAgent{Message: &controlpb.FromAgent_Progress{Progress: progressToPB(p)}})
}

// Peers reports how the task's processes reach their peers: the counters that changed.
func (l *Link) Peers(p Peers) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hello.Peers = l.hello.Peers.With(p)
	l.open.queue(&controlpb.FromAgent{Message: &controlpb.FromAgent_Peers{Peers: peersToPB(p)}})
}

// maxMirror bounds the news that wait for a session: the newest.
const maxMirror = 32

// Mirror reports what happened to a checkpoint.
func (l *Link) Mirror(n MirrorNews) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.hello.Mirror = append(l.hello.Mirror[max(0, len(l.hello.Mirror)-maxMirror+1):], n)
		return
	}
	l.open.queue(&controlpb.FromAgent{Message: &controlpb.FromAgent_Mirror{Mirror: mirrorNewsToPB(n)}})
}

// Spec notes which cluster_spec the agent has, for the next Hello.
func (l *Link) Spec(s clusterspec.Spec) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hello.Generation, l.hello.Digest = s.Generation, s.Digest()
}

// Joined reports whether there is a session now.
func (l *Link) Joined() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open != nil && l.open.welcome
}

// Run keeps the link up until ctx ends (then it is ctx's error, and what was reported before is
// with the master if that answers within a second), the master refuses the agent (ErrRefused),
// Master says that there will be none (ErrOver), or there has been none for longer than Patience
// (ErrNoMaster).
func (l *Link) Run(ctx context.Context) error {
	log := l.o.Logger
	last, pauses := time.Now(), pause.Growing(firstPause, l.o.MaxPause) // last: when there was a master
	failed := 0
	for {
		welcomed, err := l.session(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, ErrRefused) {
			return fmt.Errorf("join the job: %w", err)
		}
		if errors.Is(err, ErrOver) {
			log.Error("there will be no master", zap.Error(err))
			return err
		}
		if welcomed {
			last, failed = time.Now(), 0
			pauses.Reset()
			log.Info("connection to the master ended", zap.Error(err))
		} else if failed++; failed == 1 {
			log.Warn("no master", zap.Error(err))
		}
		if gone := time.Since(last); gone >= l.o.Patience {
			log.Error("gave up on the master", zap.Duration("after", gone), zap.Int("attempts", failed), zap.Error(err))
			return fmt.Errorf("%w for %v: %w", ErrNoMaster, gone.Round(time.Second), err)
		}
		if pauses.Wait(ctx) != nil {
			return ctx.Err()
		}
	}
}

// partWait bounds how long a session that ends waits for its last reports to arrive.
const partWait = time.Second

// errMute is the end of a session with a master that accepts and says nothing.
var errMute = errors.New("the master does not answer")

// session is one connection, from dialling to its end. It reports whether the master welcomed the
// agent.
func (l *Link) session(outer context.Context) (bool, error) {
	// The stream outlives outer by as long as the last reports take.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(outer))
	defer cancel(nil)
	side := newAgentSide()
	parting := context.AfterFunc(outer, func() {
		if l.part(side) {
			time.AfterFunc(partWait, func() { cancel(outer.Err()) })
		} else {
			cancel(outer.Err())
		}
	})
	defer parting()

	lookup, stop := context.WithTimeout(ctx, connectWait)
	address, err := l.o.Master(lookup)
	stop()
	if err != nil {
		return false, fmt.Errorf("find the master: %w", err)
	}
	conn, err := dial(address, l.o.Dialer, l.o.Identity, PartyMaster)
	if err != nil {
		return false, fmt.Errorf("connect to the master at %s: %w", address, err)
	}
	defer conn.Close()
	side.client = controlpb.NewMasterClient(conn)
	mute := time.AfterFunc(2*connectWait, func() { cancel(errMute) })
	defer mute.Stop()
	stream, beat, err := l.greet(ctx, side)
	defer l.end(side)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return false, fmt.Errorf("join the master at %s: %w", address, err)
	}
	mute.Stop()
	l.o.Logger.Info("joined", zap.String("master", address))

	var writing sync.WaitGroup
	defer writing.Wait()
	defer cancel(nil)
	writing.Go(func() { side.write(ctx, stream, beat) })
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return true, errors.New("the master ended the session")
		}
		if err != nil {
			return true, foreign(err)
		}
		if err := l.dispatch(side, m); err != nil {
			return true, err
		}
	}
}

type masterStream = grpc.BidiStreamingClient[controlpb.FromAgent, controlpb.ToAgent]

// greet says Hello and waits for the Welcome, which tells how often to say that the agent lives.
func (l *Link) greet(ctx context.Context, side *agentSide) (masterStream, time.Duration, error) {
	stream, err := side.client.Session(ctx)
	if err != nil {
		return nil, 0, foreign(err)
	}
	hello := l.begin(side)
	if err := stream.Send(&controlpb.FromAgent{Message: &controlpb.FromAgent_Hello{Hello: helloToPB(hello)}}); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, foreign(err)
	}
	first, err := stream.Recv() // which tells why, if Send was told EOF
	if err != nil {
		return nil, 0, foreign(err)
	}
	if first.GetWelcome() == nil {
		return nil, 0, errors.New("it answered with something else than a welcome")
	}
	l.welcomed(side)
	beat := milliseconds(first.GetWelcome().GetHeartbeatMs())
	orDefault(&beat, time.Second)
	return stream, beat, nil
}

func (l *Link) dispatch(side *agentSide, m *controlpb.ToAgent) error {
	switch x := m.GetMessage().(type) {
	case *controlpb.ToAgent_Spec:
		spec, err := received(side.spec, x.Spec)
		if err != nil {
			return err
		}
		side.spec = spec
		l.o.Handler.Spec(spec.Clone())
	case *controlpb.ToAgent_Start:
		start, err := startFromPB(x.Start)
		if err != nil {
			return err
		}
		l.o.Handler.Start(start)
	case *controlpb.ToAgent_Stop:
		l.o.Handler.Stop(stopFromPB(x.Stop))
	case *controlpb.ToAgent_Notice:
		l.o.Handler.Notice(Notice{Reason: x.Notice.GetReason(), Left: time.Duration(x.Notice.GetLeftMs()) * time.Millisecond, Signal: x.Notice.GetSignal()})
	case *controlpb.ToAgent_Forward:
		l.o.Handler.Forward(x.Forward.GetReason())
	case *controlpb.ToAgent_Stacks:
		l.o.Handler.Stacks(x.Stacks.GetReason())
	case *controlpb.ToAgent_Retire:
		l.o.Handler.Retire(retireFromPB(x.Retire))
	}
	return nil
}

// begin opens the session and makes its Hello in one step: a report comes either before, and is in
// the Hello, or after, and is sent.
func (l *Link) begin(side *agentSide) Hello {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = side
	h := l.hello
	h.Mirror = slices.Clone(h.Mirror)
	return h
}

func (l *Link) welcomed(side *agentSide) {
	l.mu.Lock()
	defer l.mu.Unlock()
	side.welcome = true
	l.hello.Mirror = nil
}

// part ends a session once its reports are out. It is false for one that the master has not
// welcomed.
func (l *Link) part(side *agentSide) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if side.welcome {
		close(side.parting)
	}
	return side.welcome
}

func (l *Link) end(side *agentSide) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == side {
		l.open = nil
	}
}

// agentSide is the agent's end of one session.
type agentSide struct {
	client  controlpb.MasterClient // of the session's connection
	spec    clusterspec.Spec       // its reader's own: the newest cluster_spec that came by it
	welcome bool                   // guarded by the Link's mu
	wake    chan struct{}          // capacity 1: there is something in outbox
	parting chan struct{}          // closed when the outbox is the last to be sent

	mu     sync.Mutex
	outbox []*controlpb.FromAgent // guarded by mu
}

func newAgentSide() *agentSide {
	return &agentSide{wake: make(chan struct{}, 1), parting: make(chan struct{})}
}

// queue has m sent after what waits already. A newer Progress takes the place of one that waits
// last, so that the outbox stays short: starts and exits are few. A nil side drops it.
func (s *agentSide) queue(m *controlpb.FromAgent) {
	if s == nil {
		return
	}
	s.mu.Lock()
	if n := len(s.outbox); n > 0 && m.GetProgress() != nil && s.outbox[n-1].GetProgress() != nil {
		s.outbox[n-1] = m
	} else {
		s.outbox = append(s.outbox, m)
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *agentSide) take() []*controlpb.FromAgent {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.outbox
	s.outbox = nil
	return out
}

// write sends reports as they come and heartbeats between them, until ctx ends, the connection
// does, or the session parts.
func (s *agentSide) write(ctx context.Context, stream masterStream, beat time.Duration) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
			if !s.flush(stream) {
				return
			}
		case <-s.parting:
			if s.flush(stream) {
				stream.CloseSend() // which the master answers with the end of the session
			}
			return
		case now := <-tick.C:
			m := &controlpb.FromAgent{Message: &controlpb.FromAgent_Heartbeat{Heartbeat: &controlpb.Heartbeat{SentUnixNano: now.UnixNano()}}}
			if stream.Send(m) != nil {
				return
			}
		}
	}
}

// flush sends what waits. It is false when the connection is gone, of which the reader learns why.
func (s *agentSide) flush(stream masterStream) bool {
	for _, m := range s.take() {
		if stream.Send(m) != nil {
			return false
		}
	}
	return true
}
