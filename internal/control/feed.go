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

	Reader int   // the program's connection that keeps pace with other tasks; 0: there is none
	Rows   int64 // that it was handed, or that wait for it
	Ended  bool  // there will be no more
}

// FeedOrder is what the driver orders a task's feed. Each one stands for all before it.
type FeedOrder struct {
	Ended  []string // queues that get nothing more
	Reader int      // the connection that the limit is for; 0: there is none
	Rows   int64    // that it may use
	Final  bool     // it gets no more
	Lost   bool     // another task's program is lost: all begin anew
}

// FeedSource is the feed of an agent's task.
type FeedSource interface {
	// Order does what the driver orders.
	Order(FeedOrder)
	// Feed calls show with where the feed stands, at once and after each change, until ctx ends or
	// show fails.
	Feed(ctx context.Context, show func(FeedState) error) error
}

// Feed tells the driver where the feed stands, and hears its orders.
func (a agentService) Feed(stream grpc.BidiStreamingServer[controlpb.FeedOrder, controlpb.FeedState]) error {
	if _, err := admit(stream.Context(), PartyClient); err != nil {
		a.logger.Warn("caller turned away", zap.Error(err))
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	go func() { // it ends with the stream, which ends with this call
		defer cancel()
		for {
			o, err := stream.Recv()
			if err != nil {
				return
			}
			a.feed.Order(FeedOrder{Ended: o.GetEnded(), Reader: int(o.GetReader()), Rows: o.GetRows(), Final: o.GetFinal(), Lost: o.GetLost()})
		}
	}()
	return a.feed.Feed(ctx, func(s FeedState) error {
		return stream.Send(&controlpb.FeedState{Port: int32(s.Port), Live: s.Live, Outlook: s.Outlook, Why: valid(s.Why), Reader: int64(s.Reader), Rows: s.Rows, Ended: s.Ended})
	})
}

// Feed orders a task's feed what next returns, each time that it does, and calls show with where
// the feed stands, at once and after each change. It returns when the agent ends (nil), when show
// returns an error, or when ctx ends, with which next has to return.
func (c *AgentClient) Feed(ctx context.Context, next func(context.Context) (FeedOrder, error), show func(FeedState) error) error {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := c.rpc.Feed(ctx)
	if err != nil {
		cancel()
		return fmt.Errorf("watch the feed: %w", foreign(err))
	}
	ordered := make(chan struct{})
	defer func() { <-ordered }()
	defer cancel()
	go func() {
		defer close(ordered)
		for {
			o, err := next(ctx)
			if err == nil {
				err = stream.Send(&controlpb.FeedOrder{Ended: o.Ended, Reader: int64(o.Reader), Rows: o.Rows, Final: o.Final, Lost: o.Lost})
			}
			if err != nil { // of the stream: who receives hears why
				return
			}
		}
	}()
	for {
		s, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch the feed: %w", foreign(err))
		}
		state := FeedState{Port: int(s.GetPort()), Live: s.GetLive(), Outlook: s.GetOutlook(), Why: s.GetWhy(), Reader: int(s.GetReader()), Rows: s.GetRows(), Ended: s.GetEnded()}
		if err := show(state); err != nil {
			return err
		}
	}
}
