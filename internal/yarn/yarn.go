// Package yarn names the things that YARN's protocols speak of, as plain values.
//
// It holds types and what can be said of a single value: text forms, parsing, comparison, the
// meaning of an exit status. It speaks no protocol (that is yarnrpc), keeps no state (that is
// ledger), and nothing of generated code enters it.
package yarn

import (
	"cmp"
	"strings"
	"time"

	"tfos/internal/hadoop/token"
)

// ApplicationID names one application of one ResourceManager: application_<cluster timestamp,
// ms>_<sequence>.
type ApplicationID struct {
	ClusterTimestamp int64 // when the ResourceManager first started, ms since the epoch
	Sequence         int32
}

// AttemptID names one run of an application's master: appattempt_…_<attempt>.
type AttemptID struct {
	Application ApplicationID
	Attempt     int32 // from 1
}

// ContainerID names one container: container_[e<epoch>_]<timestamp>_<app>_<attempt>_<sequence>. The
// ResourceManager's epoch stands in the bits from 40 up of ID.
type ContainerID struct {
	Attempt AttemptID
	ID      int64
}

// NodeID names a NodeManager by the address its container protocol listens on.
type NodeID struct {
	Host string
	Port int32
}

// Resource is an amount of what a node has.
type Resource struct {
	MemoryMiB int64
	VCores    int32
	// Custom counts further resources by name, "yarn.io/gpu" say. Nil and empty mean the same. Not
	// to be changed in place.
	Custom map[string]int64
}

// ResourceType is a kind of resource that the cluster counts.
type ResourceType struct {
	Name  string // "memory-mb", "vcores", "yarn.io/gpu"
	Units string // "Mi", ""
}

// Ask is how many containers of one shape the application still wants: an absolute number, not a
// delta. Each role has an ID and a priority of its own, because older schedulers mix up asks that
// share a priority.
type Ask struct {
	ID        int64 // allocation request id, echoed in the granted Container
	Priority  int32 // lower is sooner
	Resource  Resource
	Count     int
	NodeLabel string // label expression; empty: the queue's default
}

// Container is a grant: room on a node, and the token that lets it be used.
type Container struct {
	ID       ContainerID
	Node     NodeID
	NodeHTTP string // host:port of the NodeManager's web server
	Resource Resource
	Priority int32
	AskID    int64
	Token    token.Token // passed back to the NodeManager unopened
}

// ContainerState is where a container stands, as its NodeManager reports it.
type ContainerState int

// The states of a container.
const (
	ContainerNew ContainerState = iota + 1
	ContainerRunning
	ContainerComplete
)

// ContainerStatus is what a NodeManager or the ResourceManager says of a container.
type ContainerStatus struct {
	ID          ContainerID
	State       ContainerState
	ExitStatus  ExitStatus // meaningful once State is ContainerComplete
	Diagnostics string
}

// ExitStatus is a completed container's exit status: the process's own exit code (128+signal when a
// signal ended it), or one of the negative numbers below, which YARN made up.
type ExitStatus int32

// Exit statuses that are YARN's own (org.apache.hadoop.yarn.api.records.ContainerExitStatus).
const (
	ExitSuccess          ExitStatus = 0
	ExitInvalid          ExitStatus = -1000 // not known
	ExitAborted          ExitStatus = -100  // node lost, or released before it ran
	ExitDisksFailed      ExitStatus = -101
	ExitPreempted        ExitStatus = -102
	ExitVMemExceeded     ExitStatus = -103
	ExitPMemExceeded     ExitStatus = -104
	ExitKilledByAM       ExitStatus = -105
	ExitKilledByRM       ExitStatus = -106
	ExitKilledAfterApp   ExitStatus = -107
	ExitKilledByNM       ExitStatus = -108
	ExitKilledExcessLogs ExitStatus = -109
)

// NodeState is where a node stands in the ResourceManager's eyes.
type NodeState int

