package yarnrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/rpc"
	"tfos/internal/hadoop/token"
	"tfos/internal/yarn"
)

// Nodes speaks ContainerManagementProtocol to every node that an application has containers on.
// Each node has a connection of its own, opened by the node's NMToken and closed when it is idle.
// It is safe for concurrent use.
type Nodes struct {
	o Options

	mu     sync.Mutex
	closed bool // these are guarded by mu
	tokens map[yarn.NodeID]token.Token
	nodes  map[yarn.NodeID]*rpc.Client
}

// NewNodes returns a pool without connections. o.Addrs is not used.
func NewNodes(o Options) *Nodes {
	return &Nodes{o: o, tokens: make(map[yarn.NodeID]token.Token), nodes: make(map[yarn.NodeID]*rpc.Client)}
}

// SetTokens adds the tokens that open nodes, as they come with registration and heartbeats: once
// for each node, and again when the ResourceManager rolls its key. A connection made later uses the
// new one.
func (n *Nodes) SetTokens(tokens ...yarn.NMToken) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range tokens {
		n.tokens[t.Node] = t.Token
	}
}

// Forget ends the connection to a node that is gone. Its token is kept: it is given only once.
func (n *Nodes) Forget(node yarn.NodeID) {
	n.mu.Lock()
	c := n.nodes[node]
	delete(n.nodes, node)
	n.mu.Unlock()
	if c != nil {
		_ = c.Close()
	}
}

// Close ends all connections.
func (n *Nodes) Close() error {
	n.mu.Lock()
	n.closed = true
	nodes := n.nodes
	n.nodes = nil
	n.mu.Unlock()
	var errs []error
	for _, c := range nodes {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// node finds or makes the client of one node.
func (n *Nodes) node(id yarn.NodeID) (caller, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.closed:
		return caller{}, rpc.ErrClosed
	case n.nodes[id] != nil:
		return caller{n.nodes[id]}, nil
	case n.tokens[id].IsZero():
		return caller{}, fmt.Errorf("%w: the ResourceManager gave no token for node %s", yarn.ErrUnauthorized, id)
	}
	o := n.o
	o.Addrs = []string{net.JoinHostPort(id.Host, strconv.Itoa(int(id.Port)))}
	c := rpc.NewClient(o.rpc(containersProtocol, func() (token.Token, bool) {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.tokens[id], true
	}))
	n.nodes[id] = c
	return caller{c}, nil
}

// startTimeout bounds Start where the context has no deadline.
const startTimeout = time.Minute

// Start has a container's node start it; nil says that the node accepted it, not that it runs.
// yarn.ErrInvalidContainer says that the node does not take this grant any more: another must be
// asked for. A node that is not ready yet is asked again.
func (n *Nodes) Start(ctx context.Context, c yarn.Container, l yarn.LaunchContext) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	node, err := n.node(c.Node)
	if err != nil {
		return fmt.Errorf("start %s: %w", c.ID, err)
	}
	if err := l.Validate(); err != nil {
		return fmt.Errorf("start %s: %w", c.ID, err)
	}
	launch, err := launchToPB(l)
	if err != nil {
		return fmt.Errorf("start %s: %w", c.ID, err)
	}
	req := &pb.StartContainersRequestProto{StartContainerRequest: []*pb.StartContainerRequestProto{
		{ContainerLaunchContext: launch, ContainerToken: tokenToPB(c.Token)},
	}}
	err = until(ctx, "the NodeManager did not take it", func() (bool, error) { return startOnce(ctx, node, c.ID, req) })
	if err != nil {
		return fmt.Errorf("start %s on %s: %w", c.ID, c.Node, err)
	}
	return nil
}

// startOnce sends a request and reports whether the node has the container now. A NodeManager
// refuses the same request the second time, so when an answer was lost it is asked whether it knows
// the container, before the request is sent again.
func startOnce(ctx context.Context, node caller, id yarn.ContainerID, req *pb.StartContainersRequestProto) (bool, error) {
	resp := &pb.StartContainersResponseProto{}
	err := translate(node.rpc.Call(ctx, "startContainers", req, resp))
	var lost *rpc.NetworkError
	switch {
	case errors.As(err, &lost) && lost.Sent && ctx.Err() == nil:
		known, err := node.statuses(ctx, id)
		var unknown *ContainerError
		if errors.As(err, &unknown) {
			err = nil
		}
		return len(known) > 0, err
	case err == nil && len(resp.GetFailedRequests()) > 0:
		err = containerErrorFromPB(resp.GetFailedRequests()[0])
	}
	if errors.Is(err, yarn.ErrNotReady) {
		return false, nil
	}
	return err == nil, err
}

// Stop tells a node to end containers: SIGTERM, and SIGKILL a quarter of a second later unless the
// cluster sets another time. It returns before they have ended.
func (n *Nodes) Stop(ctx context.Context, node yarn.NodeID, ids ...yarn.ContainerID) error {
	c, err := n.node(node)
	if err != nil {
		return fmt.Errorf("stop containers on %s: %w", node, err)
	}
	resp := &pb.StopContainersResponseProto{}
	err = c.call(ctx, "stopContainers", &pb.StopContainersRequestProto{ContainerId: each(ids, containerIDToPB)}, resp)
	if err == nil {
		err = failures(resp.GetFailedRequests())
	}
	if err != nil {
		return fmt.Errorf("stop containers on %s: %w", node, err)
	}
	return nil
}

// Statuses asks a node for its containers. Those that it does not know any more are in the error,
// as *ContainerError, and the others are returned beside it.
func (n *Nodes) Statuses(ctx context.Context, node yarn.NodeID, ids ...yarn.ContainerID) ([]yarn.ContainerStatus, error) {
	c, err := n.node(node)
	if err != nil {
		return nil, fmt.Errorf("ask %s for containers: %w", node, err)
	}
	statuses, err := c.statuses(ctx, ids...)
	if err != nil {
		err = fmt.Errorf("ask %s for containers: %w", node, err)
	}
	return statuses, err
}

func (c caller) statuses(ctx context.Context, ids ...yarn.ContainerID) ([]yarn.ContainerStatus, error) {
	resp := &pb.GetContainerStatusesResponseProto{}
	err := c.call(ctx, "getContainerStatuses", &pb.GetContainerStatusesRequestProto{ContainerId: each(ids, containerIDToPB)}, resp)
	if err != nil {
		return nil, err
	}
	return each(resp.GetStatus(), containerStatusFromPB), failures(resp.GetFailedRequests())
}

// Signal tells a node to send a signal to a container's processes. A container that has ended takes
// it without an error.
func (n *Nodes) Signal(ctx context.Context, node yarn.NodeID, id yarn.ContainerID, s yarn.Signal) error {
	c, err := n.node(node)
	if err == nil {
		req := &pb.SignalContainerRequestProto{ContainerId: containerIDToPB(id), Command: signals.ToWire(s)}
		err = c.call(ctx, "signalToContainer", req, &pb.SignalContainerResponseProto{})
	}
	if err != nil {
		return fmt.Errorf("signal %s on %s: %w", id, node, err)
	}
	return nil
}

// failures joins what a NodeManager could not do.
func failures(failed []*pb.ContainerExceptionMapProto) error {
	var errs []error
	for _, f := range failed {
		errs = append(errs, containerErrorFromPB(f))
	}
	return errors.Join(errs...)
}
