//go:build e2e && matrix

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMatrixOnceKilled kills a submitter with SIGKILL, each night a little later than the night
// before, from before it has said a word until its job trains; two others take the night up at
// once. Each night one application does the work, and both end with its exit code.
func TestMatrixOnceKilled(t *testing.T) {
	c := hadoop(t)
	job := jobFile(t, `name: night
command: "echo the work; sleep 2"
roles:
  worker: {instances: 1, memory: 256MiB}
`)
	const nights, step = 10, 300 * time.Millisecond
	for night := range nights {
		name := fmt.Sprintf("night-%d-%d", time.Now().UnixNano(), night)
		args := []string{"run", job, "--name", name, "--once", "{name}"}
		alive, kill := context.WithTimeout(t.Context(), time.Duration(night+1)*step)
		first := exec.CommandContext(alive, filepath.Join(root, "bin", "tfos"), args...) // SIGKILL when alive ends
		first.Env = append(cleanEnv(), c.env...)
		killed := first.Run()
		kill()
		second := make(chan run, 1)
		go func() { second <- tfos(t, c.env, args...) }()
		third := tfos(t, c.env, args...)
		for _, r := range []run{third, <-second} {
			if r.code != 0 {
				t.Errorf("%s, whose submitter was killed after %v (%v): exit code %d\n%s", name, time.Duration(night+1)*step, killed, r.code, r.stderr)
			}
		}
		if n := strings.Count(tfos(t, c.env, "list").want(t, 0).stdout, name); n != 1 {
			t.Errorf("%s, whose submitter was killed after %v: %d applications", name, time.Duration(night+1)*step, n)
		}
	}
}
