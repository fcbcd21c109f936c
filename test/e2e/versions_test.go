//go:build e2e && versions

package e2e

import (
	"strings"
	"testing"
)

// TestVersions runs the same job, unchanged, on the oldest and the newest Hadoop that tfos knows, and puts both to the
// contract suites. These clusters issue no tokens.
func TestVersions(t *testing.T) {
	for i, version := range []string{"2.10", "3.5"} {
		t.Run(version, func(t *testing.T) {
			c, err := startCluster("e2e-"+strings.ReplaceAll(version, ".", "-"), portBase+1000*(i+1), "--version", version, "--nms", "2", "--gpus", "2")
			if err != nil {
				t.Fatal(err)
			}
			c.suite(t, "./internal/yarn/yarntest", ".", "TFOS_TEST_HADOOP_CUSTOM=yarn.io/gpu")
			c.suite(t, "./internal/dfs", "Contract")
			c.onTask(t, "read_direct.py", "hdfs:///tmp").want(t, 0)
			c.trains(t, "ps")
		})
	}
}
