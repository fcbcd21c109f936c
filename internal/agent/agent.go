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

	"tfos/internal/agent/fileserver"
	"tfos/internal/agent/port"
	"tfos/internal/agent/storage"
	"tfos/internal/control"
	"tfos/internal/endpoint"
	"tfos/internal/job"
	"tfos/internal/launch"
)

const (
	// hurry is how long a program has to end when the agent is told to by a signal: a NodeManager sends SIGKILL 250 ms after
	// SIGTERM (yarn.nodemanager.sleep-delay-before-sigkill.ms).
	hurry = 200 * time.Millisecond
	// defaultGrace is for a program whose Start did not say.
	defaultGrace = 10 * time.Second
	// logsWait bounds how long followers of the logs have to read their end.
	logsWait = 2 * time.Second
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
	stop      chan struct{} // closed by Close
	close     sync.Once
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
		stop:      make(chan struct{}),
	}
	a.logs = newLogs(o.LogDir, o.Logs, o.AgentLog)
	o.Storage.Logger = a.log.Named("storage")
	a.storage = storage.New(o.Storage)
	return a, nil
}

// Close ends Run as the end of its context does. It does not wait, and may be called more than once.
func (a *Agent) Close() { a.close.Do(func() { close(a.stop) }) }

// Run joins the master and does what it says, until the master retires the agent (then it is nil), ctx ends or Close is called
// (the program has a fifth of a second to end; then it is context.Canceled), the master refuses the agent, or there has been no
// master for too long.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, a.Close)()
	go func() {
		select {
		case <-a.stop:
			cancel()
		case <-ctx.Done():
		}
	}()

	if err := os.MkdirAll(a.ours(), 0o700); err != nil {
		return err
	}
	if err := arrange(ctx, a.o.Dir); err != nil {
		return err
	}
	held, err := port.Hold(port.ReusePort)
	if err != nil {
		return err
	}
	defer held.Close()
	proofs, proving, err := orPort(a.o.Witness, a.o.Host)
	if err != nil {
		return fmt.Errorf("prove that the task's port is held: %w", err)
	}
	witness := endpoint.NewWitness(proofs, a.proof(a.task), a.log)
	proved := make(chan struct{})
	go func() {
		witness.Run()
		close(proved)
	}()
	defer func() { // before the port is anybody's
		if err := witness.Close(); err != nil {
			a.log.Warn("the port of the proof is left", zap.Error(err))
		}
		<-proved
	}()
	listener, ours, err := orPort(a.o.Listener, a.o.Host)
	if err != nil {
		return fmt.Errorf("serve logs: %w", err)
	}
	server, err := control.NewAgentServer(listener, a.o.Identity, a.logs, a.log)
	if err != nil {
		listener.Close()
		return err
	}
	apiListener, err := orSocket(a.o.Socket, a.ours(), apiSocket)
	if err != nil {
		listener.Close()
		return fmt.Errorf("serve the program: %w", err)
	}
	api := newAPI(apiListener)
	filesListener, err := orSocket(a.o.FilesSocket, a.ours(), filesSocket)
	if err != nil {
		listener.Close()
		apiListener.Close()
		return fmt.Errorf("serve the program: %w", err)
	}
	files := fileserver.New(fileserver.Options{Files: a.storage, Listener: filesListener, Dir: a.ours(), Logger: a.log.Named("files")})
	hello := control.Hello{
		Container:   a.o.Identity.Subject().Container,
		Task:        a.task,
		Incarnation: a.o.Incarnation,
		Agent:       net.JoinHostPort(a.o.Host, strconv.Itoa(ours)),
		Address:     net.JoinHostPort(a.o.Host, strconv.Itoa(held.Number)),
		Witness:     proving,
	}
	master := a.o.Master
	if master == nil {
		f := &masterFile{known: a.o.MasterAddress, uri: masterURI(a.o.Staging), storage: a.storage, log: a.log}
		master = f.find
	}
	if a.o.Over != nil {
		o := &orphan{find: master, over: a.o.Over, log: a.log}
		master = o.master
	}
	a.link, err = control.NewLink(control.LinkOptions{
		Identity: a.o.Identity,
		Hello:    hello,
		Handler:  commands{a},
		Master:   master,
		Dialer:   a.o.Dialer,
		Logger:   a.log,
		Patience: a.o.Patience,
	})
	if err != nil {
		return err
	}
	a.log.Info("agent started", zap.String("address", hello.Address), zap.String("agent", hello.Agent))

	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Run(); err != nil {
			a.log.Error("logs are not served", zap.Error(err))
		}
	})
	serving.Go(func() { api.serve(a) })
	serving.Go(func() {
		if err := files.Run(); err != nil {
			a.log.Error("filesystems are not served", zap.Error(err))
		}
	})
	linkCtx, unlink := context.WithCancel(context.WithoutCancel(ctx))
	linked := make(chan error, 1)
	go func() { linked <- a.link.Run(linkCtx) }()

	o := newOwner(a, hello, apiListener.Addr().String(), filesListener.Addr().String())
	var calls sync.WaitGroup
	calling, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	o.call = func(f func(context.Context)) context.CancelFunc {
		ctx, cancel := context.WithCancel(calling)
		calls.Go(func() { defer cancel(); f(ctx) })
		return cancel
	}
	o.reach(held.Number)
	err, linkOver := o.loop(ctx, linked)
	close(a.ended)
	hangUp()
	calls.Wait()
	o.closeEndpoints()
	unlink() // sends what was reported last
	if !linkOver {
		<-linked
	}
	a.logs.end()
	server.Close(logsWait)
	api.close()
	files.Close()
	serving.Wait()
	o.releasePorts()
	if err := a.logs.close(); err != nil {
		a.log.Warn("logs not closed", zap.Error(err))
	}
	if err := a.storage.Close(); err != nil {
		a.log.Warn("filesystems not closed", zap.Error(err))
	}
	a.log.Info("agent ended", zap.NamedError("cause", err))
	a.log.Sync()
	return err
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

// orPort is given, or else any port of this node, which others know as host, with its number.
func orPort(given net.Listener, host string) (net.Listener, int, error) {
	l := given
	if l == nil {
		var err error
		if l, err = control.Listen(host); err != nil {
			return nil, 0, err
		}
	}
	_, text, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, 0, err
	}
	number, err := strconv.Atoi(text)
	return l, number, err
}

// post has the owner run f. It is dropped when the agent ends.
func (a *Agent) post(f func(*owner)) bool {
	select {
	case a.inbox <- f:
		return true
	case <-a.ended:
		return false
	}
}
