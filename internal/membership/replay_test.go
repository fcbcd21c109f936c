package membership_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/membership/story"
	"tfos/internal/yarn"
)

// recorded are the event logs of jobs that ran.
func recorded(t *testing.T) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("story/testdata/*.ndjson")
	if err != nil || len(names) == 0 {
		t.Fatalf("no logs: %v", err)
	}
	logs := make(map[string][]byte)
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		logs[filepath.Base(name)] = b
	}
	return logs
}

// TestRecordedLogs plays what real jobs did as stories. What the machine decides may have changed
// since: the events have not.
func TestRecordedLogs(t *testing.T) {
	for name, log := range recorded(t) {
		t.Run(name, func(t *testing.T) { playStory(t, log) })
	}
}

// logOf is the log that this program's machine writes of another log's events.
func logOf(t *testing.T, log []byte) []byte {
	t.Helper()
	header, turns, err := membership.ReadLog(log)
	if err != nil {
		t.Fatal(err)
	}
	m, err := header.Machine()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	if err := enc.Encode(m.Header()); err != nil {
		t.Fatal(err)
	}
	for _, turn := range turns {
		turn.Actions = m.Step(turn.Time, turn.Event).All()
		if err := enc.Encode(turn); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// playStory runs a log as a story.
func playStory(t *testing.T, log []byte) {
	t.Helper()
	text, err := story.Write(log, "A job that ran.")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "story.txt")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	membership.RunStory(t, file)
}

// TestReplaySaysWhere changes one decision of a log.
func TestReplaySaysWhere(t *testing.T) {
	log := logOf(t, recorded(t)["digits-ps.ndjson"])
	if header, turns, err := membership.ReadLog(log); err != nil {
		t.Fatal(err)
	} else if d, err := membership.Replay(header, turns); err != nil || len(d) > 0 {
		t.Fatalf("decided otherwise than a moment ago: %v, error %v", d, err)
	}
	changed := bytes.Replace(log, []byte(`{"kind":"ask","role":"worker","count":2}`), []byte(`{"kind":"ask","role":"worker","count":3}`), 1)
	if bytes.Equal(log, changed) {
		t.Fatal("the log does not ask for two workers")
	}
	header, turns, err := membership.ReadLog(changed)
	if err != nil {
		t.Fatal(err)
	}
	differences, err := membership.Replay(header, turns)
	if err != nil || len(differences) != 1 {
		t.Fatalf("%d differences, error %v; want one", len(differences), err)
	}
	d := differences[0]
	if d.Turn != 1 || d.Event != (membership.Began{}) {
		t.Errorf("it differs in turn %d, %T; want 1, Began", d.Turn, d.Event)
	}
	for _, want := range []string{`turn 1 at `, `{"kind":"began"}`, `ask {"role":"worker","count":3}`, `ask {"role":"worker","count":2}`} {
		if !strings.Contains(d.String(), want) {
			t.Errorf("the difference does not say %s:\n%s", want, d)
		}
	}
}

// FuzzStory writes whatever is a log, and plays it.
func FuzzStory(f *testing.F) {
	for _, name := range []string{"digits-ps.ndjson"} {
		b, err := os.ReadFile(filepath.Join("story/testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, log []byte) { _, _ = story.Write(log) })
}

// TestEveryEventIsTold plays texts that a story cannot hold as they are, and a machine that a job
// file alone does not describe.
func TestEveryEventIsTold(t *testing.T) {
	for _, opts := range []membership.Options{{}, {StableEndpoints: true, MaxStrikes: 1}, {RejoinTimeout: time.Minute}} {
		j, err := job.Parse("job.yaml", []byte("command: \"a\\n----\\nb\"\nroles: {worker: {instances: 2}}\nrecovery: {user-failures: 0}\n"), nil)
		if err != nil {
			t.Fatal(err)
		}
		m := membership.New(j, 1<<63+5, opts)
		var log bytes.Buffer
		enc := json.NewEncoder(&log)
		if err := enc.Encode(m.Header()); err != nil {
			t.Fatal(err)
		}
		now := time.Date(2025, 1, 2, 3, 4, 5, 6, time.UTC)
		c := func(n int64) yarn.ContainerID {
			return yarn.ContainerID{Attempt: yarn.AttemptID{Application: yarn.ApplicationID{ClusterTimestamp: 1700000000000, Sequence: 42}, Attempt: 2}, ID: 17<<40 + n}
		}
		node := yarn.NodeID{Host: "n1.example.org", Port: 45454}
		w := func(i int) job.Task { return job.Task{Role: job.Worker, Index: i} }
		for _, ev := range []membership.Event{
			membership.Began{},
			membership.ClusterSized{Nodes: 3},
			membership.Granted{Role: job.Worker, Container: c(2), Node: node},
			membership.Granted{Role: job.Worker, Container: c(3), Node: node},
			membership.LaunchFailed{Task: w(0), Incarnation: 1, Container: c(2), Reason: "----\n"},
			membership.Granted{Role: job.Worker, Container: c(5), Node: node},
			membership.Joined{Task: w(0), Incarnation: 2, Container: c(5), Agent: "[::1]:7", Address: "[::1]:8"},
			membership.Joined{Task: w(1), Incarnation: 1, Container: c(3), Agent: "n1.example.org:7", Address: "n1.example.org:8"},
			membership.Started{Task: w(0), Incarnation: 2, PID: 7},
			membership.Left{Task: w(0), Incarnation: 2, Container: c(5)},
			membership.Left{Task: w(1), Incarnation: 1, Container: c(3), Silent: true},
			membership.Granted{Role: job.Worker, Container: c(6), Node: node},
			membership.Tick{},
			membership.Completed{Container: c(5), Exit: yarn.ExitPreempted, Diagnostics: "  in\r\n\n----\n " + c(5).String()},
			membership.Unfit{Reason: "a\n\nb"},
			membership.StopRequested{Reason: " by\n\nann "},
			membership.Exited{Task: w(1), Incarnation: 1, Ended: job.Ended{Code: 1, Stderr: []string{"", "  x", "# y", "----"}}},
			membership.MasterFailed{Reason: "x"},
			membership.Tick{},
		} {
			now = now.Add(1500 * time.Millisecond)
			if err := enc.Encode(membership.Turn{Time: now, Event: ev, Actions: m.Step(now, ev).All()}); err != nil {
				t.Fatal(err)
			}
		}
		header, turns, err := membership.ReadLog(log.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if d, err := membership.Replay(header, turns); err != nil || len(d) > 0 {
			t.Fatalf("decided otherwise: %v %v", d, err)
		}
		playStory(t, log.Bytes())
	}
}
