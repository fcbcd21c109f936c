//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// networkCluster is one whose hosts are network namespaces: nm1 to nm4 with a DataNode each, dn5 with another, head, and the gateway
// on which tfos runs. Whatever a host needs of another one has to go over the network, to an address that is right there too.
var networkCluster = sync.OnceValues(func() (*cluster, error) {
	return startCluster("e2e-network", portBase+5000, "--netns", "--nms", "4", "--dns", "5", "--set", "dfs.replication=2")
})

// network is the cluster with hosts of its own, started by the first test that asks for it.
func network(t testing.TB) *cluster {
	t.Helper()
	c, err := networkCluster()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// cut cuts a host off its peers until the test ends, or until heal is called.
func (c *cluster) cut(t testing.TB, host string, peers ...string) (heal func()) {
	t.Helper()
	if err := c.script(append([]string{"cut", host}, peers...)...); err != nil {
		t.Fatal(err)
	}
	heal = sync.OnceFunc(func() {
		if err := c.script(append([]string{"heal", host}, peers...)...); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(heal)
	return heal
}

// TestCarriersBetweenHosts trains by each carrier on hosts that share no network stack, through what each of them has to stand:
// a link that is away for a moment, a worker that moves. TestMatrixOfHosts has the rest.
func TestCarriersBetweenHosts(t *testing.T) {
	c := network(t)
	for _, row := range []struct{ carrier, strategy, plan string }{
		{"redirect", "ps", "worker-node-blinks"},
		{"forward", "mirrored", "worker-agent"},
		{"direct", "v1", "worker-agent"},
	} {
		t.Run(row.carrier, func(t *testing.T) { c.survivesBy(t, row.plan, row.strategy, row.carrier) })
	}
}

// TestGatewayThatReachesNoDataNode: nothing is submitted, and the message names the DataNode.
func TestGatewayThatReachesNoDataNode(t *testing.T) {
	c := network(t)
	c.cut(t, "gateway", "nm1", "nm2", "nm3", "nm4", "dn5")
	program := filepath.Join(t.TempDir(), "program.sh")
	if err := os.WriteFile(program, fmt.Appendf(nil, "# %s\n", t.TempDir()), 0o644); err != nil { // no cache has it
		t.Fatal(err)
	}
	r := tfos(t, c.env, "run", jobFile(t, "name: stuck\ncommand: sh program.sh\nfiles: ["+program+"]\nroles: {worker: {memory: 256MiB}}\n")).want(t, 4)
	r.says(t, "no DataNode takes a block", "dial tcp 198.18.", "program.sh")
	if applicationRE.MatchString(r.stdout + r.stderr) {
		t.Errorf("it was submitted: %s", r.stderr)
	}
}
