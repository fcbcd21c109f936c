package control

import (
	"sync"
	"time"

	"tfos/internal/clusterspec"
	"tfos/internal/control/controlpb"
	"tfos/internal/job"
	"tfos/internal/yarn"
)

// backlog is how many commands may wait for an agent to take them. An agent that lets more come is not reading.
const backlog = 256

// Session is one agent's connection to the master. Its commands never block and are not acknowledged: when the session is
// over they go nowhere, and the Hello of the next one tells what came of them. Safe for concurrent use.
type Session struct {
	subject Subject
	specs   *specCache
	wake    chan struct{} // capacity 1: there is something in outbox, or ended is set
	over    chan struct{} // closed when ended is set
	left    chan struct{} // closed after the handler was told that it Left

	mu     sync.Mutex
	outbox []*controlpb.ToAgent // guarded by mu
	ended  Departure            // guarded by mu; 0: alive
	heard  time.Time            // guarded by mu: when the agent was last heard of
	drain  bool                 // guarded by mu: end once outbox is empty
}

func newSession(s Subject, specs *specCache) *Session {
	return &Session{
		subject: s,
		specs:   specs,
		wake:    make(chan struct{}, 1),
		over:    make(chan struct{}),
		left:    make(chan struct{}),
		heard:   time.Now(),
	}
}

// Container is the agent's container, as its certificate says.
func (s *Session) Container() yarn.ContainerID { return s.subject.Container }

// Task is the agent's task, as its certificate says.
func (s *Session) Task() job.Task { return s.subject.Task }

// Heard is when the agent was last heard of.
func (s *Session) Heard() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard
}

// Spec hands the agent a cluster_spec.
func (s *Session) Spec(spec clusterspec.Spec) {
	s.send(&controlpb.ToAgent{Message: &controlpb.ToAgent_Spec{Spec: s.specs.encode(spec)}})
}

// Start has the agent start its process.
func (s *Session) Start(c Start) {
	s.send(&controlpb.ToAgent{Message: &controlpb.ToAgent_Start{Start: startToPB(c)}})
}

// Stop has the agent end its process.
func (s *Session) Stop(c Stop) {
	s.send(&controlpb.ToAgent{Message: &controlpb.ToAgent_Stop{Stop: &controlpb.Stop{Incarnation: int32(c.Incarnation), GraceMs: c.Grace.Milliseconds()}}})
}

// Retire has the agent end.
func (s *Session) Retire(c Retire) {
	s.send(&controlpb.ToAgent{Message: &controlpb.ToAgent_Retire{Retire: &controlpb.Retire{Reason: valid(c.Reason), GraceMs: c.Grace.Milliseconds()}}})
}

// Notice has the agent tell its program.
func (s *Session) Notice(n Notice) {
	s.send(&controlpb.ToAgent{Message: &controlpb.ToAgent_Notice{Notice: &controlpb.Notice{
		Reason: valid(n.Reason), LeftMs: n.Left.Milliseconds(), Signal: valid(n.Signal)}}})
}

// Forward has the agent's program reach its peers by forward instead of redirect, from now on.
func (s *Session) Forward(reason string) {
	s.send(&controlpb.ToAgent{Message: &controlpb.ToAgent_Forward{Forward: &controlpb.Forward{Reason: valid(reason)}}})
}

func (s *Session) send(m *controlpb.ToAgent) {
	s.mu.Lock()
	full := len(s.outbox) >= backlog
	if s.ended == 0 && !full {
		s.outbox = append(s.outbox, m)
	}
	s.mu.Unlock()
	if full {
		s.end(Overrun)
		return
	}
	s.poke()
}

func (s *Session) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// end marks the session as over. The first reason counts.
func (s *Session) end(why Departure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == 0 {
		s.ended, s.outbox = why, nil
		close(s.over)
	}
}

// finish ends the session once its commands are out.
func (s *Session) finish() {
	s.mu.Lock()
	s.drain = true
	s.mu.Unlock()
	s.poke()
}

func (s *Session) why() Departure {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

func (s *Session) beat() {
	s.mu.Lock()
	s.heard = time.Now()
	s.mu.Unlock()
}

// take empties the outbox. It reports false when the session should end.
func (s *Session) take() ([]*controlpb.ToAgent, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.outbox
	s.outbox = nil
	return out, s.ended == 0 && (len(out) > 0 || !s.drain)
}

// read hands on what the agent sends, until the stream ends. Heartbeats end here.
func (s *Session) read(stream agentStream, incoming chan<- *controlpb.FromAgent) {
	for {
		message, err := stream.Recv()
		if err != nil {
			s.end(Closed)
			return
		}
		s.beat()
		if message.GetHeartbeat() != nil {
			continue
		}
		select {
		case incoming <- message:
		case <-s.over:
			return
		}
	}
}

// write sends what is in the outbox until the session ends.
func (s *Session) write(stream agentStream) {
	for {
		messages, ok := s.take()
		if !ok {
			s.end(Closed)
			return
		}
		for _, m := range messages {
			if stream.Send(m) != nil { // the connection is gone
				s.end(Closed)
				return
			}
		}
		if len(messages) > 0 {
			continue
		}
		select {
		case <-s.wake:
		case <-s.over:
			return
		}
	}
}

// specCache keeps the newest cluster_spec as the wire has it: a generation goes to every agent, and is large when they are many.
type specCache struct {
	mu   sync.Mutex
	last *controlpb.Spec // guarded by mu; never changed once it is here
}

func (c *specCache) encode(s clusterspec.Spec) *controlpb.Spec {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil || c.last.GetGeneration() != int64(s.Generation) {
		c.last = specToPB(s)
	}
	return c.last
}
