package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tfos/internal/control/controlpb"
	"tfos/internal/yarn"
)

// MasterOptions are what a Master needs. Zero durations mean the defaults.
type MasterOptions struct {
	Listener     net.Listener // the Master closes it
	Identity     Identity     // of PartyMaster
	Handler      MasterHandler
	Leases       LeaseHandler // nil: the job's input is not shared by the master
	Pages        []Page       // of the master's inside, besides those that every process has
	Logger       *zap.Logger
	Heartbeat    time.Duration // how often agents say that they live; default 1 s
	Silence      time.Duration // after how long without a word from an agent and its system a session ends; default 5 s
	Stall        time.Duration // the same, without a word from the agent while its system answers; default 30 s
	ViewInterval time.Duration // the least time between two status documents; default 250 ms
	Attended     time.Duration // the Handler stops the job when nobody has attended it for so long; 0: nobody need
}

// closeWait bounds how long Close waits for commands and views to reach their readers.
const closeWait = 3 * time.Second

// Master is the application master's server: it keeps a session with each agent and serves clients.
type Master struct {
	o      MasterOptions
	server *grpc.Server
	views  *views
	specs  specCache
	done   chan struct{} // closed by Close: watches and the heartbeat watch end

	attendance attendance
	messages   atomic.Uint64 // that agents have sent, heartbeats and all

	mu       sync.Mutex
	sessions map[yarn.ContainerID]*Session // guarded by mu: the newest of each container
	closing  bool                          // guarded by mu

	close sync.Once
}

// NewMaster prepares a Master. It serves from Run on.
func NewMaster(o MasterOptions) (*Master, error) {
	if o.Identity.Subject().Party != PartyMaster {
		return nil, fmt.Errorf("serve as master: the identity is %s", o.Identity)
	}
	tls, err := o.Identity.serverTLS()
	if err != nil {
		return nil, fmt.Errorf("serve as master: %w", err)
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	orDefault(&o.Heartbeat, time.Second)
	orDefault(&o.Silence, 5*time.Second)
	orDefault(&o.Stall, 30*time.Second)
	orDefault(&o.ViewInterval, 250*time.Millisecond)
	o.Listener = bounded(o.Listener, o.Logger)
	m := &Master{o: o, server: newServer(tls, o.Logger), views: newViews(o.Handler.View, o.ViewInterval), done: make(chan struct{}), sessions: make(map[yarn.ContainerID]*Session)}
	controlpb.RegisterMasterServer(m.server, masterService{m: m})
	return m, nil
}

func orDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

// Addr is where the Master listens.
func (m *Master) Addr() net.Addr { return m.o.Listener.Addr() }

// Run serves until ctx ends or Close is called; then it is nil.
func (m *Master) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { m.Close() })
	defer stop()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		m.watchHeartbeats()
	}()
	err := m.server.Serve(m.o.Listener)
	m.Close()
	<-watched
	if err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve as master: %w", err)
	}
	return nil
}

// Changed says that there is news for those who watch the job. They get it when the handler's View
// has made a document of it.
func (m *Master) Changed() { m.views.change() }

// Close gives waiting commands and the last view to their readers, for three seconds at most, and
// stops serving. It is safe to call more than once.
func (m *Master) Close() error {
	m.close.Do(func() {
		m.mu.Lock()
		m.closing = true
		for _, s := range m.sessions {
			s.finish()
		}
		m.mu.Unlock()
		close(m.done)
		hurry := time.AfterFunc(closeWait, m.server.Stop)
		defer hurry.Stop()
		m.server.GracefulStop()
		m.o.Listener.Close() // for one that was never served
	})
	return nil
}

// watchHeartbeats ends sessions whose agents have been silent for too long. An agent whose node
// answers has more time: where many tasks share a machine that has too much to do, their agents are
// late, and a job that counted them as lost would only give the machine more to do.
// It also stops a job that nobody attends any more.
func (m *Master) watchHeartbeats() {
	period := m.o.Silence / 5
	tick := time.NewTicker(period)
	defer tick.Stop()
	last := time.Now()
	m.attendance.begin(last)
	for {
		select {
		case <-m.done:
			return
		case <-tick.C:
		}
		now := time.Now()
		// A tick that comes late means that this process did not run (paused, swapped out):
		// heartbeats may be waiting to be read, and silence proves nothing.
		late := now.Sub(last) > 2*period
		last = now
		if m.o.Attended > 0 && m.attendance.deserted(now, m.o.Attended, late) {
			m.o.Handler.StopJob(fmt.Sprintf("nobody has attended the job for %v: whoever started it is gone", m.o.Attended))
		}
		for _, s := range m.current() {
			switch unheard := now.Sub(s.Heard()); {
			case late:
				s.beat()
			case unheard > m.o.Stall, unheard > m.o.Silence && now.Sub(acknowledged(s.conn)) > m.o.Silence:
				s.end(Silent)
			case unheard > 2*m.o.Heartbeat:
				s.probe()
				if unheard > m.o.Silence && s.slows() {
					m.o.Logger.Warn("an agent is slow: its node answers, and it does not", zap.Stringer("task", s.Task()),
						zap.Stringer("container", s.Container()), zap.Duration("unheard", unheard))
				}
			}
		}
	}
}

// Agents is how the agents are heard: how many are connected, how many messages came of all so far,
// and how long the one has been silent that was heard of the longest ago.
func (m *Master) Agents() (connected int, messages uint64, silence time.Duration) {
	now := time.Now()
	all := m.current()
	for _, s := range all {
		silence = max(silence, now.Sub(s.Heard()))
	}
	return len(all), m.messages.Load(), silence
}

func (m *Master) current() []*Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]*Session, 0, len(m.sessions))
	for _, s := range m.sessions {
		all = append(all, s)
	}
	return all
}

// enter makes s its container's session, and returns once the one before it has left: soon, since
// nothing that a session waits for depends on what the handler is busy with.
func (m *Master) enter(s *Session) error {
	m.mu.Lock()
	if m.closing {
		m.mu.Unlock()
		return status.Error(codes.Unavailable, "the master is ending")
	}
	old := m.sessions[s.Container()]
	m.sessions[s.Container()] = s
	m.mu.Unlock()
	if old != nil {
		old.end(Replaced)
		<-old.left
	}
	return nil
}

func (m *Master) leave(s *Session) {
	m.mu.Lock()
	if m.sessions[s.Container()] == s {
		delete(m.sessions, s.Container())
	}
	m.mu.Unlock()
}
