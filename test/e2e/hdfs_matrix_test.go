//go:build e2e && matrix

package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfos/internal/status"
)

// TestMatrixOfHDFSFaultsWhileTraining restarts the NameNode under jobs that train with checkpoints
// and summaries, and then kills a DataNode, so that of three replicas two are left: training goes
// on without a restart, to the same accuracy, and all checkpoints are whole.
func TestMatrixOfHDFSFaultsWhileTraining(t *testing.T) {
	c := storage(t)
	for _, strategy := range strategies {
		t.Run(strategy, func(t *testing.T) { c.trainsThroughFaults(t, strategy, "/models/faults-"+strategy) })
	}
	t.Run("mirrored-local", func(t *testing.T) {
		c.trainsThroughFaults(t, "mirrored", "/models/faults-mirrored-local", "--checkpoint-local")
	})
}

func (c *cluster) trainsThroughFaults(t *testing.T, strategy, dir string, flags ...string) {
	last, every := 600, 10
	if strategy == "v1" { // whose three workers take steps of their own, and whose hook writes summaries
		last, every = 3*last, 100
	}
	file := strings.NewReplacer("3GiB", "1GiB", "6GiB", "512MiB", "--steps 400", fmt.Sprint("--steps ", last),
		" train_", " with_summaries.py train_", "files: [", "files: ["+program("with_summaries.py")+", ").Replace(lastingJob(strategy))
	args := append([]string{"submit", "--env", "PYTHON=" + python(t), "--checkpoint-dir", "hdfs://" + dir}, flags...)
	id := strings.TrimSpace(tfos(t, c.env, append(args, jobFile(t, file))...).want(t, 0).stdout)
	var v status.View
	saves := func(what string, more int64) {
		t.Helper()
		was := savedStep(v)
		eventually(t, fmt.Sprintf("checkpoints %s, after step %d", what, was), func() bool {
			v = jobStatus(t, c.env, id)
			return v.ExitCode != nil || savedStep(v) >= was+more
		})
		if v.ExitCode != nil && (*v.ExitCode != 0 || savedStep(v) < was+more) {
			t.Fatalf("%s it ended, exit code %d: %s\n%s", what, *v.ExitCode, v.Diagnostics, tail(tfos(t, c.env, "logs", id).stdout, 60))
		}
		t.Logf("%s: at step %d, saved at %d", what, steps(v), savedStep(v))
	}
	saves("at first", 100)
	for _, fault := range []string{"restart nn", "kill dn1"} {
		if err := c.script(strings.Fields(fault)...); err != nil {
			t.Fatal(err)
		}
		saves("after "+fault, 100)
	}
	eventually(t, "the end of "+id, func() bool {
		v = jobStatus(t, c.env, id)
		return v.ExitCode != nil
	})
	if err := c.script("start", "dn1"); err != nil { // for the tests after this one
		t.Fatal(err)
	}
	out := tfos(t, c.env, "logs", id).want(t, 0).stdout
	if *v.ExitCode != 0 || v.State != status.Succeeded || len(v.Restarts) > 0 {
		t.Fatalf("state %s, exit code %d, restarts %+v: %s\n%s", v.State, *v.ExitCode, v.Restarts, v.Diagnostics, tail(out, 60))
	}
	got := accuracy(t, out)
	if got < wantAccuracy {
		t.Errorf("accuracy %.4f, want at least %.2f", got, wantAccuracy)
	}
	list := verified(t, c.env, "hdfs://"+dir, 0)
	if !slices.ContainsFunc(list, func(k verdict) bool { return k.Step >= int64(last) }) {
		t.Errorf("no checkpoint of the last step: %+v", list)
	}
	local := t.TempDir()
	c.shell(t, fmt.Sprintf("hdfs dfs -get %s %s/kept", dir, local))
	verifyModel(t, filepath.Join(local, "kept", "model"))
	summaries := command(t.Context(), t, nil, python(t), program("count_summaries.py"), filepath.Join(local, "kept")).want(t, 0).stdout
	fmt.Printf("%-16s %s  accuracy %.3f  %d whole checkpoints  %s", filepath.Base(dir), id, got, len(list), summaries)
	if !strings.HasPrefix(summaries, fmt.Sprintf("%d steps up to ", last/every)) {
		t.Errorf("summaries: %s", summaries)
	}
	gone(t, id)
}

// savedStep is the step of the newest checkpoint that was found whole; 0: there is none.
func savedStep(v status.View) int64 {
	step := int64(0)
	for _, k := range v.Checkpoints {
		if k.Verdict == "whole" {
			step = max(step, k.Step)
		}
	}
	return step
}
