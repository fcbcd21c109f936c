//go:build e2e && bench

package e2e

import (
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

var rateRE = regexp.MustCompile(`(\d+) rows/s`)

// rate is the rows per second that a program printed.
func rate(t *testing.T, output string) float64 {
	t.Helper()
	m := rateRE.FindStringSubmatch(output)
	if m == nil {
		t.Fatalf("no rate in\n%s", output)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestBenchPredict runs a small model over the same TFRecords by tfos predict and by a loop in Python, which has tf.data parse them and
// writes nothing.
func TestBenchPredict(t *testing.T) {
	dir := predictions(t)
	loop := rate(t, command(t.Context(), t, nil, python(t), program("predictions.py"), "loop", dir).want(t, 0).stdout)
	for _, format := range []string{"tfrecord", "jsonl", "csv"} {
		out := filepath.Join(t.TempDir(), "out")
		r := tfos(t, nil, "predict", "--master", "local", "--env", "PYTHON="+python(t), "--model", filepath.Join(dir, "model"), "--input", filepath.Join(dir, "in"),
			"--output", out, "--output-format", format).want(t, 0)
		native := rate(t, r.stdout)
		t.Logf("%-8s  tfos predict %8.0f rows/s, a loop in Python %8.0f: %.1f times", format, native, loop, native/loop)
	}
}
