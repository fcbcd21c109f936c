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

// Session serves one agent: it reads what the agent sends, and another goroutine writes while there
// is something to write.
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

	hello, err := m.greet(s)
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
	defer func() { // after a panic, too: whoever has joined leaves
		s.end(Closed)
		m.o.Handler.Left(s, s.why())
	}()
	s.read(m.o.Handler)
	return departed(s.why())
}

// greet waits for the Hello, and for one that says no other than the certificate.
func (m *Master) greet(s *Session) (Hello, error) {
	patience := time.AfterFunc(m.o.Silence, func() { s.end(Silent) })
	message, ok := s.next()
	patience.Stop()
	if !ok && s.why() == Silent {
		return Hello{}, status.Error(codes.DeadlineExceeded, "no hello")
	}
	if !ok {
		return Hello{}, status.Error(codes.Unavailable, "the connection ended before the hello")
	}
	hello, err := helloFromPB(message.GetHello())
	if err != nil {
		return Hello{}, status.Error(codes.InvalidArgument, err.Error())
	}
	if hello.Container != s.Container() || hello.Task != s.Task() {
		return Hello{}, status.Error(codes.PermissionDenied, "the hello names "+hello.Task.String()+" in "+hello.Container.String()+", the certificate another")
	}
	return hello, nil
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
