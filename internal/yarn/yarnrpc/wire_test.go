package yarnrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tfos/internal/hadoop/rpc"
	"tfos/internal/hadoop/token"
	"tfos/internal/memnet"
	"tfos/internal/yarn"
)

// service serves all three protocols out of its fields, and records what it was asked.
type service struct {
	mu    sync.Mutex
	asked []any          // guarded by mu
	calls map[string]int // guarded by mu
	users []string       // guarded by mu: who called, in turn

	answer any   // of any type that a method returns
	err    error // of every call, unless before has one
	// before is asked first; a true second result ends the call with the error. n counts the calls
	// of the method from 1.
	before func(method string, n int) (error, bool)
}

func (s *service) called(method string, c rpc.Caller, args ...any) error {
	s.mu.Lock()
	if s.calls == nil {
		s.calls = map[string]int{}
	}
	s.calls[method]++
	n := s.calls[method]
	s.asked = append(s.asked, args...)
	s.users = append(s.users, c.User)
	s.mu.Unlock()
	if s.before != nil {
		if err, over := s.before(method, n); over {
			return err
		}
	}
	return s.err
}

// as is the service's answer, or none of its type.
func as[T any](s *service) T {
	v, _ := s.answer.(T)
	return v
}

func (s *service) NewApplication(_ context.Context, c rpc.Caller) (yarn.NewApplication, error) {
	return as[yarn.NewApplication](s), s.called("NewApplication", c)
}
func (s *service) Submit(_ context.Context, c rpc.Caller, sub yarn.Submission) error {
	return s.called("Submit", c, sub)
}
func (s *service) Report(_ context.Context, c rpc.Caller, id yarn.ApplicationID) (yarn.Report, error) {
	return as[yarn.Report](s), s.called("Report", c, id)
}
func (s *service) Applications(_ context.Context, c rpc.Caller, q yarn.ApplicationsQuery) ([]yarn.Report, error) {
	return as[[]yarn.Report](s), s.called("Applications", c, q)
}
func (s *service) Kill(_ context.Context, c rpc.Caller, id yarn.ApplicationID, d string) (bool, error) {
	err := s.called("Kill", c, id, d)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls["Kill"] >= 3, err
}
func (s *service) Nodes(_ context.Context, c rpc.Caller, states []yarn.NodeState) ([]yarn.NodeReport, error) {
	return as[[]yarn.NodeReport](s), s.called("Nodes", c, states)
}
func (s *service) Queue(_ context.Context, c rpc.Caller, name string) (yarn.Queue, error) {
	return as[yarn.Queue](s), s.called("Queue", c, name)
}
func (s *service) ResourceTypes(_ context.Context, c rpc.Caller) ([]yarn.ResourceType, error) {
	return as[[]yarn.ResourceType](s), s.called("ResourceTypes", c)
}
func (s *service) Attempts(_ context.Context, c rpc.Caller, id yarn.ApplicationID) ([]yarn.AttemptReport, error) {
	return as[[]yarn.AttemptReport](s), s.called("Attempts", c, id)
}
func (s *service) Containers(_ context.Context, c rpc.Caller, id yarn.AttemptID) ([]yarn.ContainerReport, error) {
	return as[[]yarn.ContainerReport](s), s.called("Containers", c, id)
}
func (s *service) ClusterMetrics(_ context.Context, c rpc.Caller) (yarn.ClusterMetrics, error) {
	return as[yarn.ClusterMetrics](s), s.called("ClusterMetrics", c)
}
func (s *service) DelegationToken(_ context.Context, c rpc.Caller, renewer string) (token.Token, error) {
	return as[token.Token](s), s.called("DelegationToken", c, renewer)
}
func (s *service) Register(_ context.Context, c rpc.Caller, r yarn.Registration) (yarn.Registered, error) {
	return as[yarn.Registered](s), s.called("Register", c, r)
}
func (s *service) Allocate(_ context.Context, c rpc.Caller, r yarn.AllocateRequest) (yarn.AllocateResponse, error) {
	return as[yarn.AllocateResponse](s), s.called("Allocate", c, r)
}
func (s *service) Finish(_ context.Context, c rpc.Caller, f yarn.FinalStatus, d, u string) (bool, error) {
	err := s.called("Finish", c, f, d, u)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls["Finish"] >= 2, err
}
func (s *service) Start(_ context.Context, c rpc.Caller, t token.Token, l yarn.LaunchContext) (yarn.ContainerID, error) {
	return as[yarn.ContainerID](s), s.called("Start", c, t, l)
}
func (s *service) Stop(_ context.Context, c rpc.Caller, id yarn.ContainerID) error {
	return s.called("Stop", c, id)
}
func (s *service) Status(_ context.Context, c rpc.Caller, id yarn.ContainerID) (yarn.ContainerStatus, error) {
	return as[yarn.ContainerStatus](s), s.called("Status", c, id)
}
func (s *service) Signal(_ context.Context, c rpc.Caller, id yarn.ContainerID, sig yarn.Signal) error {
	return s.called("Signal", c, id, sig)
}

