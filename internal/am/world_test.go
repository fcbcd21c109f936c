package am

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"tfos/internal/am/web"
	"tfos/internal/clusterspec"
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

// program is what a model task does once it is started: its exit, or nil to run until it is
// stopped.
type program func(t job.Task, inc job.Incarnation, stop <-chan struct{}) control.Exited

// hanging tells whether a program hangs at a step.
type hanging func(inc job.Incarnation, step int64) bool

// exits ends at once with the code.
func exits(code int, stderr ...string) program {
	return func(_ job.Task, inc job.Incarnation, _ <-chan struct{}) control.Exited {
		return control.Exited{Incarnation: inc, Ended: job.Ended{Code: code, Stderr: stderr}}
	}
}

// serves runs until it is stopped.
func serves(_ job.Task, inc job.Incarnation, stop <-chan struct{}) control.Exited {
	<-stop
	return control.Exited{Incarnation: inc, Ended: job.Ended{Code: 143, Signal: "SIGTERM"}}
}

// world is YARN and the nodes around one master: containers are granted as they are asked for, and
// an agent joins from each.
type world struct {
	t         *testing.T
	net       *memnet.Network
	authority *control.Authority
	programs  map[string]program // by role
	fs        dfs.FS
	ctx       context.Context
	agents    sync.WaitGroup
	container yarn.ContainerID // the master's own

	mu           sync.Mutex
	refuse       error                               // guarded by mu: what Allocate answers next, once
	silent       int                                 // guarded by mu: calls of Allocate still to be lost
	registered   int                                 // guarded by mu
	known        yarn.AttemptID                      // guarded by mu: registered last
	mute         bool                                // guarded by mu: the next answer to Register is lost
	answered     yarn.AttemptID                      // guarded by mu: registered, and not told so
	finishErrors []error                             // guarded by mu: what Finish answers first
	responseID   int32                               // guarded by mu
	last         yarn.AllocateResponse               // guarded by mu
	asks         map[int64]yarn.Ask                  // guarded by mu
	next         int64                               // guarded by mu
	completed    []yarn.ContainerStatus              // guarded by mu: not told yet
	live         map[yarn.ContainerID]bool           // guarded by mu
	released     []yarn.ContainerID                  // guarded by mu
	starts       map[job.Task]control.Start          // guarded by mu: the newest order to each task
	final        yarn.FinalStatus                    // guarded by mu
	diag         string                              // guarded by mu
	url          string                              // guarded by mu: where the browser is sent in the end
	pages        string                              // set before the job: where pages of ended jobs are served
	failStart    error                               // guarded by mu: what the NodeManagers say to every start
	grants       map[yarn.ContainerID]yarn.Container // guarded by mu
	limit        int                                 // guarded by mu: how many containers may live; 0: any number
	clockOff     time.Duration                       // guarded by mu: how far the clock of the masters' node is from the bubble's
	crash        func()                              // guarded by mu: ends the master's process
	crashed      bool                                // guarded by mu: by crash
	history      []string                            // guarded by mu: every process that was started
	oneNode      bool                                // guarded by mu: all containers are on one node of many
	submitted    time.Time                           // set before the job; zero: not known
	forgets      bool                                // set before the job: containers end with their master
	excluded     map[string]bool                     // guarded by mu: hosts that were excluded at some time
	heldUntil    time.Time                           // guarded by mu: until when Allocate answers nothing

	nodes     []yarn.NodeReport  // guarded by mu: not told yet
	preempt   []yarn.ContainerID // guarded by mu: told with every answer
	notices   []string           // guarded by mu: what agents were told
	stacks    []string           // guarded by mu: tasks whose agents were asked for stacks, and why
	bare      job.Task           // guarded by mu: cannot be redirected, as is seen when its program starts
	forwarded []string           // guarded by mu: tasks whose agents were told to take forward

	places map[job.Task][]*modelAgent // guarded by mu: a task's agents, oldest first

	deadline time.Time        // set before the job; zero: none
	proxies  web.Proxies      // set before the job
	chatty   bool             // set before the job: each program reports a step every second
	hangs    hanging          // set before the job: whether a program reports a step no more; nil: none does
	busy     time.Duration    // guarded by mu: how long the owner is kept busy with the next answer of the ResourceManager
	specs    map[job.Task]int // guarded by mu: how many cluster_specs a task's agents were sent
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
		places: make(map[job.Task][]*modelAgent), excluded: make(map[string]bool), grants: make(map[yarn.ContainerID]yarn.Container),
		specs: make(map[job.Task]int),
	}
	return w
}

func (w *world) Register(context.Context, yarn.Registration) (yarn.Registered, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.answered == w.container.Attempt {
		return yarn.Registered{}, yarn.ErrOutOfStep
	}
	w.registered++
	w.responseID = 0
	w.asks = make(map[int64]yarn.Ask)
	var kept []yarn.Container
	again := w.known == w.container.Attempt
	w.known = w.container.Attempt
	for id := range w.live {
		if id.Attempt != w.container.Attempt || again { // as a ResourceManager that restarted does
			kept = append(kept, w.grants[id])
		}
	}
	if w.mute {
		w.mute, w.answered = false, w.container.Attempt
		return yarn.Registered{}, errors.New("connection reset")
	}
	return yarn.Registered{Max: yarn.Resource{MemoryMiB: 8192, VCores: 8}, Queue: "default", CountsVCores: true, Kept: kept}, nil
}

