// Package metrics says how a job fares in the format of Prometheus.
//
// What is known of the job itself is read from its document when somebody asks; only what no
// document has, the calls to the ResourceManager, is counted as it happens. It decides nothing.
// Names and units follow Prometheus' conventions, which its linter checks.
package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tfos/internal/page"
	"tfos/internal/status"
)

// MostTasks is how many tasks a job may have for each to have series of its own: a scrape of a
// thousand tasks takes a few MiB of the master.
const MostTasks = 1000

// Agents says how many agents are connected, how many messages came of all, and how long the one
// has been silent that was heard of the longest ago.
type Agents func() (connected int, messages uint64, silence time.Duration)

// Exporter is the metrics of one master. Safe for concurrent use.
type Exporter struct {
	registry *prometheus.Registry
	calls    *prometheus.HistogramVec
}

// New makes an Exporter.
func New() *Exporter {
	x := &Exporter{registry: prometheus.NewRegistry(), calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "tfos_rm_call_duration_seconds", Help: "Calls of the master to the ResourceManager, by method and by whether they were answered.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"method", "result"})}
	x.registry.MustRegister(x.calls, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return x
}

// Called counts a call to the ResourceManager.
func (x *Exporter) Called(method string, took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	x.calls.WithLabelValues(method, result).Observe(took.Seconds())
}

// Serve answers with all metrics of a job. It does not compress: that would take more memory than
// all else here.
func (x *Exporter) Serve(w http.ResponseWriter, r *http.Request, d page.Document, agents Agents) {
	x.gatherer(d, agents).ServeHTTP(w, r)
}

func (x *Exporter) gatherer(d page.Document, agents Agents) http.Handler {
	once := prometheus.NewRegistry()
	once.MustRegister(snapshot{d, agents})
	return promhttp.HandlerFor(prometheus.Gatherers{x.registry, once}, promhttp.HandlerOpts{DisableCompression: true})
}

// described are the families that are read from a document.
var described []*prometheus.Desc

func family(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc("tfos_"+name, help, labels, nil)
	described = append(described, d)
	return d
}

var (
	jobInfo        = family("job_info", "Who the job is; always 1.", "application", "name", "user", "queue", "strategy")
	jobState       = family("job_state", "1 for the state that the job is in, 0 for the others.", "state")
	jobStart       = family("job_start_time_seconds", "When the job was submitted, in Unix time.")
	jobProgress    = family("job_progress_ratio", "How far the job is, from 0 to 1.")
	jobGeneration  = family("job_generation", "Generation of the published cluster_spec; 0: none yet.")
	jobStep        = family("job_step", "The highest step that a task has reported or printed; 0: none known.")
	jobRate        = family("job_steps_per_second", "Steps a second of the task that takes the most, lately.")
	jobLoss        = family("job_loss", "The training's loss, as the first task says that knows one.")
	jobProblems    = family("job_problems", "How many things are in the job's way now, and have not ended it.")
	lostSteps      = family("job_lost_steps", "Steps that were taken again because of the newest 200 restarts.")
	masterAttempt  = family("master_attempt", "Attempt of the application master, from 1.")
	tasksByState   = family("tasks", "Tasks, by role and state.", "role", "state")
	restartsTotal  = family("restarts_total", "Replacements of a task's process or container since the job began, by role and cause.", "role", "cause")
	failures       = family("recovery_failures", "The program's own failures within the window of the job's budget.")
	allowed        = family("recovery_failures_allowed", "How many of the program's own failures are forgiven within the window.")
	checkpointTime = family("checkpoint_timestamp_seconds", "When the newest whole checkpoint was completed, in Unix time.")
	checkpointStep = family("checkpoint_step", "Step of the newest whole checkpoint.")
	checkpointSize = family("checkpoint_size_bytes", "Size of the newest whole checkpoint.")
	inputPieces    = family("input_pieces", "Pieces of the epoch of a shared dataset: those there are, done, and being read.", "dataset", "state")
	connectedNow   = family("agents_connected", "Agents that have a session with the master.")
	messagesTotal  = family("agent_messages_total", "Messages of all agents to this master, heartbeats and all.")
	agentSilence   = family("agent_silence_seconds", "How long the agent has been silent that was heard of the longest ago; they speak once a second.")

	taskInfo        = family("task_info", "Where a task runs; always 1.", "role", "index", "node")
	taskIncarnation = family("task_incarnation", "Which start of its process, from 1; it may leap when the master was replaced.", "role", "index")
	taskRunning     = family("task_running", "1 while the task's process runs.", "role", "index")
	taskStep        = family("task_step", "The newest step that the task has reported or printed.", "role", "index")
	taskRate        = family("task_steps_per_second", "Steps a second of the task, lately.", "role", "index")
	taskMemory      = family("task_memory_bytes", "Memory that the task's processes use.", "role", "index")
	taskProcessors  = family("task_cpu_cores", "Processors that the task's processes keep busy.", "role", "index")
	taskGPUs        = family("task_gpus", "GPUs that the task's container has been given.", "role", "index")
	endpointBytes   = family("task_endpoint_bytes_total", "Bytes between a task and its peers through tfos; none where the kernel leads connections there directly.", "role", "index", "direction")
	endpointDials   = family("task_endpoint_connections_total", "Connections of a task to its peers, by how they went: opened, refused because the peer was nowhere, reset because it moved.", "role", "index", "result")
)

// snapshot is one document as metrics.
type snapshot struct {
	d      page.Document
	agents Agents
}

// Describe implements prometheus.Collector.
func (s snapshot) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range described {
		ch <- d
	}
}

// put hands one value on.
type put func(d *prometheus.Desc, value float64, labels ...string)

// Collect implements prometheus.Collector.
func (s snapshot) Collect(ch chan<- prometheus.Metric) {
	of := func(kind prometheus.ValueType) put {
		return func(d *prometheus.Desc, value float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, kind, value, labels...)
		}
	}
	gauge, counter := of(prometheus.GaugeValue), of(prometheus.CounterValue)
	v := s.d.Job
	gauge(jobInfo, 1, v.ID, v.Name, v.User, v.Queue, v.Recovery.Strategy)
	for _, state := range states {
		gauge(jobState, truth(v.State == state), string(state))
	}
	gauge(jobStart, unix(v.Started))
	gauge(jobProgress, v.Progress)
	gauge(jobGeneration, float64(v.Generation))
	gauge(jobProblems, float64(len(v.Problems)))
	gauge(masterAttempt, float64(v.Attempt))
	gauge(failures, float64(v.Recovery.Failures))
	gauge(allowed, float64(v.Recovery.UserFailures))
	lost := int64(0)
	for _, r := range v.Restarts {
		lost += r.LostSteps
	}
	gauge(lostSteps, float64(lost))
	for _, n := range v.Counts {
		counter(restartsTotal, float64(n.Count), n.Role, n.Cause)
	}
	for _, in := range v.Inputs {
		gauge(inputPieces, float64(in.Total), in.Name, "total")
		gauge(inputPieces, float64(in.Done), in.Name, "done")
		gauge(inputPieces, float64(in.Leased), in.Name, "leased")
	}
	checkpoints(v.Checkpoints, gauge)
	tasks(v.Tasks, gauge)
	if len(v.Tasks) <= MostTasks {
		gpus := make(map[string]int64)
		for _, r := range v.Roles {
			gpus[r.Name] = r.GPUs
		}
		for _, t := range v.Tasks {
			task(t, gpus[t.Role], gauge, counter)
		}
	}
	connected, messages, silence := s.agents()
	gauge(connectedNow, float64(connected))
	counter(messagesTotal, float64(messages))
	gauge(agentSilence, silence.Seconds())
}

