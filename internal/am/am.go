// Package am is the application master: it turns what YARN and the agents say into membership's
// events, and membership's actions into calls.
//
// One goroutine, the owner, holds the machine, the ledger and the sessions; every other goroutine
// of this package carries one call or one connection and talks to the owner through its mailbox.
// The owner decides nothing about the job itself: that is membership's. A turn is: take an event,
// step the machine, log event and actions, carry the actions out. A status document is made when
// somebody looks.
package am

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"tfos/internal/am/herald"
	"tfos/internal/am/input"
	"tfos/internal/am/keeper"
	"tfos/internal/am/metrics"
	"tfos/internal/am/web"
	"tfos/internal/control"
	"tfos/internal/dfs"
	"tfos/internal/dfs/glob"
	"tfos/internal/hadoop/token"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/listen"
	"tfos/internal/membership"
	"tfos/internal/page"
	"tfos/internal/yarn"
)

// ResourceManager is what the master needs of YARN's scheduler.
type ResourceManager interface {
	Register(ctx context.Context, r yarn.Registration) (yarn.Registered, error)
	Allocate(ctx context.Context, r yarn.AllocateRequest) (yarn.AllocateResponse, error)
	// Finish unregisters; it returns once the ResourceManager has stored that.
	Finish(ctx context.Context, final yarn.FinalStatus, diagnostics, trackingURL string) error
}

// NodeManagers is what the master needs of the nodes.
type NodeManagers interface {
	// SetTokens adds the tokens that open nodes.
	SetTokens(tokens ...yarn.NMToken)
	// Start starts a container; nil says that the node accepted it.
	Start(ctx context.Context, c yarn.Container, l yarn.LaunchContext) error
}

// Options are what a master is made of.
type Options struct {
	Container yarn.ContainerID // the master's own
	Job       job.Job          // as it was submitted; the machine knows its size
	Manifest  launch.Manifest
	Host      string // of this node, as others reach it
	Listener  net.Listener
	RM        ResourceManager
	Nodes     NodeManagers
	FS        dfs.FS        // holds the staging directory
	Files     glob.Resolver // finds the job's input and its checkpoints
	Authority *control.Authority
	Web       net.Listener // of the job's page; nil: it has none
	Proxies   web.Proxies  // through which people see the page
	History   string       // URL below which pages of jobs that have ended are served; empty: none is known
	Tokens    TokenFile
	Submitted time.Time
	Masters   int              // that the cluster grants within launch.MasterWindow; 0: not known
	Seed      uint64           // of the machine's random pauses
	Wall      func() time.Time // the node's clock; nil: time.Now
	// PreemptionPatience is how long after its notice YARN takes a container; 0: Hadoop's default.
	PreemptionPatience time.Duration
	Sized              func(tasks int) // is told the job's size, and each that it is to have; nil: nobody is
	Log                *zap.Logger
}

// TokenFile encodes the credentials file of a task's container: the user's tokens, and the agent's
// identity as a secret.
type TokenFile func(identity token.Secret) ([]byte, error)

// Master is one attempt of an application master.
type Master struct {
	o    Options
	log  *zap.Logger
	mail *mailbox      // for the owner
	done chan struct{} // closed when the owner has ended: mail goes nowhere
	// ended is the job of the end, for its page; nil: as last.
	ended *page.Document
	last  []byte // the status document of the end; nil: another attempt goes on. Set before done is closed

	input  *input.Input   // shares the job's input
	keeper *keeper.Keeper // looks after the job's checkpoints

	metrics *metrics.Exporter
	herald  *herald.Herald

	board atomic.Pointer[string] // host:port for a TensorBoard, as the newest agent of the leading task says; nil: none does
}