// bench is a service on a network in memory, and clients of it. Tokens open it whose password is
// their identifier backwards; "rm" takes names as well.
type bench struct {
	t       *testing.T
	net     *memnet.Network
	service *service
	node    yarn.NodeID
	options Options
	banned  map[string]bool // identifiers of tokens that are not taken any more
}

func password(identifier string) token.Secret { return token.Secret("open " + identifier) }

func tokenOf(kind, identifier string) token.Token {
	return token.Token{Kind: kind, Service: "svc", Identifier: []byte(identifier), Password: password(identifier)}
}

// newBench must be called in a synctest bubble.
func newBench(t *testing.T) *bench {
	b := &bench{t: t, net: memnet.New(), service: &service{}, node: yarn.NodeID{Host: "nm", Port: 2}, banned: map[string]bool{}}
	b.options = Options{Addrs: []string{"rm:1"}, User: "ann", Dial: func(ctx context.Context, _, addr string) (net.Conn, error) {
		return b.net.Host("here").Dial(ctx, addr)
	}}
	b.serve("rm", 1, []rpc.AuthMethod{rpc.Token, rpc.Simple})
	b.serve("nm", 2, []rpc.AuthMethod{rpc.Token})
	return b
}

func (b *bench) serve(host string, port int, auth []rpc.AuthMethod) {
	l, err := b.net.Host(host).Listen(port)
	if err != nil {
		b.t.Fatal(err)
	}
	s := rpc.NewServer(rpc.ServerOptions{Listener: l, Auth: auth, Secrets: func(_ string, identifier []byte) (token.Secret, string, error) {
		if b.banned[string(identifier)] {
			return nil, "", fmt.Errorf("%s not found", identifier)
		}
		return password(string(identifier)), string(identifier), nil
	}})
	ServeClient(s, b.service)
	ServeMaster(s, b.service)
	ServeContainers(s, b.service)
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background()) }()
	b.t.Cleanup(func() {
		if err := errors.Join(s.Close(), <-done); err != nil {
			b.t.Error(err)
		}
	})
}

