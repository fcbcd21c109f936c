//go:build e2e && bench

package e2e

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"tfos/internal/dfs"
	"tfos/internal/hadoop/conf"
)

// TestBenchVerify times tfos checkpoint verify of a checkpoint of about 1 GiB against plain reading
// of its data file in sequence, on the local disk and on HDFS, in turn, and tells the verifier's
// peak of memory.
func TestBenchVerify(t *testing.T) {
	c := hadoop(t)
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command(ctx, t, nil, python(t), "-c", `
import sys, numpy as np, tensorflow as tf
rng = np.random.default_rng(1)
variables = {f"v{i}": tf.Variable(rng.random([n], dtype=np.float32)) for i, n in enumerate([100_000_000] + [2_500_000] * 64 + [1000] * 2000)}
tf.train.Checkpoint(**variables).write(sys.argv[1])
`, filepath.Join(dir, "ckpt-1")).want(t, 0)
	const data = "ckpt-1.data-00000-of-00001"
	info, err := os.Stat(filepath.Join(dir, data))
	if err != nil {
		t.Fatal(err)
	}
	at := fmt.Sprintf("/tmp/bench-verify-%d", os.Getpid())
	c.shell(t, fmt.Sprintf("hdfs dfs -mkdir -p %s && hdfs dfs -put %s/* %s", at, dir, at))

	configuration := conf.New(conf.Environment{})
	for _, name := range []string{"core-site.xml", "hdfs-site.xml"} {
		text, err := os.ReadFile(filepath.Join(c.conf, name))
		if err == nil {
			err = configuration.AddResource(name, text, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	hdfs, err := dfs.Open(t.Context(), "", dfs.Options{Conf: configuration, User: "root"})
	if err != nil {
		t.Fatal(err)
	}
	defer hdfs.Close()
	local := dfs.NewLocal("/")
	fmt.Printf("\nVerification of a checkpoint of %.2f GB, %d rounds in turn, median (min-max)\n", float64(info.Size())/1e9, rounds)
	for _, place := range []struct {
		name, dir string
		fs        dfs.FS
		env       []string
	}{{"local disk (cached)", dir, local, nil}, {"HDFS", at, hdfs, c.env}} {
		var reads, verifies, peaks []float64
		for round := range rounds + 1 {
			read := plainRead(t, place.fs, filepath.Join(place.dir, data))
			verify, peak := c.timedVerify(t, place.env, place.dir)
			if round > 0 {
				reads, verifies, peaks = append(reads, read), append(verifies, verify), append(peaks, peak)
			}
		}
		read, readText := middle(reads)
		verify, verifyText := middle(verifies)
		_, peakText := middle(peaks)
		fmt.Printf("%-20s plain read %s GB/s, verify %s GB/s: %.2f of it; peak of memory %s MiB\n", place.name, readText, verifyText, verify/read, peakText)
	}
	c.shell(t, "hdfs dfs -rm -r -skipTrash "+at)
}

// plainRead reads a file in sequence, in GB/s.
func plainRead(t *testing.T, f dfs.FS, name string) float64 {
	t.Helper()
	begin := time.Now()
	file, err := f.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{file}, make([]byte, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return float64(n) / 1e9 / time.Since(begin).Seconds()
}

var speedRE = regexp.MustCompile(`([0-9.]+) GB/s`)

// timedVerify runs tfos checkpoint verify: GB/s, and the process's peak of memory in MiB.
func (c *cluster) timedVerify(t *testing.T, env []string, dir string) (speed, peak float64) {
	t.Helper()
	r, out := c.client(t, env, filepath.Join(root, "bin", "tfos"), "checkpoint", "verify", dir)
	m := speedRE.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no speed in %s", out)
	}
	speed, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return speed, r.client
}

// middle is the median, and how far the values lie apart.
func middle(values []float64) (median float64, spread string) {
	slices.Sort(values)
	median = values[len(values)/2]
	return median, fmt.Sprintf("%.2f (%.2f-%.2f)", median, values[0], values[len(values)-1])
}
