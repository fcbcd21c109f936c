// Package status is a job as people and scripts see it: the document behind `tfos status --json`.
//
// Its keys are stable: they are added to, never renamed or removed. A View is immutable once
// published; the application master makes a new one after each change.
package status

import (
	"encoding/json"
	"slices"
	"time"

	"tfos/internal/job"
)

// State is where a task stands.
type State string

// The states of a task, and of a job.
const (
	Pending   State = "pending"   // waits for a container
	Starting  State = "starting"  // has a container; its process does not run yet
	Running   State = "running"   // its process runs
	Succeeded State = "succeeded" // its process exited with code 0
	Failed    State = "failed"
	Stopped   State = "stopped" // by tfos, because the job ended
)

// View is one job at one moment.
type View struct {
	ID          string         `json:"id"` // application_…
	Name        string         `json:"name"`
	State       State          `json:"state"`
	Queue       string         `json:"queue"`
	User        string         `json:"user"`
	Generation  job.Generation `json:"generation"` // of the published cluster_spec; 0: none yet
	Started     time.Time      `json:"started"`
	Finished    *time.Time     `json:"finished"`
	ExitCode    *int           `json:"exit_code"` // what tfos run ends with; null while it runs
	Diagnostics string         `json:"diagnostics"`
	TrackingURL string         `json:"tracking_url"`
	TensorBoard string         `json:"tensorboard_url"` // of the job's; empty: it has none, or none yet
	Progress    float64        `json:"progress"`        // 0 to 1
	Roles       []Role         `json:"roles"`           // as the job is to be: its size may change while it runs
	Tasks       []Task         `json:"tasks"`
	ResumedFrom string         `json:"resumed_from"` // application_…; empty: none
	Recovery    Recovery       `json:"recovery"`
	Restarts    []Restart      `json:"restarts"`
	Counts      []RestartCount `json:"restart_counts"`
	Attempt     int32          `json:"attempt"`         // of the application master; 0: none yet
	Takeovers   []time.Time    `json:"master_restarts"` // when a later attempt of the application master took over
	Checkpoints []Checkpoint   `json:"checkpoints"`
	Inputs      []Input        `json:"inputs"`
	// Failure is the newest that no other was the cause of; null: there was none.
	Failure  *Failure `json:"last_failure"`
	Problems []string `json:"problems"` // what is in the job's way now, and did not end it: a sentence each
}

// MarshalJSON writes lists that are empty as such, never as null: a script iterates over them
// before the job has a master, too.
func (v View) MarshalJSON() ([]byte, error) {
	type document View
	d := document(v)
	empty(&d.Roles)
	empty(&d.Tasks)
	empty(&d.Restarts)
	empty(&d.Counts)
	empty(&d.Takeovers)
	empty(&d.Checkpoints)
	empty(&d.Inputs)
	empty(&d.Problems)
	empty(&d.Recovery.Losses)
	return json.Marshal(d)
}

func empty[T any](list *[]T) {
	if *list == nil {
		*list = []T{}
	}
}

// Role is the size of one role.
type Role struct {
	Name      string `json:"role"`
	Instances int    `json:"instances"`
	GPUs      int64  `json:"gpus"` // of each task
}

// Recovery is what the job does when something is lost: its strategy, spelled out.
type Recovery struct {
	Strategy     string  `json:"strategy"`      // of the job file, or derived; empty: not known yet
	Endpoints    string  `json:"endpoints"`     // as the job wants them: redirect, forward or direct
	Losses       []Loss  `json:"losses"`        // by role
	Failures     int     `json:"failures"`      // of the program within the window
	UserFailures int     `json:"user_failures"` // how many are forgiven
	Window       float64 `json:"window_seconds"`
	Masters      int     `json:"masters"`               // how many the cluster grants whose deaths lie within the window: the last one's ends the job; 0: not known
	MasterWindow float64 `json:"master_window_seconds"` // then older deaths of masters are forgotten
	Resubmit     int     `json:"resubmit"`              // how often tfos run submits the job again when the cluster ended it
}

// Loss is what it means that a task of a role is lost.
type Loss struct {
	Role string `json:"role"`
	// Also are those whose processes start again with it: "chief/0", or a role, "worker", for all
	// its other tasks.
	Also []string `json:"also"`
}

// Find looks for a task.
func (v View) Find(task job.Task) (Task, bool) {
	i := slices.IndexFunc(v.Tasks, func(t Task) bool { return t.ID() == task })
	if i < 0 {
		return Task{}, false
	}
	return v.Tasks[i], true
}

// ID is how the job calls the task.
func (t Task) ID() job.Task { return job.Task{Role: t.Role, Index: t.Index} }

