package control

import (
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"tfos/internal/clusterspec"
	"tfos/internal/control/controlpb"
	"tfos/internal/job"
	"tfos/internal/yarn"
)

// backlog is how many commands may wait for an agent to take them. An agent that lets more come is
// not reading.
const backlog = 256

// Session is one agent's connection to the master. Its commands never block and are not
// acknowledged: when the session is over they go nowhere, and the Hello of the next one tells what
// came of them. Safe for concurrent use.
type Session struct {
	subject Subject
	conn    net.Conn // of the stream
	stream  agentStream
	specs   *specCache
	// messages counts those of all agents.
	messages *atomic.Uint64
	left     chan struct{} // closed after the handler was told that it Left

	mu      sync.Mutex
	outbox  []any          // guarded by mu: *controlpb.ToAgent, or *encodedSpec
	writing bool           // guarded by mu: a goroutine empties outbox
	ended   Departure      // guarded by mu; 0: alive
	heard   time.Time      // guarded by mu: when the agent was last heard of
	spec    job.Generation // guarded by mu: of the newest cluster_spec that it was sent, or is about to be; 0: none
	slow    bool           // guarded by mu: it was asked for a word since, and a person told
	drain   bool           // guarded by mu: end once outbox is empty
}

func newSession(s Subject, conn net.Conn, stream agentStream, specs *specCache, messages *atomic.Uint64) *Session {
	return &Session{
		subject:  s,
		conn:     conn,
		stream:   stream,
		specs:    specs,
		messages: messages,
		left:     make(chan struct{}),
		heard:    time.Now(),
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

// Spec hands the agent a cluster_spec. It takes the place of one that still waits to be sent, so
// that a slow agent gets the newest one only: an order is good with any that is newer than its own.
func (s *Session) Spec(spec clusterspec.Spec) {
	s.mu.Lock()
	base := s.spec
	i := slices.IndexFunc(s.outbox, func(m any) bool { _, is := m.(*encodedSpec); return is })
	if i >= 0 {
		base = s.outbox[i].(*encodedSpec).base
	}
	encoded, err := s.specs.encode(base, spec)
	if err == nil {
		s.spec = spec.Generation
	}
	if err == nil && i >= 0 {
		s.outbox[i] = encoded
	}
	s.mu.Unlock()
	switch {
	case err != nil:
		s.end(Closed)
	case i < 0:
		s.send(encoded)
	}
}

// Start tells the agent to start its process.
func (s *Session) Start(c Start) {
	s.send(&controlpb.ToAgent{Message: &controlpb.ToAgent_Start{Start: startToPB(c)}})
}

// Stop tells the agent to end its process.
func (s *Session) Stop(c Stop) {
	s.send(&controlpb.ToAgent{Message: &controlpb.ToAgent_Stop{Stop: &controlpb.Stop{Incarnation: int32(c.Incarnation), GraceMs: c.Grace.Milliseconds()}}})
}

// Retire tells the agent to end.
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

// Stacks has the agent write into its task's log where the program's processes are, and why that is
// asked.
func (s *Session) Stacks(reason string) {
	s.send(&controlpb.ToAgent{Message: &controlpb.ToAgent_Stacks{Stacks: &controlpb.Stacks{Reason: valid(reason)}}})
}

// send has m sent after what waits already: a *controlpb.ToAgent, or an *encodedSpec.
func (s *Session) send(m any) {
	s.mu.Lock()
	full := len(s.outbox) >= backlog
	if s.ended == 0 && !full {
		s.outbox = append(s.outbox, m)
		s.writeLocked()
	}
	s.mu.Unlock()
	if full {
		s.end(Overrun)
	}
}

// writeLocked sees to it that somebody empties the outbox.
func (s *Session) writeLocked() {
	if !s.writing {
		s.writing = true
		go s.write()
	}
}

// end marks the session as over, and has its reader learn of it. The first reason counts.
func (s *Session) end(why Departure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == 0 {
		s.ended, s.outbox = why, nil
		interrupt(s.stream.Context())
	}
}

// finish ends the session once its commands are out.
func (s *Session) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drain = true
	s.writeLocked()
}

func (s *Session) why() Departure {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// beat notes that the agent was heard of now. It is false once the session is over.
func (s *Session) beat() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard, s.slow = time.Now(), false
	return s.ended == 0
}

// slows notes that the agent is slow. It is false if that is known.
func (s *Session) slows() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.slow
	s.slow = true
	return !was
}

// probe sends a message that says nothing, for the agent's system to acknowledge.
func (s *Session) probe() { s.send(&controlpb.ToAgent{}) }

// take empties the outbox. It reports false when there is nothing more to write for now.
func (s *Session) take() ([]any, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.outbox
	s.outbox = nil
	s.writing = len(out) > 0
	return out, s.writing
}

// read hands on to the handler what the agent sends, until the session is over. Heartbeats end
// here.
func (s *Session) read(h MasterHandler) {
	for {
		message, ok := s.next()
		if !ok {
			return
		}
		if message.GetHeartbeat() == nil {
			deliver(h, s, message)
		}
	}
}

// next waits for the agent's next message. It is false once the session is over.
func (s *Session) next() (*controlpb.FromAgent, bool) {
	message, err := s.stream.Recv()
	if err != nil {
		s.end(Closed)
		return nil, false
	}
	s.messages.Add(1)
	return message, s.beat()
}

// write sends what is in the outbox until that is empty.
func (s *Session) write() {
	for {
		messages, ok := s.take()
		if !ok {
			break
		}
		for _, m := range messages {
			if s.stream.SendMsg(m) != nil { // the connection is gone
				s.end(Closed)
				return
			}
		}
	}
	s.mu.Lock()
	drained := s.drain && len(s.outbox) == 0
	s.mu.Unlock()
	if drained {
		s.end(Closed)
	}
}

// codec is gRPC's for protobuf, and sends what is encoded already as it is.
type codec struct{ encoding.CodecV2 }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if s, ok := v.(*encodedSpec); ok {
		return mem.BufferSlice{mem.SliceBuffer(s.bytes)}, nil
	}
	return c.CodecV2.Marshal(v)
}
