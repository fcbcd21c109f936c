//go:build e2e

package e2e

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// predictions makes a model and data by the real TensorFlow.
func predictions(t testing.TB, times string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	command(t.Context(), t, nil, python(t), program("predictions.py"), "make", dir, times).want(t, 0)
	return dir
}

// predict runs the model over files of the data on the embedded YARN.
func predict(t testing.TB, env []string, dir, in, out string, more ...string) run {
	t.Helper()
	return tfos(t, env, append([]string{"predict", "--master", "local", "--env", "PYTHON=" + python(t), "--model", filepath.Join(dir, "model"),
		"--input", filepath.Join(dir, in), "--output", out}, more...)...)
}

// predicted holds an output against what Python's own loop gives, bit by bit.
func predicted(t testing.TB, dir, out string, rows int) {
	t.Helper()
	r := command(t.Context(), t, nil, python(t), program("predictions.py"), "check", dir, out).want(t, 0)
	if want := fmt.Sprintf("%d rows are the same\n", rows); r.stdout != want {
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

// TestPredict runs a model over files by two workers and kills one on the way: one row of output
// for each row of input, the same, bit by bit, as Python's. Begun again there is nothing to do;
// with a part of the output gone, only that is done.
func TestPredict(t *testing.T) {
	t.Parallel()
	dir, out, tmp := predictions(t, "1"), filepath.Join(t.TempDir(), "out"), t.TempDir()
	again := func(more ...string) run {
		return predict(t, []string{"TMPDIR=" + tmp}, dir, "in/*", out, append([]string{"--keep", "id", "--output-format", "tfrecord", "--workers", "2"}, more...)...)
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
	predicted(t, dir, out, 52200)
	if entries, err := os.ReadDir(out); err != nil || len(entries) != 12+2 {
		t.Errorf("the output holds %v, %v", entries, err)
	}
	if entries, err := os.ReadDir(filepath.Join(out, "_tfos")); err != nil || len(entries) != 2 {
		t.Errorf("beside the output are %v, %v", entries, err)
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
	predicted(t, dir, out, 52200)
	again("--batch", "7").want(t, 2).says(t, "is of another run: the batch was 1024, and is 7 now")

	// Of an input without a byte there is nothing to do.
	if err := os.WriteFile(filepath.Join(dir, "empty.tfrecord"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(tmp, "none")
	predict(t, nil, dir, "empty.tfrecord", none).want(t, 0).says(t, "the input's files are empty")
	if _, err := os.Stat(filepath.Join(none, "_SUCCESS")); err != nil {
		t.Error(err)
	}
}

// TestPredictOnHDFS reads each format from HDFS and writes to it, by workers on a real YARN. One of
// two workers dies in the middle of the TFRecords: one row of output for each row of input, the
// same, bit by bit, as Python's, and nothing else is left.
func TestPredictOnHDFS(t *testing.T) {
	t.Parallel()
	c := hadoop(t)
	const home = "/tmp/predict"
	dir := predictions(t, "4")
	rows := someRows(t, dir)
	c.shell(t, "hdfs dfs -mkdir "+home+" && hdfs dfs -put "+dir+"/* "+home)
	predict := func(model, in, out string, more ...string) run {
		return tfos(t, c.env, append([]string{"predict", "--env", "PYTHON=" + python(t), "--model", "hdfs://" + home + "/" + model, "--input", "hdfs://" + home + "/" + in,
			"--output", "hdfs://" + home + "/" + out}, more...)...)
	}
	t.Cleanup(func() { c.shell(t, "hdfs dfs -rm -r -skipTrash "+home) })
	done := make(chan run, 1)
	go func() {
		done <- predict("model", "in/*", "out", "--keep", "id", "--output-format", "tfrecord", "--workers", "2")
	}()
	eventually(t, "the first part", func() bool { return len(c.list(t, home+"/out")) > 1 }) // beside _tfos
	pids := workersOf(t, filepath.Dir(c.conf))
	if len(pids) == 0 {
		t.Fatal("no worker runs when the first part is there")
	}
	if err := killProcess(pids[0]); err != nil {
		t.Fatal(err)
	}
	for _, other := range []struct{ model, in, out, want string }{
		{"model", "rows.csv", "csv", rows},
		{"model", "rows.parquet", "parquet", rows},
		{"bytes", "*.png", "images", `{"path":"hdfs:///tmp/predict/a.png","size":3}` + "\n" + `{"path":"hdfs:///tmp/predict/b.png","size":1000}` + "\n"},
	} {
		predict(other.model, other.in, other.out).want(t, 0)
		if got := c.shell(t, "hdfs dfs -cat "+home+"/"+other.out+"/part-*"); got != other.want {
			t.Errorf("%s became\n%s, want\n%s", other.in, got, other.want)
		}
	}
	(<-done).want(t, 0).says(t, "restarted", "killed by SIGKILL")
	got := t.TempDir()
	c.shell(t, "hdfs dfs -get "+home+"/out/* "+got)
	predicted(t, dir, got, 4*52200)
	if all := append(c.list(t, home+"/out"), c.list(t, home+"/out/_tfos")...); len(all) != 12+2+2 {
		t.Errorf("the output holds %v", all)
	}
}

// someRows writes rows as CSV and as Parquet, and images, and says what the model makes of the rows
// by the embedded YARN.
func someRows(t testing.TB, dir string) (jsonl string) {
	t.Helper()
	type row struct {
		X  []float32 `parquet:"x,list"`
		ID string    `parquet:"id"`
	}
	var all []row
	lines := [][]string{{"id", "x"}}
	for i := range 3 {
		r := row{make([]float32, 32), fmt.Sprintf("row %d", i)}
		for j := range r.X {
			r.X[j] = float32(i*j) / 8
		}
		x, err := json.Marshal(r.X)
		if err != nil {
			t.Fatal(err)
		}
		all, lines = append(all, r), append(lines, []string{r.ID, string(x)})
	}
	if err := parquet.WriteFile(filepath.Join(dir, "rows.parquet"), all); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "rows.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := csv.NewWriter(f).WriteAll(lines); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"a.png": 3, "b.png": 1000} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "out")
	predict(t, nil, dir, "rows.csv", out).want(t, 0)
	b, err := os.ReadFile(filepath.Join(out, "part-00000.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
