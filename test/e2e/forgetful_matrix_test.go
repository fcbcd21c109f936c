//go:build e2e && matrix

package e2e

import (
	"strings"
	"testing"

	"tfos/internal/status"
)

// TestMatrixOfAForgetfulManager restarts a ResourceManager without work-preserving recovery under a
// job: it has to live, and the job starts anew and ends well.
func TestMatrixOfAForgetfulManager(t *testing.T) {
	c, err := startCluster("e2e-forgetful", portBase+6000, "--nms", "2", "--set", "yarn.resourcemanager.work-preserving-recovery.enabled=false")
	if err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSpace(tfos(t, c.env, "submit", jobFile(t, `name: forgotten
command: 'for i in $(seq 1 300); do echo step $i/300; sleep 0.1; done'
roles:
  worker: {instances: 2, memory: 256MiB}
strategy: none
success: all
`)).want(t, 0).stdout)
	var v status.View
	eventually(t, "some steps", func() bool { v = jobStatus(t, c.env, id); return steps(v) > 20 })
	if err := c.script("restart", "rm1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of "+id, func() bool {
		r := tfos(t, c.env, "status", id, "--json")
		v, err = parseStatus(r.stdout)
		return r.code == 0 && err == nil && v.ExitCode != nil
	})
	if *v.ExitCode != 0 || v.Attempt < 2 {
		t.Errorf("exit code %d after %d attempts: %s", *v.ExitCode, v.Attempt, v.Diagnostics)
	}
	if err := c.script("wait"); err != nil { // it would have died by now
		t.Error(err)
	}
	c.nothingLeft(t, id)
}