var states = []status.State{status.Pending, status.Starting, status.Running, status.Succeeded, status.Failed, status.Stopped}

// checkpoints tells of the newest whole one.
func checkpoints(all []status.Checkpoint, gauge put) {
	for i := len(all) - 1; i >= 0; i-- {
		if c := all[i]; c.Verdict == "whole" {
			gauge(checkpointTime, unix(c.Time))
			gauge(checkpointSize, float64(c.Bytes))
			if c.Step >= 0 {
				gauge(checkpointStep, float64(c.Step))
			}
			return
		}
	}
}

// tasks tells what all of them are together.
func tasks(all []status.Task, gauge put) {
	type kind struct {
		role  string
		state status.State
	}
	count := make(map[kind]int)
	step, rate := int64(0), 0.0
	loss := (*float64)(nil)
	for _, t := range all {
		for _, state := range states {
			count[kind{t.Role, state}] += int(truth(t.State == state))
		}
		step, rate = max(step, t.Step), max(rate, t.StepRate)
		if loss == nil {
			loss = t.Loss
		}
	}
	for k, n := range count {
		gauge(tasksByState, float64(n), k.role, string(k.state))
	}
	gauge(jobStep, float64(step))
	gauge(jobRate, rate)
	if loss != nil {
		gauge(jobLoss, *loss)
	}
}

func task(t status.Task, gpus int64, gauge, counter put) {
	index := strconv.Itoa(t.Index)
	put := func(d *prometheus.Desc, value float64) { gauge(d, value, t.Role, index) }
	if t.Node != "" {
		gauge(taskInfo, 1, t.Role, index, t.Node)
	}
	put(taskIncarnation, float64(t.Incarnation))
	put(taskRunning, truth(t.State == status.Running))
	put(taskStep, float64(t.Step))
	put(taskRate, t.StepRate)
	put(taskMemory, float64(t.MemoryBytes))
	put(taskProcessors, t.CPU)
	put(taskGPUs, float64(gpus))
	if len(t.Peers) == 0 {
		return
	}
	var all status.Peer
	for _, p := range t.Peers {
		all = all.Plus(p)
	}
	for _, way := range []struct {
		direction string
		bytes     int64
	}{{"sent", all.Sent}, {"received", all.Received}} {
		if way.bytes >= 0 {
			counter(endpointBytes, float64(way.bytes), t.Role, index, way.direction)
		}
	}
	counter(endpointDials, float64(all.Connections), t.Role, index, "opened")
	counter(endpointDials, float64(all.Refused), t.Role, index, "refused")
	counter(endpointDials, float64(all.Resets), t.Role, index, "reset")
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
