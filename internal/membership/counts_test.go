package membership

import (
	"slices"
	"testing"

	"tfos/internal/job"
	"tfos/internal/status"
)

// TestAllRestartsAreCounted: also those beyond the newest that are remembered, and by the next
// master.
func TestAllRestartsAreCounted(t *testing.T) {
	j, err := job.Parse("job.yaml", []byte("command: x\nroles: {chief: {}, worker: {instances: 2}}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := New(j, 1, Options{})
	for range 150 {
		m.note(m.find(job.Task{Role: "worker", Index: 1}), CausePreempted, "", true)
		m.note(m.find(job.Task{Role: "worker"}), CausePreempted, "", true)
		m.note(m.find(job.Task{Role: "chief"}), CauseProgram, "", false)
	}
	b, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if m, err = Restore(b); err != nil {
		t.Fatal(err)
	}
	want := []status.RestartCount{{Role: "worker", Cause: "preempted", Count: 300}, {Role: "chief", Cause: "program", Count: 150}}
	if v := m.View(); len(v.Restarts) != 200 || !slices.Equal(v.Counts, want) {
		t.Errorf("%d restarts, counts %v, want %v", len(v.Restarts), v.Counts, want)
	}
}
