package fault

import (
	"fmt"
	"testing"
	"time"

	"tfos/internal/job"
	"tfos/internal/membership"
)

// TestPauses: what a container, a checkpoint or another task's end takes is not the master's, and
// the rest is.
func TestPauses(t *testing.T) {
	w0, ps := job.Task{Role: "worker"}, job.Task{Role: "ps"}
	at := func(seconds int, e membership.Event, actions ...membership.Action) membership.Turn {
		return membership.Turn{Time: time.Unix(int64(seconds), 0), Event: e, Actions: actions}
	}
	begin := []membership.Turn{
		at(0, membership.Began{}, membership.Launch{Task: w0, Incarnation: 1}, membership.Launch{Task: ps, Incarnation: 1}),
		at(1, membership.Joined{Task: w0, Incarnation: 1}),
		at(2, membership.Joined{Task: ps, Incarnation: 1}, membership.StartProcess{Task: w0, Incarnation: 1}, membership.StartProcess{Task: ps, Incarnation: 1}),
		at(50, membership.Progressed{Step: 100}),
	}
	for _, c := range []struct {
		name  string
		turns []membership.Turn
		want  string
	}{
		{"held back", []membership.Turn{
			at(60, membership.Exited{Task: w0, Incarnation: 1}),
			at(130, membership.Tick{}, membership.StartProcess{Task: w0, Incarnation: 2}),
		}, "worker/0 1m10s true "},
		{"no progress since the last", []membership.Turn{
			at(60, membership.Exited{Task: w0, Incarnation: 1}, membership.StartProcess{Task: w0, Incarnation: 2}),
			at(61, membership.Exited{Task: w0, Incarnation: 2}),
			at(65, membership.Tick{}, membership.StartProcess{Task: w0, Incarnation: 3}),
		}, "worker/0 0s true worker/0 4s false "},
		{"a new container", []membership.Turn{
			at(60, membership.Left{Task: ps, Incarnation: 1}, membership.Ask{Role: "ps", Count: 1}),
			at(90, membership.Granted{Role: "ps"}, membership.Launch{Task: ps, Incarnation: 2}),
			at(100, membership.Joined{Task: ps, Incarnation: 2}),
			at(101, membership.Tick{}, membership.StartProcess{Task: ps, Incarnation: 2}),
		}, "ps/0 1s true "},
		{"a checkpoint, and a process on its way out", []membership.Turn{
			at(60, membership.Exited{Task: ps, Incarnation: 1}, membership.Inspect{Number: 1}, membership.StopProcess{Task: w0, Incarnation: 1}),
			at(70, membership.Inspected{Number: 1}),
			at(75, membership.Exited{Task: w0, Incarnation: 1}, membership.StartProcess{Task: ps, Incarnation: 2}, membership.StartProcess{Task: w0, Incarnation: 2}),
		}, "ps/0 0s true worker/0 0s false "},
		{"another master", []membership.Turn{
			at(60, membership.Exited{Task: w0, Incarnation: 1}),
			at(90, membership.TakeoverBegan{Attempt: 2}),
			at(95, membership.Tick{}, membership.TakeoverEnded{}, membership.StartProcess{Task: w0, Incarnation: 2}),
		}, ""},
	} {
		got := ""
		for _, p := range Pauses(append(begin[:len(begin):len(begin)], c.turns...))[2:] {
			got += fmt.Sprintf("%s %v %v ", p.Task, p.Idle, p.Progress)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
