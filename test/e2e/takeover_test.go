//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tfos/internal/status"
)

// followed is a digits job that trains on a cluster, and the tfos run that follows it.
type followed struct {
	c      *cluster
	id     string
	before status.View // once it took some steps
	out    *bytes.Buffer
	errs   *syncBuffer
	ended  chan error // what tfos run ended with; capacity 1
}

// syncBuffer takes the output of a command while it runs.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// follow runs a digits job with parameter servers, and waits until it has taken some steps.
func (c *cluster) follow(t *testing.T, name string) *followed {
	t.Helper()
	f := &followed{c: c, out: new(bytes.Buffer), errs: new(syncBuffer), ended: make(chan error, 1)}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	cmd := exec.CommandContext(ctx, filepath.Join(root, "bin", "tfos"), "run", "--env", "PYTHON="+python(t),
		"--checkpoint-dir", "hdfs:///models/"+name, digitsJob("ps"), "--", "${PYTHON:-python3} train_ps.py --steps 700 --pause 0.05")
	cmd.Env = append(cleanEnv(), c.env...)
	cmd.Stdout, cmd.Stderr = f.out, f.errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer cancel()
		f.ended <- cmd.Wait()
	}()
	t.Cleanup(cancel)
	eventually(t, "an application", func() bool {
		f.id = applicationRE.FindString(f.errs.String())
		return f.id != ""
	})
	eventually(t, "steps", func() bool {
		f.before = jobStatus(t, c.env, f.id)
		return steps(f.before) > 100
	})
	return f
}

// undisturbed waits for the job's end: it succeeded, nothing was started anew, and no container
// added. It returns the last status.
func (f *followed) undisturbed(t *testing.T) status.View {
	t.Helper()
	if err := <-f.ended; err != nil {
		t.Fatalf("tfos run: %v\n%s", err, f.errs)
	}
	if a := accuracy(t, f.out.String()); a < wantAccuracy {
		t.Errorf("accuracy %.4f, want at least %.2f", a, wantAccuracy)
	}
	after := jobStatus(t, f.c.env, f.id)
	if after.State != status.Succeeded || len(after.Restarts) != 0 {
		t.Errorf("state %s, restarts %+v", after.State, after.Restarts)
	}
	for _, was := range f.before.Tasks {
		is := find(t, after, name(was))
		if is.Incarnation != was.Incarnation || is.PID != was.PID || is.Container != was.Container || is.Address != was.Address || !is.Started.Equal(*was.Started) {
			t.Errorf("%s was incarnation %d, pid %d in %s since %v, and is incarnation %d, pid %d in %s since %v", name(was),
				was.Incarnation, was.PID, was.Container, was.Started, is.Incarnation, is.PID, is.Container, is.Started)
		}
	}
	gone(t, f.id)
	return after
}

// masterPID is the process of a job's master.
func masterPID(t *testing.T, id string) int {
	t.Helper()
	for _, line := range leftovers(t, id) {
		pid, rest, _ := strings.Cut(line, ": ")
		if !strings.HasPrefix(rest, "./tfos-am") {
			continue
		}
		n, err := strconv.Atoi(pid)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	t.Fatalf("no master of %s", id)
	return 0
}

// TestMasterKilled kills the application master of a job that trains: the next one takes the tasks
// over, and they notice nothing.
func TestMasterKilled(t *testing.T) {
	c := hadoop(t)
	f := c.follow(t, "master-killed")
	killed := time.Now()
	if err := syscall.Kill(masterPID(t, f.id), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the next master to have all agents", func() bool {
		v := jobStatus(t, c.env, f.id)
		return v.Attempt == 2 && v.Diagnostics == "" && len(v.Tasks) == len(f.before.Tasks)
	})
	t.Logf("%.1f s from the kill until the next master had heard of all agents", time.Since(killed).Seconds())
	after := f.undisturbed(t)
	if after.Attempt != 2 || len(after.Takeovers) != 1 {
		t.Errorf("attempt %d, took over at %v", after.Attempt, after.Takeovers)
	}
}

// TestResourceManagerRestarted restarts the ResourceManager under a job that trains.
func TestResourceManagerRestarted(t *testing.T) {
	c := hadoop(t)
	f := c.follow(t, "rm-restarted")
	if err := c.script("restart-rm"); err != nil {
		t.Fatal(err)
	}
	after := f.undisturbed(t)
	if after.Attempt != 1 {
		t.Errorf("attempt %d: the master was replaced", after.Attempt)
	}
}

// managersCluster is one on which a NodeManager may take its time: on a busy machine its start
// takes longer than the 10 s after which the shared cluster counts a node as lost.
var managersCluster = sync.OnceValues(func() (*cluster, error) {
	return startCluster("e2e-managers", portBase+4000, "--nms", "3", "--set", "yarn.nm.liveness-monitor.expiry-interval-ms=120000")
})

// managers is the cluster whose NodeManagers may be restarted, started by the first test that asks
// for it.
func managers(t testing.TB) *cluster {
	t.Helper()
	c, err := managersCluster()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestNodeManagersRestarted restarts the NodeManagers, which recover their containers.
func TestNodeManagersRestarted(t *testing.T) {
	t.Parallel()
	c := managers(t)
	f := c.follow(t, "nm-restarted")
	for _, nm := range []string{"1", "2", "3"} {
		if err := c.script("restart-nm", nm); err != nil {
			t.Fatal(err)
		}
	}
	f.undisturbed(t)
}
