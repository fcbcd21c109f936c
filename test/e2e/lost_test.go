//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"tfos/internal/status"
)

// TestLostContainers takes one task's container away from a job that trains, by killing its agent: the task comes back in another
// container, the job ends well, and no process has started again but those that the strategy names, in their containers. That
// nobody else's has is told by process ids and start times.
func TestLostContainers(t *testing.T) {
	c := hadoop(t)
	for _, k := range []struct {
		strategy, victim string
		again            []string // the others that start again
	}{
		{"ps", "worker/0", nil},
		{"ps", "ps/0", []string{"chief/0"}},
		{"mirrored", "worker/1", []string{"worker/0"}},
		{"v1", "worker/1", nil},
		{"v1", "ps/0", nil},
	} {
		t.Run(k.strategy+" "+k.victim, func(t *testing.T) {
			dir := "hdfs:///models/lost-" + k.strategy + "-" + strings.ReplaceAll(k.victim, "/", "-")
			id := strings.TrimSpace(tfos(t, c.env, "submit", "--env", "PYTHON="+python(t),
				"--checkpoint-dir", dir, digitsJob(k.strategy), "--", "${PYTHON:-python3} train_"+k.strategy+".py --steps 400 --pause 0.05").want(t, 0).stdout)
			var before, last, after status.View
			eventually(t, "a checkpoint and steps", func() bool {
				before = jobStatus(t, c.env, id)
				return steps(before) > 120
			})
			if err := syscall.Kill(agentOf(t, find(t, before, k.victim)), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the end of "+id, func() bool {
				after = jobStatus(t, c.env, id)
				if after.ExitCode == nil {
					last = after // of its life: the end stops processes
				}
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
				if is.Endpoints != "redirect" {
					t.Errorf("%s reaches its peers by %q: %s", name(was), is.Endpoints, is.EndpointsReason)
				}
				switch {
				case name(was) == k.victim:
					if is.Container == was.Container || is.Incarnation == was.Incarnation {
						t.Errorf("%s was not replaced: incarnation %d in %s", name(was), is.Incarnation, is.Container)
					}
				case is.Container != was.Container || is.Address != was.Address:
					t.Errorf("%s moved from %s in %s to %s in %s", name(was), was.Address, was.Container, is.Address, is.Container)
				case slices.Contains(k.again, name(was)):
				case process(find(t, last, name(was))) != process(was) || is.Incarnation != was.Incarnation:
					t.Errorf("%s started again: %s, before %s", name(was), process(is), process(was))
				}
			}
			for _, r := range after.Restarts {
				t.Logf("%s restarted after %.2f s: %s, new container %v", r.Task, r.Seconds, r.Cause, r.NewContainer)
			}
			gone(t, id)
		})
	}
}

// process is who a task's process is, and since when.
func process(t status.Task) string { return fmt.Sprintf("process %d since %s", t.PID, t.Started) }

// agentOf finds the agent of a task on this machine: the parent of the guard of its process.
func agentOf(t *testing.T, task status.Task) int {
	t.Helper()
	return parent(t, parent(t, task.PID))
}

func parent(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	n, err := strconv.Atoi(f[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