func (b *bench) client() *Client {
	c := NewClient(b.options, nil)
	b.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (b *bench) master(identifier string) *Master {
	m := NewMaster(b.options, tokenOf(token.KindAMRM, identifier))
	b.t.Cleanup(func() { _ = m.Close() })
	return m
}

func (b *bench) nodes() *Nodes {
	n := NewNodes(b.options)
	n.SetTokens(yarn.NMToken{Node: b.node, Token: tokenOf(token.KindNM, "app")})
	b.t.Cleanup(func() { _ = n.Close() })
	return n
}

func filled[T any]() T {
	var v T
	n := 0
	fill(reflect.ValueOf(&v).Elem(), &n, 0)
	return v
}

func goodLaunch() yarn.LaunchContext {
	return yarn.LaunchContext{
		Files: map[string]yarn.LocalResource{"f": {URI: "hdfs://nn:8020/f", Size: 1, ModTime: time.UnixMilli(5), Visibility: yarn.Private}},
		Env:   map[string]string{"A": "b"}, Command: []string{"./f"}, Tokens: []byte("tokens"),
	}
}

// TestEveryCallPassesItsValues makes each call once, and compares what arrives on either side.
func TestEveryCallPassesItsValues(t *testing.T) {
	sub := yarn.Submission{ID: yarn.ApplicationID{ClusterTimestamp: 1, Sequence: 2}, Queue: "q", Type: "t", Resource: yarn.Resource{MemoryMiB: 1, VCores: 1}, Launch: goodLaunch()}
	app, attempt, container := filled[yarn.ApplicationID](), filled[yarn.AttemptID](), filled[yarn.ContainerID]()
	grant := filled[yarn.Container]()
	grant.Node = yarn.NodeID{Host: "nm", Port: 2}
	status := filled[yarn.ContainerStatus]()
	queue := filled[yarn.Queue]()
	childless := queue
	childless.Children = nil
	for name, c := range map[string]struct {
		answer any
		call   func(ctx context.Context, b *bench) (any, error)
		asked  []any
		want   any
	}{
		"new application": {answer: filled[yarn.NewApplication](), call: func(ctx context.Context, b *bench) (any, error) { return b.client().NewApplication(ctx) }},
		"submit":          {call: func(ctx context.Context, b *bench) (any, error) { return nil, b.client().Submit(ctx, sub) }, asked: []any{sub}},
		"report": {answer: filled[yarn.Report](), asked: []any{app},
			call: func(ctx context.Context, b *bench) (any, error) { return b.client().Report(ctx, app) }},
		"applications": {answer: []yarn.Report{filled[yarn.Report]()}, asked: []any{filled[yarn.ApplicationsQuery]()},
			call: func(ctx context.Context, b *bench) (any, error) {
				return b.client().Applications(ctx, filled[yarn.ApplicationsQuery]())
			}},
		"kill": {asked: []any{app, "why", app, "why", app, "why"},
			call: func(ctx context.Context, b *bench) (any, error) { return nil, b.client().Kill(ctx, app, "why") }},
		"nodes": {answer: []yarn.NodeReport{filled[yarn.NodeReport]()}, asked: []any{[]yarn.NodeState(nil)},
			call: func(ctx context.Context, b *bench) (any, error) { return b.client().Nodes(ctx) }},
		"queue": {answer: queue, want: childless, asked: []any{"q"},
			call: func(ctx context.Context, b *bench) (any, error) { return b.client().Queue(ctx, "q") }},
		"queues": {answer: queue, asked: []any{"root"},
			call: func(ctx context.Context, b *bench) (any, error) { return b.client().Queues(ctx) }},
		"resource types": {answer: []yarn.ResourceType{filled[yarn.ResourceType]()},
			call: func(ctx context.Context, b *bench) (any, error) { return b.client().ResourceTypes(ctx) }},
		"attempts": {answer: []yarn.AttemptReport{filled[yarn.AttemptReport]()}, asked: []any{app},
			call: func(ctx context.Context, b *bench) (any, error) { return b.client().Attempts(ctx, app) }},
		"containers": {answer: []yarn.ContainerReport{filled[yarn.ContainerReport]()}, asked: []any{attempt},
			call: func(ctx context.Context, b *bench) (any, error) { return b.client().Containers(ctx, attempt) }},
		"cluster metrics": {answer: filled[yarn.ClusterMetrics](),
			call: func(ctx context.Context, b *bench) (any, error) { return b.client().ClusterMetrics(ctx) }},
		"delegation token": {answer: filled[token.Token](), asked: []any{"yarn"},
			call: func(ctx context.Context, b *bench) (any, error) { return b.client().DelegationToken(ctx, "yarn") }},
		"no delegation token": {answer: token.Token{}, asked: []any{"yarn"},
			call: func(ctx context.Context, b *bench) (any, error) { return b.client().DelegationToken(ctx, "yarn") }},
		"register": {answer: filled[yarn.Registered](), asked: []any{filled[yarn.Registration]()},
			call: func(ctx context.Context, b *bench) (any, error) {
				return b.master("a").Register(ctx, filled[yarn.Registration]())
			}},
		"allocate": {answer: filled[yarn.AllocateResponse](), asked: []any{filled[yarn.AllocateRequest]()},
			call: func(ctx context.Context, b *bench) (any, error) {
				return b.master("a").Allocate(ctx, filled[yarn.AllocateRequest]())
			}},
		"finish": {asked: []any{yarn.FinalFailed, "why", "url", yarn.FinalFailed, "why", "url"},
			call: func(ctx context.Context, b *bench) (any, error) {
				return nil, b.master("a").Finish(ctx, yarn.FinalFailed, "why", "url")
			}},
		"start": {asked: []any{grant.Token, goodLaunch()},
			call: func(ctx context.Context, b *bench) (any, error) {
				return nil, b.nodes().Start(ctx, grant, goodLaunch())
			}},
		"stop": {asked: []any{container, app1}, call: func(ctx context.Context, b *bench) (any, error) {
			return nil, b.nodes().Stop(ctx, b.node, container, app1)
		}},
		"statuses": {answer: status, want: []yarn.ContainerStatus{status}, asked: []any{container},
			call: func(ctx context.Context, b *bench) (any, error) { return b.nodes().Statuses(ctx, b.node, container) }},
		"signal": {asked: []any{container, yarn.SignalForceful}, call: func(ctx context.Context, b *bench) (any, error) {
			return nil, b.nodes().Signal(ctx, b.node, container, yarn.SignalForceful)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.service.answer = c.answer
				got, err := c.call(t.Context(), b)
				if err != nil {
					t.Fatal(err)
				}
				if c.want == nil {
					c.want = c.answer
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("answer:\n%s", diff)
				}
				if diff := cmp.Diff(c.asked, b.service.asked); diff != "" {
					t.Errorf("request:\n%s", diff)
				}
			})
		})
	}
}