// Allocate takes nothing from a master that was killed, and tells it nothing.
func (w *world) Allocate(ctx context.Context, r yarn.AllocateRequest) (yarn.AllocateResponse, error) {
	w.mu.Lock()
	held := time.Until(w.heldUntil)
	w.mu.Unlock()
	time.Sleep(held)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return yarn.AllocateResponse{}, err
	}
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
		if w.forgets && id.Attempt != w.container.Attempt { // RMServerUtils.validateContainerReleaseRequest
			return yarn.AllocateResponse{}, fmt.Errorf("InvalidContainerReleaseException: cannot release %s", id)
		}
		w.released = append(w.released, id)
		if w.live[id] {
			w.completeLocked(id, yarn.ExitAborted, "released")
		}
	}
	w.responseID++
	for _, host := range r.BlacklistAdd {
		w.excluded[host] = true
	}
	resp := yarn.AllocateResponse{ResponseID: w.responseID, Completed: w.completed, ClusterNodes: 100}
	resp.Nodes, resp.Preempt.Wish = w.nodes, w.preempt
	w.completed, w.nodes = nil, nil
	for id, a := range w.asks {
		for ; a.Count > 0 && (w.limit == 0 || len(w.live) < w.limit); a.Count-- {
			c := yarn.ContainerID{Attempt: w.container.Attempt, ID: w.next}
			w.next++
			w.live[c] = true
			host := fmt.Sprint("node", c.ID)
			if w.oneNode {
				host = "node"
			}
			w.grants[c] = yarn.Container{ID: c, Node: yarn.NodeID{Host: host, Port: 1}, Resource: a.Resource, Priority: a.Priority, AskID: a.ID}
			resp.Granted = append(resp.Granted, w.grants[c])
		}
		w.asks[id] = a
	}
	w.last = resp
	return resp, nil
}

func (w *world) Finish(_ context.Context, final yarn.FinalStatus, diagnostics, url string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.finishErrors) > 0 {
		err := w.finishErrors[0]
		w.finishErrors = w.finishErrors[1:]
		return err
	}
	w.final, w.diag, w.url = final, diagnostics, url
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

// SetTokens is called by the owner.
func (w *world) SetTokens(...yarn.NMToken) {
	w.mu.Lock()
	d := w.busy
	w.busy = 0
	w.mu.Unlock()
	time.Sleep(d)
}

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
	inc, err := strconv.Atoi(l.Env[launch.EnvIncarnation])
	if err != nil {
		return err
	}
	dead, die := context.WithCancel(w.ctx)
	a := &modelAgent{w: w, task: task, container: c.ID, node: c.Node.Host, dead: dead, retire: die}
	w.mu.Lock()
	w.places[task] = append(w.places[task], a)
	w.mu.Unlock()
	host := w.net.Host(c.Node.Host)
	a.link, err = control.NewLink(control.LinkOptions{
		Identity: identity,
		Hello:    control.Hello{Container: c.ID, Task: task, Incarnation: job.Incarnation(inc), Agent: c.Node.Host + ":1", Address: c.Node.Host + ":2"},
		Handler:  a,
		Master:   w.master,
		Dialer:   host.Dial,
	})
	if err != nil {
		return err
	}
	w.agents.Go(func() {
		_ = a.link.Run(dead) // ends with the test, or with the agent
		die()
		w.complete(c.ID, yarn.ExitSuccess, "")
	})
	return nil
}

// modelAgent does what the master says, with a model program.
type modelAgent struct {
	w         *world
	task      job.Task
	link      *control.Link
	container yarn.ContainerID
	node      string
	dead      context.Context // ends with the agent
	retire    context.CancelFunc
	// What runs. The orders come one after the other, so that nothing guards it.
	incarnation job.Incarnation // of the newest program; 0: none was started
	stop        context.CancelFunc
	ended       chan struct{} // closed when the newest program has ended
}

func (a *modelAgent) Spec(s clusterspec.Spec) {
	a.w.mu.Lock()
	a.w.specs[a.task]++
	a.w.mu.Unlock()
	a.link.Spec(s)
}

