package agent

import (
	"context"
	"errors"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"tfos/internal/agent/port"
	"tfos/internal/agent/step"
	"tfos/internal/clusterspec"
	"tfos/internal/control"
	"tfos/internal/feed"
	"tfos/internal/feed/serve"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/pause"
	"tfos/internal/supervise"
)

// reportEvery is the least time between two reports of progress to the master.
const reportEvery = time.Second

// owner knows where the task stands. Only its loop touches it.
type owner struct {
	a           *Agent
	hello       control.Hello
	api         string           // path of the program's socket
	files       string           // path of the socket by which it reaches filesystems
	feedPath    string           // path of the socket by which it takes rows
	feed        *serve.Server    // nil: nobody feeds the program
	incarnation job.Incarnation  // the newest that was started, or the container's first
	generation  job.Generation   // of the newest cluster_spec
	newest      clusterspec.Spec // it
	changed     chan struct{}    // closed when there is a newer one

	program   Program // nil: none runs
	tap       *tap    // of program
	grace     time.Duration
	started   bool           // a process of incarnation was started, whether it still runs or not
	last      control.Start  // the newest that was started
	next      *control.Start // to be started once program has ended, and the peers are where it expects them; nil: none
	stopped   bool           // program was told to end by the master
	withdrawn bool           // next was stopped before it started
	retiring  bool
	killed    bool             // told to end at once, by a signal: how the program ends says nothing of it
	tensor    *port.Port       // kept for a TensorBoard; nil: none
	progress  step.Progress    // newest
	told      control.Progress // last reported, without its incarnation
	announced bool             // the program reports its steps itself: what it prints counts no more
	loss      control.Loss     // the newest that it reported; unknown: what it prints counts
	used      used

	peers
	coverage
	mirroring
}

func newOwner(a *Agent, hello control.Hello, s *services) *owner {
	return &owner{a: a, hello: hello, api: s.apiPath, files: s.filesPath, feedPath: s.feedPath, feed: s.feed, incarnation: a.o.Incarnation, grace: defaultGrace, changed: make(chan struct{}),
		peers: peers{again: pause.Growing(againMin, againMax)}}
}

// loop runs until the agent is to end, and then until the program has. It reports whether the link
// had ended by itself.
func (o *owner) loop(ctx context.Context, linked <-chan error) (err error, linkOver bool) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	done := ctx.Done()
	for {
		if o.failed != nil && err == nil && !o.retiring {
			err = o.failed
		}
		if o.program == nil && !o.flushes() && (o.retiring || err != nil) {
			return err, linkOver
		}
		var exited <-chan struct{}
		if o.program != nil {
			exited = o.program.Done()
		}
		select {
		case f := <-o.a.inbox:
			f(o)
		case <-exited:
			o.exited()
		case <-tick.C:
			o.report()
			o.reportPeers()
		case <-o.coverage.due():
			o.look()
		case <-o.mirroring.due():
			o.flushedLate()
		case <-done:
			done, o.killed = nil, true
			o.a.log.Info("told to end at once")
			if !o.retiring && err == nil {
				err = ctx.Err()
			}
			o.end(min(o.grace, hurry))
		case cause := <-linked:
			linked, linkOver = nil, true
			if err == nil && !o.retiring {
				err = cause
				o.end(o.grace)
			}
		}
	}
}

// end stops the program for good.
func (o *owner) end(grace time.Duration) {
	o.next = nil
	o.unprepare()
	o.stop(grace)
}

// stop asks the program to end, and what follows it.
func (o *owner) stop(grace time.Duration) {
	o.hasten(grace)
	if o.program != nil {
		o.program.Stop(grace)
	}
}

// start is the master's order. It is late if a newer incarnation was started, and done if this one
// was.
func (o *owner) start(c control.Start) {
	log := o.a.log.With(zap.Int("incarnation", int(c.Incarnation)))
	newest := o.incarnation
	if o.next != nil {
		newest = o.next.Incarnation
	}
	switch {
	case o.retiring:
		log.Info("start ignored: retiring")
	case c.Incarnation < newest:
		log.Warn("start refused: it is of an old incarnation", zap.Int("newest", int(newest)))
	case c.Incarnation == newest && (o.started || o.next != nil):
		log.Debug("start ignored: it was done")
	default:
		o.next = &c
		o.stop(o.grace)
		o.proceed()
	}
}

