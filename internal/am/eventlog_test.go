package am

import (
	"strings"
	"testing"
	"time"

	"tfos/internal/job"
	"tfos/internal/membership"
)

// TestEventLogKeepsBeginningAndNewest fills it several times over: what is left can be re-stepped,
// and says what is missing.
func TestEventLogKeepsBeginningAndNewest(t *testing.T) {
	j, err := job.Parse("job.yaml", []byte("command: x\nenv: {TOKEN: hunter2}\nroles: {worker: {instances: 2, env: {KEY: hunter3}}}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := membership.New(j, 1, membership.Options{})
	var l eventLog
	if err := l.first.line(m.Header()); err != nil {
		t.Fatal(err)
	}
	now, taken := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), 0
	turn := func(ev membership.Event) {
		t.Helper()
		now, taken = now.Add(time.Second), taken+1
		if err := l.append(membership.Turn{Time: now, Event: ev, Actions: m.Step(now, ev).All()}, m); err != nil {
			t.Fatal(err)
		}
	}
	read := func() []membership.Part {
		t.Helper()
		b, err := l.bytes()
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 5<<20 {
			t.Fatalf("the log has %d bytes", len(b))
		}
		if strings.Contains(string(b), "hunter") || !strings.Contains(string(b), "TOKEN") || !strings.Contains(string(b), "KEY") {
			t.Fatal("the log tells a secret, or not the variable's name")
		}
		parts, err := membership.ReadParts(b)
		if err != nil {
			t.Fatal(err)
		}
		turns := 0
		for _, p := range parts {
			if differences, err := membership.Replay(p.Header, p.Turns); err != nil || len(differences) > 0 {
				t.Fatalf("re-stepped: %v, %v", differences, err)
			}
			turns += p.Before.Turns + len(p.Turns)
		}
		if turns != taken {
			t.Fatalf("%d turns are there or told to be missing, of %d", turns, taken)
		}
		return parts
	}

	turn(membership.Began{Attempt: 1})
	late := membership.LaunchFailed{Task: job.Task{Role: "worker", Index: 7}, Reason: strings.Repeat("reasons ", 4<<10)}
	for l.last.buf.Len() == 0 || l.middle.buf.Len() == 0 {
		turn(late)
	}
	if parts := read(); len(parts) != 1 {
		t.Fatalf("%d parts before anything is dropped", len(parts))
	}
	for range 200 {
		turn(late)
	}
	turn(membership.StopRequested{Reason: "by ann"})
	parts := read()
	if len(parts) != 2 || parts[1].Before.Turns == 0 {
		t.Fatalf("%d parts", len(parts))
	}
	first, last := parts[0].Turns[0], parts[1].Turns[len(parts[1].Turns)-1]
	if _, ok := first.Event.(membership.Began); !ok {
		t.Errorf("it begins with %+v", first.Event)
	}
	if _, ok := last.Event.(membership.StopRequested); !ok || !last.Time.Equal(now) {
		t.Errorf("it ends with %+v at %v", last.Event, last.Time)
	}
	before, after := parts[0].Turns[len(parts[0].Turns)-1].Time, parts[1].Turns[0].Time
	if gap := parts[1].Before; !gap.From.Equal(before.Add(time.Second)) || !gap.To.Equal(after.Add(-time.Second)) {
		t.Errorf("missing %+v, between %v and %v", gap, before, after)
	}
}
