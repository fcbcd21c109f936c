package miniyarn

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/hadoop/rpc"
	"tfos/internal/hadoop/token"
	"tfos/internal/miniyarn/container"
	"tfos/internal/yarn"
	"tfos/internal/yarn/yarnrpc"
)

// Executor runs containers. *container.Runner does it with processes.
type Executor interface {
	// Run runs one container to its end. Cancelling the context, with a *container.Stop as the
	// cause, stops it.
	Run(ctx context.Context, l container.Launch) container.Exit
	// EndApplication removes what an application kept under a node's directory, its logs aside.
	EndApplication(dir, user string, app yarn.ApplicationID) error
	// Close lets go of everything. All containers were stopped before.
	Close() error
}

// keeper is what a node has to do with its ResourceManager.
type keeper interface {
	// granted reports whether a container is still the application's to start on the node.
	granted(id yarn.ContainerID, node yarn.NodeID) bool
	containerStarted(id yarn.ContainerID)
	containerCompleted(node yarn.NodeID, st yarn.ContainerStatus)
}

// node is a NodeManager: it runs containers for those who hold their tokens, and reports their
// ends.
type node struct {
	id     yarn.NodeID
	dir    string // files and working directories
	logs   string
	exec   Executor
	keys   *secrets
	rm     keeper
	log    *zap.Logger
	server *rpc.Server

	wg sync.WaitGroup // containers, and the clearing away of applications

	mu         sync.Mutex                        // may be held while the ResourceManager is asked, never the other way round
	down       bool                              // no container is started any more; guarded by mu
	containers map[yarn.ContainerID]*running     // of applications that have not ended; guarded by mu
	apps       map[yarn.ApplicationID]*residents // guarded by mu
}

// residents counts the containers of one application that have not ended.
type residents struct {
	user   string
	ending bool // the application has ended; guarded by the node's mu
	wg     sync.WaitGroup
}

// running is a container from its start on; it stays after its end, for those who ask how it ended.
type running struct {
	stop    context.CancelCauseFunc
	signals chan yarn.Signal     // unbuffered: sent is received
	over    chan struct{}        // closed once status is final
	status  yarn.ContainerStatus // guarded by the node's mu
}

// signalWait bounds the wait for a container to take a signal: it cannot before its processes run.
const signalWait = 10 * time.Second

// newNode makes a NodeManager on l. It serves once its server's Serve runs.
func newNode(l net.Listener, id yarn.NodeID, at directories, exec Executor, keys *secrets, rm keeper, log *zap.Logger) *node {
	n := &node{
		id: id, dir: at.node(id), logs: at.logs, exec: exec, keys: keys, rm: rm, log: log.With(zap.Stringer("node", id)),
		containers: make(map[yarn.ContainerID]*running), apps: make(map[yarn.ApplicationID]*residents),
	}
	n.server = rpc.NewServer(rpc.ServerOptions{Listener: l, Auth: []rpc.AuthMethod{rpc.Token}, Secrets: n.password, Log: n.log})
	yarnrpc.ServeContainers(n.server, n)
	return n
}

// password lets in who holds an NMToken for this node.
func (n *node) password(_ string, identifier []byte) (token.Secret, string, error) {
	id, err := yarnrpc.ParseNodeTokenID(identifier)
	if err != nil {
		return nil, "", err
	}
	if id.Node != n.id {
		return nil, "", fmt.Errorf("the NMToken of %s opens %s, not %s", id.Attempt, id.Node, n.id)
	}
	return sign(n.keys.node, identifier), id.Attempt.String(), nil
}

// start starts a container that was granted. It does not wait for it to run.
func (n *node) start(grant yarnrpc.ContainerTokenID, lc yarn.LaunchContext, tokens []byte, submitted time.Time) error {
	id := grant.Container
	app := id.Attempt.Application
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.down:
		return fmt.Errorf("%w: the NodeManager is shutting down", yarn.ErrNotReady)
	case n.containers[id] != nil:
		return fmt.Errorf("%w: %s was started here before", yarn.ErrInvalidContainer, id)
	case !n.rm.granted(id, n.id): // asked under mu: a stop that comes after this finds the container
		return fmt.Errorf("%w: %s was released or taken back, or its application has ended", yarn.ErrInvalidContainer, id)
	}
	with := n.apps[app]
	if with == nil {
		with = &residents{user: grant.User}
		n.apps[app] = with
	}
	ctx, stop := context.WithCancelCause(context.Background()) // of the container, which outlives the call that starts it
	r := &running{stop: stop, signals: make(chan yarn.Signal), over: make(chan struct{}),
		status: yarn.ContainerStatus{ID: id, State: yarn.ContainerRunning, ExitStatus: yarn.ExitInvalid}}
	n.containers[id] = r
	l := container.Launch{
		ID: id, Node: n.id, User: grant.User, Resource: grant.Resource, Master: grant.Master, Submitted: submitted, Context: lc, Tokens: tokens,
		Dir: n.dir, LogDir: n.logs, Signals: r.signals, Started: func() { n.rm.containerStarted(id) },
	}
	n.log.Info("container starts", zap.Stringer("container", id))
	with.wg.Add(1)
	n.wg.Go(func() {
		defer with.wg.Done()
		defer stop(nil)
		n.ended(r, n.exec.Run(ctx, l))
	})
	return nil
}

