package am

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"tfos/internal/control"
	"tfos/internal/job"
)

// TestMirrorOf: one task copies to a directory, and who goes on from it fetches.
func TestMirrorOf(t *testing.T) {
	const dir = "hdfs:///models/x"
	for _, c := range []struct {
		roles, task string
		want        control.Mirror
	}{
		{"worker: {instances: 1}", "worker/0", control.Mirror{URI: dir, Fetch: true, Upload: true}},
		{"worker: {instances: 2}", "worker/0", control.Mirror{URI: dir, Fetch: true, Upload: true, Shared: true}},
		{"worker: {instances: 2}", "worker/1", control.Mirror{URI: dir, Fetch: true, Shared: true}},
		{"chief: {}, worker: {}, ps: {}", "chief/0", control.Mirror{URI: dir, Fetch: true, Upload: true}},
		{"chief: {}, worker: {}, ps: {}", "worker/0", control.Mirror{URI: dir}},
		{"chief: {}, worker: {}, ps: {}", "ps/0", control.Mirror{URI: dir}},
		{"worker: {}, evaluator: {}", "evaluator/0", control.Mirror{URI: dir, Fetch: true, Follow: true}},
		{"worker: {instances: 2}}\nstrategy: none\nenv: {A: b", "worker/0", control.Mirror{URI: dir + "/worker-0", Fetch: true, Upload: true}},
		{"worker: {instances: 2}}\nstrategy: none\nenv: {A: b", "worker/1", control.Mirror{URI: dir + "/worker-1", Fetch: true, Upload: true}},
	} {
		j, err := job.Parse("x.yaml", []byte("command: train\ncheckpoint: {dir: \""+dir+"\", local: true}\nroles: {"+c.roles+"}\n"), nil)
		if err != nil {
			t.Fatal(err)
		}
		task, err := job.ParseTask(c.task)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&c.want, mirrorOf(j, task)); diff != "" {
			t.Errorf("%s of {%s} (-want +got):\n%s", c.task, c.roles, diff)
		}
		j.Checkpoint.Local = false
		if m := mirrorOf(j, task); m != nil {
			t.Errorf("without checkpoint.local it is %+v", m)
		}
	}
}
