//go:build packages

package packages

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// root is the top of the checkout.
var root = func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}()

// machine is how packages call this kind of machine.
var machine = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]

// hello is a job that any package must be able to run.
const hello = "name: hello\ncommand: echo hello from $TFOS_ROLE\nroles: {worker: {instances: 2, memory: 256MiB}}\n"

// run runs a program in a directory of its own, in which job.yaml is hello, with env beside the
// barest environment. It gives what the program printed.
func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute) // all packages are made within
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(cmd.Dir, "job.yaml"), []byte(hello), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append([]string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + cmd.Dir}, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// made is the one file that the pattern names, in build.
func made(t *testing.T, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, "build", pattern))
	if err != nil || len(names) != 1 {
		t.Fatalf("build/%s is %q, %v: run make package", pattern, names, err)
	}
	return names[0]
}

// works uses an installed command: its version is that of this checkout, and it finds what it ships
// to a cluster.
func works(t *testing.T, tfos string) {
	t.Helper()
	want := run(t, nil, filepath.Join(root, "build/binaries", runtime.GOARCH, "tfos"), "version")
	if got := run(t, nil, tfos, "version"); got != want || !strings.Contains(got, "+") {
		t.Errorf("version %q, want %q", got, want)
	}
	if got, want := run(t, nil, tfos, "run", "--master", "local", "job.yaml"), "hello from worker\n"; got != want {
		t.Errorf("the job printed %q, want %q", got, want)
	}
}

// TestWheel: pip install tfos gives the command, and modules that find it without a PATH.
func TestWheel(t *testing.T) {
	python := os.Getenv("TFOS_PYTHON")
	wheel := made(t, "packages/tfos-*_"+machine+".whl")
	venv := filepath.Join(t.TempDir(), "venv")
	run(t, nil, python, "-m", "venv", venv)
	run(t, nil, filepath.Join(venv, "bin/pip"), "install", "--quiet", "--disable-pip-version-check", "--no-index", wheel, made(t, "packages/tfos_names-*.whl"))
	works(t, filepath.Join(venv, "bin/tfos"))
	const uses = `
import tensorflowonspark, tfos.client
job = tfos.client.Client(master="local").submit("job.yaml")
printed = []
job.wait(log=printed.append)
print(printed)
job.close()
`
	if got, want := run(t, nil, filepath.Join(venv, "bin/python"), "-c", uses), "['hello from worker']\n"; got != want {
		t.Errorf("from Python: %q, want %q", got, want)
	}

	target := filepath.Join(t.TempDir(), "target")
	run(t, nil, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--target", target, wheel)
	where := run(t, []string{"PYTHONPATH=" + target}, python, "-c", "from tfos._session import find_tfos; print(find_tfos())")
	if want := filepath.Join(target, "bin/tfos") + "\n"; where != want {
		t.Errorf("pip install --target: the command is %q, want %q", where, want)
	}

	// The other kind of machine gets its own.
	other := map[string]string{"x86_64": "aarch64", "aarch64": "x86_64"}[machine]
	made(t, "packages/tfos-*_"+other+".whl")
}
