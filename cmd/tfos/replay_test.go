package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfos/internal/client/exit"
	"tfos/internal/job"
	"tfos/internal/membership"
)

// eventLog writes the log of a job that nobody ever granted a container, and that was killed.
func eventLog(t *testing.T) (name string) {
	t.Helper()
	j, err := job.Parse("job.yaml", []byte("command: x\nroles: {chief: {}, worker: {instances: 2}, ps: {}}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := membership.New(j, 1, membership.Options{})
	var log bytes.Buffer
	enc := json.NewEncoder(&log)
	if err := enc.Encode(m.Header()); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, ev := range []membership.Event{membership.Began{}, membership.ClusterSized{Nodes: 3}, membership.StopRequested{Reason: "by ann"}} {
		if err := enc.Encode(membership.Turn{Time: now, Event: ev, Actions: m.Step(now, ev).All()}); err != nil {
			t.Fatal(err)
		}
	}
	name = filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(name, log.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestReplay(t *testing.T) {
	isolate(t)
	recorded := eventLog(t)
	code, stdout, stderr := tfos(t, "replay", recorded)
	if code != exit.OK || stdout != "" || !strings.Contains(stderr, "turns are the same") {
		t.Errorf("exit code %d\nstdout: %s\nstderr: %s", code, stdout, stderr)
	}

	b, err := os.ReadFile(recorded)
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(changed, []byte(strings.ReplaceAll(string(b), `"kind":"ask","role":"worker"`, `"kind":"ask","role":"ps"`)), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = tfos(t, "replay", changed)
	if code != exit.JobFailed || !strings.Contains(stdout, "the log says") || !strings.Contains(stderr, "turns differ, from turn") {
		t.Errorf("of a log that differs: exit code %d\nstdout: %s\nstderr: %s", code, stdout, stderr)
	}

	gap := `{"missing_turns":7,"from":"2026-03-01T12:01:00Z","to":"2026-03-01T12:02:00Z"}` + "\n"
	header, turns, _ := strings.Cut(string(b), "\n")
	gapped := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(gapped, []byte(string(b)+gap+header+"\n"+turns), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr = tfos(t, "replay", gapped)
	if code != exit.OK || !strings.Contains(stderr, "turns 4 to 10, from 2026-03-01T12:01:00Z to 2026-03-01T12:02:00Z, are missing") || !strings.Contains(stderr, "all 6 turns are the same") {
		t.Errorf("of a log with a gap: exit code %d\nstderr: %s", code, stderr)
	}
	code, stdout, stderr = tfos(t, "replay", gapped, "--as-story")
	if code != exit.OK || !strings.Contains(stdout, "# 7 turns are missing here") || strings.Count(stdout, "\nbegan\n") != 2 {
		t.Errorf("as a story: exit code %d\n%s\nstderr: %s", code, stdout, stderr)
	}
	if err := os.WriteFile(gapped, []byte(string(b)+gap+turns), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr = tfos(t, "replay", gapped); code != exit.Usage || !strings.Contains(stderr, "must begin with a header") {
		t.Errorf("of a gap with nothing to go on from: exit code %d\nstderr: %s", code, stderr)
	}

	for _, flag := range []string{"-as-story", "--as-story"} {
		code, stdout, stderr = tfos(t, "replay", recorded, flag)
		if code != exit.OK || !strings.Contains(stdout, "\nbegan\n----\nask chief 1\nask worker 2\nask ps 1\n") {
			t.Errorf("%s: exit code %d\nstdout: %s\nstderr: %s", flag, code, stdout, stderr)
		}
	}

	if err := os.WriteFile(changed, []byte("{}\n{\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, says string }{
		{changed, "line 2"}, {filepath.Join(t.TempDir(), "none"), "want a file or an application id"},
	} {
		if code, _, stderr := tfos(t, "replay", c.name); code != exit.Usage || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit code %d, want %d and %q: %s", c.name, code, exit.Usage, c.says, stderr)
		}
	}
}
