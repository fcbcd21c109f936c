//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestNoWrongPeer runs forty tasks of one user on one node, each of which meets the others over and
// over and asks who they are. Three lose their agents and move, two fail and come back in place,
// and a thief takes the ports that are left as soon as they are free, long before the master can
// know: nobody may ever be connected to it, to another task, or to an earlier incarnation.
func TestNoWrongPeer(t *testing.T) {
	t.Parallel()
	for _, endpoints := range []string{"redirect", "forward"} {
		t.Run(endpoints, func(t *testing.T) {
			const tasks, moves = 40, 3
			dir := t.TempDir()
			file := filepath.Join(dir, "meet.yaml")
			text := fmt.Sprintf("name: meet\ncommand: python3 meet.py %s 6 3,17,31 5,23\nfiles: [%s]\nendpoints: %s\nstrategy: none\n"+
				"roles:\n  worker: {instances: %d, memory: 128MiB}\n  thief: {memory: 128MiB, service: true}\n",
				dir, filepath.Join(root, "test/programs/meet.py"), endpoints, tasks)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			r := tfos(t, nil, "run", "--master", "local", file)
			wrong, err := filepath.Glob(filepath.Join(dir, "wrong-*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range wrong {
				t.Errorf("%s: %s", filepath.Base(w), read(t, w))
			}
			if r.code != 0 {
				t.Fatalf("exit code %d\nstdout: %s\nstderr: %s", r.code, r.stdout, r.stderr)
			}
			if stolen, err := filepath.Glob(filepath.Join(dir, "stolen-*")); err != nil || len(stolen) != moves {
				t.Errorf("the thief has %q, %v", stolen, err)
			}
			var met, refused, visits int
			for i := range tasks {
				var m, r int
				if _, err := fmt.Sscan(read(t, filepath.Join(dir, fmt.Sprintf("done-%d", i))), &m, &r); err != nil {
					t.Errorf("worker/%d: %v", i, err)
				}
				met, refused = met+m, refused+r
			}
			if _, err := fmt.Sscan(read(t, filepath.Join(dir, "visits")), &visits); err != nil || visits == 0 {
				t.Errorf("nobody came near the thief (%v): the test shows nothing", err)
			}
			t.Logf("met %d times, refused %d times; %d connections got as far as the thief, and no word of them", met, refused, visits)
		})
	}
}

func read(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
