package membership

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tfos/internal/job"
	"tfos/internal/yarn"
)

// TestWhatWaitsForTheJournal: no agent is launched, retired or told to stop its process before the
// journal has it. Everything else is found out again by whoever takes over.
func TestWhatWaitsForTheJournal(t *testing.T) {
	later := map[string]bool{"launch": true, "stop-process": true, "retire": true}
	for _, tt := range loggedActions {
		m := &Machine{}
		m.do(tt.action)
		kind := ActionKind(tt.action)
		if waits := len(m.out.Later) == 1; waits != later[kind] || len(m.out.All()) != 1 {
			t.Errorf("%s waits for the journal: %v, want %v", kind, waits, later[kind])
		}
	}
}

func TestOutbox(t *testing.T) {
	begin := time.Unix(100, 0)
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	task := job.Task{Role: "worker"}
	launch := func(n int) Action {
		return Launch{Task: task, Incarnation: 1, Container: container(n), Node: yarn.NodeID{Host: "n1"}}
	}
	stop, retire := StopProcess{Task: task, Incarnation: 1}, Retire{Task: task, Container: container(9)}

	var o Outbox
	take := func(what string, s int, written int64, failing bool, want ...Action) {
		t.Helper()
		if diff := cmp.Diff(want, o.Take(at(s), written, failing)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	if take("nothing was put in", 0, 5, true); !o.Wake().IsZero() {
		t.Error("an empty outbox wants to be asked")
	}
	o.Put(1, at(0), Decision{Now: []Action{Ask{"worker", 1}}, Later: []Action{launch(1), stop}})
	o.Put(2, at(1), Decision{Later: []Action{launch(2), retire}})
	take("nothing is written", 2, 0, false)
	if got := o.Wake(); !got.Equal(at(3)) {
		t.Errorf("it wants to be asked at %s, want %s", got, at(3))
	}
	take("the first step is written", 2, 1, false, launch(1), stop)
	take("a retire has waited for long enough, a launch goes on waiting", 4, 1, false, retire)
	if !o.Wake().IsZero() {
		t.Error("a launch alone wants no other time than the journal's")
	}
	o.Put(3, at(5), Decision{Now: []Action{Release{container(2)}}, Later: []Action{launch(3)}})
	take("the second container was given back before its launch, and nothing can be written", 5, 1, true, launch(3))
}