// proceed starts what is to be started next, once nothing is in its way.
func (o *owner) proceed() {
	switch next := o.next; {
	case next == nil || o.program != nil || o.flushes():
	case o.withdrawn:
		o.unprepare()
		o.incarnation, o.started, o.next, o.withdrawn = next.Incarnation, true, nil, false
		o.a.link.Exited(control.Exited{Incarnation: next.Incarnation, Ended: job.Ended{Code: 128 + int(unix.SIGTERM), Signal: "SIGTERM", Stopped: true}})
	case o.reached(next.Generation) && o.prepares(*next):
		o.run(*next)
	}
}

// run starts the program of one incarnation.
func (o *owner) run(c control.Start) {
	o.incarnation, o.started, o.next, o.last, o.stopped = c.Incarnation, true, nil, c, false
	o.progress, o.told, o.announced, o.loss, o.used = step.Progress{}, control.Progress{}, false, control.Loss{}, used{}
	if o.grace = c.Grace; o.grace <= 0 {
		o.grace = defaultGrace
	}
	log := o.a.log.With(zap.Int("incarnation", int(c.Incarnation)), zap.Int("generation", int(c.Generation)))
	fail := func(err error) {
		log.Error("program not started", zap.Error(err))
		o.a.link.Exited(control.Exited{Incarnation: c.Incarnation, Ended: job.Ended{Code: 127, Reason: err.Error()}})
	}
	if c.TensorBoard && o.tensor == nil {
		var err error
		if o.tensor, err = port.Hold(port.ReuseAddr); err != nil {
			fail(err)
			return
		}
	}
	if o.feed != nil {
		o.feed.Start(int(c.Incarnation))
	}
	t := new(tap)
	p, err := o.a.o.Runner.Start(supervise.Spec{Command: c.Command, Dir: o.a.o.Dir, Env: o.env(c),
		Stdout: t.listen(o.a.logs.timed[control.Stdout]), Stderr: t.listen(o.a.logs.timed[control.Stderr])})
	if err != nil {
		fail(err)
		return
	}
	o.program, o.tap = p, t
	log.Info("program started", zap.Int("pid", p.PID()))
	s := control.Started{Incarnation: c.Incarnation, Generation: c.Generation, PID: p.PID()}
	if o.tensor != nil {
		s.TensorBoard = net.JoinHostPort(o.a.o.Host, strconv.Itoa(o.tensor.Number))
	}
	o.a.link.Started(s)
	o.watch(o.endpoints.Kind())
	o.keep(c)
}

// env is the container's environment, then what the peers' addresses are made into, the master's,
// and what only the agent knows.
func (o *owner) env(c control.Start) []string {
	env := make(map[string]string)
	for _, kv := range o.a.o.Env {
		if name, value, ok := strings.Cut(kv, "="); ok {
			env[name] = value
		}
	}
	seen := o.endpoints.View()
	maps.Copy(env, c.Cluster.Documents(seen, o.a.task))
	maps.Copy(env, c.Env)
	withoutProxy(env, seen)
	// Our own modules come first. YARN keeps each file in a directory of its own and links it here.
	// Python looks for modules beside what the link points to, where the program's other files are
	// not.
	env["PYTHONPATH"] = strings.TrimSuffix(filepath.Join(o.a.o.Dir, launch.TaskPython)+":"+o.a.o.Dir+":"+env["PYTHONPATH"], ":")
	env["TFOS_AGENT"], env["TFOS_FILES"] = o.api, o.files
	if o.feed != nil {
		env["TFOS_FEED"] = o.feedPath
	}
	env["TFOS_STACKS"] = o.a.stacksDir()
	o.noticeEnv(env)
	o.mirrorEnv(env, c)
	env["TFOS_INCARNATION"] = strconv.Itoa(int(c.Incarnation))
	env["TF_GRPC_REUSE_PORT"] = "true" // else TensorFlow could not bind the port that is held for it
	if o.tensor != nil {
		n := strconv.Itoa(o.tensor.Number)
		env["TB_PORT"], env["TENSORBOARD_PORT"] = n, n
	}
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return o.endpoints.Env(list)
}

// exited reports the end of the program. If its checkpoints are copied, the last copy comes first.
func (o *owner) exited() {
	o.report()
	x := o.program.Exit()
	o.program, o.tap = nil, nil
	o.a.log.Info("program ended", zap.Int("incarnation", int(o.incarnation)), zap.Int("code", x.Code), zap.String("signal", x.Signal),
		zap.Bool("oom", x.OOM), zap.Bool("stopped", x.Stopped), zap.String("reason", x.Reason))
	if o.feed != nil && x.Code == 0 && x.Signal == "" && !x.Stopped {
		o.feed.Finish(feed.Terminated, "the program has ended")
	}
	if x.Lost {
		o.a.log.Error("the program's guard was killed, and the program with it")
	}
	if x.Left > 0 {
		o.a.log.Error("processes of the program do not die", zap.Int("left", x.Left))
	}
	if !o.flush(x) {
		o.concluded(x)
	}
}

