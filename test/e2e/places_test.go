//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestANodeWithoutNeighbouringPorts runs where no free port has a free neighbour. Whoever wants one
// port of it gets that.
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

// TestAProgramThatEmptiesItsDirectory loses nothing of ours: neither the way to its peers, nor the
// agent's sockets, nor the configuration by which the agent opens filesystems.
func TestAProgramThatEmptiesItsDirectory(t *testing.T) {
	file := jobFile(t, fmt.Sprintf("name: cleaned\nfiles: [%s]\nstrategy: none\nrecovery: {user-failures: 0}\n"+
		"env: {LD_PRELOAD: libm.so.6}\ncommand: |\n  program=$(cat hello_peer.py); rm -rf ./*; set -e\n"+
		"  test -S $TFOS_AGENT; test -S $TFOS_FILES; test -s .tfos/hadoop-conf.xml; grep -q libm.so /proc/self/maps\n"+
		"  python3 -c \"$program\"\n  echo left: $(ls)\nroles:\n  worker: {instances: 2, memory: 128MiB}\n", program("hello_peer.py")))
	r := tfos(t, nil, "run", "--master", "local", file).want(t, 0)
	if !strings.Contains(r.stdout, "heard I am worker/1") || !strings.Contains(r.stdout, "left:\n") {
		t.Errorf("it printed:\n%s", r.stdout)
	}
}

// TestATaskFindsItselfByOtherNames as the dispatcher of tf.data's service, and health checks, have
// it.
func TestATaskFindsItselfByOtherNames(t *testing.T) {
	t.Parallel()
	for _, endpoints := range []string{"redirect", "forward"} {
		file := jobFile(t, fmt.Sprintf("name: service\ncommand: %s data_service.py\nfiles: [%s]\nendpoints: %s\nrecovery: {user-failures: 0}\n"+
			"roles:\n  worker: {memory: 1GiB}\n", python(t), program("data_service.py"), endpoints))
		r := tfos(t, nil, "run", "--master", "local", file).want(t, 0)
		if !strings.Contains(r.stdout, "the sum is 4950") || strings.Count(r.stdout, "answers") != 3 {
			t.Errorf("%s: it printed:\n%s", endpoints, r.stdout)
		}
	}
}

// TestTasksFindEachOtherByOtherNames on hosts that share no network stack, where the node's
// loopback is not the peer's.
func TestTasksFindEachOtherByOtherNames(t *testing.T) {
	file := jobFile(t, fmt.Sprintf("name: names\ncommand: python3 names.py\nfiles: [%s]\nstrategy: none\n"+
		"recovery: {user-failures: 0}\nroles:\n  worker: {instances: 2, memory: 256MiB}\n", program("names.py")))
	r := tfos(t, network(t).env, "run", file).want(t, 0)
	if !strings.Contains(r.stdout, "found all") {
		t.Errorf("it printed:\n%s", r.stdout)
	}
}
