//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPythonModuleIsThere: a task imports tfos, its own modules and those of its PYTHONPATH, and
// talks to its agent.
func TestPythonModuleIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"beside.py": "NAME = 'beside'\n", "lib/theirs.py": "NAME = 'theirs'\n"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	j := jobFile(t, fmt.Sprintf("name: sdk\ncommand: %s sdk.py\nfiles: [%s, %s]\nenv: {PYTHONPATH: %s}\nroles:\n  worker: {memory: 512MiB}\n",
		python(t), program("sdk.py"), filepath.Join(dir, "beside.py"), filepath.Join(dir, "lib")))
	r := tfos(t, nil, "run", "--master", "local", j).want(t, 0)
	for _, want := range []string{"task worker/0 worker 0 1", "step 7 9", "modules beside theirs"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("the program did not print %q:\n%s", want, r.stdout)
		}
	}
}