func (n *node) ended(r *running, exit container.Exit) {
	n.mu.Lock()
	r.status.State, r.status.ExitStatus, r.status.Diagnostics = yarn.ContainerComplete, exit.Status, exit.Diagnostics
	st := r.status
	n.mu.Unlock()
	close(r.over)
	n.log.Info("container ended", zap.Stringer("container", st.ID), zap.Int32("status", int32(exit.Status)))
	n.rm.containerCompleted(n.id, st)
}

// stop stops a container. One that was not started will be refused: the ResourceManager does not
// count it any more.
func (n *node) stop(id yarn.ContainerID, why *container.Stop) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r := n.containers[id]; r != nil {
		r.stop(why)
	}
}

// endApplication stops what is left of an application and then removes its directories. It does not
// wait.
func (n *node) endApplication(app yarn.ApplicationID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	with := n.apps[app]
	if with == nil || with.ending {
		return
	}
	with.ending = true
	for id, r := range n.containers {
		if id.Attempt.Application == app {
			r.stop(&container.Stop{Status: yarn.ExitKilledAfterApp, Diagnostics: "Container killed: its application has ended."})
		}
	}
	n.wg.Go(func() {
		with.wg.Wait()
		if err := n.exec.EndApplication(n.dir, with.user, app); err != nil {
			n.log.Warn("an application's directory could not be removed", zap.Stringer("application", app), zap.Error(err))
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.apps, app)
		for id := range n.containers {
			if id.Attempt.Application == app {
				delete(n.containers, id)
			}
		}
	})
}

// halt stops all containers, refuses further ones, closes the port, and waits.
func (n *node) halt(why *container.Stop) error {
	n.mu.Lock()
	n.down = true
	for _, r := range n.containers {
		r.stop(why)
	}
	n.mu.Unlock()
	err := n.server.Close()
	n.wg.Wait()
	return err
}

// Start starts a container for the one whose NMToken opened the connection.
func (n *node) Start(_ context.Context, c rpc.Caller, t token.Token, lc yarn.LaunchContext) (yarn.ContainerID, error) {
	grant, err := n.keys.checkContainer(t)
	if err != nil {
		return yarn.ContainerID{}, fmt.Errorf("%w: %w", yarn.ErrUnauthorized, err)
	}
	id := grant.Container
	if err := checkOwner(c, id); err != nil {
		return id, err
	}
	if grant.Node != n.id {
		return id, fmt.Errorf("%w: %s was granted on %s", yarn.ErrUnauthorized, id, grant.Node)
	}
	tokens, err := tokenFile(lc.Tokens)
	if err != nil {
		return id, fmt.Errorf("start %s: %w", id, err)
	}
	return id, n.start(grant, lc, tokens, time.Time{})
}

// Stop stops a container for its application. It does not wait for the end. One that the node does
// not know has ended.
func (n *node) Stop(_ context.Context, c rpc.Caller, id yarn.ContainerID) error {
	r, err := n.known(c, id)
	if err != nil {
		return err
	}
	r.stop(&container.Stop{Status: yarn.ExitKilledByAM, Diagnostics: "Container killed by the ApplicationMaster."})
	return nil
}

// Status tells how a container is.
func (n *node) Status(_ context.Context, c rpc.Caller, id yarn.ContainerID) (yarn.ContainerStatus, error) {
	r, err := n.known(c, id)
	if err != nil {
		return yarn.ContainerStatus{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return r.status, nil
}

// Signal sends a signal to a container's processes once they run. One that has ended gets none,
// which is no error.
func (n *node) Signal(ctx context.Context, c rpc.Caller, id yarn.ContainerID, s yarn.Signal) error {
	r, err := n.known(c, id)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, signalWait)
	defer cancel()
	select {
	case r.signals <- s:
	case <-r.over:
	case <-ctx.Done():
		return fmt.Errorf("signal %s: its processes do not run yet: %w", id, ctx.Err())
	}
	return nil
}

// known finds a container of the caller's application.
func (n *node) known(c rpc.Caller, id yarn.ContainerID) (*running, error) {
	if err := checkOwner(c, id); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if r := n.containers[id]; r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("%w: %s is not handled by this NodeManager", yarn.ErrUnknownContainer, id)
}

// checkOwner refuses to deal with containers of another application than the one whose NMToken
// opened the connection.
func checkOwner(c rpc.Caller, id yarn.ContainerID) error {
	holder, err := yarnrpc.ParseNodeTokenID(c.Identifier)
	if err != nil {
		return err
	}
	if holder.Attempt.Application != id.Attempt.Application {
		return fmt.Errorf("%w: %s does not belong to %s", yarn.ErrUnauthorized, id, holder.Attempt)
	}
	return nil
}
