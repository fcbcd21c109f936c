//go:build e2e && matrix

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tfos/internal/fault"
	"tfos/internal/status"
)

// TestMatrixOfHosts carries out the plans that need hosts with networks of their own, and trains in
// each way by each carrier while a worker moves.
func TestMatrixOfHosts(t *testing.T) {
	c := network(t)
	for _, n := range plans(t, func(p fault.Plan) bool { return has(p, fault.CutNode) }) {
		c.matrix(t, n)
	}
	for _, carrier := range []string{"redirect", "forward", "direct"} {
		for _, strategy := range strategies {
			t.Run("worker-agent "+strategy+" "+carrier, func(t *testing.T) { c.survivesBy(t, "worker-agent", strategy, carrier) })
		}
	}
}

// TestMatrixOfPeersApart cuts a worker's node off the other tasks' nodes for a while, but not off
// the master: nobody is replaced, for all report, and the job goes on when the link is there again.
func TestMatrixOfPeersApart(t *testing.T) {
	c := network(t)
	for _, carrier := range []string{"redirect", "forward", "direct"} {
		t.Run(carrier, func(t *testing.T) {
			id := strings.TrimSpace(tfos(t, c.env, "submit", "--env", "PYTHON="+python(t), "--checkpoint-dir", "hdfs:///models/apart-"+carrier,
				jobFile(t, lastingJob("ps")+"endpoints: "+carrier+"\n")).want(t, 0).stdout)
			b := newBreaker(t, c, id, fault.Plan{})
			before := b.await(fault.Fault{Step: 120})
			alone := find(t, before, "worker/1").Node
			var peers []string
			for _, task := range before.Tasks {
				if task.Node != alone && !slices.Contains(peers, task.Node) {
					peers = append(peers, task.Node)
				}
			}
			heal := c.cut(t, alone, peers...)
			b.await(fault.Fault{After: 20 * time.Second})
			heal()
			var after status.View
			eventually(t, "the end of "+id, func() bool { after = b.view(); return after.ExitCode != nil })
			out := tfos(t, c.env, "logs", id).want(t, 0).stdout
			if *after.ExitCode != 0 || len(after.Restarts) != 0 || accuracy(t, out) < wantAccuracy {
				t.Errorf("exit code %d: %s; restarts %v\n%s", *after.ExitCode, after.Diagnostics, after.Restarts, tail(out, 40))
			}
		})
	}
}

// TestMatrixOfAGatewayApart runs tfos where a firewall lets it through to the ResourceManager, the
// NameNode and one DataNode: jobs run, their end is seen, and whatever needs the master says which
// address is out of reach.
func TestMatrixOfAGatewayApart(t *testing.T) {
	c := network(t)
	c.cut(t, "gateway", "nm1", "nm2", "nm3", "nm4")
	tfos(t, c.env, "run", jobFile(t, "name: short\ncommand: sleep 15\nroles: {worker: {memory: 256MiB}}\n")).want(t, 0).
		says(t, "cannot be reached from here", "dial tcp 198.18.", "succeeded")
	id := strings.TrimSpace(tfos(t, c.env, "submit", jobFile(t, serving)).want(t, 0).stdout)
	defer gone(t, id)
	defer func() { tfos(t, c.env, "kill", id).want(t, 0) }()
	eventually(t, "the master of "+id, func() bool {
		return strings.Contains(jobStatus(t, c.env, id).Diagnostics, "does not answer within 5s")
	})
	for _, args := range [][]string{{"logs", id, "worker/0"}, {"scale", id, "worker=3"}} {
		tfos(t, c.env, args...).want(t, 4).says(t, "does not answer within 5s", "a firewall may be between")
	}
}

// TestMatrixOfAGatewayWithoutDataNodes: nothing is submitted, and the message names the DataNode.
func TestMatrixOfAGatewayWithoutDataNodes(t *testing.T) {
	c := network(t)
	before := c.applications(t)
	c.cut(t, "gateway", "nm1", "nm2", "nm3", "nm4", "dn5")
	r := tfos(t, c.env, "run", jobFile(t, "name: stuck\ncommand: 'true'\nroles: {worker: {memory: 256MiB}}\n")).want(t, 4)
	r.says(t, "no DataNode takes a block", "dial tcp 198.18.")
	if now := c.applications(t); now != before {
		t.Errorf("%d applications were submitted: %s", now-before, r.stderr)
	}
}
