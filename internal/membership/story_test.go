package membership

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"tfos/internal/job"
	"tfos/internal/yarn"
)

// A story is a job's life told event by event. Its commands:
//
//	job [stable] [strikes=1] a new machine for the job file below it: with stable endpoints, with so much patience with the cluster;
//	                         seed=2: with other random pauses; inspect: with checkpoints that are looked at
//	machine at=TIME          a machine as the first line of an event log says, below it
//	train                    began, all granted (c1 on n1, c2 on n2, …), joined and started, without showing it
//	EVENT [after=5m] …       the event, so long after the one before; shows the actions
//	event [after=5m]         the event below it, as it is in an event log
//	view                     what status says
//	wake                     when the machine wants a tick
//
// Containers are c=1 in commands and c1 in what is shown; a node is its host. Lines below exited are its last lines of stderr; below unfit,
// launch-failed, completed, stop-requested and master-failed, the reason. After each event the machine is taken apart and
// put together again from its snapshot.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", RunStory)
}

// RunStory plays one story; the tests of event logs play theirs with it.
func RunStory(t *testing.T, path string) {
	s := story{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
		switch td.Cmd {
		case "job":
			j, err := job.Parse("job.yaml", []byte(td.Input), nil)
			if err != nil {
				td.Fatalf(t, "%v", err)
			}
			opts := Options{StableEndpoints: td.HasArg("stable"), Inspect: td.HasArg("inspect")}
			seed := uint64(1)
			td.MaybeScanArgs(t, "strikes", &opts.MaxStrikes)
			td.MaybeScanArgs(t, "seed", &seed)
			s.m = New(j, seed, opts)
			return ""
		case "machine":
			s.machine(t, td)
			return ""
		case "train":
			s.train(t)
			return ""
		case "view":
			return s.view()
		case "wake":
			return s.wake()
		}
		ev := s.event(t, td)
		return Tell(s.step(t, ev))
	})
}

type story struct {
	m   *Machine
	now time.Time
}

func (s *story) step(t *testing.T, ev Event) []Action {
	t.Helper()
	actions := s.m.Step(s.now, ev)
	b, err := s.m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if s.m, err = Restore(b); err != nil {
		t.Fatal(err)
	}
	return actions
}

// machine makes the machine of an event log's first line.
func (s *story) machine(t *testing.T, td *datadriven.TestData) {
	t.Helper()
	var at string
	td.ScanArgs(t, "at", &at)
	var h Header
	err := json.Unmarshal([]byte(td.Input), &h)
	if err == nil {
		s.m, err = h.Machine()
	}
	if err == nil {
		s.now, err = time.Parse(time.RFC3339Nano, at)
	}
	if err != nil {
		td.Fatalf(t, "%v", err)
	}
}

func (s *story) train(t *testing.T) {
	t.Helper()
	s.step(t, Began{})
	tasks := s.m.job.Tasks()
	for i, name := range tasks {
		s.step(t, Granted{name.Role, container(i + 1), yarn.NodeID{Host: fmt.Sprintf("n%d", i+1), Port: 1}})
	}
	for i, name := range tasks {
		s.step(t, Joined{name, 1, container(i + 1), fmt.Sprintf("n%d:1", i+1), fmt.Sprintf("n%d:2", i+1)})
	}
	for i, name := range tasks {
		s.step(t, Started{name, 1, 101 + i})
	}
}

