package agent

import (
	"context"
	"net"
	"syscall"
	"time"

	"go.uber.org/zap"

	"tfos/internal/agent/logfile"
	"tfos/internal/clusterspec"
	"tfos/internal/control"
	"tfos/internal/endpoint"
	"tfos/internal/job"
	"tfos/internal/storage"
	"tfos/internal/supervise"
)

// Options are what an Agent needs. FromEnvironment makes those of an agent in a container.
type Options struct {
	Identity    control.Identity // its certificate names the container and the task
	Incarnation job.Incarnation  // the task's first in this container
	Host        string           // name by which others reach this node
	Dir         string           // the container's directory, where the program runs
	LogDir      string           // where stdout, stderr and agent.log are
	Logs        logfile.Limits   // of stdout, and of stderr
	AgentLog    *logfile.File    // the agent's own log, if its Logger writes there
	Env         []string         // what the program gets besides the master's
	Runner      Runner           // runs the program; nil: a process
	Endpoints   job.Endpoints    // how the job's tasks reach each other; empty: direct
	Roles       []string         // the job's, in the order of its file
	// NewEndpoints makes them; nil: package endpoint does.
	NewEndpoints func(ctx context.Context, k job.Endpoints, o endpoint.Options) (Endpoints, error)
	Logger       *zap.Logger

	// MasterAddress is where the master listens that started the agent, host:port. Staging is the
	// URI of the directory that later ones are named in; empty: there are none.
	MasterAddress, Staging string
	// Master tells where the current master listens; nil: MasterAddress and Staging do.
	Master func(ctx context.Context) (string, error)
	// Over says, where no master answers, why the application is over; empty: it is not. Nil:
	// nobody can say.
	Over   func(ctx context.Context) (string, error)
	Dialer control.Dialer // nil: TCP
	// Listener is where the agent serves; nil: any port of this node. The Agent closes it.
	Listener net.Listener
	// Witness is where the agent proves to peers that it holds the task's port; nil: any port of
	// this node. The Agent closes it.
	Witness net.Listener
	// Socket is where the agent serves its program; nil: a Unix socket. The Agent closes it.
	Socket net.Listener
	// FilesSocket is where the agent serves filesystems to its program; nil: another Unix socket.
	// The Agent closes it.
	FilesSocket net.Listener
	// Fed says that Spark's tasks may bring rows for the program. Feeders is where they do; nil:
	// any port of this node. FeedSocket is where the program takes them; nil: another Unix socket.
	// The Agent closes both.
	Fed                 bool
	Feeders, FeedSocket net.Listener
	// Storage says where the filesystems are that the agent and its program use. Its Logger is the
	// Agent's.
	Storage  storage.Options
	Patience time.Duration // how long to be without a master before ending; 0: control's default
}

// Runner starts programs. A command that cannot be found may be an error or an Exit with a Reason.
type Runner interface {
	Start(s supervise.Spec) (Program, error)
}

// Endpoints are the addresses by which the program knows its peers: what an Agent needs of package
// endpoint.
type Endpoints interface {
	Kind() job.Endpoints
	Update(ctx context.Context, spec clusterspec.Spec) error
	View() clusterspec.Spec
	Env(environ []string) []string
	Look(pid int) endpoint.Bare
	Counters() []clusterspec.Counters
	Close() error
}

func newEndpoints(ctx context.Context, k job.Endpoints, o endpoint.Options) (Endpoints, error) {
	e, err := endpoint.New(ctx, k, o)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Program is one that was started.
type Program interface {
	PID() int
	// Stop asks it to end: SIGTERM, and SIGKILL after grace. A further Stop can bring that forward.
	Stop(grace time.Duration)
	// Signal sends a signal to those of its processes that expect it, and reports how many there
	// are.
	Signal(signal syscall.Signal) (int, error)
	// Group are the numbers of its processes.
	Group() ([]int, error)
	// Usage is what its processes use now.
	Usage() supervise.Usage
	// Done is closed when it has ended, with everything that it started.
	Done() <-chan struct{}
	// Exit is how it ended, once Done is closed.
	Exit() supervise.Exit
}

// processes runs programs as processes. An agent has no other children, so it inherits what a lost
// guard leaves.
type processes struct{}

func (processes) Start(s supervise.Spec) (Program, error) {
	s.Adopt = true
	p, err := supervise.Start(s)
	if err != nil {
		return nil, err
	}
	return p, nil
}
