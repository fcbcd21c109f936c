//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSomeCannotBeRedirected trains with TensorFlow while one task's process does not load the
// library. Under parameter-server all take forward with it: the coordinator hands its addresses on.
// Where each process reads its own, the others stay redirected.
func TestSomeCannotBeRedirected(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ strategy, program, roles, chief string }{
		{"parameter-server", "train_ps.py", "  chief: {}\n  worker: {%s}\n  ps: {memory: 1GiB}\n", "forward"},
		{"mirrored", "train_mirrored.py", "  chief: {}\n  worker: {%s}\n", "redirect"},
		{"v1", "train_v1.py", "  chief: {}\n  worker: {}\n  ps: {memory: 1GiB, %s}\n", "redirect"},
	} {
		t.Run(c.strategy, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "saw"), 0o700); err != nil {
				t.Fatal(err)
			}
			digits := filepath.Join(root, "examples", "digits")
			saw := `echo "$TF_CONFIG" > ` + dir + `/saw/$TFOS_ROLE; exec %s ` + python(t) + " " + c.program + " --steps 400"
			bare := fmt.Sprintf("command: '%s'", fmt.Sprintf(saw, "env -u LD_PRELOAD"))
			text := fmt.Sprintf("name: mixed\ncommand: '%s'\nfiles: [%s/%s, %s/digits.py]\nstrategy: %s\nroles:\n%s", fmt.Sprintf(saw, ""),
				digits, c.program, digits, c.strategy, fmt.Sprintf(c.roles, bare))
			r := tfos(t, nil, "run", "--master", "local", "--checkpoint-dir", filepath.Join(dir, "checkpoints"), jobFile(t, text)).want(t, 0)
			if a := accuracy(t, r.stdout); a < wantAccuracy {
				t.Errorf("accuracy %.4f, want at least %.2f", a, wantAccuracy)
			}
			ways, err := filepath.Glob(filepath.Join(dir, "saw", "*"))
			if err != nil || len(ways) != strings.Count(c.roles, "\n") {
				t.Errorf("saw the cluster_spec: %q, %v", ways, err)
			}
			for _, w := range ways {
				way := "forward"
				if strings.Contains(read(t, w), "127.10") {
					way = "redirect"
				}
				bareRole := "worker"
				if c.strategy == "v1" {
					bareRole = "ps"
				}
				want := c.chief
				if filepath.Base(w) == bareRole {
					want = "forward"
				}
				if way != want {
					t.Errorf("%s reached its peers by %s, want %s: %s", filepath.Base(w), way, want, read(t, w))
				}
			}
		})
	}
}
