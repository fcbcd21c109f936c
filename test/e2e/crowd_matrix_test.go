//go:build e2e && matrix

package e2e

import "testing"

// TestMatrixThousandTasks is a job of a thousand tasks on as many nodes.
func TestMatrixThousandTasks(t *testing.T) {
	crowd{nodes: 1000, tasks: 1000, lost: 50, more: 500}.try(t, 1152)
}
