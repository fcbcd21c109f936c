package am

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tfos/internal/control"
	"tfos/internal/job"
)

// TestMirrorOf: one task copies to a directory, and who goes on from it fetches. A job that was
// submitted with one worker may have more by now.
func TestMirrorOf(t *testing.T) {
	const dir = "hdfs:///models/x"
	for _, c := range []struct {
		roles, task string
		want        control.Mirror
		workers     int // by now; 0: as submitted
	}{
		{"worker: {instances: 1}", "worker/0", control.Mirror{URI: dir, Fetch: true, Upload: true, Others: "worker"}, 0},
		{"worker: {instances: 2}", "worker/0", control.Mirror{URI: dir, Fetch: true, Upload: true, Shared: true}, 0},
		{"worker: {instances: 2}", "worker/1", control.Mirror{URI: dir, Fetch: true, Shared: true}, 0},
		{"chief: {}, worker: {}, ps: {}", "chief/0", control.Mirror{URI: dir, Fetch: true, Upload: true}, 0},
		{"chief: {}, worker: {}, ps: {}", "worker/0", control.Mirror{URI: dir}, 0},
		{"chief: {}, worker: {}, ps: {}", "ps/0", control.Mirror{URI: dir}, 0},
		{"worker: {}, evaluator: {}", "evaluator/0", control.Mirror{URI: dir, Fetch: true, Follow: true}, 0},
		{"worker: {instances: 2}}\nstrategy: none\nenv: {A: b", "worker/0", control.Mirror{URI: dir + "/worker-0", Fetch: true, Upload: true}, 0},
		{"worker: {instances: 2}}\nstrategy: none\nenv: {A: b", "worker/1", control.Mirror{URI: dir + "/worker-1", Fetch: true, Upload: true}, 0},
		{"worker: {instances: 1}}\nstrategy: mirrored\nenv: {A: b", "worker/0", control.Mirror{URI: dir, Fetch: true, Upload: true, Shared: true}, 2},
		{"worker: {instances: 1}}\nstrategy: mirrored\nenv: {A: b", "worker/1", control.Mirror{URI: dir, Fetch: true, Shared: true}, 2},
		{"worker: {instances: 2}", "worker/0", control.Mirror{URI: dir, Fetch: true, Upload: true}, 1},
		{"worker: {}}\nstrategy: none\nenv: {A: b", "worker/0", control.Mirror{URI: dir, Fetch: true, Upload: true, Others: "worker"}, 0},
		{"worker: {}}\nstrategy: none\nenv: {A: b", "worker/0", control.Mirror{URI: dir, Fetch: true, Upload: true, Others: "worker"}, 2},
		{"worker: {}}\nstrategy: none\nenv: {A: b", "worker/1", control.Mirror{URI: dir + "/worker-1", Fetch: true, Upload: true}, 2},
		{"worker: {instances: 2}}\nstrategy: none\nenv: {A: b", "worker/0", control.Mirror{URI: dir + "/worker-0", Fetch: true, Upload: true}, 1},
	} {
		j, err := job.Parse("x.yaml", []byte("command: train\ncheckpoint: {dir: \""+dir+"\", local: true}\nroles: {"+c.roles+"}\n"), nil)
		if err != nil {
			t.Fatal(err)
		}
		task, err := job.ParseTask(c.task)
		if err != nil {
			t.Fatal(err)
		}
		now := j
		if c.workers > 0 {
			now.Roles = slices.Clone(j.Roles)
			now.Roles[0].Instances = c.workers
		}
		if diff := cmp.Diff(&c.want, mirrorOf(j, now, task)); diff != "" {
			t.Errorf("%s of {%s} (-want +got):\n%s", c.task, c.roles, diff)
		}
		now.Checkpoint.Local = false
		if m := mirrorOf(j, now, task); m != nil {
			t.Errorf("without checkpoint.local it is %+v", m)
		}
	}
}
