//go:build e2e && matrix

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tfos/internal/fault"
	"tfos/internal/status"
)

// TestMatrix carries out every fault plan under every strategy whose jobs have its tasks, on real
// Hadoop with real TensorFlow.
func TestMatrix(t *testing.T) {
	for _, n := range plans(t, func(p fault.Plan) bool { return p.Only("", can...) == nil }) {
		c := hadoop(t)
		if has(n.Plan, fault.RestartNodeManager) || has(n.Plan, fault.KillNodeManager) {
			c = managers(t)
		}
		c.matrix(t, n)
	}
}

// TestMatrixOfTwoManagers is the part that needs a ResourceManager to fail over to.
func TestMatrixOfTwoManagers(t *testing.T) {
	c, err := startCluster("e2e-ha", portBase+1000, "--nms", "4", "--rm-ha")
	if err != nil {
		t.Fatal(err)
	}
	c.ha = true
	for _, n := range plans(t, func(p fault.Plan) bool { return has(p, fault.FailOver) }) {
		c.matrix(t, n)
	}
}

func has(p fault.Plan, k fault.Kind) bool {
	return slices.ContainsFunc(p, func(f fault.Fault) bool { return f.Kind == k })
}

// plans are those of package fault that are wanted.
func plans(t *testing.T, wanted func(fault.Plan) bool) []fault.Named {
	t.Helper()
	all, err := fault.All()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(n fault.Named) bool { return !wanted(n.Plan) })
}

// matrix carries out one plan under each strategy.
func (c *cluster) matrix(t *testing.T, n fault.Named) {
	for _, strategy := range strategies {
		if _, ok := planFor(t, n.Name, strategy); ok {
			t.Run(n.Name+" "+strategy, func(t *testing.T) { c.survives(t, n.Name, strategy) })
		}
	}
}

// TestMatrixOfAFileThatIsReplaced: a file that the containers need is replaced after the job was
// submitted, and each NodeManager refuses it. That spends nothing of the program's budget, no
// further try can end otherwise, and the job ends with exit code 3 at the first proof.
func TestMatrixOfAFileThatIsReplaced(t *testing.T) {
	c := hadoop(t)
	c.shell(t, "hdfs dfs -mkdir -p /spoilt && echo one | hdfs dfs -put -f - /spoilt/file")
	holder := strings.TrimSpace(tfos(t, c.env, "submit", jobFile(t, `name: holder
command: sleep 1000
roles:
  worker: {instances: 3, memory: 7GiB}
master: {memory: 8GiB}
`)).want(t, 0).stdout)
	eventually(t, "the holder to fill the cluster", func() bool { return jobStatus(t, c.env, holder).State == status.Running })
	id := strings.TrimSpace(tfos(t, c.env, "submit", jobFile(t, `name: spoilt
command: cat file
files: ["hdfs:///spoilt/file"]
roles:
  worker: {instances: 1, memory: 2GiB}
recovery: {user-failures: 0}
`)).want(t, 0).stdout)
	c.shell(t, "sleep 1; echo two | hdfs dfs -put -f - /spoilt/file")
	tfos(t, c.env, "kill", holder).want(t, 0)
	began := time.Now()
	var v status.View
	eventually(t, "the end of "+id, func() bool {
		v = jobStatus(t, c.env, id)
		return v.ExitCode != nil
	})
	if *v.ExitCode != 3 || len(v.Restarts) > 2 || !strings.Contains(v.Diagnostics, "It was the same ") {
		t.Errorf("exit code %d after %d tries: %s", *v.ExitCode, len(v.Restarts)+1, v.Diagnostics)
	}
	fmt.Printf("a file that is replaced: exit code %d after %d tries and %.0f s: %s\n", *v.ExitCode, len(v.Restarts)+1, time.Since(began).Seconds(), v.Diagnostics)
	c.nothingLeft(t, id)
}
