package membership_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/yarn"
)

// TestLossesAreSpelledOut holds what status says of a strategy against the table in
// docs/job-file.md.
func TestLossesAreSpelledOut(t *testing.T) {
	for _, k := range []struct{ file, want string }{
		{"roles: {chief: {}, worker: {instances: 2}, ps: {}}", "parameter-server: chief[] worker[] ps[chief/0]"},
		{"roles: {worker: {instances: 2}, ps: {instances: 2}}", "parameter-server: worker[] ps[worker/0]"},
		{"roles: {worker: {instances: 3}}", "mirrored: worker[worker]"},
		{"roles: {worker: {instances: 2}}", "mirrored: worker[worker/1]"},
		{"roles: {chief: {}, worker: {instances: 3}, evaluator: {}}", "mirrored: chief[worker] worker[chief/0 worker] evaluator[]"},
		{"roles: {chief: {}, worker: {instances: 2}, ps: {}}\nstrategy: v1", "v1: chief[] worker[] ps[]"},
		{"roles: {worker: {instances: 3}}\nstrategy: none", "none: worker[]"},
	} {
		j, err := job.Parse("job.yaml", []byte("command: x\n"+k.file), nil)
		if err != nil {
			t.Fatal(err)
		}
		r := membership.New(j, 1, membership.Options{}).View().Recovery
		got := r.Strategy + ":"
		for _, l := range r.Losses {
			got += fmt.Sprintf(" %s[%s]", l.Role, strings.Join(l.Also, " "))
		}
		if got != k.want {
			t.Errorf("%s:\n got %s\nwant %s", k.file, got, k.want)
		}
		if r.Endpoints != "redirect" || r.UserFailures != 3 || r.Window != 3600 || r.Failures != 0 {
			t.Errorf("%s: %+v", k.file, r)
		}
	}
}

// TestLossesSayWhy: a cause in a word is for scripts, and a person needs what happened.
func TestLossesSayWhy(t *testing.T) {
	j, err := job.Parse("job.yaml", []byte("command: x\nroles: {worker: {instances: 1}}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := membership.New(j, 1, membership.Options{})
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	id := func(n int64) yarn.ContainerID { return yarn.ContainerID{ID: n} }
	worker, node := job.Task{Role: "worker"}, yarn.NodeID{Host: "n1", Port: 1}
	for _, ev := range []membership.Event{
		membership.Began{Attempt: 1},
		membership.Granted{Role: "worker", Container: id(2), Node: node},
		membership.LaunchFailed{Task: worker, Incarnation: 1, Container: id(2), Reason: "No space left on device"},
	} {
		m.Step(now, ev)
	}
	const why = "its container could not be started on n1: No space left on device"
	if v := m.View(); v.Tasks[0].Cause != "launch" || v.Tasks[0].Why != why || v.Restarts[0].Why != why {
		t.Errorf("of a launch: %+v, %+v", v.Tasks[0], v.Restarts)
	}
	now = now.Add(time.Minute)
	for _, ev := range []membership.Event{
		membership.Tick{},
		membership.Granted{Role: "worker", Container: id(3), Node: node},
		membership.Joined{Task: worker, Incarnation: 2, Container: id(3), Address: "n1:2"},
		membership.Started{Task: worker, Incarnation: 2, Container: id(3), PID: 7},
		membership.Exited{Task: worker, Incarnation: 2, Container: id(3), Ended: job.Ended{Code: 1, Stderr: []string{"Traceback", "No module named tensorboard", ""}}},
	} {
		m.Step(now, ev)
	}
	if r := m.View().Restarts[1]; r.Cause != "program" || r.Why != "exit code 1: No module named tensorboard" {
		t.Errorf("of a program: %+v", r)
	}
}