var app1 = yarn.ContainerID{Attempt: yarn.AttemptID{Application: yarn.ApplicationID{ClusterTimestamp: 1, Sequence: 1}, Attempt: 1}, ID: 1}

// TestErrorsCrossTheWire throws each of yarn's errors on one side and looks for it on the other.
func TestErrorsCrossTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		client, nodes := b.client(), b.nodes()
		for _, e := range exceptions {
			b.service.err = fmt.Errorf("%w: and why", e.err)
			if e.err != yarn.ErrNotReady { // which is tried again
				if _, err := client.Report(t.Context(), yarn.ApplicationID{}); !errors.Is(err, e.err) {
					t.Errorf("%v arrived as %v", e.err, err)
				}
			}
			_, err := nodes.Statuses(t.Context(), b.node, app1)
			var one *ContainerError
			if !errors.Is(err, e.err) || !errors.As(err, &one) || one.ID != app1 {
				t.Errorf("%v of one container arrived as %v", e.err, err)
			}
		}
		b.service.err = fmt.Errorf("%w: q", yarn.ErrUnknownQueue)
		if _, err := client.Queue(t.Context(), "q"); !errors.Is(err, yarn.ErrUnknownQueue) {
			t.Errorf("an unknown queue arrived as %v", err)
		}
		b.service.err = errors.New("the scheduler says no")
		good := yarn.Submission{ID: filled[yarn.ApplicationID](), Resource: yarn.Resource{MemoryMiB: 1, VCores: 1}, Launch: goodLaunch()}
		if err := client.Submit(t.Context(), good); !errors.Is(err, yarn.ErrRefused) {
			t.Errorf("a refused submission arrived as %v", err)
		}
	})
}

// TestUnsupported calls a service that has none of the methods.
func TestUnsupported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		c := caller{rpc.NewClient(b.options.rpc(clientProtocol, nil))}
		defer c.rpc.Close()
		if err := c.call(t.Context(), "getHolidays", queryToPB(yarn.ApplicationsQuery{}), metricsToPB(yarn.ClusterMetrics{})); !errors.Is(err, yarn.ErrUnsupported) {
			t.Errorf("a method that there is not: %v", err)
		}
	})
}

// TestKillGivesUpWithItsContext asks a ResourceManager that never gets it done.
func TestKillGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.service.before = func(string, int) (error, bool) {
			b.service.mu.Lock()
			b.service.calls["Kill"] = 0
			b.service.mu.Unlock()
			return nil, true
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := b.client().Kill(ctx, yarn.ApplicationID{}, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("kill: %v", err)
		}
	})
}

