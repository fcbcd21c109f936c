package membership

import (
	"time"

	"tfos/internal/clusterspec"
	"tfos/internal/job"
	"tfos/internal/yarn"
)

// Event is something that happened. Every event that concerns a task names its incarnation, so that
// a late one can be told.
type Event interface{ event() }

// Began starts the machine: it asks for the gang.
type Began struct {
	// Attempt is the application master's, from 1. A later one that begins knows nothing of what
	// was before it; its numbers start beyond those that may have been in use. Zero is 1.
	Attempt int32 `json:"attempt,omitempty"`
}

// TakeoverBegan says that another attempt of the application master goes on with this machine, as
// the journal of the attempt before remembers it. The containers that YARN keeps follow, as Kept,
// and their agents, as Joined.
type TakeoverBegan struct {
	Attempt int32 `json:"attempt"`
	Ended   bool  `json:"ended,omitempty"` // the cluster keeps no containers: YARN ended them all
}

// Kept is a container that lives, and that an attempt before started.
type Kept struct {
	Container yarn.ContainerID `json:"container,omitzero"`
	Node      yarn.NodeID      `json:"node,omitzero"`
}

// Unfit says that the cluster can never hold the gang, so that waiting for it is useless.
type Unfit struct {
	Reason string `json:"reason"` // with the numbers
}

// Granted is a container that YARN gave for a role.
type Granted struct {
	Role      string           `json:"role"`
	Container yarn.ContainerID `json:"container,omitzero"`
	Node      yarn.NodeID      `json:"node,omitzero"`
}

// Completed is a container's end, as YARN tells it.
type Completed struct {
	Container   yarn.ContainerID `json:"container,omitzero"`
	Exit        yarn.ExitStatus  `json:"exit"`
	Diagnostics string           `json:"diagnostics,omitempty"`
}

// LaunchFailed says that the NodeManager did not start a container's agent.
type LaunchFailed struct {
	Task        job.Task         `json:"task"`
	Incarnation job.Incarnation  `json:"incarnation"`
	Container   yarn.ContainerID `json:"container,omitzero"`
	Reason      string           `json:"reason"`
}

// Joined is an agent that registered: it holds a port for its task and waits for a cluster_spec.
// One whose connection had ended joins again, and tells what its process did meanwhile. The
// incarnation is the newest that it was told to start, or its container's first.
type Joined struct {
	Task        job.Task         `json:"task"`
	Incarnation job.Incarnation  `json:"incarnation"`
	Container   yarn.ContainerID `json:"container,omitzero"`
	Agent       string           `json:"agent"`                // host:port of the agent's own server
	Address     string           `json:"address"`              // host:port for the cluster_spec
	Witness     int              `json:"witness,omitempty"`    // port of that host where the agent proves that it keeps Address
	Running     *Started         `json:"running,omitempty"`    // its process, if one runs
	Exited      *Exited          `json:"exited,omitempty"`     // the end of its newest process, if that ended
	Generation  job.Generation   `json:"generation,omitempty"` // of the newest cluster_spec that it has; 0: none
	Digest      uint64           `json:"digest,omitempty"`     // of that cluster_spec
	Since       job.Generation   `json:"since,omitempty"`      // of the cluster_spec that its newest process was started with
}

// Left is an agent whose connection ended, or that said no heartbeat for too long.
type Left struct {
	Task        job.Task         `json:"task"`
	Incarnation job.Incarnation  `json:"incarnation"`
	Container   yarn.ContainerID `json:"container,omitzero"`
	Silent      bool             `json:"silent,omitempty"` // no heartbeat, rather than a closed connection
}

// Started is a process that runs.
type Started struct {
	Task        job.Task         `json:"task"`
	Incarnation job.Incarnation  `json:"incarnation"`
	Container   yarn.ContainerID `json:"container,omitzero"` // whose agent says so
	PID         int              `json:"pid"`
}

// Exited is a process that ended, or could not be started.
type Exited struct {
	Task        job.Task         `json:"task"`
	Incarnation job.Incarnation  `json:"incarnation"`
	Container   yarn.ContainerID `json:"container,omitzero"` // whose agent says so
	job.Ended
}

// StopRequested ends the job from outside.
type StopRequested struct {
	Reason  string `json:"reason,omitempty"`  // "by ann, with tfos kill"
	Overdue bool   `json:"overdue,omitempty"` // the job's timeout has passed
}

// MasterFailed ends the job because the application master cannot do its work any more.
type MasterFailed struct {
	Reason string `json:"reason"`
}

