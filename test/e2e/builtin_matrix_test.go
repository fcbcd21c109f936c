//go:build e2e && matrix

package e2e

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tfos/internal/fault"
)

// TestMatrixOfABuiltinServer carries out the plans about a parameter server on one that is no
// Python.
func TestMatrixOfABuiltinServer(t *testing.T) {
	c := hadoop(t)
	for _, n := range plans(t, func(p fault.Plan) bool { return p.Only("", can...) == nil }) {
		if _, ok := planFor(t, n.Name, "builtin"); ok && strings.HasPrefix(n.Name, "ps-") {
			t.Run(n.Name, func(t *testing.T) { c.survives(t, n.Name, "builtin") })
		}
	}
}

// TestMatrixOfABuiltinServerOnTheEmbeddedYARN trains with a parameter server that is no Python, and
// kills it on the way: TensorFlow's own strategy notices no difference, and the server comes back
// as any task does.
func TestMatrixOfABuiltinServerOnTheEmbeddedYARN(t *testing.T) {
	t.Parallel()
	tmp, dir := t.TempDir(), t.TempDir()
	done := make(chan run, 1)
	go func() {
		done <- tfos(t, []string{"TMPDIR=" + tmp}, "run", "--master", "local", "--env", "PYTHON="+python(t), "--checkpoint-dir", dir,
			"-D", "roles.ps.builtin=ps", digitsJob("ps"), "--", "${PYTHON} train_ps.py --steps 400 --pause 0.03")
	}()
	server := func() (pids []int) {
		for _, line := range leftovers(t, tmp) {
			if pid, rest, _ := strings.Cut(line, ": "); strings.HasPrefix(rest, "./.tfos/tfos-builtin ps ") {
				n, err := strconv.Atoi(pid)
				if err != nil {
					t.Fatal(err)
				}
				pids = append(pids, n)
			}
		}
		return pids
	}
	checkpoint := func() bool {
		found, err := filepath.Glob(filepath.Join(dir, "ckpt-*.index"))
		return err == nil && len(found) > 0
	}
	eventually(t, "a checkpoint", checkpoint)
	first := server()
	if len(first) != 1 {
		t.Fatalf("processes %v serve, want one", first)
	}
	if err := killProcess(first[0]); err != nil {
		t.Fatal(err)
	}
	r := (<-done).want(t, 0).says(t, "ps/0 restarted", "killed by SIGKILL")
	if a := accuracy(t, r.stdout); a < wantAccuracy {
		t.Errorf("accuracy %.4f, want at least %.2f", a, wantAccuracy)
	}
	gone(t, r.application(t))
}
