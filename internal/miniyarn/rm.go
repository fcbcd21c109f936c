package miniyarn

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/hadoop/rpc"
	"tfos/internal/hadoop/token"
	"tfos/internal/miniyarn/container"
	"tfos/internal/miniyarn/sched"
	"tfos/internal/yarn"
	"tfos/internal/yarn/yarnrpc"
)

// resourceManager puts sched's decisions to work: it serves clients and masters, and tells nodes
// what to do.
type resourceManager struct {
	keys *secrets
	node func(yarn.NodeID) *node // nil for one that is down
	all  func() []*node          // those that are up
	shut func(yarn.NodeID)       // takes a decommissioned node down, and does not wait
	log  *zap.Logger

	mu    sync.Mutex
	sched *sched.Scheduler // guarded by mu
	todo  []sched.Action   // decided, not done yet; guarded by mu
	wake  chan struct{}    // holds a token while todo may be non-empty; capacity 1
}

func newResourceManager(cfg sched.Config, keys *secrets, log *zap.Logger) *resourceManager {
	return &resourceManager{sched: sched.New(cfg), keys: keys, log: log, wake: make(chan struct{}, 1)}
}

// decide lets f decide, and has what it decides done in order. Nothing is done under the lock:
// nodes ask back.
func (rm *resourceManager) decide(f func(s *sched.Scheduler, now time.Time) []sched.Action) {
	rm.mu.Lock()
	defer rm.mu.Unlock()
	as := f(rm.sched, time.Now())
	if len(as) == 0 {
		return
	}
	rm.todo = append(rm.todo, as...)
	select {
	case rm.wake <- struct{}{}:
	default:
	}
}

// act does what is decided, until ctx ends.
func (rm *resourceManager) act(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-rm.wake:
		}
		rm.mu.Lock()
		todo := rm.todo
		rm.todo = nil
		rm.mu.Unlock()
		for _, a := range todo {
			rm.do(a)
		}
	}
}

func (rm *resourceManager) do(a sched.Action) {
	switch a := a.(type) {
	case sched.StartMaster:
		if err := rm.startMaster(a); err != nil {
			rm.log.Warn("master not started", zap.Stringer("attempt", a.Attempt), zap.Error(err))
			rm.containerCompleted(a.Container.Node, yarn.ContainerStatus{ID: a.Container.ID, State: yarn.ContainerComplete, ExitStatus: yarn.ExitInvalid,
				Diagnostics: fmt.Sprintf("Error launching %s. Got exception: %v", a.Attempt, err)})
		}
	case sched.StopContainer:
		if n := rm.node(a.Node); n != nil {
			n.stop(a.ID, &container.Stop{Status: a.Exit, Diagnostics: "Container killed by the ResourceManager: " + a.Diagnostics})
		}
	case sched.StopNode:
		rm.log.Info("node decommissioned", zap.Stringer("node", a.Node))
		rm.shut(a.Node)
	case sched.EndApplication:
		rm.log.Info("application ended", zap.Stringer("application", a.ID))
		for _, n := range rm.all() {
			n.endApplication(a.ID)
		}
	}
}

// startMaster starts a master with its credentials, the AMRMToken among them.
func (rm *resourceManager) startMaster(a sched.StartMaster) error {
	n := rm.node(a.Container.Node)
	if n == nil {
		return fmt.Errorf("%s is down", a.Container.Node)
	}
	t, err := rm.keys.forMaster(a.Attempt)
	if err != nil {
		return err
	}
	tokens, err := tokenFile(a.Launch.Tokens, t)
	if err != nil {
		return err
	}
	grant := yarnrpc.ContainerTokenID{Container: a.Container.ID, Node: a.Container.Node, User: a.User, Resource: a.Container.Resource, Master: true}
	return n.start(grant, a.Launch, tokens, a.Submitted)
}

// tick applies the passing of time at intervals, until ctx ends. With onHeartbeat it is also when
// nodes get containers.
func (rm *resourceManager) tick(ctx context.Context, interval time.Duration, onHeartbeat bool) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		rm.decide(func(s *sched.Scheduler, now time.Time) []sched.Action {
			as := s.Tick(now)
			if onHeartbeat {
				for _, n := range s.Nodes() {
					as = append(as, s.NodeHeartbeat(now, n.ID)...)
				}
			}
			return as
		})
	}
}