// ClusterSized says how many nodes the cluster has now.
type ClusterSized struct {
	Nodes int `json:"nodes"`
}

// Tick lets time pass.
type Tick struct{}

func (Began) event()         {}
func (TakeoverBegan) event() {}
func (Kept) event()          {}
func (Unfit) event()         {}
func (Granted) event()       {}
func (Completed) event()     {}
func (LaunchFailed) event()  {}
func (Joined) event()        {}
func (Left) event()          {}
func (Started) event()       {}
func (Exited) event()        {}
func (StopRequested) event() {}
func (MasterFailed) event()  {}
func (ClusterSized) event()  {}
func (Tick) event()          {}

// Action is something to be done. Actions are repeatable: doing one twice is doing it once.
type Action interface{ action() }

// Ask sets how many containers a role still wants: absolute, not a delta. Each container granted
// after it counts it down by one, without another Ask.
type Ask struct {
	Role  string `json:"role"`
	Count int    `json:"count"`
}

// Release gives a container back, started or not. Nothing more is expected of it.
type Release struct {
	Container yarn.ContainerID `json:"container,omitzero"`
}

// Adopt takes a container over from the attempt before: it is where the task lives. It gives
// nothing to do but to remember.
type Adopt struct {
	Task        job.Task         `json:"task"`
	Incarnation job.Incarnation  `json:"incarnation"`
	Container   yarn.ContainerID `json:"container,omitzero"`
	Node        yarn.NodeID      `json:"node,omitzero"`
}

// TakeoverEnded says that the wait for agents after a TakeoverBegan is over. It gives nothing to do
// but to say so.
type TakeoverEnded struct {
	Reported int `json:"reported"` // agents
	Missing  int `json:"missing"`  // agents: their tasks are lost, unless they were about to start
}

// Launch starts a task's agent in its container.
type Launch struct {
	Task        job.Task         `json:"task"`
	Incarnation job.Incarnation  `json:"incarnation"`
	Container   yarn.ContainerID `json:"container,omitzero"`
	Node        yarn.NodeID      `json:"node,omitzero"`
	Spare       bool             `json:"spare,omitempty"` // the task lives elsewhere, until Move says that it lives there
}

// Publish makes a cluster_spec the current one and hands it to every agent that joined. One that
// joins again is handed the current one by the doer, without another Publish.
type Publish struct {
	Spec clusterspec.Spec `json:"spec"`
}

// StartProcess has a task's agent start its process, with the published cluster_spec. If the
// process of an earlier incarnation still runs there, the agent stops it first.
type StartProcess struct {
	Task        job.Task         `json:"task"`
	Incarnation job.Incarnation  `json:"incarnation"`
	Container   yarn.ContainerID `json:"container,omitzero"` // whose agent starts it
	Generation  job.Generation   `json:"generation"`
}

// StopProcess has a task's agent stop its process: SIGTERM, then SIGKILL after the grace period.
type StopProcess struct {
	Task        job.Task         `json:"task"`
	Incarnation job.Incarnation  `json:"incarnation"`
	Container   yarn.ContainerID `json:"container,omitzero"` // whose agent stops it
	Grace       time.Duration    `json:"grace"`              // ns
}

// Retire tells the agent in a container to end, with its process if one is left; its container ends
// with it. An agent that registers late is told so as well: then the incarnation is the one it
// claims, not the task's current one.
type Retire struct {
	Task        job.Task         `json:"task"`
	Incarnation job.Incarnation  `json:"incarnation"`
	Container   yarn.ContainerID `json:"container,omitzero"`
}

// Exclude keeps new containers off a node for a while.
type Exclude struct {
	Host string `json:"host"`
}

// Readmit ends an exclusion.
type Readmit struct {
	Host string `json:"host"`
}

// Finish ends the application. It is the last action.
type Finish struct {
	Result Result `json:"result"`
}

func (Ask) action()           {}
func (Release) action()       {}
func (Adopt) action()         {}
func (TakeoverEnded) action() {}
func (Launch) action()        {}
func (Publish) action()       {}
func (StartProcess) action()  {}
func (StopProcess) action()   {}
func (Retire) action()        {}
func (Exclude) action()       {}
func (Readmit) action()       {}
func (Finish) action()        {}

// Result is how a job ended.
type Result struct {
	ExitCode    int    `json:"exit_code"` // the client's: one of package job's
	Diagnostics string `json:"diagnostics,omitempty"`
}
