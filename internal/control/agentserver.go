package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tfos/internal/control/controlpb"
)

// ErrNoLog says that there is no stream of the name asked for.
var ErrNoLog = errors.New("no such log")

// LogSource is what an AgentServer needs of its user.
type LogSource interface {
	// Logs sends what r selects, in order, each chunk at most 64 KiB. It ends when all is sent, and
	// for a follower when ctx ends or the log does. ErrNoLog is for an unknown stream.
	Logs(ctx context.Context, r LogsRequest, send func(LogChunk) error) error
}

// AgentServer serves an agent's logs to the job's clients and its master, and its feed and its
// inside to clients.
type AgentServer struct {
	listener net.Listener
	server   *grpc.Server
	close    sync.Once
}

// NewAgentServer prepares a server on listener, which it closes in the end. It serves from Run on.
// Pages are those of the agent's inside, besides those that every process has.
func NewAgentServer(listener net.Listener, id Identity, logs LogSource, feed FeedSource, pages []Page, logger *zap.Logger) (*AgentServer, error) {
	if id.Subject().Party != PartyAgent {
		return nil, fmt.Errorf("serve as agent: the identity is %s", id)
	}
	tls, err := id.serverTLS()
	if err != nil {
		return nil, fmt.Errorf("serve as agent: %w", err)
	}
	s := &AgentServer{listener: bounded(listener, logger), server: newServer(tls, logger)}
	controlpb.RegisterAgentServer(s.server, agentService{logs: logs, feed: feed, pages: pages, logger: logger})
	return s, nil
}

// Addr is where the server listens.
func (s *AgentServer) Addr() net.Addr { return s.listener.Addr() }

// Run serves until Close; then it is nil.
func (s *AgentServer) Run() error {
	if err := s.server.Serve(s.listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve as agent: %w", err)
	}
	return nil
}

// Close waits for the calls under way to end, for as long as wait says, and stops serving. It is
// safe to call more than once.
func (s *AgentServer) Close(wait time.Duration) {
	s.close.Do(func() {
		hurry := time.AfterFunc(wait, s.server.Stop)
		defer hurry.Stop()
		s.server.GracefulStop()
		s.listener.Close() // for one that was never served
	})
}

type agentService struct {
	controlpb.UnimplementedAgentServer
	logs   LogSource
	feed   FeedSource
	pages  []Page
	logger *zap.Logger
}

// Logs streams a task's output.
func (a agentService) Logs(r *controlpb.LogsRequest, stream grpc.ServerStreamingServer[controlpb.LogChunk]) error {
	if _, err := admit(stream.Context(), PartyClient, PartyMaster); err != nil {
		a.logger.Warn("caller turned away", zap.Error(err))
		return err
	}
	request := LogsRequest{Stream: r.GetStream(), Offset: r.GetOffset(), Follow: r.GetFollow()}
	err := a.logs.Logs(stream.Context(), request, func(c LogChunk) error {
		return stream.Send(&controlpb.LogChunk{Data: c.Data, Offset: c.Offset, File: c.File})
	})
	if errors.Is(err, ErrNoLog) {
		return status.Error(codes.NotFound, strconv.Quote(request.Stream))
	}
	return err
}