func (rm *resourceManager) addNode(id yarn.NodeID, capacity yarn.Resource, use sched.Use) {
	rm.decide(func(s *sched.Scheduler, now time.Time) []sched.Action {
		return s.AddNodeFor(now, id, id.String(), capacity, use)
	})
}

func (rm *resourceManager) dropNode(id yarn.NodeID, state yarn.NodeState) {
	rm.decide(func(s *sched.Scheduler, now time.Time) []sched.Action { return s.DropNode(now, id, state) })
}

func (rm *resourceManager) drainNode(id yarn.NodeID, timeout time.Duration) {
	rm.decide(func(s *sched.Scheduler, now time.Time) []sched.Action { return s.DrainNode(now, id, timeout) })
}

func (rm *resourceManager) recommissionNode(id yarn.NodeID) {
	rm.decide(func(s *sched.Scheduler, now time.Time) []sched.Action { return s.RecommissionNode(now, id) })
}

func (rm *resourceManager) preempt(id yarn.ContainerID, wait time.Duration) {
	rm.decide(func(s *sched.Scheduler, now time.Time) []sched.Action { return s.Preempt(now, id, wait) })
}

func (rm *resourceManager) restart() {
	rm.decide(func(s *sched.Scheduler, now time.Time) []sched.Action { return s.Restart(now) })
}

func (rm *resourceManager) granted(id yarn.ContainerID, node yarn.NodeID) bool {
	rm.mu.Lock()
	defer rm.mu.Unlock()
	return rm.sched.Granted(id, node)
}

func (rm *resourceManager) containerStarted(id yarn.ContainerID) {
	rm.mu.Lock()
	defer rm.mu.Unlock()
	rm.sched.ContainerStarted(id)
}

func (rm *resourceManager) containerCompleted(node yarn.NodeID, st yarn.ContainerStatus) {
	rm.decide(func(s *sched.Scheduler, now time.Time) []sched.Action { return s.ContainerCompleted(now, node, st) })
}

// clients serves ApplicationClientProtocol.
type clients struct{ *resourceManager }

// password lets in who holds a client's token.
func (rm clients) password(_ string, identifier []byte) (token.Secret, string, error) {
	return sign(rm.keys.client, identifier), string(identifier), nil
}

// NewApplication hands out an application id.
func (rm clients) NewApplication(context.Context, rpc.Caller) (yarn.NewApplication, error) {
	rm.mu.Lock()
	defer rm.mu.Unlock()
	return rm.sched.NewApplication(), nil
}

// Submit takes an application of the caller's.
func (rm clients) Submit(_ context.Context, c rpc.Caller, sub yarn.Submission) error {
	// The name becomes that of a directory.
	if !filepath.IsLocal(c.User) || strings.ContainsRune(c.User, filepath.Separator) || c.User == "." {
		return fmt.Errorf("%w: %q is no user name", yarn.ErrUnauthorized, c.User)
	}
	if _, err := tokenFile(sub.Launch.Tokens); err != nil {
		return fmt.Errorf("submit %s: %w", sub.ID, err)
	}
	var err error
	rm.decide(func(s *sched.Scheduler, now time.Time) (as []sched.Action) {
		as, err = s.Submit(now, sub, c.User)
		return as
	})
	if err == nil {
		rm.log.Info("application submitted", zap.Stringer("application", sub.ID), zap.String("name", sub.Name), zap.String("user", c.User))
	}
	return err
}

// Report describes an application.
func (rm clients) Report(_ context.Context, _ rpc.Caller, id yarn.ApplicationID) (yarn.Report, error) {
	rm.mu.Lock()
	defer rm.mu.Unlock()
	return rm.sched.Report(id)
}

