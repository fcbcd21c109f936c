//go:build e2e && matrix

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestMatrixOfShardedCheckpoints: parameter servers save their shares of the model themselves. The
// checkpoints are listed and found whole; one whose shard is missing is found, and the job goes on
// from the one before.
func TestMatrixOfShardedCheckpoints(t *testing.T) {
	c := storage(t)
	const dir = "/models/sharded"
	file := jobFile(t, fmt.Sprintf(`name: sharded
command: ${PYTHON:-python3} sharded_ps.py --steps 300
files: [%s, %s, %s]
roles:
  chief:  {instances: 1, memory: 1GiB}
  worker: {instances: 1, memory: 1GiB}
  ps:     {instances: 3, memory: 1GiB, service: true}
`, program("sharded_ps.py"), example("train_ps.py"), example("digits.py")))
	r := tfos(t, c.env, "run", "--env", "PYTHON="+python(t), "--checkpoint-dir", "hdfs://"+dir, file).want(t, 0)
	id := r.application(t)
	for _, v := range verified(t, c.env, "hdfs://"+dir, 0) {
		if v.Format == "bundle" && (len(v.Files) < 4 || !strings.Contains(strings.Join(v.Files, " "), "-of-0000"+fmt.Sprint(len(v.Files)-1))) {
			t.Errorf("%s is in %v", v.Name, v.Files)
		}
	}
	if names := wholeOnes(t, c, dir); !slices.Equal(names, []string{"ckpt-100", "ckpt-200", "ckpt-300"}) {
		t.Fatalf("whole: %v", names)
	}

	shard := slices.DeleteFunc(c.list(t, dir), func(name string) bool { return !strings.HasPrefix(name, "ckpt-300.data-00001-of-") })
	if len(shard) != 1 {
		t.Fatalf("shards: %v of %v", shard, c.list(t, dir))
	}
	c.shell(t, "hdfs dfs -rm -skipTrash "+dir+"/"+shard[0])
	broken := tfos(t, c.env, "checkpoint", "verify", "hdfs://"+dir).want(t, 1)
	if out := broken.stdout + broken.stderr; !strings.Contains(out, shard[0]+" is missing") {
		t.Errorf("verify says\n%s", out)
	}
	again := tfos(t, c.env, "resume", id).want(t, 0).says(t,
		"set aside hdfs://"+dir+"/ckpt-300, which is broken: "+shard[0]+" is missing", "resumes "+id+" from hdfs://"+dir+"/ckpt-200 at step 200")
	if from := resumed(t, again.stdout); from != 200 {
		t.Errorf("it restored step %d", from)
	}
	if a := accuracy(t, again.stdout); a < wantAccuracy {
		t.Errorf("accuracy %.4f, want at least %.2f", a, wantAccuracy)
	}
	if names := wholeOnes(t, c, dir); names[len(names)-1] != "ckpt-300" {
		t.Errorf("whole in the end: %v", names)
	}
	tfos(t, c.env, "checkpoint", "verify", "hdfs://"+dir).want(t, 0)
	gone(t, id)
}
