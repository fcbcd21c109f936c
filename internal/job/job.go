// Package job is what a user asks tfos to run: the job file, its defaults, and everything that can be said to be wrong with
// it before anything is started.
//
// It reads text and returns values. Whether files exist and a cluster can hold the job is the client's to find out.
package job

import "time"

// Job is a validated job file, defaults filled in.
type Job struct {
	Name        string
	Command     string // a shell command line, run by every role that has none of its own
	Queue       string
	Files       []File
	Archives    []File
	Env         map[string]string
	Roles       []Role // in the order of the file; never empty
	Checkpoint  Checkpoint
	Success     Success
	Strategy    Strategy
	Recovery    Recovery
	Gang        Gang
	Stop        Stop
	TensorBoard bool
	Priority    int32
	Tags        []string
	Lifetime    time.Duration // 0: none
	Master      Resources     // of the application master's container
	NodeLabel   string        // for roles that name none, and the master
}

// File is something to be had in every container's directory.
type File struct {
	Source string // path as the user wrote it, resolved against the job file's directory; or hdfs://…, file://…
	Name   string // in the container; from "#name", else the last element of Source
}

// Resources of one container.
type Resources struct {
	MemoryMiB int64
	VCores    int32
	GPUs      int64
	Custom    map[string]int64 // further resource types by name
}

// Role is a set of tasks that run the same command in containers of the same shape.
type Role struct {
	Name      string
	Instances int // at least 1
	Resources
	Command   string            // never empty: the job's, if the role has none
	Env       map[string]string // over the job's
	Service   bool              // runs until it is stopped (a parameter server); its exit never makes the job succeed
	NodeLabel string
}

// Checkpoint says where checkpoints live.
type Checkpoint struct {
	Dir  string // empty: the job has none
	Keep int    // how many; 0: all
}

// Success says whose clean exit ends the job well.
type Success string

// The ways a job succeeds.
const (
	SuccessChief Success = "chief" // the chief's: the default where there is one
	SuccessAll   Success = "all"   // that of every task that is no service
)

// Strategy is how the program distributes its work; it decides who restarts when a task is lost.
type Strategy string

// The strategies.
const (
	StrategyAuto            Strategy = "" // derived from the roles
	StrategyParameterServer Strategy = "parameter-server"
	StrategyMirrored        Strategy = "mirrored"
	StrategyV1              Strategy = "v1"
	StrategyNone            Strategy = "none"
)

// Recovery is the budget for the program's own failures, counted over a sliding window. Infrastructure's are counted apart.
type Recovery struct {
	UserFailures int
	Window       time.Duration
}

// Gang says how long an incomplete set of containers is held.
type Gang struct {
	Timeout time.Duration // then everything is released, and asked for again after a pause
}

// Stop says how a process is asked to end: SIGTERM, then SIGKILL after Grace.
type Stop struct {
	Grace time.Duration
}
