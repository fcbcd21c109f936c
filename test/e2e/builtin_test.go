//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestBuiltinPS has a worker keep a variable on a parameter server that is no Python.
func TestBuiltinPS(t *testing.T) {
	t.Parallel()
	r := tfos(t, nil, "run", "--master", "local", "--env", "PYTHON="+python(t), jobFile(t, `
command: ${PYTHON} `+program("keep_on_ps.py")+`
strategy: v1
roles:
  worker: {instances: 1}
  ps: {instances: 1, memory: 1GiB, builtin: ps}
`)).want(t, 0)
	if want := "on /job:ps/task:0/device:CPU:0: [2. 4. 6.]\n"; !strings.Contains(r.stdout, want) {
		t.Errorf("the worker printed %q, want %q in it", r.stdout, want)
	}
	gone(t, r.application(t))
}

// TestBuiltinWithoutTensorFlow: the job fails by the program's own fault, and says what to do.
func TestBuiltinWithoutTensorFlow(t *testing.T) {
	t.Parallel()
	tfos(t, []string{"TMPDIR=" + t.TempDir()}, "run", "--master", "local", jobFile(t, `
command: sleep 1000
roles:
  worker: {instances: 1, memory: 64MiB}
  ps: {instances: 1, memory: 64MiB, builtin: ps, env: {LIBTENSORFLOW: /nowhere}}
recovery: {user-failures: 0}
`)).want(t, 1).says(t, "ps/0", "TensorFlow is not there", "LIBTENSORFLOW=/nowhere")
}
