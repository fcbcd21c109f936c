//go:build e2e && pages

package e2e

import (
	"strings"
	"testing"

	"tfos/internal/status"
)

// TestPagesStall has two programs hang: it is said, the stacks of their processes are in their logs
// and shown by tfos stacks, and they are started again, as the job file wants.
func TestPagesStall(t *testing.T) {
	c := hadoop(t)
	id := strings.TrimSpace(tfos(t, c.env, "submit", jobFile(t, `
name: hangs
command: exec "$PYTHON" `+program("hangs.py")+` 600
env: {PYTHON: `+python(t)+`}
strategy: none
roles: {worker: {instances: 2, memory: 512MiB}}
stall: {after: 3, least: 3s, restart: true}
`)).want(t, 0).stdout)
	eventually(t, "the workers to take steps", func() bool {
		v := jobStatus(t, c.env, id)
		return len(v.Tasks) == 2 && v.Tasks[0].Step > 0 && v.Tasks[1].Step > 0
	})
	one := tfos(t, c.env, "stacks", id, "worker/1").want(t, 0).stdout
	if !strings.Contains(one, "==> worker/1#") || strings.Contains(one, "worker/0") || !strings.Contains(one, "in train") {
		t.Errorf("tfos stacks worker/1:\n%s", one)
	}
	if all := tfos(t, c.env, "stacks", id).want(t, 0).stdout; strings.Count(all, "in train") < 2 {
		t.Errorf("tfos stacks:\n%s", all)
	}
	tfos(t, c.env, "stacks", id, "worker/7").want(t, 2)
	var v status.View
	eventually(t, "the job to say that it stands still", func() bool {
		v = jobStatus(t, c.env, id)
		return strings.Contains(strings.Join(v.Problems, " "), "worker/0: no step since ") || len(v.Restarts) > 0
	})
	eventually(t, "the job to succeed", func() bool {
		v = jobStatus(t, c.env, id)
		return v.State == status.Succeeded
	})
	if len(v.Restarts) != 2 || v.Restarts[0].Cause != "stalled" || !strings.Contains(v.Restarts[0].Why, "no step for ") {
		t.Errorf("restarts: %+v", v.Restarts)
	}
	gone(t, id)
	// Both processes of each: the child that hangs was forked, and has nothing else of its own.
	c.logged(t, id, v, "tfos: no step for ", "in waits_for_ever", "in train")
	tfos(t, c.env, "stacks", id).want(t, 3)
}