// Task is one task of a View.
type Task struct {
	Role        string          `json:"role"`
	Index       int             `json:"index"`
	Incarnation job.Incarnation `json:"incarnation"`
	State       State           `json:"state"`
	Node        string          `json:"node"`
	Container   string          `json:"container"`
	PID         int             `json:"pid"`
	Address     string          `json:"address"`          // host:port in the cluster_spec
	Agent       string          `json:"agent"`            // host:port where its agent serves logs
	Step        int64           `json:"step"`             // the newest that the program reported or printed; 0: none known
	Steps       int64           `json:"steps"`            // out of how many; 0: not known
	StepRate    float64         `json:"steps_per_second"` // lately; 0: not known
	Loss        *float64        `json:"loss"`             // the newest that the program reported or printed; null: none
	MemoryBytes int64           `json:"memory_bytes"`     // that its processes use; 0: not known
	CPU         float64         `json:"cpu"`              // processors that they keep busy
	LogURL      string          `json:"log_url"`          // of the container's logs, at its node; empty: it has none
	Started     *time.Time      `json:"started"`
	Finished    *time.Time      `json:"finished"`
	ExitCode    *int            `json:"exit_code"`
	Cause       string          `json:"cause"`
	Why         string          `json:"why"` // the cause in words: what happened, and the program's last line; empty: there is no more to say
	// Endpoints is how its program reaches the others: redirect, forward or direct; empty: not
	// known yet.
	Endpoints       string `json:"endpoints"`
	EndpointsReason string `json:"endpoints_reason"` // why not as the job wants; empty: it is
	Peers           []Peer `json:"peers"`            // those that it has connected to; never null
	// Mirror is what became of its local checkpoints, with checkpoint.local; null: it has none, or
	// nothing did.
	Mirror *Mirror `json:"mirror"`
}

// Mirror is what was copied between a task's local directory of checkpoints and the one that this
// is kept in, by the agent that it has now.
type Mirror struct {
	Fetched  *Copied `json:"fetched"`  // the last; null: none was
	Uploaded *Copied `json:"uploaded"` // the last; null: none was
	Uploads  int     `json:"uploads"`  // how many
	Problem  string  `json:"problem"`  // what is in the way now, or what was lost; empty: nothing
}

// Copied is one checkpoint that was copied.
type Copied struct {
	Checkpoint string    `json:"checkpoint"` // relative to the directory
	Step       int64     `json:"step"`       // -1: not known
	Bytes      int64     `json:"bytes"`
	Seconds    float64   `json:"seconds"` // that it took
	At         time.Time `json:"at"`
}

// Peer is what happened to the connections that a task made to another, or to all others of a large
// job together.
type Peer struct {
	Task        string `json:"task"` // empty: all others
	Connections uint64 `json:"connections"`
	Refused     uint64 `json:"refused"`
	Resets      uint64 `json:"resets"`
	Sent        int64  `json:"sent"`     // bytes; -1: not known, since they do not pass through the agent
	Received    int64  `json:"received"` // bytes; -1: not known
}

// Plus is what happened to the connections to two peers together. It names neither.
func (p Peer) Plus(q Peer) Peer {
	bytes := func(a, b int64) int64 {
		if a < 0 || b < 0 {
			return -1
		}
		return a + b
	}
	return Peer{Connections: p.Connections + q.Connections, Refused: p.Refused + q.Refused, Resets: p.Resets + q.Resets,
		Sent: bytes(p.Sent, q.Sent), Received: bytes(p.Received, q.Received)}
}

// Restart is one replacement of a task's process or container.
type Restart struct {
	Task         string    `json:"task"`
	Cause        string    `json:"cause"`
	Why          string    `json:"why"` // the cause in words; empty: there is no more to say
	At           time.Time `json:"at"`
	Step         int64     `json:"step"`         // that the job was at; 0: not known
	ResumedStep  *int64    `json:"resumed_step"` // that it went on from, 0 from the beginning; null: it went on where it was, or that is not known
	LostSteps    int64     `json:"lost_steps"`   // that were taken again
	Seconds      float64   `json:"seconds"`      // from the loss to the new process
	NewContainer bool      `json:"new_container"`
}

// Failure is one failure in words.
type Failure struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"` // a sentence, and the last lines that the program printed
}

// RestartCount is how often tasks of a role were replaced for a cause, since the job began.
type RestartCount struct {
	Role  string `json:"role"`
	Cause string `json:"cause"`
	Count int    `json:"count"`
}

// Checkpoint is one checkpoint that the master knows of.
type Checkpoint struct {
	Path    string    `json:"path"`
	Format  string    `json:"format"` // bundle, legacy, saved-model, keras or hdf5; empty: not known
	Step    int64     `json:"step"`   // -1: not known
	Bytes   int64     `json:"bytes"`
	Time    time.Time `json:"time"`
	Verdict string    `json:"verdict"` // "whole", "cannot be judged: …", or what is wrong with it
	By      string    `json:"by"`      // the task that wrote it, "chief/0"; empty: it was there before the job, or that is not known
}

// Input is one dataset that tasks share by leases.
type Input struct {
	Name   string `json:"name"`
	Role   string `json:"role"`   // "evaluator" for one that the evaluator reads by itself; else empty
	Epoch  int    `json:"epoch"`  // from 1
	Epochs int    `json:"epochs"` // 0: without end
	Done   int    `json:"done"`   // pieces of the epoch that are consumed
	Total  int    `json:"total"`  // pieces of the epoch; 0: not listed yet
	Leased int    `json:"leased"` // pieces that are being read
}
