//go:build e2e && bench

package e2e

import (
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

var rateRE = regexp.MustCompile(`(\d+) rows in .* ([0-9.]+) s of processor time: (\d+) rows/s`)

// rate is what a program printed of its speed.
type rate struct{ rows, processor, perSecond float64 }

// faster is the better rate of two runs: what else the machine does makes runs slower, never
// faster.
func (r rate) faster(t *testing.T, output string) rate {
	t.Helper()
	m := rateRE.FindStringSubmatch(output)
	if m == nil {
		t.Fatalf("no rate in\n%s", output)
	}
	var n [3]float64
	for i := range n {
		var err error
		if n[i], err = strconv.ParseFloat(m[i+1], 64); err != nil {
			t.Fatal(err)
		}
	}
	if n[2] < r.perSecond {
		return r
	}
	return rate{rows: n[0], processor: n[1], perSecond: n[2]}
}

// TestBenchPredict runs a small model over the same TFRecords, in batches of the same size, by tfos
// predict and by a loop in Python that has tf.data parse them and writes the same rows; and by one
// that writes nothing. They run in turn, three times, and the fastest of each counts.
func TestBenchPredict(t *testing.T) {
	dir := predictions(t, "10")
	var nothing rate
	python := func(r rate, format string) rate {
		t.Helper()
		return r.faster(t, command(t.Context(), t, nil, python(t), program("predictions.py"), "loop", dir, format, filepath.Join(t.TempDir(), "out")).want(t, 0).stdout)
	}
	for _, format := range []string{"tfrecord", "jsonl", "csv"} {
		var native, loop rate
		for range 3 {
			native = native.faster(t, predict(t, nil, dir, "in/*", filepath.Join(t.TempDir(), "out"), "--keep", "id", "--output-format", format).want(t, 0).stdout)
			loop = python(loop, format)
			nothing = python(nothing, "none")
		}
		for _, other := range []struct {
			what string
			rate
		}{{"writes the same", loop}, {"writes nothing", nothing}} {
			t.Logf("%-8s  tfos predict %7.0f rows/s, %.1f µs of processor time a row; a loop in Python that %-15s %7.0f rows/s, %.1f µs: %.1f times as fast, %.1f of its processor time",
				format, native.perSecond, 1e6*native.processor/native.rows, other.what, other.perSecond, 1e6*other.processor/other.rows,
				native.perSecond/other.perSecond, native.processor/native.rows/(other.processor/other.rows))
		}
	}
}
