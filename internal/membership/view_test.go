package membership_test

import (
	"fmt"
	"strings"
	"testing"

	"tfos/internal/job"
	"tfos/internal/membership"
)

// TestLossesAreSpelledOut holds what status says of a strategy against the table in docs/job-file.md.
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
