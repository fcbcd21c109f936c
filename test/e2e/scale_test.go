//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"tfos/internal/status"
)

// trainDigits submits the digits with a strategy and returns when it takes steps.
func trainDigits(t *testing.T, c *cluster, strategy, dir string, args string) (id string, v status.View) {
	t.Helper()
	id = strings.TrimSpace(tfos(t, c.env, "submit", "--env", "PYTHON="+python(t),
		"--checkpoint-dir", dir, digitsJob(strategy), "--", "${PYTHON:-python3} train_"+strategy+".py "+args).want(t, 0).stdout)
	eventually(t, "a checkpoint and steps", func() bool {
		v = jobStatus(t, c.env, id)
		return steps(v) > 60
	})
	return id, v
}

// ends waits for a job's end, which is to be a good one.
func ends(t *testing.T, c *cluster, id string) status.View {
	t.Helper()
	var v status.View
	eventually(t, "the end of "+id, func() bool {
		v = jobStatus(t, c.env, id)
		return v.ExitCode != nil
	})
	if *v.ExitCode != 0 {
		t.Fatalf("exit code %d: %s", *v.ExitCode, v.Diagnostics)
	}
	if a := accuracy(t, tfos(t, c.env, "logs", id).want(t, 0).stdout); a < wantAccuracy {
		t.Errorf("accuracy %.4f, want at least %.2f", a, wantAccuracy)
	}
	gone(t, id)
	return v
}

// running waits until a job has so many running tasks.
func running(t *testing.T, c *cluster, id string, n int) status.View {
	t.Helper()
	var v status.View
	eventually(t, "another size of "+id, func() bool {
		v = jobStatus(t, c.env, id)
		if v.ExitCode != nil {
			t.Fatalf("it ended with exit code %d: %s", *v.ExitCode, v.Diagnostics)
		}
		count := 0
		for _, task := range v.Tasks {
			if task.State == status.Running {
				count++
			}
		}
		return count == n && len(v.Tasks) == n
	})
	return v
}

// TestScaleParameterServer gives a job with parameter servers a third worker, then leaves it one.
// The processes of those who stay are the same all the time.
func TestScaleParameterServer(t *testing.T) {
	c := hadoop(t)
	id, before := trainDigits(t, c, "ps", "hdfs:///models/scaled-ps", "--steps 1500 --pause 0.05")
	tfos(t, c.env, "scale", id, "ps=2").want(t, 2).says(t, "variables are divided among the 1 tasks of ps")
	tfos(t, c.env, "scale", id, "worker=2000").want(t, 3)
	tfos(t, c.env, "scale", id, "nobody=2").want(t, 2).says(t, `no role "nobody"`)

	tfos(t, c.env, "scale", id, "worker=3").want(t, 0).says(t, "from 2 to 3 of worker")
	larger := running(t, c, id, 5)
	same(t, before, larger, "chief/0", "worker/0", "worker/1", "ps/0")
	tfos(t, c.env, "scale", id, "worker=1").want(t, 0)
	smaller := running(t, c, id, 3)
	same(t, before, smaller, "chief/0", "worker/0", "ps/0")
	same(t, before, ends(t, c, id), "chief/0", "worker/0", "ps/0")
}

// same fails the test if one of the tasks has another process than before.
func same(t *testing.T, before, after status.View, tasks ...string) {
	t.Helper()
	for _, name := range tasks {
		was, is := find(t, before, name), find(t, after, name)
		if is.PID != was.PID || is.Incarnation != was.Incarnation || is.Container != was.Container {
			t.Errorf("%s was pid %d in %s, incarnation %d; now it is pid %d in %s, incarnation %d", name, was.PID, was.Container, was.Incarnation, is.PID, is.Container, is.Incarnation)
		}
	}
}

// TestScaleMirrored gives mirrored peers a third one: all start again in place, and go on from the
// checkpoint.
func TestScaleMirrored(t *testing.T) {
	c := hadoop(t)
	id, before := trainDigits(t, c, "mirrored", "hdfs:///models/scaled-mirrored", "--steps 600 --pause 0.05 --batch 48") // which two and three divide
	tfos(t, c.env, "scale", id, "worker=3").want(t, 0).says(t, "all start again in place")
	larger := running(t, c, id, 3)
	for _, name := range []string{"worker/0", "worker/1"} {
		was, is := find(t, before, name), find(t, larger, name)
		if is.Container != was.Container || is.Incarnation == was.Incarnation {
			t.Errorf("%s was incarnation %d in %s and is %d in %s: want it started again in place", name, was.Incarnation, was.Container, is.Incarnation, is.Container)
		}
	}
	after := ends(t, c, id)
	for _, r := range after.Restarts {
		t.Logf("%s restarted after %.2f s: %s, new container %v", r.Task, r.Seconds, r.Cause, r.NewContainer)
	}
}
