//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tfos/internal/status"
)

// patience bounds everything that a test waits for. Whoever comes near it hangs.
const patience = 5 * time.Minute

// root is the top of the checkout.
var root = func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}()

// python is the interpreter that has TensorFlow.
func python(t testing.TB) string {
	t.Helper()
	p := os.Getenv("TFOS_PYTHON")
	if p == "" {
		t.Fatal("TFOS_PYTHON is not set: run these tests by `make test`")
	}
	return p
}

// run is one finished command.
type run struct {
	stdout, stderr string
	code           int
}

// tfos runs bin/tfos with more environment and arguments, in a directory of its own.
func tfos(t testing.TB, env []string, args ...string) run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	argv := append(on(env), filepath.Join(root, "bin", "tfos"))
	argv = append(argv, args...)
	return command(ctx, t, env, argv[0], argv[1:]...)
}

// command runs a program to its end.
func command(ctx context.Context, t testing.TB, env []string, name string, args ...string) run {
	t.Helper()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(cleanEnv(), env...)
	cmd.Dir = t.TempDir()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := run{stdout: out.String(), stderr: errs.String()}
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		r.code = exit.ExitCode()
	default:
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	if ctx.Err() != nil {
		t.Fatalf("%s %s did not end in time\nstdout:\n%s\nstderr:\n%s", name, strings.Join(args, " "), r.stdout, r.stderr)
	}
	return r
}

// cleanEnv is this process's environment without what would point tfos at another cluster.
func cleanEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "HADOOP_") && !strings.HasPrefix(kv, "YARN_") && !strings.HasPrefix(kv, "TFOS_") {
			env = append(env, kv)
		}
	}
	return env
}

// want fails the test unless the command ended with the code.
func (r run) want(t testing.TB, code int) run {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", r.code, code, r.stdout, r.stderr)
	}
	return r
}

// says fails the test unless the command's stderr holds each of the phrases.
func (r run) says(t testing.TB, phrases ...string) run {
	t.Helper()
	for _, p := range phrases {
		if !strings.Contains(r.stderr, p) {
			t.Errorf("stderr does not say %q:\n%s", p, r.stderr)
		}
	}
	return r
}

var applicationRE = regexp.MustCompile(`application_\d+_\d+`)

// application finds the application's id in what the command printed.
func (r run) application(t testing.TB) string {
	t.Helper()
	id := applicationRE.FindString(r.stdout + r.stderr)
	if id == "" {
		t.Fatalf("no application id in\nstdout:\n%s\nstderr:\n%s", r.stdout, r.stderr)
	}
	return id
}

// jobStatus asks tfos for a job's status document.
func jobStatus(t testing.TB, env []string, id string) status.View {
	t.Helper()
	r := tfos(t, env, "status", id, "--json").want(t, 0)
	v, err := parseStatus(r.stdout)
	if err != nil {
		t.Fatalf("tfos status --json: %v in\n%s", err, r.stdout)
	}
	return v
}

func parseStatus(document string) (status.View, error) {
	var v status.View
	err := json.Unmarshal([]byte(document), &v)
	return v, err
}

// jobFile writes a job file and returns its name.
func jobFile(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// program is the path of one of test/programs.
func program(name string) string { return filepath.Join(root, "test", "programs", name) }

// leftovers lists processes whose command line or directory holds mark.
func leftovers(t testing.TB, mark string) []string {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, d := range dirs {
		line, err := os.ReadFile(filepath.Join(d, "cmdline"))
		if err != nil || len(line) == 0 {
			continue // gone, or a kernel thread
		}
		cwd, _ := os.Readlink(filepath.Join(d, "cwd"))
		text := strings.ReplaceAll(string(line), "\x00", " ")
		if strings.Contains(text, mark) || strings.Contains(cwd, mark) {
			found = append(found, fmt.Sprintf("%s: %s (in %s)", filepath.Base(d), text, cwd))
		}
	}
	return found
}

// gone waits until no process of an application is left. YARN ends the master's own shell a moment
// after the job's end.
func gone(t testing.TB, id string) {
	t.Helper()
	eventually(t, "the last process of "+id+" to end", func() bool { return len(leftovers(t, id)) == 0 })
}

// eventually polls until ok, for as long as patience: for what another process does and tells
// nobody of.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s; running:\n%s", what, strings.Join(leftovers(t, "tfos"), "\n"))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// hwm is a process's peak memory in MiB; 0: it is gone.
func hwm(dir string) float64 {
	b, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			if err != nil {
				return 0
			}
			return kib / 1024
		}
	}
	return 0
}
