// Package job is what a user asks tfos to run: the job file, its defaults, and everything that can
// be said to be wrong with it before anything is started.
//
// It reads text and returns values. Whether files exist and a cluster can hold the job is the
// client's to find out.
package job

import (
	"maps"
	"slices"
	"time"

	"tfos/internal/yarn"
)

// Roles that TensorFlow knows by name. Any other name is as good; these have defaults of their own.
const (
	Chief           = "chief"     // one task; its exit decides, unless the job says otherwise
	Master          = "master"    // TensorFlow 1's other word for the chief
	Worker          = "worker"    //
	ParameterServer = "ps"        // a service unless the job says otherwise
	Evaluator       = "evaluator" // at most one task, never in the others' cluster
)

// TensorBoard is the role whose task shows what the others write for it: a service unless the job
// says otherwise, at most one task, never in the others' cluster.
const TensorBoard = "tensorboard"

// GPU is the name under which YARN counts GPUs.
const GPU = "yarn.io/gpu"

// Job is a validated job file, defaults filled in. Empty maps and slices are nil.
type Job struct {
	Name       string // the file's name without its extension, if the file gives none
	Command    string // a shell command line, run by every role that has none of its own
	Queue      string // empty: YARN finds one
	Files      []File
	Archives   []File
	Image      string   // for roles that name none: the Docker image that tasks run in; empty: none
	Mounts     []string // the same: directories of the node in the image, as "/a:/b:ro"
	Venv       string   // directory of a virtual environment here, which tasks get packed; empty: none
	Conda      string   // the same, a prefix of conda
	Packages   string   // file here that lists packages, of which tasks get an environment; empty: none
	Env        map[string]string
	Roles      []Role // in the order of the file, then the flags'; never empty
	Checkpoint Checkpoint
	Success    Success
	Strategy   Strategy // never StrategyAuto once parsed
	Endpoints  Endpoints
	Recovery   Recovery
	Gang       Gang
	Stop       Stop
	Logs       Logs
	Notice     Notice
	Stall      Stall
	Notify     []Target // in the order of the file
	Deadline   Deadline // by which it should have ended
	OwnBoard   bool     // the leading task's program runs a TensorBoard of its own
	Priority   int32
	Tags       []string
	Lifetime   time.Duration // 0: none
	Once       string        // the key of its work, which is done by one application at a time, and once; empty: none
	Timeout    time.Duration // after its submission it is stopped in order, with an exit code of its own; 0: never
	Retries    int           // how often tfos run runs it again after it failed
	Attended   time.Duration // the job ends when nobody has followed it for so long; 0: nobody need
	Master     Resources     // of the application master's container
	NodeLabel  string        // for roles that name none, and the master
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

// YARN is the same amount as YARN counts it, GPUs under their resource type. It shares nothing with
// r.
func (r Resources) YARN() yarn.Resource {
	out := yarn.Resource{MemoryMiB: r.MemoryMiB, VCores: r.VCores, Custom: maps.Clone(r.Custom)}
	if r.GPUs > 0 {
		if out.Custom == nil {
			out.Custom = make(map[string]int64, 1)
		}
		out.Custom[GPU] = r.GPUs
	}
	return out
}

// Role is a set of tasks that run the same command in containers of the same shape.
type Role struct {
	Name      string
	Instances int // at least 1
	Resources
	Command   string            // the job's, if the role has none; empty if and only if there is a Builtin
	Builtin   Builtin           // a program of tfos' own instead of a command; empty: none
	Env       map[string]string // over the job's
	Service   bool              // runs until it is stopped (a parameter server); its exit never makes the job succeed
	NodeLabel string            // the job's, if the role does not mention one
	Image     string            // the job's, if the role does not mention one
	Mounts    []string          // the job's, if the role does not mention any
	// Wait is how long an evaluator may go on after the training has ended; 0: it is stopped at
	// once, like a service.
	Wait time.Duration
}

// Builtin names a program that tfos brings along.
type Builtin string

// The programs that there are.
const (
	BuiltinPS      Builtin = "ps"      // serves as a task of a TensorFlow cluster
	BuiltinPredict Builtin = "predict" // runs a SavedModel over files: what tfos predict submits
	// BuiltinTensorBoard keeps a TensorBoard running on what is in EnvBoardLogs, else in the
	// checkpoints' directory.
	BuiltinTensorBoard Builtin = TensorBoard
)

// EnvBoardLogs is the variable of a job that says where its events are.
const EnvBoardLogs = "TB_LOG_DIR"

// CodeDamaged is how BuiltinPredict exits when its input is damaged (EX_DATAERR of sysexits.h):
// another attempt would end alike.
const CodeDamaged = 65

// Checkpoint says where checkpoints live.
type Checkpoint struct {
	Dir  string // absolute, or a URI; empty: the job has none
	Keep int    // how many; 0: all
	// KeepEvery keeps one of the older ones for each such time; 0: none.
	KeepEvery time.Duration
	// Local makes each task write to a local directory of its own, which its agent copies to Dir.
	Local bool
}

// Success says whose clean exit ends the job well: one of those below, or that of all tasks of a
// role, by its name.
type Success string

// The ways a job succeeds that are no names of roles.
const (
	SuccessChief Success = "chief" // the chief's, by either of its names: the default where there is one
	SuccessAll   Success = "all"   // that of every task that is no service, evaluators left out
)

// Strategy is how the program distributes its work; it decides who restarts when a task is lost.
type Strategy string

// The strategies.
const (
	StrategyAuto            Strategy = ""                 // derived from the roles; the file may say "auto"
	StrategyParameterServer Strategy = "parameter-server" // a ps and a coordinator (ParameterServerStrategy): where there is a role ps
	StrategyMirrored        Strategy = "mirrored"         // all peers step together: where more than one task trains
	StrategyV1              Strategy = "v1"               // compat.v1's parameter server: never derived
	StrategyNone            Strategy = "none"             // tasks do not talk to each other: where one task trains
)

// Endpoints says how tasks reach each other (package endpoint).
type Endpoints string

// The ways.
const (
	EndpointsRedirect Endpoints = "redirect" // a library preloaded into the task's processes leads connections: the default
	EndpointsForward  Endpoints = "forward"  // the agent passes connections on
	EndpointsDirect   Endpoints = "direct"   // at the real addresses
)

// Stable reports whether a running process reaches a peer that moved. Where not, it must be started
// again with the new addresses.
func (e Endpoints) Stable() bool { return e != EndpointsDirect }

// Recovery is the budget for the program's own failures, counted over a sliding window.
// Infrastructure's are counted apart.
type Recovery struct {
	UserFailures int // failures that are forgiven; 0: the first ends the job
	Window       time.Duration
	Resubmit     int // how often tfos run submits the job again when the cluster ended it
}

// Gang says how long an incomplete set of containers is held.
type Gang struct {
	Timeout time.Duration // then everything is released, and asked for again after a pause
}

// Stop says how a process is asked to end: SIGTERM, then SIGKILL after Grace.
type Stop struct {
	Grace time.Duration
}

// Logs bounds what a task prints on its node's disk.
type Logs struct {
	LimitMiB int64 // of stdout, and of stderr, of each container
	Keep     int   // parts of the newest output that stay when the limit is reached, of Keep+2 in all
}

// MaxLogKeep bounds Logs.Keep: each part is to be of some size.
const MaxLogKeep = 20

// Notice says what a program is told, and has time for, when YARN is about to take its container or
// its node away.
type Notice struct {
	Signal string        // sent to the process beside the file: NoSignal, SIGUSR1 or SIGUSR2
	Wait   time.Duration // that it runs on while its new container is ready, if the deadline allows
}

// Stall says when a training that takes no steps is said to stand still, and what is done then.
type Stall struct {
	After   int           // times the usual interval between two steps; 0: it is never said
	Least   time.Duration // without a step, however short the usual interval is
	Restart bool          // the processes are started again
}

// NoSignal sends none: a program that does not expect a signal dies of it.
const NoSignal = "none"

// Role is the role of that name.
func (j Job) Role(name string) (Role, bool) {
	for _, r := range j.Roles {
		if r.Name == name {
			return r, true
		}
	}
	return Role{}, false
}

// Sized is the job with another number of a role's tasks. The one that it was made of stays as it
// is.
func (j Job) Sized(role string, tasks int) Job {
	j.Roles = slices.Clone(j.Roles)
	for i := range j.Roles {
		if j.Roles[i].Name == role {
			j.Roles[i].Instances = tasks
		}
	}
	return j
}

// Tasks are all tasks of the job, by role in the job's order, then index.
func (j Job) Tasks() []Task {
	var tasks []Task
	for _, r := range j.Roles {
		for i := range r.Instances {
			tasks = append(tasks, Task{r.Name, i})
		}
	}
	return tasks
}

// redacted stands for a value that is nobody's business.
const redacted = "[redacted]"

// redactedPath is the same in a URL.
const redactedPath = "redacted"

// Redacted is the job without the values of its environment variables, and without how its events
// are told, which are often secrets. The names stay.
func (j Job) Redacted() Job {
	hide := func(env map[string]string) map[string]string {
		hidden := maps.Clone(env)
		for name := range hidden {
			hidden[name] = redacted
		}
		return hidden
	}
	j.Env, j.Roles, j.Notify = hide(j.Env), slices.Clone(j.Roles), slices.Clone(j.Notify)
	for i := range j.Notify {
		if t := &j.Notify[i]; t.Webhook != "" {
			t.Webhook = "https://" + t.Host() + "/" + redactedPath
		} else {
			t.Command = redacted
		}
	}
	for i := range j.Roles {
		j.Roles[i].Env = hide(j.Roles[i].Env)
	}
	return j
}
