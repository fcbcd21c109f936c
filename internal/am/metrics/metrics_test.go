package metrics

import (
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"tfos/internal/page"
	"tfos/internal/status"
)

// whole has something of every family.
func whole() page.Document {
	loss, at := 0.5, time.UnixMilli(1_700_000_000_500)
	return page.Document{Job: status.View{
		ID: "application_1_7", Name: `a "b" \`, User: "ann", Queue: "q", State: status.Running, Started: at, Progress: 0.25, Generation: 3, Attempt: 2,
		Roles:    []status.Role{{Name: "worker", Instances: 2, GPUs: 4}},
		Recovery: status.Recovery{Strategy: "mirrored", Failures: 1, UserFailures: 3},
		Restarts: []status.Restart{{LostSteps: 7}, {LostSteps: 5}},
		Counts:   []status.RestartCount{{Role: "worker", Cause: "program", Count: 250}},
		Problems: []string{"x"},
		Checkpoints: []status.Checkpoint{
			{Step: 10, Bytes: 100, Time: at, Verdict: "whole"}, {Step: 20, Bytes: 200, Time: at, Verdict: "a shard is missing"},
		},
		Inputs: []status.Input{{Name: "train", Done: 3, Total: 9, Leased: 2}},
		Tasks: []status.Task{
			{Role: "worker", State: status.Running, Node: "n1", Incarnation: 2, Step: 40, StepRate: 1.5, Loss: &loss, MemoryBytes: 1 << 20, CPU: 0.5,
				Peers: []status.Peer{{Task: "worker/1", Connections: 3, Refused: 1, Resets: 2, Sent: 10, Received: 20}, {Sent: 1, Received: 2}}},
			{Role: "worker", Index: 1, State: status.Pending, Peers: []status.Peer{{Connections: 1, Sent: -1, Received: -1}}},
		},
	}}
}

func agents() (int, uint64, time.Duration) { return 2, 99, 1500 * time.Millisecond }

func scrape(x *Exporter, d page.Document) string {
	w := httptest.NewRecorder()
	x.Serve(w, httptest.NewRequest("GET", "/metrics", nil), d, agents)
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	x := New()
	x.Called("allocate", 30*time.Millisecond, nil)
	x.Called("allocate", time.Second, errors.New("no answer"))
	got := scrape(x, whole())
	for _, want := range []string{
		`tfos_job_info{application="application_1_7",name="a \"b\" \\",queue="q",strategy="mirrored",user="ann"} 1`,
		`tfos_job_state{state="running"} 1`, `tfos_job_state{state="failed"} 0`,
		`tfos_job_start_time_seconds 1.7000000005e+09`,
		`tfos_job_step 40`, `tfos_job_steps_per_second 1.5`, `tfos_job_loss 0.5`, `tfos_job_lost_steps 12`, `tfos_job_problems 1`,
		`tfos_tasks{role="worker",state="pending"} 1`, `tfos_tasks{role="worker",state="failed"} 0`,
		`tfos_restarts_total{cause="program",role="worker"} 250`,
		`tfos_checkpoint_step 10`, `tfos_checkpoint_size_bytes 100`, // the newer one is broken
		`tfos_input_pieces{dataset="train",state="leased"} 2`,
		`tfos_agents_connected 2`, `tfos_agent_messages_total 99`, `tfos_agent_silence_seconds 1.5`,
		`tfos_task_info{index="0",node="n1",role="worker"} 1`,
		`tfos_task_running{index="1",role="worker"} 0`,
		`tfos_task_memory_bytes{index="0",role="worker"} 1.048576e+06`, `tfos_task_cpu_cores{index="0",role="worker"} 0.5`, `tfos_task_gpus{index="0",role="worker"} 4`,
		`tfos_task_endpoint_bytes_total{direction="sent",index="0",role="worker"} 11`,
		`tfos_task_endpoint_connections_total{index="0",result="refused",role="worker"} 1`,
		`tfos_rm_call_duration_seconds_count{method="allocate",result="ok"} 1`, `tfos_rm_call_duration_seconds_count{method="allocate",result="error"} 1`,
		`process_resident_memory_bytes `, `go_goroutines `,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("not there: %s", want)
		}
	}
	for _, not := range []string{
		`tfos_task_endpoint_bytes_total{direction="sent",index="1"`, // not known
		`tfos_task_info{index="1"`,                                  // nowhere
	} {
		if strings.Contains(got, not) {
			t.Errorf("there: %s", not)
		}
	}
}

// TestLint: the client library's linter, and its pedantic registry, find nothing.
func TestLint(t *testing.T) {
	once := prometheus.NewPedanticRegistry()
	once.MustRegister(snapshot{whole(), agents})
	x := New()
	x.Called("register", time.Second, nil)
	problems, err := testutil.GatherAndLint(prometheus.Gatherers{x.registry, once})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "tfos_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// TestLargeJobs: beyond a number of tasks there are no series of each.
func TestLargeJobs(t *testing.T) {
	d := page.Document{Job: status.View{Tasks: make([]status.Task, MostTasks+1)}}
	for i := range d.Job.Tasks {
		d.Job.Tasks[i] = status.Task{Role: "worker", Index: i, State: status.Running, Step: int64(i)}
	}
	got := scrape(New(), d)
	if strings.Contains(got, "tfos_task_") {
		t.Error("there are series of each task")
	}
	for _, want := range []string{`tfos_tasks{role="worker",state="running"} 1001`, `tfos_job_step 1000`} {
		if !strings.Contains(got, want) {
			t.Errorf("not there: %s", want)
		}
	}
}

// TestMonitoringAsksForWhatThereIs: rules and dashboard name families that are exported.
func TestMonitoringAsksForWhatThereIs(t *testing.T) {
	x := New()
	x.Called("allocate", time.Second, nil)
	there := scrape(x, whole())
	names := regexp.MustCompile(`\btfos_[a-z_]+`)
	asked := 0
	if err := filepath.WalkDir("../../../deploy/monitoring", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, name := range names.FindAllString(string(b), -1) {
			asked++
			if !strings.Contains(there, "\n"+name) {
				t.Errorf("%s asks for %s, which is not exported", path, name)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if asked < 20 {
		t.Errorf("only %d names found", asked)
	}
}
