package am

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"tfos/internal/control"
	"tfos/internal/dfs"
	"tfos/internal/hadoop/token"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/membership"
	"tfos/internal/memnet"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// program is what a model task does once it is started: its exit, or nil to run until it is stopped.
type program func(t job.Task, inc job.Incarnation, stop <-chan struct{}) control.Exited

// exits ends at once with the code.
func exits(code int, stderr ...string) program {
	return func(_ job.Task, inc job.Incarnation, _ <-chan struct{}) control.Exited {
		return control.Exited{Incarnation: inc, Code: code, Stderr: stderr}
	}
}

// serves runs until it is stopped.
func serves(_ job.Task, inc job.Incarnation, stop <-chan struct{}) control.Exited {
	<-stop
	return control.Exited{Incarnation: inc, Code: 143, Signal: "SIGTERM"}
}

// world is YARN and the nodes around one master: containers are granted as they are asked for, and an agent joins from each.
type world struct {
	t         *testing.T
	net       *memnet.Network
	authority *control.Authority
	programs  map[string]program // by role
	fs        dfs.FS
	ctx       context.Context
	agents    sync.WaitGroup
	container yarn.ContainerID // the master's own

	mu         sync.Mutex
	refuse     error                      // guarded by mu: what Allocate answers next, once
	silent     int                        // guarded by mu: calls of Allocate still to be lost
	registered int                        // guarded by mu
	responseID int32                      // guarded by mu
	last       yarn.AllocateResponse      // guarded by mu
	asks       map[int64]yarn.Ask         // guarded by mu
	next       int64                      // guarded by mu
	completed  []yarn.ContainerStatus     // guarded by mu: not told yet
	live       map[yarn.ContainerID]bool  // guarded by mu
	released   []yarn.ContainerID         // guarded by mu
	starts     map[job.Task]control.Start // guarded by mu: the newest order to each task
	final      yarn.FinalStatus           // guarded by mu
	diag       string                     // guarded by mu
	failStart  error                      // guarded by mu: what the NodeManagers say to every start
	kept       []yarn.Container           // guarded by mu: alive from an attempt before
}

func newWorld(t *testing.T, programs map[string]program) *world {
	authority, err := control.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	app := yarn.ApplicationID{ClusterTimestamp: 1, Sequence: 7}
	w := &world{
		t: t, net: memnet.New(), authority: authority, programs: programs, fs: dfs.NewMemory(dfs.MemoryOptions{User: "ann"}),
		container: yarn.ContainerID{Attempt: yarn.AttemptID{Application: app, Attempt: 1}, ID: 1},
		asks:      make(map[int64]yarn.Ask), next: 2, live: make(map[yarn.ContainerID]bool), starts: make(map[job.Task]control.Start),
	}
	return w
}

func (w *world) Register(context.Context, yarn.Registration) (yarn.Registered, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.registered++
	w.responseID = 0
	return yarn.Registered{Max: yarn.Resource{MemoryMiB: 8192, VCores: 8}, Queue: "default", Kept: w.kept}, nil
}

func (w *world) Allocate(_ context.Context, r yarn.AllocateRequest) (yarn.AllocateResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.refuse; err != nil {
		w.refuse = nil
		return yarn.AllocateResponse{}, err
	}
	if w.silent > 0 {
		w.silent--
		return yarn.AllocateResponse{}, errors.New("connection reset")
	}
	if r.ResponseID == w.responseID-1 {
		return w.last, nil
	}
	if r.ResponseID != w.responseID {
		return yarn.AllocateResponse{}, fmt.Errorf("response id %d: %w", r.ResponseID, yarn.ErrOutOfStep)
	}
	for _, a := range r.Asks {
		w.asks[a.ID] = a
	}
	for _, id := range r.Releases {
		w.released = append(w.released, id)
		if w.live[id] {
			w.completeLocked(id, yarn.ExitAborted, "released")
		}
	}
	w.responseID++
	resp := yarn.AllocateResponse{ResponseID: w.responseID, Completed: w.completed}
	w.completed = nil
	for id, a := range w.asks {
		for ; a.Count > 0; a.Count-- {
			c := yarn.ContainerID{Attempt: w.container.Attempt, ID: w.next}
			w.next++
			w.live[c] = true
			resp.Granted = append(resp.Granted, yarn.Container{
				ID: c, Node: yarn.NodeID{Host: fmt.Sprint("node", c.ID), Port: 1}, Resource: a.Resource, Priority: a.Priority, AskID: a.ID,
			})
		}
		w.asks[id] = a
	}
	w.last = resp
	return resp, nil
}

