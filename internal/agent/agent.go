package agent

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"tfos/internal/control"
	"tfos/internal/endpoint"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/storage"
)

const (
	// hurry is how long a program has to end when the agent is told to by a signal: a NodeManager
	// sends SIGKILL 250 ms after SIGTERM (yarn.nodemanager.sleep-delay-before-sigkill.ms).
	hurry = 200 * time.Millisecond
	// defaultGrace is for a program whose Start did not say.
	defaultGrace = 10 * time.Second
)

// Agent runs one task in one container.
type Agent struct {
	o         Options
	container string
	task      job.Task
	log       *zap.Logger
	inbox     chan func(*owner) // unbuffered: whoever posts waits for the owner, or its end
	ended     chan struct{}     // closed when the owner takes no more
	link      *control.Link
	logs      *logs
	storage   *storage.Storage
	stopped   context.Context // ends with Close
	stop      context.CancelFunc
}

// New prepares an Agent. Run starts it.
func New(o Options) (*Agent, error) {
	s := o.Identity.Subject()
	if s.Party != control.PartyAgent {
		return nil, fmt.Errorf("the identity is %s, not an agent's", o.Identity)
	}
	if o.Runner == nil {
		o.Runner = processes{}
	}
	if o.Endpoints == "" {
		o.Endpoints = job.EndpointsDirect
	}
	if o.NewEndpoints == nil {
		o.NewEndpoints = newEndpoints
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	a := &Agent{
		o:         o,
		container: s.Container.String(),
		task:      s.Task,
		log:       o.Logger.With(zap.Stringer("task", s.Task), zap.Stringer("container", s.Container)),
		inbox:     make(chan func(*owner)),
		ended:     make(chan struct{}),
	}
	a.stopped, a.stop = context.WithCancel(context.Background())
	a.logs = newLogs(o.LogDir, o.Logs, o.AgentLog)
	o.Storage.Logger = a.log.Named("storage")
	a.storage = storage.New(o.Storage)
	return a, nil
}

// Close ends Run as the end of its context does. It does not wait, and may be called more than
// once.
func (a *Agent) Close() { a.stop() }

// Run joins the master and does what it says, until the master retires the agent (then it is nil),
// ctx ends or Close is called (the program has a fifth of a second to end; then it is
// context.Canceled), the master refuses the agent, or there has been no master for too long.
func (a *Agent) Run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(a.stopped, cancel)()
	defer func() {
		a.log.Info("agent ended", zap.NamedError("cause", err))
		a.log.Sync()
	}()
	defer a.release()

	if err := os.MkdirAll(a.stacksDir(), 0o700); err != nil {
		return err
	}
	if err := arrange(ctx, a.o.Dir); err != nil {
		return err
	}
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	hello := control.Hello{
		Container:   a.o.Identity.Subject().Container,
		Task:        a.task,
		Incarnation: a.o.Incarnation,
		Agent:       net.JoinHostPort(a.o.Host, strconv.Itoa(s.logsPort)),
		Address:     net.JoinHostPort(a.o.Host, strconv.Itoa(s.port.Number)),
		Witness:     s.witnessPort,
	}
	a.link, err = control.NewLink(control.LinkOptions{
		Identity: a.o.Identity,
		Hello:    hello,
		Handler:  commands{a},
		Master:   a.master(),
		Dialer:   a.o.Dialer,
		Logger:   a.log,
		Patience: a.o.Patience,
	})
	if err != nil {
		return err
	}
	a.log.Info("agent started", zap.String("address", hello.Address), zap.String("agent", hello.Agent))
	s.start()
	return a.work(ctx, s, hello)
}

// work runs the owner beside the link to the master, until the owner is done; then it ends what the
// owner began, and the link last, which still sends what was reported.
func (a *Agent) work(ctx context.Context, s *services, hello control.Hello) error {
	lasting := context.WithoutCancel(ctx) // ctx tells the owner to end, and the owner the rest
	linkCtx, unlink := context.WithCancel(lasting)
	defer unlink()
	linked := make(chan error, 1)
	go func() { linked <- a.link.Run(linkCtx) }()

	o := newOwner(a, hello, s)
	var calls sync.WaitGroup
	calling, hangUp := context.WithCancel(lasting)
	defer hangUp()
	o.call = func(f func(context.Context)) context.CancelFunc {
		ctx, cancel := context.WithCancel(calling)
		calls.Go(func() { defer cancel(); f(ctx) })
		return cancel
	}
	o.reach(s.port.Number)
	err, linkOver := o.loop(ctx, linked)
	close(a.ended)
	hangUp()
	calls.Wait()
	o.closeEndpoints()
	o.releasePorts()
	unlink()
	if !linkOver {
		<-linked
	}
	return err
}

// master is how the agent finds its master.
func (a *Agent) master() func(context.Context) (string, error) {
	find := a.o.Master
	if find == nil {
		f := &masterFile{known: a.o.MasterAddress, uri: masterURI(a.o.Staging), storage: a.storage, log: a.log}
		find = f.find
	}
	if a.o.Over == nil {
		return find
	}
	o := &orphan{find: find, over: []func(context.Context) (string, error){a.o.Over}, log: a.log}
	if a.o.Staging != "" {
		o.over = append(o.over, lookForResult(a.storage, a.o.Staging))
	}
	return o.master
}

// release closes what New made, and the listeners that were given, whether they came into use or
// not.
func (a *Agent) release() {
	for _, l := range []net.Listener{a.o.Witness, a.o.Listener, a.o.Socket, a.o.FilesSocket, a.o.Feeders, a.o.FeedSocket} {
		if l != nil {
			l.Close()
		}
	}
	if err := a.logs.close(); err != nil {
		a.log.Warn("logs not closed", zap.Error(err))
	}
	if err := a.storage.Close(); err != nil {
		a.log.Warn("filesystems not closed", zap.Error(err))
	}
}

// Dump writes the stacks of the agent's goroutines to its log, and has the program's processes that
// can do so write theirs.
func (a *Agent) Dump() {
	if a.o.AgentLog != nil {
		fmt.Fprintln(a.o.AgentLog, "thread dump of the agent:")
		if err := pprof.Lookup("goroutine").WriteTo(a.o.AgentLog, 2); err != nil {
			a.log.Error("stacks not written", zap.Error(err))
		}
	}
	a.post(func(o *owner) {
		if o.program == nil {
			return
		}
		told, err := o.program.Signal(unix.SIGQUIT)
		a.log.Info("the program's processes that expect SIGQUIT were sent it", zap.Int("processes", told), zap.Error(err))
	})
}

// proof is what the agent of a task of this job says to prove who it is.
func (a *Agent) proof(t job.Task) endpoint.Proof {
	return endpoint.ProofOf(a.o.Identity.Subject().Container.Attempt.Application.String(), t)
}

// ours is the directory of all files of ours in the container's.
func (a *Agent) ours() string { return filepath.Join(a.o.Dir, launch.TaskDir) }

// post hands f to the owner, which runs it. It is dropped when the agent ends.
func (a *Agent) post(f func(*owner)) bool {
	select {
	case a.inbox <- f:
		return true
	case <-a.ended:
		return false
	}
}
