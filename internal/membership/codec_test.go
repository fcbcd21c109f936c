package membership

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tfos/internal/clusterspec"
	"tfos/internal/job"
	"tfos/internal/yarn"
)

// Every kind of event and action as the event log has it. `tfos replay` reads logs of years ago: a
// line here changes only together with logVersion.
var (
	worker1 = job.Task{Role: "worker", Index: 1}
	node1   = yarn.NodeID{Host: "n1", Port: 8041}

	loggedEvents = []struct {
		event Event
		line  string
	}{
		{Began{}, `{"kind":"began"}`},
		{Unfit{"too large"}, `{"kind":"unfit","reason":"too large"}`},
		{Granted{"worker", container(3), node1}, `{"kind":"granted","role":"worker","container":"container_1_0001_01_000003","node":"n1:8041"}`},
		{Completed{container(3), -102, "taken"}, `{"kind":"completed","container":"container_1_0001_01_000003","exit":-102,"diagnostics":"taken"}`},
		{LaunchFailed{worker1, 2, container(3), "refused"}, `{"kind":"launch-failed","task":"worker/1","incarnation":2,"container":"container_1_0001_01_000003","reason":"refused"}`},
		{Joined{Task: worker1, Incarnation: 2, Container: container(3), Agent: "n1:1", Address: "n1:2"}, `{"kind":"joined","task":"worker/1","incarnation":2,"container":"container_1_0001_01_000003","agent":"n1:1","address":"n1:2"}`},
		{Left{worker1, 2, container(3), true}, `{"kind":"left","task":"worker/1","incarnation":2,"container":"container_1_0001_01_000003","silent":true}`},
		{Joined{worker1, 2, container(3), "n1:1", "n1:2", 5, &Started{worker1, 2, container(3), 77}, &Exited{Task: worker1, Incarnation: 2, Ended: job.Ended{Code: 1}}, 4, 99, 3},
			`{"kind":"joined","task":"worker/1","incarnation":2,"container":"container_1_0001_01_000003","agent":"n1:1","address":"n1:2","witness":5,` +
				`"running":{"task":"worker/1","incarnation":2,"container":"container_1_0001_01_000003","pid":77},"exited":{"task":"worker/1","incarnation":2,"code":1},` +
				`"generation":4,"digest":99,"since":3}`},
		{TakeoverBegan{2, true}, `{"kind":"takeover-began","attempt":2,"ended":true}`},
		{Kept{container(3), node1}, `{"kind":"kept","container":"container_1_0001_01_000003","node":"n1:8041"}`},
		{Started{Task: worker1, Incarnation: 2, PID: 77}, `{"kind":"started","task":"worker/1","incarnation":2,"pid":77}`},
		{Exited{Task: worker1, Incarnation: 2, Ended: job.Ended{Code: 137, Signal: "SIGKILL", OOM: true, Stderr: []string{"a", "b"}}},
			`{"kind":"exited","task":"worker/1","incarnation":2,"code":137,"signal":"SIGKILL","oom":true,"stderr":["a","b"]}`},
		{Exited{Task: worker1, Incarnation: 2, Ended: job.Ended{Code: 143, Signal: "SIGTERM", Stopped: true}}, `{"kind":"exited","task":"worker/1","incarnation":2,"code":143,"signal":"SIGTERM","stopped":true}`},
		{Exited{Task: worker1, Incarnation: 2, Ended: job.Ended{Reason: "no shell"}}, `{"kind":"exited","task":"worker/1","incarnation":2,"code":0,"reason":"no shell"}`},
		{StopRequested{Reason: "by ann"}, `{"kind":"stop-requested","reason":"by ann"}`},
		{MasterFailed{"gone"}, `{"kind":"master-failed","reason":"gone"}`},
		{ClusterSized{9}, `{"kind":"cluster-sized","nodes":9}`},
		{Progressed{Step: 12}, `{"kind":"progressed","step":12}`},
		{Progressed{Unsteady: true}, `{"kind":"progressed","step":0,"unsteady":true}`},
		{CheckpointSeen{Path: "hdfs:///m/ckpt-12", Step: 12, Bytes: 7, Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Verdict: Whole},
			`{"kind":"checkpoint-seen","path":"hdfs:///m/ckpt-12","step":12,"bytes":7,"time":"2026-03-01T12:00:00Z","verdict":"whole"}`},
		{CheckpointSeen{Path: "hdfs:///m/model", Step: -1, Bytes: 7, Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Verdict: Whole, Format: "saved-model", Exported: true},
			`{"kind":"checkpoint-seen","path":"hdfs:///m/model","step":-1,"bytes":7,"time":"2026-03-01T12:00:00Z","verdict":"whole","format":"saved-model","exported":true}`},
		{CheckpointGone{"hdfs:///m/ckpt-12", "set aside"}, `{"kind":"checkpoint-gone","path":"hdfs:///m/ckpt-12","why":"set aside"}`},
		{Inspected{Number: 1, Newest: "hdfs:///m/ckpt-12", Step: 12}, `{"kind":"inspected","number":1,"newest":"hdfs:///m/ckpt-12","step":12}`},
		{Inspected{Number: 2, Problem: "no NameNode"}, `{"kind":"inspected","number":2,"step":0,"problem":"no NameNode"}`},
		{Scaled{"worker", 4, true}, `{"kind":"scaled","role":"worker","count":4,"renew":true}`},
		{Stalled{worker1, 12, time.Minute, time.Second, true}, `{"kind":"stalled","task":"worker/1","step":12,"silent":60000000000,"usual":1000000000,"restart":true}`},
		{Stalled{Step: 12, Silent: time.Minute, Usual: time.Second}, `{"kind":"stalled","step":12,"silent":60000000000,"usual":1000000000}`},
		{DeadlinePassed{}, `{"kind":"deadline-passed"}`},
		{Warned{container(3), CauseDraining, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}, `{"kind":"warned","container":"container_1_0001_01_000003","cause":"draining","deadline":"2026-03-01T12:00:00Z"}`},
		{WarningLifted{container(3)}, `{"kind":"warning-lifted","container":"container_1_0001_01_000003"}`},
		{Draining{yarn.NodeID{Host: "n1", Port: 1}, time.Hour}, `{"kind":"draining","node":"n1:1","timeout":3600000000000}`},
		{Drained{yarn.NodeID{Host: "n1", Port: 1}, true}, `{"kind":"drained","node":"n1:1","gone":true}`},
		{Tick{}, `{"kind":"tick"}`},
	}
	loggedActions = []struct {
		action Action
		line   string
	}{
		{Ask{"worker", 2}, `{"kind":"ask","role":"worker","count":2}`},
		{Adopt{worker1, 2, container(3), node1}, `{"kind":"adopt","task":"worker/1","incarnation":2,"container":"container_1_0001_01_000003","node":"n1:8041"}`},
		{TakeoverEnded{3, 1}, `{"kind":"takeover-ended","reported":3,"missing":1}`},
		{Release{container(3)}, `{"kind":"release","container":"container_1_0001_01_000003"}`},
		{Launch{worker1, 2, container(3), node1, true}, `{"kind":"launch","task":"worker/1","incarnation":2,"container":"container_1_0001_01_000003","node":"n1:8041","spare":true}`},
		{Notify{worker1, container(3), CausePreempted, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}, `{"kind":"notify","task":"worker/1","container":"container_1_0001_01_000003","cause":"preempted","deadline":"2026-03-01T12:00:00Z"}`},
		{Notify{Task: worker1, Container: container(3)}, `{"kind":"notify","task":"worker/1","container":"container_1_0001_01_000003"}`},
		{Move{worker1, 3, container(3), node1}, `{"kind":"move","task":"worker/1","incarnation":3,"container":"container_1_0001_01_000003","node":"n1:8041"}`},
		{Launch{worker1, 2, container(3), node1, false}, `{"kind":"launch","task":"worker/1","incarnation":2,"container":"container_1_0001_01_000003","node":"n1:8041"}`},
		{Publish{clusterspec.Spec{Generation: 4, Members: []clusterspec.Member{{Task: worker1, Incarnation: 2, Address: "n1:2", Witness: 5}}}}, `{"kind":"publish","spec":{"generation":4,"members":[{"task":"worker/1","incarnation":2,"address":"n1:2","witness":5}]}}`},
		{StartProcess{worker1, 2, container(3), 4}, `{"kind":"start-process","task":"worker/1","incarnation":2,"container":"container_1_0001_01_000003","generation":4}`},
		{StopProcess{worker1, 2, container(3), time.Second}, `{"kind":"stop-process","task":"worker/1","incarnation":2,"container":"container_1_0001_01_000003","grace":1000000000}`},
		{Retire{worker1, 2, container(3)}, `{"kind":"retire","task":"worker/1","incarnation":2,"container":"container_1_0001_01_000003"}`},
		{Exclude{"n1"}, `{"kind":"exclude","host":"n1"}`},
		{Readmit{"n1"}, `{"kind":"readmit","host":"n1"}`},
		{Inspect{Number: 1}, `{"kind":"inspect","number":1}`},
		{Inspect{Number: 2, Busy: true}, `{"kind":"inspect","number":2,"busy":true}`},
		{Finish{Result{1, "worker/1 failed"}}, `{"kind":"finish","result":{"exit_code":1,"diagnostics":"worker/1 failed"}}`},
	}
)

