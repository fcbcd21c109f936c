//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestANodeWithoutNeighbouringPorts runs where no free port has a free neighbour. Whoever wants one port of it gets that.
func TestANodeWithoutNeighbouringPorts(t *testing.T) {
	for _, endpoints := range []string{"redirect", "forward"} {
		t.Run(endpoints, func(t *testing.T) {
			file := jobFile(t, fmt.Sprintf("name: crowded\ncommand: python3 hello_peer.py\nfiles: [%s]\nendpoints: %s\nstrategy: none\n"+
				"recovery: {user-failures: 0}\nroles:\n  worker: {instances: 2, memory: 128MiB}\n", program("hello_peer.py"), endpoints))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			r := command(ctx, t, nil, "unshare", "-rn", "python3", program("crowded.py"), filepath.Join(root, "bin", "tfos"), "run", "--master", "local", file).want(t, 0)
			if !strings.Contains(r.stdout, "heard I am worker/1") {
				t.Errorf("it printed:\n%s", r.stdout)
			}
		})
	}
}