// concluded reports the end of a program of which nothing is left to be done, and starts what was
// waiting for it.
func (o *owner) concluded(x supervise.Exit) {
	if o.killed && x.Stopped { // YARN takes the container, and tells the master why
		return
	}
	if !o.excused(x) {
		o.a.link.Exited(control.Exited{Incarnation: o.incarnation, Ended: x.Ended})
	}
	o.proceed()
}

// stopProgram is the master's order for one incarnation. For any but the current one it is late.
func (o *owner) stopProgram(c control.Stop) {
	switch {
	case o.next != nil && c.Incarnation == o.next.Incarnation:
		o.a.log.Info("start withdrawn", zap.Int("incarnation", int(c.Incarnation)))
		o.withdrawn = true
		o.proceed()
	case o.program != nil && c.Incarnation == o.incarnation:
		o.a.log.Info("program told to stop", zap.Int("incarnation", int(c.Incarnation)), zap.Duration("grace", c.Grace))
		o.stopped = true
		o.stop(c.Grace)
	case o.flushes() && c.Incarnation == o.incarnation:
		o.hasten(c.Grace)
	default:
		o.a.log.Debug("stop ignored: no such program", zap.Int("incarnation", int(c.Incarnation)))
	}
}

func (o *owner) retire(c control.Retire) {
	o.a.log.Info("retired", zap.String("reason", c.Reason), zap.Duration("grace", c.Grace))
	o.retiring = true
	o.end(c.Grace)
}

// published is the master's newest cluster_spec, or one that is late.
func (o *owner) published(s clusterspec.Spec) {
	if s.Generation > o.generation {
		o.generation = s.Generation
		o.a.link.Spec(s)
		o.spec = s
		o.update()
	}
}

// announce is a step that the program reported itself.
func (o *owner) announce(p step.Progress, loss control.Loss) error {
	if o.program == nil {
		return errors.New("no program runs")
	}
	o.announced, o.progress = true, p
	if loss.Known {
		o.loss = loss
	}
	return nil
}

// report reads what the program printed, and tells the master of a new step.
func (o *owner) report() {
	if o.tap != nil {
		if p, ok := o.tap.read(); ok && !o.announced {
			o.progress = p
		}
	}
	p := control.Progress{Step: o.progress.Step, Steps: o.progress.Steps, Counted: o.told.Counted, Loss: o.loss}
	switch {
	case o.announced:
		p.Counted = p.Step
	case o.tap != nil:
		p.Counted = o.tap.tracker.Counted()
	}
	if !p.Loss.Known && o.tap != nil {
		p.Loss.Value, p.Loss.Known = o.tap.tracker.Loss()
	}
	if o.program != nil {
		o.used = o.used.look(time.Now(), o.program.Usage)
	}
	p.Memory, p.CPU = o.used.memory, o.used.cpu
	if p != o.told {
		o.told = p
		p.Incarnation = o.incarnation
		o.a.link.Progress(p)
	}
}

// describe is who the program is, for the program.
func (o *owner) describe() description {
	return description{
		Task: o.a.task.String(), Role: o.a.task.Role, Index: o.a.task.Index, Incarnation: o.incarnation, Generation: o.generation,
		Container: o.a.container, Address: o.hello.Address, Step: o.progress.Step, Steps: o.progress.Steps,
	}
}

func (o *owner) releasePorts() {
	if o.tensor != nil {
		o.tensor.Close()
	}
}

// commands hands the master's orders to the owner.
type commands struct{ a *Agent }

func (c commands) Spec(s clusterspec.Spec) { c.a.post(func(o *owner) { o.published(s) }) }
func (c commands) Start(s control.Start)   { c.a.post(func(o *owner) { o.start(s) }) }
func (c commands) Stop(s control.Stop)     { c.a.post(func(o *owner) { o.stopProgram(s) }) }
func (c commands) Notice(n control.Notice) { c.a.post(func(o *owner) { o.notice(n) }) }
func (c commands) Forward(reason string)   { c.a.post(func(o *owner) { o.forward(reason) }) }
func (c commands) Stacks(reason string)    { c.a.post(func(o *owner) { o.logStacks(reason) }) }
func (c commands) Retire(r control.Retire) {
	c.a.post(func(o *owner) { o.retire(r) })
}