// The states of a node.
const (
	NodeNew NodeState = iota + 1
	NodeRunning
	NodeUnhealthy
	NodeDecommissioned
	NodeLost
	NodeRebooted
	NodeDecommissioning
	NodeShutdown
)

// NodeReport is what the ResourceManager says of a node.
type NodeReport struct {
	ID                NodeID
	HTTP              string
	Rack              string
	State             NodeState
	Used, Capability  Resource
	Containers        int
	Labels            []string
	HealthReport      string
	DecommissionAfter time.Duration // time left of a graceful decommission; 0: none said
}

// LocalResource is a file that a NodeManager brings into a container's directory before the command
// runs.
type LocalResource struct {
	URI        string    // hdfs://host:port/path, file:///path
	Size       int64     // bytes
	ModTime    time.Time // must equal the file's own to the millisecond, or the container fails
	Archive    bool      // unpacked into a directory (.zip, .tar, .tar.gz, .tgz, .jar by the URI's name)
	Visibility Visibility
}

// Visibility says who shares a localized file.
type Visibility int

// The visibilities.
const (
	Public      Visibility = iota + 1 // everyone; the file must be world readable
	Private                           // all applications of one user
	Application                       // this application alone
)

// LaunchContext is what runs in a container, and with what.
type LaunchContext struct {
	Files   map[string]LocalResource // by the name of the symlink in the container's directory
	Env     map[string]string        // exported in double quotes by a shell: "$", "`", `"` and `\` are live
	Command []string                 // joined by spaces and given to bash -c; <LOG_DIR> is expanded
	Tokens  []byte                   // credentials, as token.Credentials encodes them; nil: none
}

// Submission is an application to be.
type Submission struct {
	ID             ApplicationID
	Name           string
	Queue          string
	Type           string // shown in lists: "TFOS"
	Priority       int32
	Tags           []string      // at most 10 of 100 ASCII characters
	MaxAttempts    int32         // 0: the cluster's default
	AttemptWindow  time.Duration // attempts that failed longer ago are forgotten; 0: never
	KeepContainers bool          // over a restart of the master
	Resource       Resource      // the master's own
	NodeLabel      string        // of the master's container
	Lifetime       time.Duration // the ResourceManager kills the application after it; 0: never
	Launch         LaunchContext
	KeepTokens     bool   // do not cancel the tokens when the application ends
	LogInclude     string // pattern of files to aggregate; empty: all
}

// ApplicationState is where an application stands.
type ApplicationState int

// The states of an application.
const (
	StateNew ApplicationState = iota + 1
	StateNewSaving
	StateSubmitted
	StateAccepted
	StateRunning
	StateFinished
	StateFailed
	StateKilled
)

// Terminal reports whether an application in this state will never leave it.
func (s ApplicationState) Terminal() bool { return s >= StateFinished }

// FinalStatus is what an application said of itself when it unregistered.
type FinalStatus int

// The final statuses.
const (
	FinalUndefined FinalStatus = iota
	FinalSucceeded
	FinalFailed
	FinalKilled
	FinalEnded
)

// Report is what the ResourceManager says of an application.
type Report struct {
	ID          ApplicationID
	Attempt     AttemptID // the current one
	Name        string
	Type        string
	User        string
	Queue       string
	Tags        []string
	State       ApplicationState
	Final       FinalStatus
	Host        string // the master's, as it registered
	Port        int32
	TrackingURL string // through the proxy
	OriginalURL string // the master's own
	Diagnostics string
	Progress    float32 // 0 to 1
	Started     time.Time
	Launched    time.Time
	Finished    time.Time // zero while it runs
	Containers  int
	Used        Resource
}

// NewApplication is the ResourceManager's answer to the wish for an application.
type NewApplication struct {
	ID  ApplicationID
	Max Resource // the largest container it would grant
}

// ApplicationsQuery selects applications; empty fields select all.
type ApplicationsQuery struct {
	Types  []string
	States []ApplicationState
	Users  []string
	Queues []string
	Tags   []string
}

