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
//	journal                  what the machine is now is what the next attempt of the master will know
//	takeover-began attempt=2 the next attempt goes on from the journal, or from now if there is
//	                         none; the same for a master that dies without a later journal
//	over                     the processes of which nobody counts on any, since this was asked last
//	view                     what status says
//	wake                     when the machine wants a tick
//
// Containers are c=1 in commands and c1 in what is shown; a node is its host. Lines below exited
// are its last lines of stderr; below unfit, launch-failed, completed, stop-requested and
// master-failed, the reason. An agent that joins tells of its process with running=PID, or exited
// and code=; of the cluster_spec it has, and of the one its process began with, by gen= and since=.
// After each event the machine is taken apart and put together again from its snapshot, and has to
// decide as one that was not.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", RunStory)
}

// RunStory plays one story; the tests of event logs play theirs with it.
func RunStory(t *testing.T, path string) {
	s := story{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), digests: make(map[job.Generation]uint64)}
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
			s.m, s.whole = New(j, seed, opts), nil
			return ""
		case "machine":
			s.machine(t, td)
			return ""
		case "train":
			s.train(t)
			return ""
		case "journal":
			s.journal = s.snapshot(t)
			return ""
		case "over":
			return s.ended()
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
	m       *Machine // taken apart after each event
	whole   *Machine // beside it, never taken apart; nil: the same as m
	now     time.Time
	journal []byte                    // nil: it is up to date
	digests map[job.Generation]uint64 // of the cluster_specs that were published
	over    []Process                 // as whole said, since the story asked
}

// ended are the processes that are over, a line each.
func (s *story) ended() string {
	var b strings.Builder
	for _, p := range s.over {
		fmt.Fprintf(&b, "%s inc=%d\n", p.Task, p.Incarnation)
	}
	s.over = nil
	return b.String()
}

func (s *story) step(t *testing.T, ev Event) []Action {
	t.Helper()
	if _, ok := ev.(TakeoverBegan); ok && s.journal != nil {
		s.m, s.whole, s.journal = s.restored(t, s.journal), nil, nil
	}
	if s.whole == nil {
		s.whole = s.restored(t, s.snapshot(t))
	}
	actions, whole := s.m.Step(s.now, ev).All(), s.whole.Step(s.now, ev)
	s.over = append(s.over, whole.Over...)
	if same, err := sameActions(actions, whole.All()); err != nil || !same {
		t.Errorf("%T: a machine that was never taken apart decides otherwise (%v)", ev, err)
	}
	checkIndex(t, s.whole)
	for _, a := range actions {
		if p, ok := a.(Publish); ok {
			s.digests[p.Spec.Generation] = p.Spec.Digest()
		}
	}
	s.m = s.restored(t, s.snapshot(t))
	return actions
}

func (s *story) snapshot(t *testing.T) []byte {
	t.Helper()
	b, err := s.m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (s *story) restored(t *testing.T, snapshot []byte) *Machine {
	t.Helper()
	m, err := Restore(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	return m
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
		s.whole = nil
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
		s.step(t, Joined{Task: name, Incarnation: 1, Container: container(i + 1), Agent: fmt.Sprintf("n%d:1", i+1), Address: fmt.Sprintf("n%d:2", i+1)})
	}
	for i, name := range tasks {
		s.step(t, Started{Task: name, Incarnation: 1, PID: 101 + i})
	}
}

// event reads a command.
func (s *story) event(t *testing.T, td *datadriven.TestData) Event {
	t.Helper()
	var after, task, role, c, node, address, signal, cause, within string
	inc, code, pid, nodes, attempt, running, gen, since := 1, 0, 0, 0, 0, 0, 0, 0
	for name, dst := range map[string]any{
		"after": &after, "task": &task, "role": &role, "c": &c, "node": &node, "address": &address,
		"signal": &signal, "inc": &inc, "code": &code, "pid": &pid, "cause": &cause, "within": &within, "nodes": &nodes, "count": &nodes, "attempt": &attempt, "running": &running, "gen": &gen, "since": &since,
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
		return Began{Attempt: int32(attempt)}
	case "takeover-began":
		return TakeoverBegan{int32(attempt), td.HasArg("ended")}
	case "kept":
		return Kept{id, yarn.NodeID{Host: node, Port: 1}}
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
		ev := Joined{Task: name, Incarnation: in, Container: id, Agent: host + ":1", Address: address,
			Generation: job.Generation(gen), Digest: s.digests[job.Generation(gen)], Since: job.Generation(since)}
		if running != 0 {
			ev.Running = &Started{Task: name, Incarnation: in, Container: id, PID: running}
		}
		if td.HasArg("exited") {
			ev.Exited = &Exited{Task: name, Incarnation: in, Container: id, Ended: job.Ended{Code: code, Signal: signal, Stopped: td.HasArg("stopped")}}
		}
		return ev
	case "left":
		return Left{name, in, id, td.HasArg("silent")}
	case "started":
		return Started{name, in, id, pid}
	case "exited":
		ev := Exited{Task: name, Incarnation: in, Container: id, Ended: job.Ended{Code: code, Signal: signal, OOM: td.HasArg("oom"), Stopped: td.HasArg("stopped"), Lost: td.HasArg("lost")}}
		if td.HasArg("not-started") {
			ev.Reason = td.Input
		} else if td.Input != "" {
			ev.Stderr = strings.Split(td.Input, "\n")
		}
		return ev
	case "stop-requested":
		return StopRequested{Reason: td.Input}
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
	case "warning-lifted":
		return WarningLifted{id}
	case "draining":
		d, err := time.ParseDuration(within)
		if err != nil {
			td.Fatalf(t, "%v", err)
		}
		return Draining{yarn.NodeID{Host: node, Port: 1}, d}
	case "drained":
		return Drained{yarn.NodeID{Host: node, Port: 1}, td.HasArg("gone")}
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
