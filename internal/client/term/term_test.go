package term

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"tfos/internal/status"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func task(role string, index int, s status.State) status.Task {
	return status.Task{Role: role, Index: index, State: s, Incarnation: 1, Node: "nm1", PID: 42}
}

func aView(tasks ...status.Task) status.View {
	return status.View{ID: "application_1_0001", Name: "digits", State: status.Running, Started: noon, Tasks: tasks}
}

func TestLines(t *testing.T) {
	three := 3
	again := task("worker", 0, status.Running)
	again.Incarnation, again.Node = 2, "nm2"
	failed := task("worker", 0, status.Failed)
	failed.ExitCode = &three
	both := failed
	both.Cause = "program"
	from := int64(1200)
	unlaunched := task("worker", 0, status.Pending)
	unlaunched.Cause, unlaunched.Why = "launch", "no disk on nm1"
	oom := task("worker", 0, status.Failed)
	oom.Cause = "out of memory"
	for _, c := range []struct {
		name     string
		was, now status.View
		want     string
	}{
		{"new job", status.View{}, aView(task("worker", 0, status.Pending)), ""},
		{"start", aView(task("worker", 0, status.Pending)), aView(task("worker", 0, status.Starting)), "worker/0 starting on nm1"},
		{"run", aView(task("worker", 0, status.Starting)), aView(task("worker", 0, status.Running)), "worker/0 running on nm1, pid 42"},
		{"nothing new", aView(task("worker", 0, status.Running)), aView(task("worker", 0, status.Running)), ""},
		{"moved", aView(task("worker", 0, status.Running)), aView(again), "worker/0 running on nm2, pid 42, incarnation 2"},
		{"waits again", aView(task("worker", 0, status.Running)), aView(task("worker", 0, status.Pending)), "worker/0 waits for a container"},
		{"exit code", aView(task("worker", 0, status.Running)), aView(failed), "worker/0 failed: exit code 3"},
		{"both", aView(task("worker", 0, status.Running)), aView(both), "worker/0 failed: program, exit code 3"},
		{"cause", aView(task("worker", 0, status.Running)), aView(oom), "worker/0 failed: out of memory"},
		{"spec", aView(), status.View{Generation: 2, Tasks: []status.Task{task("chief", 0, ""), task("worker", 0, ""), task("worker", 1, "")}}, "cluster_spec 2 published: 1 chief, 2 worker"},
		{"restart", aView(), status.View{Restarts: []status.Restart{{Task: "ps/0", Cause: "node lost", Seconds: 4.25}}}, "ps/0 restarted after 4.2 s: node lost"},
		{"restart, and why", aView(), status.View{Restarts: []status.Restart{{Task: "ps/0", Cause: "launch", Why: "no disk on nm1", Seconds: 4.25}}}, "ps/0 restarted after 4.2 s: launch: no disk on nm1"},
		{"a container that could not be started", aView(task("worker", 0, status.Starting)), aView(unlaunched), "worker/0 waits for a container (launch: no disk on nm1)"},
		{"in the way", aView(), status.View{Problems: []string{"no journal"}}, "problem: no journal"},
		{"still in the way", status.View{Problems: []string{"no journal"}}, status.View{Problems: []string{"no journal"}}, ""},
		{"out of the way", status.View{Problems: []string{"no journal"}}, aView(), "over: no journal"},
		{"what the job waits for", aView(), status.View{State: status.Running, Tasks: []status.Task{{Role: "evaluator", State: status.Succeeded}}, Diagnostics: "the training has ended"},
			"evaluator/0 succeeded\nthe training has ended"},
		{"what the job waits for while a task does", aView(), status.View{State: status.Running, Tasks: []status.Task{{Role: "evaluator", State: status.Pending}}, Diagnostics: "waits for a container"}, ""},
		{"lost", aView(), status.View{Restarts: []status.Restart{{Task: "ps/0", Cause: "node lost"}}}, ""},
		{"what it cost", status.View{Restarts: []status.Restart{{Task: "ps/0", Cause: "node lost", Seconds: 31}}},
			status.View{Restarts: []status.Restart{{Task: "ps/0", Cause: "node lost", Step: 1240, ResumedStep: &from, LostSteps: 40, Seconds: 31}}},
			"ps/0 lost at step 1240 (node lost); resumed from 1200; 40 steps, 31.0 s"},
		{"from the beginning", aView(), status.View{Restarts: []status.Restart{{Task: "ps/0", Cause: "program", Step: 40, ResumedStep: new(int64), LostSteps: 40, Seconds: 1}}},
			"ps/0 lost at step 40 (program); started over; 40 steps, 1.0 s"},
	} {
		if got := strings.Join(Lines(c.was, c.now), "\n"); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestPlain(t *testing.T) {
	var out, err bytes.Buffer
	p := NewPlain(&out, &err, func() time.Time { return noon })
	for done := int64(0); done <= 100<<20; done += 10 << 20 {
		p.Staging(done, 100<<20)
	}
	p.Status(aView(task("worker", 0, status.Running)))
	p.Status(aView(task("worker", 0, status.Running)))
	p.Log([]byte("loss 0.3\n"))
	p.Note("two\nlines")
	p.Close()
	want := "12:00:00 staging: 25 % of 100.0 MiB\n12:00:00 staging: 50 % of 100.0 MiB\n12:00:00 staging: 75 % of 100.0 MiB\n12:00:00 staging: 100 % of 100.0 MiB\n" +
		"12:00:00 worker/0 running on nm1, pid 42\n12:00:00 two\n12:00:00 lines\n"
	if err.String() != want || out.String() != "loss 0.3\n" {
		t.Errorf("stderr %q\nwant   %q\nstdout %q", err.String(), want, out.String())
	}
}

func TestLineBufferHandsOnWholeLines(t *testing.T) {
	var got []string
	b := LineBuffer{Write: func(p []byte) { got = append(got, string(p)) }}
	for _, piece := range []string{"a", "b\nc", "\nd\ne", "50%\r", "99%"} {
		b.Add([]byte(piece))
	}
	b.Flush()
	b.Flush()
	if want := `["ab\n" "c\nd\n" "e50%\r" "99%\n"]`; fmt.Sprintf("%q", got) != want {
		t.Errorf("%q, want %s", got, want)
	}
	got = nil
	b.Add(bytes.Repeat([]byte("x"), maxLine+1))
	if len(got) != 1 {
		t.Error("a line without end is kept for ever")
	}
}

func TestLiveDrawing(t *testing.T) {
	m := model{started: noon, now: noon, width: 60, height: 40}
	if !m.empty() {
		t.Error("there is something to draw at the start")
	}
	draw := func() string { return ansi.Strip(m.draw()) }
	m.done, m.total = 6<<20, 24<<20
	if got, want := draw(), "staging "+strings.Repeat("━", 30)+" 6.0 MiB of 24.0 MiB\n"; got != want {
		t.Errorf("staging: %q, want %q", got, want)
	}
	if m.done = m.total; draw() != "waiting for the cluster\n" {
		t.Errorf("staged: %q", draw())
	}
	worker := task("worker", 10, status.Running)
	worker.Step, worker.Steps, worker.Incarnation = 30, 120, 2
	ps := task("ps", 0, status.Failed)
	ps.Cause = "the node was lost, and everything on it, which is a very long sentence"
	m.view, m.now = aView(task("chief", 0, status.Starting), worker, ps), noon.Add(62*time.Second)
	want := `digits application_1_0001  running  1/3 tasks running  1:02
  ◌ chief/0   starting  nm1
  ● worker/10 running   nm1  incarnation 2  ━━━━━━━━━━━━━━━…
  ✗ ps/0      failed    nm1  the node was lost, and everyth…
`
	if got := draw(); got != want {
		t.Errorf("drew\n%swant\n%s", got, want)
	}
	if got := notable(aView(), m.view); len(got) != 1 || !strings.HasPrefix(got[0], "ps/0 failed: the node was lost") {
		t.Errorf("notable: %q", got)
	}
}

func TestLiveDrawingLeavesRoomForTheLog(t *testing.T) {
	var tasks []status.Task
	for i := range 100 {
		tasks = append(tasks, task("worker", i, status.Running))
	}
	tasks[77].State = status.Starting
	got := ansi.Strip(model{now: noon, width: 80, height: 20, view: aView(tasks...)}.draw())
	lines := strings.Split(strings.TrimRight(got, "\n"), "\n")
	if len(lines) != 10 || !strings.Contains(lines[1], "worker/77 starting") || lines[9] != "  … and 92 more" {
		t.Errorf("drew %d lines:\n%s", len(lines), got)
	}
}

// TestLive draws on a buffer in place of a terminal: what is written must all be there when Close
// returns.
func TestLive(t *testing.T) {
	var screen, out syncBuffer
	l := NewLive(&screen, &out)
	l.Staging(1, 2)
	l.Status(aView(task("worker", 0, status.Running)))
	l.Note("a note")
	l.Log([]byte("loss 0.3\n"))
	l.Close()
	l.Close()
	if out.String() != "loss 0.3\n" || !strings.Contains(screen.String(), "a note") {
		t.Errorf("stdout %q, screen %q", out.String(), screen.String())
	}
}

func TestTable(t *testing.T) {
	zero := 0
	v := aView(task("chief", 0, status.Succeeded), task("worker", 0, status.Failed))
	v.Tasks[0].Step, v.Tasks[0].Steps = 5, 10
	v.Tasks[1].Cause, v.Tasks[1].Why = "out of memory", "used 2 GiB"
	v.Problems = []string{"no journal"}
	v.ExitCode, v.Queue, v.User, v.Diagnostics = &zero, "ml", "ann", "all is well"
	end := noon.Add(90 * time.Second)
	v.Finished = &end
	v.Restarts = []status.Restart{{Task: "ps/0", Cause: "node lost", Seconds: 4, At: noon}}
	v.Recovery = status.Recovery{Strategy: "parameter-server", Endpoints: "direct", Failures: 1, UserFailures: 3, Window: 3600, Masters: 2, MasterWindow: 600, Resubmit: 4,
		Losses: []status.Loss{{Role: "chief"}, {Role: "worker"}, {Role: "ps", Also: []string{"chief/0"}}}}
	v.Tasks[0].Mirror = &status.Mirror{Uploaded: &status.Copied{Checkpoint: "ckpt-5", Step: 5, Bytes: 2048, Seconds: 0.5}, Problem: "no NameNode answers"}
	var b bytes.Buffer
	if err := Table(&b, v, noon); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"state", "exit code 0", "1:30", "said", "all is well", "chief/0", "5/10", "out of memory: used 2 GiB\n", "problem", "no journal\n", "ps/0 restarted after 4.0 s: node lost",
		"strategy parameter-server, endpoints direct; 1 of 3 failures of the program within 1h0m0s",
		"YARN ends the job when its master dies 2 times within 10m, lost nodes and preemption apart (yarn.resourcemanager.am.max-attempts); tfos run then submits it again, up to 4 times (recovery.resubmit)\n",
		"a lost ps starts again, and with it chief/0\n", "a lost chief or worker starts again alone\n", "another container has all others start again\n",
		"copied ckpt-5, 2.0 KiB in 0.5 s", "no NameNode answers"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// TestLastFailure: the last lines of the program that failed are shown unasked, while the job goes
// on.
func TestLastFailure(t *testing.T) {
	v := aView(task("worker", 0, status.Running))
	v.Failure = &status.Failure{At: noon, Text: "worker/0 failed: exit code 1. Its last lines:\n  line 7\n  ValueError: \x1b[31mbad shard"}
	var b bytes.Buffer
	if err := Table(&b, v, noon); err != nil {
		t.Fatal(err)
	}
	if want := "  line 7\n"; !strings.Contains(b.String(), want) || !strings.Contains(b.String(), "bad shard") {
		t.Errorf("no %q in\n%s", want, b.String())
	}
	code := 1
	v.ExitCode, v.Diagnostics = &code, v.Failure.Text
	b.Reset()
	if err := Table(&b, v, noon); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "bad shard"); n != 1 {
		t.Errorf("in the end it is there %d times", n)
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 24 << 20: "24.0 MiB", 3 << 40: "3.0 TiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestColoursCanBeTurnedOff(t *testing.T) {
	m := model{now: noon, width: 80, height: 20, view: aView(status.Task{Role: "worker", State: status.Failed})}
	for setting, coloured := range map[string]bool{"": true, "1": false} {
		t.Setenv("NO_COLOR", setting)
		if got := m.draw(); strings.Contains(got, "\x1b[31m") != coloured || strings.Contains(got, "\x1b") != coloured {
			t.Errorf("with NO_COLOR=%s: %q", setting, got)
		}
	}
}
