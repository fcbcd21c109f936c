//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// predictions makes a model and data by the real TensorFlow.
func predictions(t testing.TB, times string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	command(t.Context(), t, nil, python(t), program("predictions.py"), "make", dir, times).want(t, 0)
	return dir
}

// predict runs the model over the data on the embedded YARN.
func predict(t testing.TB, env []string, dir, out string, more ...string) run {
	t.Helper()
	return tfos(t, env, append([]string{"predict", "--master", "local", "--env", "PYTHON=" + python(t), "--model", filepath.Join(dir, "model"),
		"--input", filepath.Join(dir, "in", "*"), "--output", out, "--keep", "id"}, more...)...)
}

// predicted holds an output against what Python's own loop gives, bit by bit.
func predicted(t testing.TB, dir, out string) {
	t.Helper()
	r := command(t.Context(), t, nil, python(t), program("predictions.py"), "check", dir, out).want(t, 0)
	if want := "52200 rows are the same\n"; r.stdout != want {
		t.Errorf("%q, want %q", r.stdout, want)
	}
}

// workersOf are the processes of a prediction that works in a temporary directory.
func workersOf(t testing.TB, tmp string) (pids []int) {
	t.Helper()
	for _, line := range leftovers(t, tmp) {
		if pid, rest, _ := strings.Cut(line, ": "); strings.HasPrefix(rest, "./.tfos/tfos-builtin predict ") {
			n, err := strconv.Atoi(pid)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, n)
		}
	}
	return pids
}

// TestPredict runs a model over files by two workers and kills one on the way: one row of output for each row of input, the
// same, bit by bit, as Python's. Begun again there is nothing to do; with a part of the output gone, only that is done.
func TestPredict(t *testing.T) {
	t.Parallel()
	dir, out, tmp := predictions(t, "1"), filepath.Join(t.TempDir(), "out"), t.TempDir()
	again := func(more ...string) run {
		return predict(t, []string{"TMPDIR=" + tmp}, dir, out, append([]string{"--output-format", "tfrecord", "--workers", "2"}, more...)...)
	}
	done := make(chan run, 1)
	go func() { done <- again() }()
	parts := func() int {
		found, err := filepath.Glob(filepath.Join(out, "part-*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	eventually(t, "the first part", func() bool { return parts() > 0 })
	if pids := workersOf(t, tmp); len(pids) > 0 { // else they were faster
		if err := killProcess(pids[0]); err != nil {
			t.Log(err)
		}
	}
	(<-done).want(t, 0)
	predicted(t, dir, out)
	entries, err := os.ReadDir(out)
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), ".") }) // of the worker that was killed while it wrote
	if err != nil || len(entries) != 12+2 {
		t.Errorf("the output holds %v, %v", entries, err)
	}

	again().want(t, 0).says(t, "is complete: there is nothing to do")
	for _, name := range []string{"part-00003.tfrecord", "_SUCCESS"} {
		if err := os.Remove(filepath.Join(out, name)); err != nil {
			t.Fatal(err)
		}
	}
	r := again().want(t, 0).says(t, "has a part of the output: the rest follows")
	if n := strings.Count(r.stdout, "wrote 2600 rows in 1 files") + strings.Count(r.stdout, "wrote 0 rows in 0 files"); n < 1 {
		t.Errorf("more was done than was missing:\n%s", r.stdout)
	}
	predicted(t, dir, out)
	again("--batch", "7").want(t, 2).says(t, "is of another run: the batch was 1024, and is 7 now")
}
