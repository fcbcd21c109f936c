// Package slots is what a driver and those who hold slots for it say to each other, and which
// offers of a slot are taken.
//
// A slot is a place for one task of a job, inside of an executor of Spark. Whoever holds one dials
// the driver, and the driver's embedded YARN has a node for it (see
// docs/decisions/0022-executors.md). This package decides and holds values; slots/offer is the
// driver's side, slots/hold the executor's.
package slots

import (
	"time"

	"tfos/internal/yarn"
)

// Agent is the name by which the agent's binary is fetched.
const Agent = "agent"

// Elsewhere is the file that a container has in the driver's directory of logs: it says where its
// own log is, host and directory.
const Elsewhere = "elsewhere"

// How often each side says something, and after how much silence the other side is gone.
const (
	Beat    = 5 * time.Second
	Silence = 30 * time.Second
)

// Messages are JSON documents, a line each, over the TLS of the slots' own authority. Call is the
// first on a connection. python/tfos/_slot.py fetches the agent by one, too.
type Call struct {
	Fetch string `json:"fetch,omitempty"` // Agent, or a file's URI as in a Start: a File is the answer, and then its content
	Have  bool   `json:"have,omitempty"`  // the content is not wanted
	Offer *Offer `json:"offer,omitempty"` // a slot
}

// File describes a file that was asked for.
type File struct {
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"`        // in ms since 1970
	Error    string `json:"error,omitempty"` // why there is none
}

// Offer is a slot that somebody holds.
type Offer struct {
	Slot     int    `json:"slot"`
	Executor string `json:"executor"` // of Spark, by any name that no other has
	// Held says that a task of Spark holds the slot as long as it is there, so that Spark has
	// chosen a place that is free.
	Held bool   `json:"held"`
	Logs string `json:"logs"` // the directory of containers' logs there
}

// Order is what the driver says to who holds a slot. An empty one says that it is there.
type Order struct {
	Verdict Verdict `json:"verdict,omitempty"`
	Start   *Start  `json:"start,omitempty"`
	Stop    *Stop   `json:"stop,omitempty"`
	Signal  *Signal `json:"signal,omitempty"`
}

// Report is what the driver hears from there. An empty one says that the slot is there.
type Report struct {
	Started *yarn.ContainerID `json:"started,omitempty"`
	Exited  *Exited           `json:"exited,omitempty"`
}

// Start starts a container. The URIs of its files are for Call.
type Start struct {
	Container yarn.ContainerID   `json:"container"`
	Node      yarn.NodeID        `json:"node"`
	User      string             `json:"user"`
	Context   yarn.LaunchContext `json:"context"`
	Tokens    []byte             `json:"tokens"` // content of the container's token file
}

// Stop stops a container.
type Stop struct {
	Container   yarn.ContainerID `json:"container"`
	Status      yarn.ExitStatus  `json:"status"`
	Diagnostics string           `json:"diagnostics"`
	AtOnce      bool             `json:"at_once"`
}

// Signal is sent to a container's processes.
type Signal struct {
	Container yarn.ContainerID `json:"container"`
	Signal    yarn.Signal      `json:"signal"`
}

// Exited is how a container ended.
type Exited struct {
	Container   yarn.ContainerID `json:"container"`
	Status      yarn.ExitStatus  `json:"status"`
	Diagnostics string           `json:"diagnostics"`
}
