//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tfos/internal/status"
)

// TestFullDisks fills the disk that a node's containers work on, and the one that their logs are
// on, under a job. Meanwhile a program dies and is started again; what it cannot write is lost, and
// nothing else.
func TestFullDisks(t *testing.T) {
	t.Parallel()
	disks := map[string]string{"local": smallDisk(t), "log": smallDisk(t)}
	c, err := startCluster("e2e-disks", portBase+6000, "--nms", "1",
		"--set", "yarn.nodemanager.local-dirs="+disks["local"], "--set", "yarn.nodemanager.log-dirs="+disks["log"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // before the disks go
		if err := c.script("down"); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"local", "log"} {
		t.Run(name, func(t *testing.T) { c.outlivesFullDisk(t, disks[name]) })
	}
}

func (c *cluster) outlivesFullDisk(t *testing.T, disk string) {
	enough := filepath.Join(t.TempDir(), "enough")
	id := strings.TrimSpace(tfos(t, c.env, "submit", jobFile(t, fmt.Sprintf(`name: filled
command: 'i=0; while [ ! -e %s ]; do i=$((i+1)); echo step $i/100000; sleep 0.1; done'
roles:
  worker: {instances: 2, memory: 256MiB}
strategy: none
`, enough))).want(t, 0).stdout)
	var v status.View
	until := func(what string, ok func(workers [2]status.Task) bool) {
		t.Helper()
		eventually(t, what, func() bool {
			if v = jobStatus(t, c.env, id); v.ExitCode != nil {
				t.Fatalf("it ended with exit code %d while %s was waited for: %s", *v.ExitCode, what, v.Diagnostics)
			}
			return len(v.Tasks) == 2 && ok([2]status.Task{find(t, v, "worker/0"), find(t, v, "worker/1")})
		})
	}
	until("steps", func(w [2]status.Task) bool { return w[0].Step > 5 && w[1].Step > 5 })
	before := v
	free := fill(t, disk)
	if err := unix.Kill(find(t, v, "worker/0").PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until("worker/0 to run again on a full disk", func(w [2]status.Task) bool { return w[0].State == status.Running && w[0].Incarnation == 2 })
	free()
	was := v
	until("steps after there was room again", func(w [2]status.Task) bool {
		return w[0].Step > 5 && w[1].Step > find(t, was, "worker/1").Step+5
	})
	for _, w := range []string{"worker/0", "worker/1"} {
		if now, then := find(t, v, w), find(t, before, w); now.Container != then.Container {
			t.Errorf("%s was in %s and is in %s", w, then.Container, now.Container)
		}
	}
	if len(v.Restarts) != 1 || v.Restarts[0].Task != "worker/0" || v.Restarts[0].Cause == "" {
		t.Errorf("restarts %+v, want one, of worker/0", v.Restarts)
	}
	if err := os.WriteFile(enough, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of "+id, func() bool { v = jobStatus(t, c.env, id); return v.ExitCode != nil })
	if *v.ExitCode != 0 {
		t.Errorf("exit code %d: %s", *v.ExitCode, v.Diagnostics)
	}
	gone(t, id)
}

// smallDisk mounts a filesystem of 128 MiB until the test ends.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=128m,mode=755"); err != nil {
		t.Fatalf("mount a small disk (these tests run as root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill leaves no room on a disk, until free is called.
func fill(t *testing.T, disk string) (free func()) {
	t.Helper()
	name := filepath.Join(disk, "filling")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; { // then what is left of the last page, byte by byte
		if _, err = f.Write(make([]byte, size)); err != nil {
			size /= 16
		}
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
}
