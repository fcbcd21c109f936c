//go:build e2e

package e2e

import (
	"strconv"
	"strings"
	"syscall"
	"testing"

	"tfos/internal/status"
)

// TestKilledProcesses kills one process of a job that trains, once it has taken some steps: the task starts again in its
// container, the job ends well, and nobody restarts but those whom the strategy names.
func TestKilledProcesses(t *testing.T) {
	c := hadoop(t)
	for _, k := range []struct {
		strategy, victim string
		restarts         []string // the tasks that may restart, the victim included
	}{
		{"ps", "worker/0", []string{"worker/0"}},
		{"ps", "ps/0", []string{"ps/0", "chief/0"}},
		{"mirrored", "worker/1", []string{"worker/0", "worker/1"}},
		{"v1", "worker/1", []string{"worker/1"}},
	} {
		t.Run(k.strategy+" "+k.victim, func(t *testing.T) {
			dir := "hdfs:///models/killed-" + k.strategy + "-" + strings.ReplaceAll(k.victim, "/", "-")
			id := strings.TrimSpace(tfos(t, c.env, "submit", "--env", "PYTHON="+python(t),
				"--checkpoint-dir", dir, digitsJob(k.strategy), "--", "${PYTHON:-python3} train_"+k.strategy+".py --steps 400 --pause 0.05").want(t, 0).stdout)
			var before status.View
			eventually(t, "a checkpoint and steps", func() bool {
				before = jobStatus(t, c.env, id)
				return steps(before) > 120
			})
			victim := find(t, before, k.victim)
			if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			var after status.View
			eventually(t, "the end of "+id, func() bool {
				after = jobStatus(t, c.env, id)
				return after.ExitCode != nil
			})
			if *after.ExitCode != 0 {
				t.Fatalf("exit code %d: %s", *after.ExitCode, after.Diagnostics)
			}
			out := tfos(t, c.env, "logs", id).want(t, 0).stdout
			if a := accuracy(t, out); a < wantAccuracy {
				t.Errorf("accuracy %.4f, want at least %.2f", a, wantAccuracy)
			}
			for _, was := range before.Tasks {
				is := find(t, after, name(was))
				restarted := is.Incarnation > was.Incarnation
				allowed := false
				for _, r := range k.restarts {
					allowed = allowed || r == name(was)
				}
				if restarted && !allowed {
					t.Errorf("%s restarted: incarnation %d", name(was), is.Incarnation)
				}
				if name(was) == k.victim && !restarted {
					t.Errorf("%s did not restart", k.victim)
				}
				if is.Container != was.Container || is.Address != was.Address {
					t.Errorf("%s moved from %s in %s to %s in %s", name(was), was.Address, was.Container, is.Address, is.Container)
				}
			}
			for _, r := range after.Restarts {
				t.Logf("%s restarted after %.2f s: %s, new container %v", r.Task, r.Seconds, r.Cause, r.NewContainer)
			}
			gone(t, id)
		})
	}
}

// steps is the most that a task said it has taken.
func steps(v status.View) int64 {
	most := int64(0)
	for _, task := range v.Tasks {
		most = max(most, task.Step)
	}
	return most
}

func name(t status.Task) string { return t.Role + "/" + strconv.Itoa(t.Index) }

func find(t *testing.T, v status.View, task string) status.Task {
	t.Helper()
	for _, x := range v.Tasks {
		if name(x) == task {
			return x
		}
	}
	t.Fatalf("no %s in %+v", task, v.Tasks)
	return status.Task{}
}