func TestLogLines(t *testing.T) {
	kinds := make(map[string]bool)
	check := func(kind string, b []byte, err error, line string) {
		t.Helper()
		kinds[kind] = true
		if err != nil || string(b) != line {
			t.Errorf("encoded:\n%s (%v)\nwant:\n%s", b, err, line)
		}
	}
	for _, tt := range loggedEvents {
		b, err := EncodeEvent(tt.event)
		check(eventKinds.name(tt.event), b, err, tt.line)
		if back, err := DecodeEvent([]byte(tt.line)); err != nil || !cmp.Equal(back, tt.event) {
			t.Errorf("%s reads back as %#v (%v)", tt.line, back, err)
		}
	}
	for _, tt := range loggedActions {
		b, err := EncodeAction(tt.action)
		check(ActionKind(tt.action), b, err, tt.line)
		if back, err := DecodeAction([]byte(tt.line)); err != nil || !cmp.Equal(back, tt.action) {
			t.Errorf("%s reads back as %#v (%v)", tt.line, back, err)
		}
	}
	for kind := range eventKinds {
		if !kinds[kind] {
			t.Errorf("no line for event %s", kind)
		}
	}
	for kind := range actionKinds {
		if !kinds[kind] {
			t.Errorf("no line for action %s", kind)
		}
	}
}

