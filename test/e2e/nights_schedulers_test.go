//go:build e2e && schedulers

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tfos/internal/status"
)

// nightlyJob is a job file with a name that no other test uses.
func nightlyJob(t *testing.T, command string, keys ...string) (name, file string) {
	t.Helper()
	name = fmt.Sprintf("nightly-%d", time.Now().UnixNano())
	return name, jobFile(t, fmt.Sprintf(`name: %s
command: "%s"
recovery: {user-failures: 0}
roles:
  worker: {instances: 1, memory: 256MiB}
%s
`, name, command, strings.Join(keys, "\n")))
}

// applications counts those that YARN knows of a name.
func applications(t *testing.T, c *cluster, name string) int {
	t.Helper()
	n := 0
	for line := range strings.Lines(tfos(t, c.env, "list").want(t, 0).stdout) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == name {
			n++
		}
	}
	return n
}

// killed runs a command until ctx ends, which kills it with SIGKILL.
func killed(ctx context.Context, c *cluster, args []string) {
	cmd := exec.CommandContext(ctx, filepath.Join(root, "bin", "tfos"), args...)
	cmd.Env = append(cleanEnv(), c.env...)
	_ = cmd.Run()
}

// TestSchedulersStages: the same nightly job is submitted twice at once. A caller, the master or
// the ResourceManager is killed at each stage of it, and the caller comes again. One application
// trains, and all calls end with its exit code.
func TestSchedulersStages(t *testing.T) {
	c, err := startCluster("e2e-nights", portBase+1000, "--nms", "2")
	if err != nil {
		t.Fatal(err)
	}
	stages := map[string]func(id string) bool{
		"submitted": func(string) bool { return true },
		"starting":  func(id string) bool { return jobStatus(t, c.env, id).Attempt > 0 },
		"training":  func(id string) bool { return jobStatus(t, c.env, id).State == status.Running },
	}
	for victim, kill := range map[string]func(b *breaker){
		"caller": func(*breaker) {},
		"master": func(b *breaker) {
			for _, p := range b.processes("tfos-am") {
				b.signal(p, unix.SIGKILL)
			}
		},
		"manager": func(b *breaker) {
			b.script("kill", "rm1")
			b.script("start", "rm1")
			b.script("wait")
		},
	} {
		for stage, reached := range stages {
			if victim == "master" && stage == "submitted" {
				continue // there is none yet
			}
			t.Run(victim+" "+stage, func(t *testing.T) {
				name, file := nightlyJob(t, "echo the work; sleep 5")
				args := []string{"run", file, "--once", "{name}-{date}", "--date", "2026-11-30"}
				alive, stop := context.WithCancel(t.Context())
				var callers sync.WaitGroup
				var ends [2]run
				callers.Go(func() {
					killed(alive, c, args)
					ends[0] = tfos(t, c.env, args...)
				})
				callers.Go(func() { ends[1] = tfos(t, c.env, args...) })
				id := strings.TrimSpace(tfos(t, c.env, append([]string{"submit"}, args[1:]...)...).want(t, 0).stdout)
				eventually(t, stage, func() bool { return reached(id) })
				kill(newBreaker(t, c, id, nil))
				stop()
				callers.Wait()
				for _, r := range ends {
					r.want(t, 0)
				}
				if n := applications(t, c, name); n != 1 {
					t.Errorf("%d applications", n)
				}
			})
		}
	}
	for _, end := range []struct {
		how, command string
		args         []string
		code         int
	}{
		{how: "the program fails", command: "sleep 2; exit 7", code: 1},
		{how: "the cluster refuses", command: "true", args: []string{"--queue", "nobodys"}, code: 3},
		{how: "it takes too long", command: "sleep 1000", args: []string{"--timeout", "10s"}, code: 6},
	} {
		t.Run(end.how, func(t *testing.T) {
			_, file := nightlyJob(t, end.command)
			args := append([]string{"run", file, "--once", "{name}-{date}", "--date", "2026-11-30"}, end.args...)
			var callers sync.WaitGroup
			var ends [2]run
			for i := range ends {
				callers.Go(func() { ends[i] = tfos(t, c.env, args...) })
			}
			callers.Wait()
			for _, r := range ends {
				r.want(t, end.code)
			}
		})
	}
	t.Run("somebody kills it", func(t *testing.T) {
		_, file := nightlyJob(t, "echo the work; sleep 1000")
		var both [2]*call
		for i := range both {
			both[i] = startCall(t, c.env, filepath.Join(root, "bin", "tfos"), "run", file, "--once", "{name}-{date}", "--date", "2026-11-30")
		}
		for _, caller := range both { // a call that comes after the kill would run the job again
			caller.awaitOutput(t, "the work")
		}
		id := strings.TrimSpace(tfos(t, c.env, "submit", file, "--once", "{name}-{date}", "--date", "2026-11-30").want(t, 0).stdout)
		tfos(t, c.env, "kill", id).want(t, 0)
		for _, caller := range both {
			caller.end(t).want(t, 5)
		}
	})
}
