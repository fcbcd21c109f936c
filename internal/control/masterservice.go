package control

import (
	"context"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tfos/internal/control/controlpb"
)

// masterService is the wire's side of a Master.
type masterService struct {
	controlpb.UnimplementedMasterServer
	m *Master
}

type agentStream = grpc.BidiStreamingServer[controlpb.FromAgent, controlpb.ToAgent]

// Session serves one agent. It reads in a goroutine of its own, and writes in another while there
// is something to write. They end with the stream's context: gRPC ends that as this function
// returns, and not before, so it cannot wait for them.
func (ms masterService) Session(stream agentStream) error {
	m := ms.m
	subject, conn, err := admitBy(stream.Context(), PartyAgent)
	if err != nil {
		m.o.Logger.Warn("caller turned away", zap.Error(err))
		return err
	}
	s := newSession(subject, conn, stream, &m.specs, &m.messages)
	defer close(s.left)
	defer s.end(Closed)
	first := make(chan *controlpb.FromAgent, 1)
	go s.read(first, m.o.Handler)

	hello, err := m.greet(s, first)
	if err != nil {
		m.o.Logger.Warn("agent turned away", zap.Stringer("container", subject.Container), zap.Stringer("task", subject.Task), zap.Error(err))
		return err
	}
	s.send(&controlpb.ToAgent{Message: &controlpb.ToAgent_Welcome{Welcome: &controlpb.Welcome{HeartbeatMs: m.o.Heartbeat.Milliseconds()}}})
	if err := m.enter(s); err != nil {
		return err
	}
	defer m.leave(s)
	m.o.Handler.Joined(s, hello)
	close(s.joined)
	<-s.over
	why := s.why()
	s.telling.Lock()
	defer s.telling.Unlock()
	s.gone = true
	m.o.Handler.Left(s, why)
	return departed(why)
}

// greet waits for the Hello, and for one that says no other than the certificate.
func (m *Master) greet(s *Session, first <-chan *controlpb.FromAgent) (Hello, error) {
	patience := time.NewTimer(m.o.Silence)
	defer patience.Stop()
	select {
	case <-s.over:
		return Hello{}, status.Error(codes.Unavailable, "the connection ended before the hello")
	case <-patience.C:
		return Hello{}, status.Error(codes.DeadlineExceeded, "no hello")
	case message := <-first:
		hello, err := helloFromPB(message.GetHello())
		if err != nil {
			return Hello{}, status.Error(codes.InvalidArgument, err.Error())
		}
		if hello.Container != s.Container() || hello.Task != s.Task() {
			return Hello{}, status.Error(codes.PermissionDenied, "the hello names "+hello.Task.String()+" in "+hello.Container.String()+", the certificate another")
		}
		return hello, nil
	}
}

func deliver(h MasterHandler, s *Session, message *controlpb.FromAgent) {
	switch x := message.GetMessage().(type) {
	case *controlpb.FromAgent_Started:
		h.Started(s, startedFromPB(x.Started))
	case *controlpb.FromAgent_Exited:
		h.Exited(s, exitedFromPB(x.Exited))
	case *controlpb.FromAgent_Progress:
		h.Progress(s, progressFromPB(x.Progress))
	case *controlpb.FromAgent_Mirror:
		h.Mirror(s, mirrorNewsFromPB(x.Mirror))
	case *controlpb.FromAgent_Peers:
		if p, err := peersFromPB(x.Peers); err == nil {
			h.Peers(s, p)
		}
	}
}

// departed is what the agent is told.
func departed(why Departure) error {
	switch why {
	case Silent:
		return status.Error(codes.Unavailable, "no heartbeat for too long")
	case Replaced:
		return status.Error(codes.Aborted, "a newer session of this container")
	case Overrun:
		return status.Error(codes.ResourceExhausted, "commands were not taken")
	default:
		return nil
	}
}

// Watch sends the job's status document at once and after each change.
func (ms masterService) Watch(r *controlpb.WatchRequest, stream grpc.ServerStreamingServer[controlpb.View]) error {
	if _, err := admit(stream.Context(), PartyClient); err != nil {
		ms.m.o.Logger.Warn("caller turned away", zap.Error(err))
		return err
	}
	if r.GetAttend() {
		defer ms.m.attendance.come()()
	}
	return ms.m.views.watch(stream.Context(), ms.m.done, func(view []byte) error {
		return stream.Send(&controlpb.View{Json: view})
	})
}

// Stop passes a client's wish on.
func (ms masterService) Stop(ctx context.Context, r *controlpb.StopRequest) (*controlpb.StopResponse, error) {
	if _, err := admit(ctx, PartyClient); err != nil {
		ms.m.o.Logger.Warn("caller turned away", zap.Error(err))
		return nil, err
	}
	ms.m.o.Handler.StopJob(r.GetReason())
	return &controlpb.StopResponse{}, nil
}
