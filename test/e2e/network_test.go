//go:build e2e

package e2e

import (
	"sync"
	"testing"
)

// networkCluster is one whose hosts are network namespaces: nm1 to nm4 with a DataNode each, dn5
// with another, head, and the gateway on which tfos runs. Whatever a host needs of another one has
// to go over the network, to an address that is right there too.
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

// TestCarriersBetweenHosts trains by each carrier on hosts that share no network stack, through
// what each of them has to stand: a link that is away for a moment, a worker that moves.
// TestMatrixOfHosts has the rest.
func TestCarriersBetweenHosts(t *testing.T) {
	t.Parallel()
	c := network(t)
	for _, row := range []struct{ carrier, strategy, plan string }{
		{"redirect", "ps", "worker-node-blinks"},
		{"forward", "mirrored", "worker-agent"},
		{"direct", "v1", "worker-agent"},
	} {
		t.Run(row.carrier, func(t *testing.T) { c.survivesBy(t, row.plan, row.strategy, row.carrier) })
	}
}
