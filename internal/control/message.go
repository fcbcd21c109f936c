package control

import (
	"context"
	"slices"
	"time"

	"tfos/internal/checkpoint"
	"tfos/internal/clusterspec"
	"tfos/internal/job"
	"tfos/internal/yarn"
)

// Hello opens a session: who the agent is, and where it stands.
type Hello struct {
	Container   yarn.ContainerID
	Task        job.Task
	Incarnation job.Incarnation // current
	Agent       string          // host:port of the agent's own server
	Address     string          // host:port kept for the task
	Witness     int             // port of that host where the agent proves that it keeps Address
	Running     *Started        // its process, if one runs
	Exited      *Exited         // the end of its newest process, if that ended; told again in every Hello until the next start
	Generation  job.Generation  // of the newest cluster_spec that it has; 0: none
	Digest      uint64          // of that cluster_spec
	Since       job.Generation  // of the cluster_spec that its newest process was started with; 0: none was
	Peers       Peers
	Mirror      []MirrorNews // what happened while there was no session, the oldest first
}

// Started is a process that runs.
type Started struct {
	Incarnation job.Incarnation
	Generation  job.Generation // of the cluster_spec it was started with; told in a Hello only, as Since
	PID         int
	TensorBoard string // host:port kept for a TensorBoard, if Start wanted one
}

// Exited is a process that ended, or could not be started.
type Exited struct {
	Incarnation job.Incarnation
	job.Ended
}

// Progress is the newest step that a program reported or printed, and what it uses.
type Progress struct {
	Incarnation job.Incarnation
	Step        int64
	Steps       int64 // out of how many; 0: not known
	// Counted is the newest step that the program reported, or printed in a long row of rising
	// ones; 0: there is none. What else it prints may be anything ("Step 1/3: download"): Step is a
	// guess then, for people to see.
	Counted int64
	Loss    Loss
	Memory  int64   // bytes that the program's processes use; 0: not known
	CPU     float64 // processors that they keep busy
}

// Loss is a training's loss, if one is known.
type Loss struct {
	Known bool
	Value float64 // a number
}

// Peers is how a task's processes reach their peers, and how that went.
type Peers struct {
	Endpoints job.Endpoints // empty: not known yet
	Reason    string        // why not as the job wants; empty: it is
	// Counters are sorted by task. A report has those that changed, a Hello all.
	Counters []clusterspec.Counters
}

// With is p after a report.
func (p Peers) With(news Peers) Peers {
	if p.Endpoints != news.Endpoints {
		return news
	}
	counters := slices.Clone(p.Counters)
	for _, c := range news.Counters {
		i, there := slices.BinarySearchFunc(counters, c, func(a, b clusterspec.Counters) int { return a.Task.Compare(b.Task) })
		if there {
			counters[i] = c
		} else {
			counters = slices.Insert(counters, i, c)
		}
	}
	return Peers{Endpoints: news.Endpoints, Reason: news.Reason, Counters: counters}
}

// Start tells an agent to start its task's process. A second one for the same incarnation changes
// nothing.
type Start struct {
	Incarnation job.Incarnation
	Generation  job.Generation    // of the cluster_spec it starts with
	Command     string            // a shell command line
	Env         map[string]string // beyond what the container has
	Grace       time.Duration     // between SIGTERM and SIGKILL when the agent ends without having been told how
	TensorBoard bool              // keep a port for a TensorBoard
	Cluster     clusterspec.Cluster
	Mirror      *Mirror // nil: checkpoint.dir is used as it is
}

// Mirror tells an agent to give its task a local directory for checkpoints, and to keep it
// elsewhere.
type Mirror struct {
	URI    string // of the directory that it is kept in
	Fetch  bool   // the program goes on from what is there
	Upload bool   // what it writes is copied there
	Shared bool   // others go on from the same
	Follow bool   // what is new there is fetched while it runs
	// Others is a role of whose tasks each but the first has a directory of its own in this one,
	// ROLE-INDEX. Empty: there are none.
	Others string
}

// MirrorNews is what happened to a task's checkpoint.
type MirrorNews struct {
	Incarnation job.Incarnation
	checkpoint.News
}

// Stop tells an agent to end the process of one incarnation: SIGTERM, then SIGKILL after Grace.
type Stop struct {
	Incarnation job.Incarnation
	Grace       time.Duration
}

// Retire ends an agent, and its process if one is left.
type Retire struct {
	Reason string
	Grace  time.Duration
}

// Notice tells an agent that its container will be taken away.
type Notice struct {
	Reason string        // preempted, draining; empty: it will not, after all
	Left   time.Duration // until then
	Signal string        // to send to the program, "SIGUSR1" say; empty: none
}

// MasterHandler is what a Master needs of its user. The calls of one session come one after the
// other: Joined first, Left last, each exactly once. Calls of different sessions come at the same
// time. Those of sessions must not wait for anything that takes long: meanwhile no heartbeat of the
// session is read.
type MasterHandler interface {
	// Joined is a new session. A session of the same container before it has Left already.
	Joined(s *Session, h Hello)
	Started(s *Session, e Started)
	Exited(s *Session, e Exited)
	Progress(s *Session, p Progress)
	Peers(s *Session, p Peers)
	Mirror(s *Session, n MirrorNews)
	// Left is the end of a session. The agent may live and come back with a new one.
	Left(s *Session, why Departure)
	// StopJob is a client's wish that the job end.
	StopJob(reason string)
	// View makes the job's status document, a JSON object. It is called when a client looks at the
	// job; after Master.Changed again, a few times a second at most; and in the end, when it tells
	// how the job ended.
	View(ctx context.Context) ([]byte, error)
	// Scale is a client's wish for another size. It waits until the job's machine has answered; an
	// error: it will not.
	Scale(ctx context.Context, w ScaleWish) (ScaleAnswer, error)
}

// Departure is why a session ended.
type Departure int

// The ways a session ends.
const (
	Closed   Departure = iota + 1 // the connection ended
	Silent                        // no heartbeat for too long: the agent, its node or the network is gone
	Replaced                      // the same container opened a new session
	Overrun                       // it took no commands for so long that too many were waiting
)

// String says it in a word, for logs.
func (d Departure) String() string {
	switch d {
	case Closed:
		return "closed"
	case Silent:
		return "silent"
	case Replaced:
		return "replaced"
	case Overrun:
		return "overrun"
	}
	return "unknown"
}

// AgentHandler is what a Link needs of its user: the master's commands, one after the other, in the
// order they were given. They may come again, and late. A call that blocks holds up the session.
type AgentHandler interface {
	Spec(s clusterspec.Spec)
	Start(s Start)
	Stop(s Stop)
	Retire(r Retire)
	Notice(n Notice)
	// Forward: reach the peers by forward instead of redirect.
	Forward(reason string)
	// Stacks: write into the task's log where the program's processes are.
	Stacks(reason string)
}

// LogsRequest selects a part of a task's output.
type LogsRequest struct {
	Stream string // Stdout, Stderr, AgentLog or Times
	Offset int64  // a chunk's end, or 0; negative: that many bytes from the end
	Follow bool   // go on until the agent ends
}

// The streams of a LogsRequest, which are also the names of the files in the container's log
// directory.
const (
	Stdout   = "stdout"
	Stderr   = "stderr"
	AgentLog = "agent.log"
)

// LogChunk is bytes of a log and where they stand in it.
type LogChunk struct {
	Data   []byte
	Offset int64 // how many bytes of the log came before, ever
	File   int64 // where in the file Data ends: something may have been left out before
}