func TestLogReadsBack(t *testing.T) {
	j, err := job.Parse("job.yaml", []byte("command: x\nroles: {worker: {}}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := New(j, 7, Options{StopMargin: time.Second})
	head, err := json.Marshal(m.Header())
	if err != nil {
		t.Fatal(err)
	}
	log := string(head) + "\n"
	now := time.Date(2026, 3, 1, 12, 0, 0, 123, time.UTC)
	for _, ev := range []Event{Began{}, Granted{"worker", container(1), node1}} {
		line, err := json.Marshal(Turn{now, ev, m.Step(now, ev).All()})
		if err != nil {
			t.Fatal(err)
		}
		log += string(line) + "\n"
	}
	// The master died while it wrote the last line.
	header, turns, err := ReadLog([]byte(log + `{"time":"2026-03-01T12:00`))
	if err != nil {
		t.Fatal(err)
	}
	again, err := header.Machine()
	if err != nil {
		t.Fatal(err)
	}
	if len(turns) != 2 {
		t.Fatalf("%d turns, want 2", len(turns))
	}
	for _, turn := range turns {
		if diff := cmp.Diff(turn.Actions, again.Step(turn.Time, turn.Event).All()); diff != "" {
			t.Errorf("%s: replayed different (-logged +replayed):\n%s", eventKinds.name(turn.Event), diff)
		}
	}
}

func TestLogsThatAreNone(t *testing.T) {
	for name, log := range map[string]string{
		"empty":        "",
		"no header":    "x\n",
		"unknown kind": `{"tfos_events":5}` + "\n" + `{"time":"2026-03-01T12:00:00Z","event":{"kind":"married"}}` + "\n",
		"no task":      `{"tfos_events":5}` + "\n" + `{"time":"2026-03-01T12:00:00Z","event":{"kind":"started","task":"worker"}}` + "\n",
	} {
		if _, _, err := ReadLog([]byte(log)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := (Header{Version: 99}).Machine(); err == nil {
		t.Error("a log of a later version was accepted")
	}
	if _, err := (Header{Version: logVersion}).Machine(); err == nil {
		t.Error("a log without a job was accepted")
	}
}

func TestSnapshotsThatAreNone(t *testing.T) {
	for _, s := range []string{"", "{}", `{"version":2,"job":"command: x\nroles: {worker: {}}","state":{"tasks":[]}}`, `{"version":2,"job":"roles: 3"}`} {
		if _, err := Restore([]byte(s)); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

// TestSecretsAreNotWrittenDown: what a job sets in the environment is often a password.
func TestSecretsAreNotWrittenDown(t *testing.T) {
	j, err := job.Parse("job.yaml", []byte("command: x\nenv: {TOKEN: hunter2}\nroles: {worker: {env: {KEY: hunter3}}}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := New(j, 1, Options{})
	m.Step(time.Unix(1, 0), Began{Attempt: 1})
	snapshot, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	restored, err := Restore(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*Machine{m, restored} {
		header, err := json.Marshal(m.Header())
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{string(header), string(snapshot)} {
			if strings.Contains(text, "hunter") || !strings.Contains(text, "TOKEN") || !strings.Contains(text, "KEY") {
				t.Errorf("written: %s", text)
			}
		}
	}
	if j.Env["TOKEN"] != "hunter2" || j.Roles[0].Env["KEY"] != "hunter3" {
		t.Errorf("the job itself lost what its tasks need: %+v", j)
	}
}

func FuzzReadLog(f *testing.F) {
	lines := []string{`{"tfos_events":5,"job":"command: x\nroles: {worker: {}}"}`}
	for _, e := range loggedEvents {
		lines = append(lines, `{"time":"2026-03-01T12:00:00Z","event":`+e.line+`}`)
	}
	for _, a := range loggedActions {
		lines = append(lines, `{"time":"2026-03-01T12:00:00Z","event":{"kind":"tick"},"actions":[`+a.line+`]}`)
	}
	f.Add([]byte(strings.Join(lines, "\n") + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		header, turns, err := ReadLog(data)
		if err != nil {
			return
		}
		m, err := header.Machine()
		if err != nil {
			return
		}
		for _, turn := range turns {
			m.Step(turn.Time, turn.Event)
			if b, err := json.Marshal(turn); err != nil {
				t.Fatalf("what was read cannot be written: %v\n%s", err, b)
			}
		}
	})
}

func FuzzRestore(f *testing.F) {
	j, err := job.Parse("job.yaml", []byte("command: x\nroles: {worker: {}}"), nil)
	if err != nil {
		f.Fatal(err)
	}
	m := New(j, 7, Options{})
	for _, ev := range []Event{Began{}, Granted{"worker", container(1), node1}, Joined{Task: job.Task{Role: "worker"}, Incarnation: 1, Container: container(1), Agent: "n1:1", Address: "n1:2"}, TakeoverBegan{Attempt: 2}, StopRequested{}} {
		m.Step(time.Unix(1, 0), ev)
		b, err := m.Snapshot()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Restore(data)
		if err != nil {
			return
		}
		m.Step(time.Unix(2, 0), Tick{})
		m.Step(time.Unix(3, 0), StopRequested{})
		m.View()
	})
}
