package pyenv

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tfos/internal/unpack"
)

// write makes a file of an environment.
func write(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// environment makes a virtual environment of a Python, with a package and its command as pip
// installs them.
func environment(t *testing.T, python string) (dir, packages string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "my env")
	if out, err := exec.Command(python, "-m", "venv", "--without-pip", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	found, err := filepath.Glob(filepath.Join(dir, "lib", "python3*", "site-packages"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	write(t, filepath.Join(found[0], "greet", "__init__.py"), "def main():\n    import sys, json\n    print('hello', sys.argv[1])\n", 0o644)
	body := "import sys\nfrom greet import main\nsys.exit(main())\n"
	write(t, filepath.Join(dir, "bin", "greet"), "#!"+dir+"/bin/python\n"+body, 0o755)
	write(t, filepath.Join(dir, "bin", "greet-long"), "#!/bin/sh\n'''exec' \""+dir+"/bin/python\" \"$0\" \"$@\"\n' '''\n"+body, 0o755)
	return dir, found[0]
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, []string{"PATH=/usr/bin:/bin"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestPack runs an environment in another place, with the one that it was made of gone: its
// programs, its packages, and what its Python starts itself.
func TestPack(t *testing.T) {
	python := "/usr/bin/python3" // Debian's looks for packages elsewhere than others do
	if _, err := os.Stat(python); err != nil {
		python = "python3"
	}
	dir, packages := environment(t, python)
	if err := os.Symlink("/etc/hostname", filepath.Join(packages, "greet", "outside")); err != nil {
		t.Fatal(err)
	}
	e, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	if err := e.Pack(t.Context(), &packed); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "else where")
	if err := unpack.Of("x.tar.gz")(t.Context(), &packed, to, unpack.Modes{File: 0o755, Dir: 0o755}); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(to, "bin")
	for _, program := range []string{"greet", "greet-long"} {
		if got := run(t, t.TempDir(), filepath.Join(bin, program), "you"); got != "hello you" {
			t.Errorf("%s: %s prints %q", python, program, got)
		}
	}
	got := run(t, t.TempDir(), filepath.Join(bin, "python3"), "-c", "import sys, subprocess; print(sys.prefix, flush=True); subprocess.run([sys.executable, '-c', 'import greet, ctypes, zlib; greet.main()', 'child'], check=True)")
	if want := to + "\nhello child"; got != want {
		t.Errorf("%s: prints %q, want %q", python, got, want)
	}
	if got := run(t, to, "/bin/bash", "-c", "source bin/activate && command -v python && cat lib/python3*/site-packages/greet/outside >/dev/null"); got != filepath.Join(bin, "python") {
		t.Errorf("%s: activated, python is %q", python, got)
	}
}

// TestSum: an environment that has changed is packed anew, and only then.
func TestSum(t *testing.T) {
	dir, packages := environment(t, "python3")
	sum := func() string {
		e, err := Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		return e.Sum()
	}
	before := sum()
	if sum() != before {
		t.Error("the same environment has another sum")
	}
	write(t, filepath.Join(packages, "greet", "more.py"), "x = 1\n", 0o644)
	if sum() == before {
		t.Error("an environment with one more module has the same sum")
	}
}

func TestOpenRefuses(t *testing.T) {
	dir, packages := environment(t, "python3")
	write(t, filepath.Join(packages, "mine.pth"), "/home/ann/src\n", 0o644)
	if _, err := Open(t.Context(), dir); !errors.Is(err, ErrEditable) || !strings.Contains(err.Error(), "/home/ann/src") {
		t.Errorf("a package in place: %v", err)
	}
	if _, err := Open(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "is no environment") {
		t.Errorf("an empty directory: %v", err)
	}
}