// Queue is a scheduler's queue.
type Queue struct {
	Name                        string
	Path                        string
	Running                     bool     // accepts applications
	Capacity, MaxCapacity, Used float32  // fractions of the parent, 0 to 1
	Labels                      []string // accessible; "*" means all
	DefaultLabel                string   // of containers that ask for none
	Scheduler                   string   // CapacityScheduler, FairScheduler; empty: it does not say
	// Most is what the queue may ever have of the nodes with a label, "" for those without one.
	// Empty: the scheduler does not say.
	Most     map[string]Resource
	Children []Queue
}

// FullName is the queue's path where it is known, else its name.
func (q Queue) FullName() string { return cmp.Or(q.Path, q.Name) }

// Find returns the queue of a name among q and those below it, by its path, with or without the
// root, or its last part.
func (q Queue) Find(name string) (Queue, bool) {
	full := q.FullName()
	if name == full || name == q.Name || "root."+name == full || strings.HasSuffix(full, "."+name) && !strings.Contains(name, ".") {
		return q, true
	}
	for _, c := range q.Children {
		if found, ok := c.Find(name); ok {
			return found, true
		}
	}
	return Queue{}, false
}

// Leaves are the queues at and below q that others are not below, by their paths.
func (q Queue) Leaves() []string {
	if len(q.Children) == 0 {
		return []string{q.FullName()}
	}
	var names []string
	for _, c := range q.Children {
		names = append(names, c.Leaves()...)
	}
	return names
}

// Schedulers by the names that they call themselves.
const (
	CapacityScheduler = "CapacityScheduler"
	FairScheduler     = "FairScheduler"
)

// NodeLabel is a label that nodes can have.
type NodeLabel struct {
	Name string
	// Exclusive keeps the nodes for containers that ask for the label. Others share them with
	// containers that ask for none.
	Exclusive bool
}

// Registration is what a master tells the ResourceManager at its start.
type Registration struct {
	Host        string
	Port        int32
	TrackingURL string
}

// Registered is the answer to a Registration.
type Registered struct {
	Max           Resource
	Queue         string
	ResourceTypes []ResourceType
	CountsVCores  bool        // the scheduler grants no more vcores than nodes have; else it counts memory alone
	Kept          []Container // alive from the attempt before
	NMTokens      []NMToken   // for their nodes
}

// NMToken opens the NodeManager of one node.
type NMToken struct {
	Node  NodeID
	Token token.Token
}

// AllocateRequest is one heartbeat of a master. ledger makes it, and makes the same one again until
// it is answered.
type AllocateRequest struct {
	ResponseID      int32
	Progress        float32
	Asks            []Ask
	Releases        []ContainerID
	BlacklistAdd    []string // host names
	BlacklistRemove []string
	TrackingURL     string
}

// AllocateResponse is the answer to a heartbeat.
type AllocateResponse struct {
	ResponseID   int32
	Granted      []Container
	Completed    []ContainerStatus
	Kept         []Container  // alive from the attempt before, found late
	Nodes        []NodeReport // whose state changed
	NMTokens     []NMToken
	AMRMToken    token.Token // rolled over; zero: keep the old one
	Limit        Resource    // headroom
	ClusterNodes int
	Preempt      Preemption
}

// Preemption is the ResourceManager's notice that it will take containers back.
type Preemption struct {
	Strict []ContainerID // will be killed
	Wish   []ContainerID // would be enough instead
}

// StartResult says what a NodeManager made of one container that it was asked to start.
type StartResult struct {
	ID  ContainerID
	Err error // nil: accepted
}

// Signal is what a NodeManager can send to a container's processes.
type Signal int

// The signals.
const (
	SignalThreadDump Signal = iota + 1 // SIGQUIT
	SignalGraceful                     // SIGTERM
	SignalForceful                     // SIGKILL
)
