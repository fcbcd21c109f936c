package control

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"tfos/internal/control/controlpb"
)

// MasterClient is a client's connection to a job's master.
type MasterClient struct {
	conn *grpc.ClientConn
	rpc  controlpb.MasterClient
}

// DialMaster prepares a connection to the master at address; it is made when first used, and again
// when it breaks. The identity is of PartyClient. A nil dialer means TCP.
func DialMaster(address string, id Identity, d Dialer) (*MasterClient, error) {
	conn, err := dial(address, d, id, PartyMaster)
	if err != nil {
		return nil, fmt.Errorf("connect to the master at %s: %w", address, err)
	}
	return &MasterClient{conn: conn, rpc: controlpb.NewMasterClient(conn)}, nil
}

// Close ends the connection.
func (c *MasterClient) Close() error { return c.conn.Close() }

// Watch calls view with the job's status document, at once and after each change, until the master
// ends the watch (nil: the document before was the last), view returns an error, or ctx ends. A
// broken connection is ErrUnreachable. A job that wants to be attended is, meanwhile, if attend
// says so.
func (c *MasterClient) Watch(ctx context.Context, attend bool, view func(json []byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.Watch(ctx, &controlpb.WatchRequest{Attend: attend})
	if err != nil {
		return fmt.Errorf("watch the job: %w", foreign(err))
	}
	for {
		v, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch the job: %w", foreign(err))
		}
		if err := view(v.GetJson()); err != nil {
			return err
		}
	}
}

// Stop tells the master to end the job in order. It returns when the master knows, not when the job
// has ended.
func (c *MasterClient) Stop(ctx context.Context, reason string) error {
	if _, err := c.rpc.Stop(ctx, &controlpb.StopRequest{Reason: valid(reason)}); err != nil {
		return fmt.Errorf("stop the job: %w", foreign(err))
	}
	return nil
}

// AgentClient is a connection to one task's agent.
type AgentClient struct {
	conn *grpc.ClientConn
	rpc  controlpb.AgentClient
}

// DialAgent prepares a connection to the agent at address, like DialMaster.
func DialAgent(address string, id Identity, d Dialer) (*AgentClient, error) {
	conn, err := dial(address, d, id, PartyAgent)
	if err != nil {
		return nil, fmt.Errorf("connect to the agent at %s: %w", address, err)
	}
	return &AgentClient{conn: conn, rpc: controlpb.NewAgentClient(conn)}, nil
}

// Close ends the connection.
func (c *AgentClient) Close() error { return c.conn.Close() }

// Logs calls chunk with each part of what r selects, in order. It ends when all was sent (nil),
// which for a follower is when the agent ends; when chunk returns an error; or when ctx ends. To go
// on after ErrUnreachable ask again from the last chunk's end.
func (c *AgentClient) Logs(ctx context.Context, r LogsRequest, chunk func(LogChunk) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.Logs(ctx, &controlpb.LogsRequest{Stream: r.Stream, Offset: r.Offset, Follow: r.Follow})
	if err != nil {
		return fmt.Errorf("read %s: %w", r.Stream, foreign(err))
	}
	for {
		p, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", r.Stream, foreign(err))
		}
		if err := chunk(LogChunk{Data: p.GetData(), Offset: p.GetOffset(), File: p.GetFile()}); err != nil {
			return err
		}
	}
}
