package yarn

import "time"

// AttemptState is where an attempt stands.
type AttemptState int

// The states of an attempt.
const (
	AttemptNew AttemptState = iota + 1
	AttemptSubmitted
	AttemptScheduled
	AttemptAllocatedSaving
	AttemptAllocated
	AttemptLaunched
	AttemptFailed
	AttemptRunning
	AttemptFinishing
	AttemptFinished
	AttemptKilled
)

// AttemptReport is what the ResourceManager says of one attempt.
type AttemptReport struct {
	ID          AttemptID
	State       AttemptState
	Host        string // the master's, as it registered
	Port        int32
	TrackingURL string // through the proxy
	OriginalURL string
	Diagnostics string
	Container   ContainerID // the master's own
	Started     time.Time
	Finished    time.Time // zero while it runs
}

// ContainerReport is what the ResourceManager remembers of one container. It forgets those that
// completed, save for the master's own; an application history server would keep them.
type ContainerReport struct {
	ID          ContainerID
	Node        NodeID
	NodeHTTP    string // the NodeManager's web server, with or without a scheme
	Resource    Resource
	Priority    int32
	State       ContainerState
	ExitStatus  ExitStatus // meaningful once State is ContainerComplete
	Diagnostics string
	LogURL      string // where its logs are shown to a browser
	Created     time.Time
	Finished    time.Time // zero while it runs
}

// ClusterMetrics counts the cluster's NodeManagers.
type ClusterMetrics struct {
	Nodes           int // those known, lost and decommissioned ones aside
	Active          int
	Lost            int
	Unhealthy       int
	Rebooted        int
	Shutdown        int
	Decommissioned  int
	Decommissioning int
}
