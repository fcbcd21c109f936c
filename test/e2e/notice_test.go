//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"tfos/internal/status"
)

// TestDraining has an administrator drain the node of a task: its program is told, saves a
// checkpoint, and the task goes on from there in another container long before the deadline. The
// other task does not notice.
func TestDraining(t *testing.T) {
	c := hadoop(t)
	p := submitPatient(t, c, "default", 700)
	before := p.steps(t)
	moved, other := find(t, before, "worker/1"), find(t, before, "worker/0")
	t.Cleanup(func() { c.must(t, "recommission", moved.Node) })
	c.must(t, "drain", "--timeout", "600", moved.Node)
	after := p.end(t)
	if is := find(t, after, "worker/1"); is.Node == moved.Node || is.Container == moved.Container {
		t.Errorf("worker/1 is still in %s on %s", is.Container, is.Node)
	}
	if other.Node != moved.Node {
		same(t, before, after, "worker/0")
	}
	p.moved(t, after, "draining", 500)
}

// TestPreemption has the queue next door want its share back. What a capacity scheduler sends is a
// notice; the program has saved its step when YARN takes the container, and goes on from there when
// there is room again.
func TestPreemption(t *testing.T) {
	t.Parallel()
	c, err := startCluster("e2e-queues", portBase+2000, "--nms", "1",
		"--set", "yarn.resourcemanager.scheduler.monitor.enable=true",
		"--set", "yarn.resourcemanager.monitor.capacity.preemption.monitoring_interval=500",
		"--set", "yarn.resourcemanager.monitor.capacity.preemption.max_wait_before_kill=6000",
		"--set", "yarn.resourcemanager.monitor.capacity.preemption.total_preemption_per_round=1.0",
		"--set", "yarn.resourcemanager.monitor.capacity.preemption.natural_termination_factor=1.0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.must(t, "down")                // the machine has no room for many
	p := submitPatient(t, c, "other", 400) // whose share is a fifth of 8 GiB
	p.steps(t)
	tfos(t, c.env, "run", "--queue", "default", "--workers", "6", "--worker-memory", "1GiB", "--", "sleep 10").want(t, 0)
	p.moved(t, p.end(t), "preempted", 3)
}

// patient is a job of two programs that count, and save where they are when they are warned.
type patient struct {
	c   *cluster
	id  string
	dir string // of their checkpoints, and of what they tell
}

func submitPatient(t *testing.T, c *cluster, queue string, steps int) patient {
	t.Helper()
	dir := t.TempDir()
	r := tfos(t, c.env, "submit", "--queue", queue, "--workers", "2", "--worker-memory", "1GiB", "--checkpoint-dir", dir,
		"-D", "strategy=none", "-D", "notice.wait=2s", "-D", "notice.signal=SIGUSR1", "--files", program("patient.py"),
		"--", "python3 patient.py "+strconv.Itoa(steps)).want(t, 0)
	return patient{c, strings.TrimSpace(r.stdout), dir}
}

// steps waits until both count.
func (p patient) steps(t *testing.T) (v status.View) {
	t.Helper()
	eventually(t, "steps of both", func() bool {
		v = jobStatus(t, p.c.env, p.id)
		return len(v.Tasks) == 2 && v.Tasks[0].Step > 0 && v.Tasks[1].Step > 0
	})
	return v
}

// end waits for the job to succeed.
func (p patient) end(t *testing.T) (v status.View) {
	t.Helper()
	eventually(t, "the end of "+p.id, func() bool {
		v = jobStatus(t, p.c.env, p.id)
		return v.ExitCode != nil
	})
	if *v.ExitCode != 0 {
		t.Fatalf("exit code %d: %s", *v.ExitCode, v.Diagnostics)
	}
	gone(t, p.id)
	return v
}

var (
	warnedRE = regexp.MustCompile(`saved step (\d+): (\w+), (\d+) s left`)
	beginsRE = regexp.MustCompile(`incarnation 2 begins at step (\d+)\n`)
)

// moved wants all restarts to be moves for one cause, of programs that were told by file, signal
// and function, with so many seconds left at least, and went on from the step that they saved then.
func (p patient) moved(t *testing.T, v status.View, cause string, left int) {
	t.Helper()
	if len(v.Restarts) == 0 {
		t.Error("nothing was restarted")
	}
	for _, r := range v.Restarts {
		t.Logf("%s was started again after %.2f s: %s, new container %v", r.Task, r.Seconds, r.Cause, r.NewContainer)
		if r.Cause != cause || !r.NewContainer {
			t.Errorf("%s was started again because of %q, want %q and a new container", r.Task, r.Cause, cause)
		}
		b, err := os.ReadFile(filepath.Join(p.dir, strings.ReplaceAll(r.Task, "/", "-")+".log"))
		if err != nil {
			t.Fatal(err)
		}
		out := string(b)
		saved, begins := warnedRE.FindStringSubmatch(out), beginsRE.FindStringSubmatch(out)
		if saved == nil || begins == nil || saved[1] != begins[1] || saved[2] != cause || !strings.Contains(out, "got SIGUSR1") {
			t.Errorf("%s was not told, or did not go on from where it was:\n%s", r.Task, out)
			continue
		}
		if seconds, err := strconv.Atoi(saved[3]); err != nil || seconds < left {
			t.Errorf("%s had %s s left, want %d or more", r.Task, saved[3], left)
		}
	}
}

// must runs deploy/testcluster for this cluster.
func (c *cluster) must(t *testing.T, args ...string) {
	t.Helper()
	if err := c.script(args...); err != nil {
		t.Error(err)
	}
}
