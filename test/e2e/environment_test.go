//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVirtualEnvironment: a task runs in the environment that --venv names, which is gone from where
// it was made; what was packed once is used again.
func TestVirtualEnvironment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "env")
	command(t.Context(), t, nil, "python3", "-m", "venv", "--without-pip", dir).want(t, 0)
	found, err := filepath.Glob(filepath.Join(dir, "lib", "python3*", "site-packages"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	for name, content := range map[string]string{
		filepath.Join(found[0], "greet.py"):  "def main():\n    import sys, zlib\n    print('hello from', sys.prefix)\n",
		filepath.Join(dir, "bin", "greeter"): "#!" + dir + "/bin/python\nimport greet\ngreet.main()\n",
	} {
		if err := os.WriteFile(name, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"XDG_CACHE_HOME=" + t.TempDir()}
	const program = `mv "$0" "$0.gone"; here=$(pwd -P); for p in "python -c 'import greet; greet.main()'" greeter; do eval "$p" || exit; done; mv "$0.gone" "$0"; echo "in $here"`
	for _, packs := range []bool{true, false} {
		r := tfos(t, env, "run", "--master", "local", "--workers", "1", "--venv", dir, "--", "bash", "-c", program, dir).want(t, 0)
		if strings.Contains(r.stderr, "packing the environment") != packs {
			t.Errorf("packed: %v, want %v\n%s", !packs, packs, r.stderr)
		}
		if strings.Count(r.stdout, "hello from /") != 2 || strings.Contains(r.stdout, "from "+dir) {
			t.Errorf("printed\n%s", r.stdout)
		}
	}
}