// Applications describes those that the query selects.
func (rm clients) Applications(_ context.Context, _ rpc.Caller, q yarn.ApplicationsQuery) ([]yarn.Report, error) {
	rm.mu.Lock()
	all := rm.sched.Reports()
	rm.mu.Unlock()
	return slices.DeleteFunc(all, func(r yarn.Report) bool { return !selects(q, r) }), nil
}

func selects(q yarn.ApplicationsQuery, r yarn.Report) bool {
	return in(q.Types, r.Type) && in(q.States, r.State) && in(q.Users, r.User) && in(q.Queues, r.Queue) &&
		(len(q.Tags) == 0 || slices.ContainsFunc(r.Tags, func(t string) bool { return slices.Contains(q.Tags, t) }))
}

func in[T comparable](wanted []T, v T) bool { return len(wanted) == 0 || slices.Contains(wanted, v) }

// Kill ends an application.
func (rm clients) Kill(_ context.Context, c rpc.Caller, id yarn.ApplicationID, diagnostics string) (done bool, err error) {
	says := fmt.Sprintf("Application %s was killed by user %s at %s", id, c.User, c.Remote)
	if diagnostics != "" {
		says += " with diagnostic message: " + diagnostics
	}
	rm.decide(func(s *sched.Scheduler, now time.Time) (as []sched.Action) {
		done, as, err = s.Kill(now, id, says)
		return as
	})
	return done, err
}

// Nodes describes the nodes in the given states.
func (rm clients) Nodes(_ context.Context, _ rpc.Caller, states []yarn.NodeState) ([]yarn.NodeReport, error) {
	rm.mu.Lock()
	defer rm.mu.Unlock()
	return slices.DeleteFunc(rm.sched.Nodes(), func(n yarn.NodeReport) bool { return !in(states, n.State) }), nil
}

// Queue describes the only queue, or the root above it.
func (rm clients) Queue(_ context.Context, _ rpc.Caller, name string) (yarn.Queue, error) {
	rm.mu.Lock()
	defer rm.mu.Unlock()
	var used, have int64
	for _, n := range rm.sched.Nodes() {
		if n.State.Usable() {
			used, have = used+n.Used.MemoryMiB, have+n.Capability.MemoryMiB
		}
	}
	q := yarn.Queue{Name: sched.Queue, Path: "root." + sched.Queue, Running: true, Capacity: 1, MaxCapacity: 1, Labels: []string{"*"}}
	if have > 0 {
		q.Used = float32(used) / float32(have)
	}
	switch name {
	case q.Name, q.Path:
		return q, nil
	case "root":
		root := q
		root.Name, root.Path, root.Children = name, name, []yarn.Queue{q}
		return root, nil
	}
	return yarn.Queue{}, fmt.Errorf("%w: %s", yarn.ErrUnknownQueue, name)
}

// ResourceTypes are the kinds of resources that are counted.
func (rm clients) ResourceTypes(context.Context, rpc.Caller) ([]yarn.ResourceType, error) {
	rm.mu.Lock()
	defer rm.mu.Unlock()
	return rm.sched.ResourceTypes(), nil
}

// Attempts describes an application's attempts.
func (rm clients) Attempts(_ context.Context, _ rpc.Caller, id yarn.ApplicationID) ([]yarn.AttemptReport, error) {
	rm.mu.Lock()
	defer rm.mu.Unlock()
	return rm.sched.Attempts(id)
}

// Containers describes an attempt's live containers.
func (rm clients) Containers(_ context.Context, _ rpc.Caller, id yarn.AttemptID) ([]yarn.ContainerReport, error) {
	rm.mu.Lock()
	defer rm.mu.Unlock()
	return rm.sched.Containers(id)
}

// ClusterMetrics counts the nodes.
func (rm clients) ClusterMetrics(context.Context, rpc.Caller) (yarn.ClusterMetrics, error) {
	rm.mu.Lock()
	defer rm.mu.Unlock()
	var m yarn.ClusterMetrics
	for _, n := range rm.sched.Nodes() {
		switch n.State {
		case yarn.NodeRunning:
			m.Nodes++
			m.Active++
		case yarn.NodeDecommissioning:
			m.Nodes++
			m.Decommissioning++
		case yarn.NodeDecommissioned:
			m.Decommissioned++
		case yarn.NodeShutdown:
			m.Shutdown++
		default:
			m.Lost++
		}
	}
	return m, nil
}