func (a *modelAgent) Start(c control.Start) {
	if c.Incarnation <= a.incarnation {
		return
	}
	if a.stop != nil {
		a.stop()
		<-a.ended
	}
	a.incarnation = c.Incarnation
	a.w.mu.Lock()
	a.w.starts[a.task] = c
	if a.task == a.w.bare {
		a.link.Peers(control.Peers{Endpoints: job.EndpointsForward, Reason: "it is static"})
	}
	a.w.history = append(a.w.history, fmt.Sprintf("%s inc=%d generation=%d on %s", a.task, c.Incarnation, c.Generation, a.node))
	a.w.mu.Unlock()
	ctx, stop := context.WithCancel(a.w.ctx)
	ended := make(chan struct{})
	a.stop, a.ended = stop, ended
	a.link.Started(control.Started{Incarnation: c.Incarnation, Generation: c.Generation, PID: 100 + a.task.Index})
	if a.w.chatty {
		a.w.agents.Go(func() { a.report(c.Incarnation, ended) })
	}
	a.w.agents.Go(func() {
		defer close(ended)
		exit := a.w.programs[a.task.Role](a.task, c.Incarnation, ctx.Done())
		exit.Stopped = ctx.Err() != nil
		if a.dead.Err() == nil {
			a.link.Exited(exit)
		}
	})
}

// report says a step every second, until the program has ended.
func (a *modelAgent) report(inc job.Incarnation, ended <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for step := int64(1); ; step++ {
		select {
		case <-ended:
			return
		case <-tick.C:
			if a.w.hangs != nil && a.w.hangs(inc, step) {
				continue
			}
			a.link.Progress(control.Progress{Incarnation: inc, Step: step, Steps: 1000, Counted: step})
		}
	}
}

func (a *modelAgent) Stop(control.Stop) { a.stop() }

func (a *modelAgent) Notice(n control.Notice) {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	a.w.notices = append(a.w.notices, a.container.String()+" "+n.Reason)
}

func (a *modelAgent) Stacks(reason string) {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	a.w.stacks = append(a.w.stacks, a.task.String()+": "+reason)
}

func (a *modelAgent) Forward(reason string) {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	a.w.forwarded = append(a.w.forwarded, a.task.String())
	a.link.Peers(control.Peers{Endpoints: job.EndpointsForward, Reason: reason})
}

func (a *modelAgent) Retire(control.Retire) { a.retire() }

// lose ends a task's newest container with the exit status, its agent and program without a word.
func (w *world) lose(t job.Task, exit yarn.ExitStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.places[t]
	a := all[len(all)-1]
	w.completeLocked(a.container, exit, "")
	a.retire()
}

// master is what an agent finds in the staging directory.
func (w *world) master(ctx context.Context) (string, error) {
	b, err := readFile(ctx, w.fs, "/job/"+launch.MasterFile)
	if err != nil {
		return "", err
	}
	var m launch.Master
	err = json.Unmarshal(b, &m)
	return m.Address, err
}

// kill ends the master's process; YARN starts another one two seconds later. What was granted and
// not started goes back.
func (w *world) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.crashed = true
	w.crash()
}

// nextAttempt prepares the next attempt, if the one before was killed.
func (w *world) nextAttempt() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.crashed {
		return false
	}
	w.crashed = false
	w.container.Attempt.Attempt++
	started := make(map[yarn.ContainerID]bool)
	for _, agents := range w.places {
		for _, a := range agents {
			started[a.container] = true
		}
	}
	for id := range w.live {
		if !started[id] {
			w.completeLocked(id, yarn.ExitAborted, "")
		}
	}
	if w.forgets {
		for _, agents := range w.places {
			for _, a := range agents {
				a.retire()
			}
		}
		clear(w.live)
		w.completed = nil
	}
	return true
}

// train runs masters on the job until it ends, and returns how.
func (w *world) train(text string) error {
	t := w.t
	j, err := job.Parse("job.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.fs.Mkdir(t.Context(), "/job", 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer w.agents.Wait()
	defer cancel()
	w.ctx = ctx
	for {
		err := w.attempt(ctx, j)
		if !w.nextAttempt() {
			return err
		}
		time.Sleep(2 * time.Second) // of the bubble's time
	}
}

// attempt runs one master.
func (w *world) attempt(ctx context.Context, j job.Job) error {
	t := w.t
	host := fmt.Sprint("master", w.container.Attempt.Attempt)
	listener, err := w.net.Host(host).Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.mu.Lock()
	w.crash = cancel
	w.mu.Unlock()
	m := New(Options{
		Container: w.container, Job: j, Manifest: launch.Manifest{
			User: "ann", Staging: "/job", Agent: launch.Resource{Name: launch.TaskAgent, URI: "mem:///agent"}, Forgets: w.forgets, Deadline: w.deadline},
		Host: host, Listener: listener, RM: w, Nodes: w, FS: w.fs, Files: oneFS{w.fs}, Authority: w.authority,
		Tokens: func(identity token.Secret) ([]byte, error) { return identity, nil },
		Wall:   w.wall, Submitted: w.submitted, History: w.pages, Proxies: w.proxies,
		Log: zaptest.NewLogger(t),
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

// log reads the staged event log.
func (w *world) log() (membership.Header, []membership.Turn) {
	w.t.Helper()
	b, err := readFile(w.t.Context(), w.fs, "/job/"+launch.EventsFile)
	if err != nil {
		w.t.Fatal(err)
	}
	header, turns, err := membership.ReadLog(b)
	if err != nil {
		w.t.Fatal(err)
	}
	return header, turns
}
