package membership

import (
	"time"

	"tfos/internal/job"
	"tfos/internal/yarn"
)

// Event is something that happened. Every event that concerns a task names its incarnation, so that a late one can be told.
type Event interface{ event() }

// Began starts the machine: it asks for the gang.
type Began struct{}

// Granted is a container that YARN gave for a role.
type Granted struct {
	Role      string
	Container yarn.ContainerID
	Node      yarn.NodeID
}

// Completed is a container's end, as YARN tells it.
type Completed struct {
	Container   yarn.ContainerID
	Exit        yarn.ExitStatus
	Diagnostics string
}

// LaunchFailed says that the NodeManager did not start a container's agent.
type LaunchFailed struct {
	Task        job.Task
	Incarnation job.Incarnation
	Container   yarn.ContainerID
	Reason      string
}

// Joined is an agent that registered: it holds a port for its task and waits for a cluster_spec.
type Joined struct {
	Task        job.Task
	Incarnation job.Incarnation
	Container   yarn.ContainerID
	Agent       string // host:port of the agent's own server
	Address     string // host:port for the cluster_spec
}

// Left is an agent whose connection ended, or that said no heartbeat for too long.
type Left struct {
	Task        job.Task
	Incarnation job.Incarnation
	Container   yarn.ContainerID
	Silent      bool // no heartbeat, rather than a closed connection
}

// Started is a process that runs.
type Started struct {
	Task        job.Task
	Incarnation job.Incarnation
	PID         int
}

// Exited is a process that ended, or could not be started.
type Exited struct {
	Task        job.Task
	Incarnation job.Incarnation
	Code        int      // exit code; 128+signal when a signal ended it
	Signal      string   // "SIGKILL"; empty: it exited by itself
	OOM         bool     // the kernel killed it for want of memory
	Reason      string   // why it could not be started; empty: it ran
	Stderr      []string // its last lines
}

// StopRequested ends the job from outside.
type StopRequested struct{ Reason string }

// Tick lets time pass.
type Tick struct{}

func (Began) event()         {}
func (Granted) event()       {}
func (Completed) event()     {}
func (LaunchFailed) event()  {}
func (Joined) event()        {}
func (Left) event()          {}
func (Started) event()       {}
func (Exited) event()        {}
func (StopRequested) event() {}
func (Tick) event()          {}

// Action is something to be done. Actions are repeatable: doing one twice is doing it once.
type Action interface{ action() }

// Ask sets how many containers a role still wants: absolute, not a delta.
type Ask struct {
	Role  string
	Count int
}

// Release gives a container back, started or not.
type Release struct{ Container yarn.ContainerID }

// Launch starts a task's agent in its container.
type Launch struct {
	Task        job.Task
	Incarnation job.Incarnation
	Container   yarn.ContainerID
	Node        yarn.NodeID
}

// Publish makes a cluster_spec the current one and hands it to every agent that joined.
type Publish struct{ Spec Spec }

// StartProcess has a task's agent start its process, with the published cluster_spec.
type StartProcess struct {
	Task        job.Task
	Incarnation job.Incarnation
	Generation  job.Generation
}

// StopProcess has a task's agent stop its process: SIGTERM, then SIGKILL after the grace period.
type StopProcess struct {
	Task        job.Task
	Incarnation job.Incarnation
	Grace       time.Duration
}

// Retire tells a task's agent to end; its container ends with it.
type Retire struct {
	Task        job.Task
	Incarnation job.Incarnation
	Container   yarn.ContainerID
}

// Finish ends the application. It is the last action.
type Finish struct{ Result Result }

func (Ask) action()          {}
func (Release) action()      {}
func (Launch) action()       {}
func (Publish) action()      {}
func (StartProcess) action() {}
func (StopProcess) action()  {}
func (Retire) action()       {}
func (Finish) action()       {}

// Spec is a cluster_spec: where each task listens, in one generation.
type Spec struct {
	Generation job.Generation
	Members    []Member // ordered by the job's roles, then index
}

// Member is one task of a Spec.
type Member struct {
	Task        job.Task
	Incarnation job.Incarnation
	Address     string // host:port
}

// Result is how a job ended.
type Result struct {
	ExitCode    int // the client's: 0 succeeded, 1 the program failed, 3 cannot fit, 4 infrastructure, 5 killed
	Diagnostics string
}