// event reads a command.
func (s *story) event(t *testing.T, td *datadriven.TestData) Event {
	t.Helper()
	var after, task, role, c, node, address, signal, cause, within string
	inc, code, pid, nodes := 1, 0, 0, 0
	for name, dst := range map[string]any{
		"after": &after, "task": &task, "role": &role, "c": &c, "node": &node, "address": &address,
		"signal": &signal, "inc": &inc, "code": &code, "pid": &pid, "cause": &cause, "within": &within, "nodes": &nodes, "count": &nodes,
	} {
		td.MaybeScanArgs(t, name, dst)
	}
	if after != "" {
		d, err := time.ParseDuration(after)
		if err != nil {
			td.Fatalf(t, "%v", err)
		}
		s.now = s.now.Add(d)
	}
	var name job.Task
	if task != "" {
		var err error
		if name, err = job.ParseTask(task); err != nil {
			td.Fatalf(t, "%v", err)
		}
	}
	var id yarn.ContainerID
	if c != "" {
		n, err := strconv.Atoi(c)
		if err != nil {
			td.Fatalf(t, "%v", err)
		}
		id = container(n)
	}
	in := job.Incarnation(inc)
	switch td.Cmd {
	case "began":
		return Began{}
	case "unfit":
		return Unfit{td.Input}
	case "granted":
		return Granted{role, id, yarn.NodeID{Host: node, Port: 1}}
	case "completed":
		return Completed{id, yarn.ExitStatus(code), td.Input}
	case "launch-failed":
		return LaunchFailed{name, in, id, td.Input}
	case "joined":
		host, _, _ := strings.Cut(address, ":")
		return Joined{name, in, id, host + ":1", address}
	case "left":
		return Left{name, in, id, td.HasArg("silent")}
	case "started":
		return Started{name, in, pid}
	case "exited":
		ev := Exited{Task: name, Incarnation: in, Code: code, Signal: signal, OOM: td.HasArg("oom")}
		if td.HasArg("not-started") {
			ev.Reason = td.Input
		} else if td.Input != "" {
			ev.Stderr = strings.Split(td.Input, "\n")
		}
		return ev
	case "stop-requested":
		return StopRequested{td.Input}
	case "master-failed":
		return MasterFailed{td.Input}
	case "cluster-sized":
		return ClusterSized{nodes}
	case "warned":
		d, err := time.ParseDuration(within)
		if err != nil {
			td.Fatalf(t, "%v", err)
		}
		return Warned{id, Cause(cause), s.now.Add(d)}
	case "spared":
		return Spared{id}
	case "scaled":
		return Scaled{role, nodes, td.HasArg("renew")}
	case "tick":
		return Tick{}
	case "event":
		ev, err := DecodeEvent([]byte(td.Input))
		if err != nil {
			td.Fatalf(t, "%v", err)
		}
		return ev
	}
	td.Fatalf(t, "%q is no event", td.Cmd)
	return nil
}

func container(n int) yarn.ContainerID {
	return yarn.ContainerID{Attempt: yarn.AttemptID{Application: yarn.ApplicationID{ClusterTimestamp: 1, Sequence: 1}, Attempt: 1}, ID: int64(n)}
}

func (s *story) wake() string {
	wake := s.m.Wake()
	if wake.IsZero() {
		return "never"
	}
	return "in " + wake.Sub(s.now).Round(time.Second).String()
}

// view writes the status document, the parts that the machine knows.
func (s *story) view() string {
	v := s.m.View()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s generation=%d", v.Name, v.State, v.Generation)
	if v.ExitCode != nil {
		fmt.Fprintf(&b, " exit=%d", *v.ExitCode)
	}
	if v.Finished != nil {
		fmt.Fprintf(&b, " after %s", v.Finished.Sub(v.Started))
	}
	if v.Diagnostics != "" {
		fmt.Fprintf(&b, ": %s", v.Diagnostics)
	}
	b.WriteByte('\n')
	for _, t := range v.Tasks {
		fmt.Fprintf(&b, "%s/%d inc=%d %s", t.Role, t.Index, t.Incarnation, t.State)
		for _, f := range []struct{ name, value string }{{"node", t.Node}, {"address", t.Address}, {"agent", t.Agent}, {"cause", t.Cause}} {
			if f.value != "" {
				fmt.Fprintf(&b, " %s=%s", f.name, f.value)
			}
		}
		if t.PID != 0 {
			fmt.Fprintf(&b, " pid=%d", t.PID)
		}
		if t.ExitCode != nil {
			fmt.Fprintf(&b, " code=%d", *t.ExitCode)
		}
		b.WriteByte('\n')
	}
	for _, r := range v.Restarts {
		fmt.Fprintf(&b, "restarted %s cause=%s at=%s seconds=%.1f", r.Task, r.Cause, r.At.Format(time.TimeOnly), r.Seconds)
		if r.NewContainer {
			b.WriteString(" new-container")
		}
		if r.ResumedStep != nil {
			fmt.Fprintf(&b, " step=%d resumed=%d lost=%d", r.Step, *r.ResumedStep, r.LostSteps)
		}
		b.WriteByte('\n')
	}
	for _, c := range v.Checkpoints {
		fmt.Fprintf(&b, "checkpoint %s step=%d bytes=%d at=%s by=%s: %s\n", c.Path, c.Step, c.Bytes, c.Time.Format(time.TimeOnly), c.By, c.Verdict)
	}
	return b.String()
}
