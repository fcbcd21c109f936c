//go:build e2e && versions

package e2e

import "testing"

// TestVersions runs the same job, unchanged, on the oldest and the newest Hadoop that tfos knows.
func TestVersions(t *testing.T) {
	for i, version := range []string{"2.10", "3.5"} {
		t.Run(version, func(t *testing.T) {
			c, err := startCluster("e2e-"+version, portBase+1000*(i+1), "--version", version, "--nms", "2")
			if err != nil {
				t.Fatal(err)
			}
			c.contracts(t)
			c.trains(t, "ps")
		})
	}
}