// New makes a master. It starts nothing.
func New(o Options) *Master {
	if o.Sized == nil {
		o.Sized = func(int) {}
	}
	if o.PreemptionPatience <= 0 {
		o.PreemptionPatience = preemptionWait
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	m := &Master{o: o, log: o.Log, mail: newMailbox(), done: make(chan struct{}), metrics: metrics.New(), herald: herald.New(o.Job.Notify, o.Log.Named("notify"))}
	m.o.RM = timed{o.RM, m.metrics.Called}
	m.input = m.newInput()
	m.keeper = m.newKeeper()
	return m
}

// Run is the attempt's life: it registers, runs the job and unregisters. A later attempt goes on
// where the one before stopped, by its journal and by what the agents report. It returns nil once
// the job's result, whatever it is, has been told to YARN; yarn.ErrAttemptGone when the
// ResourceManager has given up on this attempt; ctx's error when it was told to end. In the latter
// two cases the job's tasks are left as they are: another attempt may own them.
func (m *Master) Run(ctx context.Context) error {
	if r, over := m.outlived(ctx); over {
		return m.decline(ctx, r)
	}
	ctx, cancel := context.WithCancel(ctx)
	identity, err := m.o.Authority.Issue(control.Subject{Party: control.PartyMaster})
	if err != nil {
		cancel()
		return err
	}
	server, err := control.NewMaster(control.MasterOptions{
		Listener: m.o.Listener, Identity: identity, Handler: (*handler)(m), Leases: m.input, Pages: m.pages(), Logger: m.log.Named("control"),
		Attended: m.o.Job.Attended,
	})
	if err != nil {
		cancel()
		return err
	}
	address, err := m.address()
	if err != nil {
		cancel()
		return err
	}

	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	defer server.Close() // gives the last status document to its watchers
	ended := sync.OnceFunc(func() { close(m.done) })
	defer ended()
	wg.Go(func() {
		if err := server.Run(ctx); err != nil {
			m.post(broken{err})
		}
	})
	if m.o.Web != nil {
		reader, err := m.o.Authority.Issue(control.Subject{Party: control.PartyClient}) // a master's own opens no agent
		if err != nil {
			cancel()
			return err
		}
		agents := web.NewAgents(reader)
		defer agents.Close()
		w := m.web(agents, server)
		defer w.Close()
		wg.Go(func() {
			if err := w.Run(); err != nil {
				m.log.Error("the job's page is not served", zap.Error(err))
			}
		})
	}
	// The things of the start take a round trip each and do not need each other.
	announced := make(chan error, 1)
	wg.Go(func() { announced <- m.announce(ctx, address) })
	machine, stopped := m.machine(ctx)
	if machine.Began() { // else the tasks begin again, and read from the start
		if err := m.input.Recall(ctx); err != nil {
			return err
		}
	}
	wg.Go(func() { m.input.Run(ctx) })
	registered, err := m.register(ctx, address)
	if err != nil {
		return err
	}
	if err := <-announced; err != nil {
		return err
	}

	own := newOwner(m, server, address, machine, newClock(m.o.Wall(), stopped))
	own.told.restarts = machine.Restarts()
	wg.Go(func() { own.heart.run(ctx) })
	defer m.heralds(ctx)()
	defer m.watchDeadline(machine.Late())()
	if limit := m.o.Job.Timeout; limit > 0 {
		defer time.AfterFunc(m.remaining(limit), func() {
			m.post(membership.StopRequested{Reason: overdue(limit), Overdue: true})
		}).Stop()
	}
	known := own.machine.Checkpoints()
	wg.Go(func() { m.keeper.Run(ctx, known) })
	writing, cutOff := context.WithCancel(ctx)
	defer cutOff()
	over, written := make(chan struct{}), make(chan struct{})
	wg.Go(func() { defer close(written); own.journal.run(writing, over) })
	result, err := own.run(ctx, &wg, registered)
	if err != nil {
		return err
	}
	end := own.page()
	m.ended, m.last = &end, own.document(end.Job)
	ended()
	server.Changed()
	// Once YARN knows the result it ends this process, and what is being written then leaves its
	// hidden file behind.
	close(over)
	defer time.AfterFunc(membership.JournalPatience, cutOff).Stop()
	<-written
	return m.finish(ctx, own, address, result)
}

// remaining is how much is left of the job's timeout, which began when it was submitted.
func (m *Master) remaining(limit time.Duration) time.Duration {
	if m.o.Submitted.IsZero() {
		return limit
	}
	return min(limit, limit-m.o.Wall().Sub(m.o.Submitted)) // clocks differ
}

func overdue(limit time.Duration) string {
	return fmt.Sprintf("the job took longer than %v and was stopped (timeout)", limit)
}

// decline tells YARN how the job ended, and starts nothing.
func (m *Master) decline(ctx context.Context, r membership.Result) error {
	m.log.Warn("the job has ended already, nothing is started", zap.Int("exit_code", r.ExitCode))
	address, err := m.address()
	if err != nil {
		return err
	}
	if _, err := m.register(ctx, address); err != nil {
		return err
	}
	return m.unregister(ctx, address, r)
}

// address is where agents and clients reach this master.
func (m *Master) address() (string, error) {
	address, err := listen.Address(m.o.Host, m.o.Listener.Addr())
	if err != nil {
		return "", fmt.Errorf("find the master's own address: %w", err)
	}
	return address, nil
}

// post hands the owner a letter that comes of no session.
func (m *Master) post(letter any) { m.mail.post(letter, nil) }

// finish stages how the job ended and tells YARN. What cannot be staged is logged: that the result
// is told counts more.
func (m *Master) finish(ctx context.Context, own *owner, address string, r membership.Result) error {
	if err := m.stage(ctx, launch.ResultFile, m.last); err != nil {
		m.log.Warn("result not staged", zap.Error(err))
	}
	m.tellEnd(m.ended.Job)
	events, err := own.events.bytes()
	if err == nil {
		err = m.stage(ctx, launch.EventsFile, events)
	}
	if err != nil {
		m.log.Warn("event log not staged", zap.Error(err))
	}
	saved, err := page.Saved(*m.ended)
	if err == nil {
		err = m.stage(ctx, launch.PageFile, saved)
	}
	if err != nil {
		m.log.Warn("page not staged", zap.Error(err))
	}
	if m.o.Container.Attempt.Attempt > 1 {
		m.sweep(ctx)
	}
	m.herald.Rest(tellBefore)
	if err := m.unregister(ctx, address, r); err != nil {
		return fmt.Errorf("tell the ResourceManager how the job ended: %w", err)
	}
	m.log.Info("finished", zap.Int("exit_code", r.ExitCode), zap.String("diagnostics", r.Diagnostics))
	m.herald.Rest(tellAfter)
	return nil
}

func finalStatus(r membership.Result) yarn.FinalStatus {
	switch r.ExitCode {
	case job.ExitSucceeded:
		return yarn.FinalSucceeded
	case job.ExitKilled:
		return yarn.FinalKilled
	}
	return yarn.FinalFailed
}