func (w *world) Finish(_ context.Context, final yarn.FinalStatus, diagnostics, _ string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.final, w.diag = final, diagnostics
	return nil
}

func (w *world) complete(id yarn.ContainerID, exit yarn.ExitStatus, diagnostics string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.completeLocked(id, exit, diagnostics)
}

func (w *world) completeLocked(id yarn.ContainerID, exit yarn.ExitStatus, diagnostics string) {
	if w.live[id] {
		delete(w.live, id)
		w.completed = append(w.completed, yarn.ContainerStatus{ID: id, State: yarn.ContainerComplete, ExitStatus: exit, Diagnostics: diagnostics})
	}
}

func (w *world) SetTokens(...yarn.NMToken) {}

// Start runs a model agent with what the launch context gives it.
func (w *world) Start(_ context.Context, c yarn.Container, l yarn.LaunchContext) error {
	w.mu.Lock()
	err := w.failStart
	w.mu.Unlock()
	if err != nil {
		return err
	}
	identity, err := control.ParseIdentity(l.Tokens)
	if err != nil {
		return err
	}
	task, err := job.ParseTask(l.Env[launch.EnvTask])
	if err != nil {
		return err
	}
	a := &modelAgent{w: w, task: task, done: make(chan struct{})}
	host := w.net.Host(c.Node.Host)
	a.link, err = control.NewLink(control.LinkOptions{
		Identity: identity,
		Hello:    control.Hello{Container: c.ID, Task: task, Incarnation: 1, Agent: c.Node.Host + ":1", Address: c.Node.Host + ":2"},
		Handler:  a,
		Master:   func(context.Context) (string, error) { return l.Env[launch.EnvMaster], nil },
		Dialer:   host.Dial,
	})
	if err != nil {
		return err
	}
	w.agents.Go(func() {
		ctx, cancel := context.WithCancel(w.ctx)
		w.agents.Go(func() {
			select {
			case <-a.done:
				cancel()
			case <-ctx.Done():
			}
		})
		_ = a.link.Run(ctx) // ends with the test, or with the agent
		cancel()
		w.complete(c.ID, yarn.ExitSuccess, "")
	})
	return nil
}

// modelAgent does what the master says, with a model program.
type modelAgent struct {
	w    *world
	task job.Task
	link *control.Link
	done chan struct{}
	stop context.CancelFunc // stops the program; nil: none was started
}

func (a *modelAgent) Spec(s membership.Spec) { a.link.Generation(s.Generation) }

func (a *modelAgent) Start(c control.Start) {
	if a.stop != nil {
		return
	}
	a.w.mu.Lock()
	a.w.starts[a.task] = c
	a.w.mu.Unlock()
	ctx, stop := context.WithCancel(a.w.ctx)
	a.stop = stop
	a.link.Started(control.Started{Incarnation: c.Incarnation, PID: 100 + a.task.Index})
	a.w.agents.Go(func() { a.link.Exited(a.w.programs[a.task.Role](a.task, c.Incarnation, ctx.Done())) })
}

func (a *modelAgent) Stop(control.Stop) { a.stop() }

func (a *modelAgent) Retire(control.Retire) { close(a.done) }

// train runs a master on the job until it ends, and returns how.
func (w *world) train(text string) error {
	t := w.t
	j, err := job.Parse("job.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.fs.Mkdir(t.Context(), "/job", 0o700); err != nil {
		t.Fatal(err)
	}
	listener, err := w.net.Host("master").Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer w.agents.Wait()
	defer cancel()
	w.ctx = ctx
	m := New(Options{
		Container: w.container, Job: j, Manifest: launch.Manifest{User: "ann", Staging: "/job", Agent: launch.Resource{Name: launch.AgentBinary, URI: "mem:///agent"}},
		Host: "master", Listener: listener, RM: w, Nodes: w, FS: w.fs, Authority: w.authority,
		Tokens: func(identity token.Secret) ([]byte, error) { return identity, nil },
		Log:    zaptest.NewLogger(t),
	})
	return m.Run(ctx)
}

// result reads the staged status document.
func (w *world) result() status.View {
	w.t.Helper()
	f, err := w.fs.Open(w.t.Context(), "/job/"+launch.ResultFile)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	var v status.View
	if err := json.NewDecoder(f).Decode(&v); err != nil {
		w.t.Fatal(err)
	}
	return v
}