// DelegationToken gives none: under SIMPLE nobody needs one.
func (rm clients) DelegationToken(context.Context, rpc.Caller, string) (token.Token, error) {
	return token.Token{}, nil
}

// masters serves ApplicationMasterProtocol.
type masters struct{ *resourceManager }

// password lets in who holds the AMRMToken of an attempt that has not ended.
func (rm masters) password(_ string, identifier []byte) (token.Secret, string, error) {
	id, err := yarnrpc.ParseMasterTokenID(identifier)
	if err != nil {
		return nil, "", err
	}
	rm.mu.Lock()
	defer rm.mu.Unlock()
	if !rm.sched.Alive(id.Attempt) {
		return nil, "", fmt.Errorf("%s is over or unknown", id.Attempt)
	}
	return sign(rm.keys.master, identifier), id.Attempt.String(), nil
}

// Register lets a master in.
func (rm masters) Register(_ context.Context, c rpc.Caller, r yarn.Registration) (yarn.Registered, error) {
	id, err := yarnrpc.ParseMasterTokenID(c.Identifier)
	if err != nil {
		return yarn.Registered{}, err
	}
	var out yarn.Registered
	user := ""
	rm.decide(func(s *sched.Scheduler, now time.Time) (as []sched.Action) {
		out, as, err = s.Register(now, id.Attempt, r)
		user = s.User(id.Attempt.Application)
		return as
	})
	if err != nil {
		return yarn.Registered{}, err
	}
	rm.log.Info("master registered", zap.Stringer("attempt", id.Attempt))
	out.Kept, out.NMTokens, err = rm.seal(id.Attempt, user, out.Kept, out.NMTokens)
	return out, err
}

// Allocate takes a master's heartbeat.
func (rm masters) Allocate(_ context.Context, c rpc.Caller, req yarn.AllocateRequest) (yarn.AllocateResponse, error) {
	id, err := yarnrpc.ParseMasterTokenID(c.Identifier)
	if err != nil {
		return yarn.AllocateResponse{}, err
	}
	var out yarn.AllocateResponse
	user := ""
	rm.decide(func(s *sched.Scheduler, now time.Time) (as []sched.Action) {
		out, as, err = s.Allocate(now, id.Attempt, req)
		user = s.User(id.Attempt.Application)
		return as
	})
	if errors.Is(err, sched.ErrInvalidRelease) {
		err = &rpc.JavaError{Class: "org.apache.hadoop.yarn.exceptions.InvalidContainerReleaseException", Message: err.Error()}
	}
	if err != nil {
		return yarn.AllocateResponse{}, err
	}
	out.Granted, out.NMTokens, err = rm.seal(id.Attempt, user, out.Granted, out.NMTokens)
	return out, err
}

// seal puts the tokens into copies of what sched answers with: it may give the same answer again.
func (rm masters) seal(id yarn.AttemptID, user string, grants []yarn.Container, nodes []yarn.NMToken) ([]yarn.Container, []yarn.NMToken, error) {
	grants, nodes = slices.Clone(grants), slices.Clone(nodes)
	var err error
	for i := range grants {
		if grants[i].Token, err = rm.keys.forContainer(grants[i], user); err != nil {
			return nil, nil, err
		}
	}
	for i := range nodes {
		if nodes[i].Token, err = rm.keys.forNode(id, nodes[i].Node, user); err != nil {
			return nil, nil, err
		}
	}
	return grants, nodes, nil
}

// Finish takes a master's last word.
func (rm masters) Finish(_ context.Context, c rpc.Caller, final yarn.FinalStatus, diagnostics, trackingURL string) (done bool, err error) {
	id, err := yarnrpc.ParseMasterTokenID(c.Identifier)
	if err != nil {
		return false, err
	}
	rm.decide(func(s *sched.Scheduler, now time.Time) (as []sched.Action) {
		done, as, err = s.Finish(now, id.Attempt, final, diagnostics, trackingURL)
		return as
	})
	return done, err
}
