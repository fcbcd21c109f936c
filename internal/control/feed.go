package control

import (
	"context"
	"errors"
	"fmt"
	"io"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	"tfos/internal/control/controlpb"
)

// FeedState is where rows are fed to a task, and how its program stands to them.
type FeedState struct {
	Port    int    // of the agent's host
	Live    bool   // the program takes rows
	Outlook string // as package feed has it
	Why     string
}

// FeedSource is the feed of an agent's task.
type FeedSource interface {
	// Feed ends queues, and calls show with where the feed stands, at once and after each change,
	// until ctx ends or show fails.
	Feed(ctx context.Context, ended []string, show func(FeedState) error) error
}

// Feed tells the driver where the feed stands.
func (a agentService) Feed(r *controlpb.FeedRequest, stream grpc.ServerStreamingServer[controlpb.FeedState]) error {
	if _, err := admit(stream.Context(), PartyClient); err != nil {
		a.logger.Warn("caller turned away", zap.Error(err))
		return err
	}
	return a.feed.Feed(stream.Context(), r.GetEnded(), func(s FeedState) error {
		return stream.Send(&controlpb.FeedState{Port: int32(s.Port), Live: s.Live, Outlook: s.Outlook, Why: valid(s.Why)})
	})
}

// Feed ends queues of the agent's task, and calls show with where its feed stands, at once and after
// each change. It returns when the agent ends (nil), when show returns an error, or when ctx ends.
func (c *AgentClient) Feed(ctx context.Context, ended []string, show func(FeedState) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.Feed(ctx, &controlpb.FeedRequest{Ended: ended})
	if err != nil {
		return fmt.Errorf("watch the feed: %w", foreign(err))
	}
	for {
		s, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch the feed: %w", foreign(err))
		}
		if err := show(FeedState{Port: int(s.GetPort()), Live: s.GetLive(), Outlook: s.GetOutlook(), Why: s.GetWhy()}); err != nil {
			return err
		}
	}
}
