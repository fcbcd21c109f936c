package miniyarn_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/hadoop/token"
	"tfos/internal/memnet"
	"tfos/internal/miniyarn"
	"tfos/internal/miniyarn/container"
	"tfos/internal/yarn"
	"tfos/internal/yarn/yarnrpc"
)

// actors plays containers instead of processes: each command is the name of a function.
type actors struct {
	act map[string]func(ctx context.Context, l container.Launch) container.Exit

	mu    sync.Mutex
	ended []yarn.ApplicationID // guarded by mu
}

func (a *actors) Run(ctx context.Context, l container.Launch) container.Exit {
	l.Started()
	return a.act[l.Context.Command[0]](ctx, l)
}

func (a *actors) EndApplication(_, _ string, app yarn.ApplicationID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = append(a.ended, app)
	return nil
}

func (a *actors) Close() error { return nil }

// untilStopped is a container that ends when it is told to.
func untilStopped(ctx context.Context, _ container.Launch) container.Exit {
	<-ctx.Done()
	var stop *container.Stop
	errors.As(context.Cause(ctx), &stop)
	return container.Exit{Status: stop.Status, Diagnostics: stop.Diagnostics}
}

// A master that registers and then falls silent is given up after its expiry, and so is the next
// one that never registers.
func TestSilentMastersInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		dial := func(ctx context.Context, _, addr string) (net.Conn, error) {
			return network.Host("here").Dial(ctx, addr)
		}
		tokens := make(chan token.Token, 2)
		exec := &actors{act: map[string]func(context.Context, container.Launch) container.Exit{
			"master": func(ctx context.Context, l container.Launch) container.Exit {
				creds, err := token.Decode(l.Tokens)
				if err != nil {
					t.Error(err)
				}
				amrm, _ := creds.OfKind(token.KindAMRM)
				tokens <- amrm
				return untilStopped(ctx, l)
			},
			"task": untilStopped,
		}}
		c, err := miniyarn.New(miniyarn.Options{
			Dir: t.TempDir(), Executor: exec, MasterExpiry: 10 * time.Minute,
			Listen: func(host string, port int) (net.Listener, error) { return network.Host(host).Listen(port) },
			Nodes:  []miniyarn.NodeOptions{{Host: "n1", Capacity: yarn.Resource{MemoryMiB: 1024, VCores: 4}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1)
		go func() { ran <- c.Run(t.Context()) }()
		client := yarnrpc.NewClient(yarnrpc.Options{Addrs: []string{c.Addr()}, Dial: dial}, as(c, "ann"))
		n, err := client.NewApplication(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		sub := yarn.Submission{ID: n.ID, Queue: "default", Resource: mem(256), Launch: yarn.LaunchContext{Command: []string{"master"}}}
		if err := client.Submit(t.Context(), sub); err != nil {
			t.Fatal(err)
		}
		master := yarnrpc.NewMaster(yarnrpc.Options{Addrs: []string{c.SchedulerAddr()}, Dial: dial}, <-tokens)
		nodes := yarnrpc.NewNodes(yarnrpc.Options{Dial: dial})
		if _, err := master.Register(t.Context(), yarn.Registration{}); err != nil {
			t.Fatal(err)
		}
		var got yarn.AllocateResponse
		for i := range int32(2) {
			if got, err = master.Allocate(t.Context(), yarn.AllocateRequest{ResponseID: i, Asks: []yarn.Ask{{ID: 1, Resource: mem(256), Count: 1 - int(i)}}}); err != nil {
				t.Fatal(err)
			}
		}
		nodes.SetTokens(got.NMTokens...)
		if err := nodes.Start(t.Context(), got.Granted[0], yarn.LaunchContext{Command: []string{"task"}}); err != nil {
			t.Fatal(err)
		}

		<-tokens // of the second attempt
		if took := time.Since(begin); took < 10*time.Minute || took > 11*time.Minute {
			t.Errorf("the silent master was given up after %v", took)
		}
		if _, err := master.Allocate(t.Context(), yarn.AllocateRequest{ResponseID: 2}); !errors.Is(err, yarn.ErrAttemptGone) {
			t.Errorf("its late heartbeat: %v", err)
		}
		time.Sleep(11 * time.Minute)
		r, err := client.Report(t.Context(), n.ID)
		if err != nil || r.State != yarn.StateFailed || r.Containers != 0 {
			t.Errorf("%+v, %v", r, err)
		}
		synctest.Wait()
		exec.mu.Lock()
		if len(exec.ended) != 1 || exec.ended[0] != n.ID {
			t.Errorf("ended applications: %v", exec.ended)
		}
		exec.mu.Unlock()
		if err := errors.Join(client.Close(), master.Close(), nodes.Close(), c.Close(), <-ran); err != nil {
			t.Error(err)
		}
	})
}
