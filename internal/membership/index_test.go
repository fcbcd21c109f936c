package membership

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// checkIndex compares what the machine knows of all tasks with what it would find if it looked at
// each.
func checkIndex(t *testing.T, m *Machine) {
	t.Helper()
	anew := *m
	anew.build()
	anew.endStep()
	if len(m.x.edited) > 0 {
		t.Errorf("%d tasks are still handed out after the step", len(m.x.edited))
	}
	for f := range anew.x.sets {
		if got, want := slices.Collect(m.x.sets[f].all()), slices.Collect(anew.x.sets[f].all()); !slices.Equal(got, want) || m.x.sets[f].len() != len(want) {
			t.Errorf("facet %d is true of %v, and should be of %v", f, got, want)
		}
	}
	if !maps.Equal(m.x.in, anew.x.in) || !maps.Equal(m.x.at, anew.x.at) || !slices.Equal(m.x.member, anew.x.member) || m.x.strangers != anew.x.strangers {
		t.Errorf("the index is %v, and should be %v", places(m), places(&anew))
	}
	for i, at := range anew.x.alarms.of {
		if got := m.x.alarms.of[i]; !got.Equal(at) {
			t.Errorf("%s has its alarm at %s, and should have it at %s", m.s.Tasks[i].Task, got, at)
		}
	}
}

func places(m *Machine) string {
	return fmt.Sprint(m.x.in, m.x.at, m.x.member, m.x.strangers)
}