// TestRolledToken rolls the AMRMToken over. The connection there is goes on with the old one; the
// next needs the new one.
func TestRolledToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		m := b.master("old")
		b.service.answer = yarn.AllocateResponse{AMRMToken: tokenOf(token.KindAMRM, "new")}
		beat := func() {
			t.Helper()
			if _, err := m.Allocate(t.Context(), yarn.AllocateRequest{}); err != nil {
				t.Fatal(err)
			}
		}
		beat()
		b.banned["old"] = true
		beat()
		b.net.Reset("rm")
		beat()
		if diff := cmp.Diff([]string{"old", "old", "new"}, b.service.users); diff != "" {
			t.Errorf("tokens shown:\n%s", diff)
		}
		// The ResourceManager forgets the tokens of an attempt that is over.
		b.banned["new"] = true
		b.net.Reset("rm")
		if _, err := m.Allocate(t.Context(), yarn.AllocateRequest{}); !errors.Is(err, yarn.ErrAttemptGone) {
			t.Errorf("with a token that was forgotten: %v", err)
		}
	})
}

// TestLostStart loses the answer of a NodeManager to startContainers. It would refuse a second one
// if it had read the first.
func TestLostStart(t *testing.T) {
	for name, known := range map[string]bool{"the container was started": true, "the container was not started": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.service.answer = yarn.ContainerStatus{ID: app1, State: yarn.ContainerRunning}
				b.service.before = func(method string, n int) (error, bool) {
					switch {
					case method == "Start" && n == 1:
						b.net.Reset("nm")
					case method == "Status" && !known:
						return yarn.ErrUnknownContainer, true
					}
					return nil, true
				}
				c := yarn.Container{ID: app1, Node: b.node, Token: tokenOf(token.KindContain, "c")}
				if err := b.nodes().Start(t.Context(), c, goodLaunch()); err != nil {
					t.Fatal(err)
				}
				want := map[string]int{"Start": 1, "Status": 1}
				if !known {
					want["Start"] = 2
				}
				if diff := cmp.Diff(want, b.service.calls); diff != "" {
					t.Errorf("calls:\n%s", diff)
				}
			})
		})
	}
}

// TestStart starts containers on nodes that are not quite up to it.
func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		nodes := b.nodes()
		c := yarn.Container{ID: app1, Node: b.node, Token: tokenOf(token.KindContain, "c")}
		b.service.before = func(_ string, n int) (error, bool) {
			if n < 4 {
				return yarn.ErrNotReady, true
			}
			return nil, true
		}
		if err := nodes.Start(t.Context(), c, goodLaunch()); err != nil || b.service.calls["Start"] != 4 {
			t.Errorf("on a node that takes its time: %v after %d calls", err, b.service.calls["Start"])
		}

		b.service.before = nil
		b.service.err = yarn.ErrInvalidContainer
		if err := nodes.Start(t.Context(), c, goodLaunch()); !errors.Is(err, yarn.ErrInvalidContainer) {
			t.Errorf("with a grant of an earlier ResourceManager: %v", err)
		}
		if err := nodes.Start(t.Context(), c, yarn.LaunchContext{}); err == nil {
			t.Error("started nothing")
		}
		c.Node.Host = "other"
		if err := nodes.Start(t.Context(), c, goodLaunch()); !errors.Is(err, yarn.ErrUnauthorized) {
			t.Errorf("on a node that no token came for: %v", err)
		}
	})
}

// TestNodesForget makes a new connection after a node was forgotten, and none after the pool was
// closed.
func TestNodesForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		nodes := b.nodes()
		for range 2 {
			if err := nodes.Stop(t.Context(), b.node, app1); err != nil {
				t.Fatal(err)
			}
			nodes.Forget(b.node)
		}
		if err := nodes.Close(); err != nil {
			t.Fatal(err)
		}
		if err := nodes.Stop(t.Context(), b.node, app1); !errors.Is(err, rpc.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}
