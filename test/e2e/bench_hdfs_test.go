//go:build e2e && bench

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// benchMegabytes is how much is read in sequence.
const benchMegabytes = 1024

// TestBenchHDFS measures hdfs:// in TensorFlow against a local directory and against `hdfs dfs
// -cat`.
func TestBenchHDFS(t *testing.T) {
	c := hadoop(t)
	dir, local := "/tmp/bench", t.TempDir()
	if err := os.Chmod(local, 0o777); err != nil {
		t.Fatal(err)
	}
	c.shell(t, "hdfs dfs -mkdir -p "+dir+"; hdfs dfs -touchz "+dir+"/empty")
	watch := watchPeaks("tfos-agent")
	r := c.onTask(t, "bench_hdfs.py", "hdfs://"+dir, local, fmt.Sprint(benchMegabytes)).want(t, 0)
	peak := watch()["tfos-agent"]
	fmt.Println()
	for line := range strings.Lines(r.stdout) {
		if result, ok := strings.CutPrefix(line, "RESULT "); ok {
			fmt.Print(result)
		}
	}
	start := c.cat(t, dir+"/empty")
	all := c.cat(t, dir+"/data-*")
	fmt.Printf("hdfs dfs -cat: %.2f s after %.2f s of its start (%.0f MB/s)\n", all-start, start, benchMegabytes/(all-start))
	fmt.Printf("agent's peak: %.1f MiB\n", peak)
	c.shell(t, "hdfs dfs -rm -r -skipTrash "+dir)
}

// benchFiles is how many small files are written, and benchFileSize how long each is, in bytes.
const (
	benchFiles    = 100
	benchFileSize = 4 << 10
)

// TestBenchSmallFiles measures how long TensorFlow takes to write and to read small files of three
// copies, one after the other, and how long Java's client takes for the same.
func TestBenchSmallFiles(t *testing.T) {
	c := storage(t)
	dir, local := "/tmp/small", t.TempDir()
	for i := range benchFiles {
		if err := os.WriteFile(filepath.Join(local, fmt.Sprintf("f-%03d", i)), make([]byte, benchFileSize), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c.shell(t, "hdfs dfs -mkdir -p "+dir+"/java "+dir+"/ours; hdfs dfs -touchz "+dir+"/empty")
	r := c.onTask(t, "bench_small_files.py", "hdfs://"+dir+"/ours", fmt.Sprint(benchFiles), fmt.Sprint(benchFileSize)).want(t, 0)
	fmt.Println()
	for line := range strings.Lines(r.stdout) {
		if result, ok := strings.CutPrefix(line, "RESULT "); ok {
			fmt.Print(result)
		}
	}
	start := c.cat(t, dir+"/empty")
	put := c.takes(t, fmt.Sprintf("hdfs dfs -put -f '%s'/* %s/java", local, dir))
	cat := c.cat(t, dir+"/java/*")
	fmt.Printf("hdfs dfs, after %.2f s of its start: -put %.1f ms a file, -cat %.1f ms\n", start, 1000*(put-start)/benchFiles, 1000*(cat-start)/benchFiles)
	c.shell(t, "hdfs dfs -rm -r -skipTrash "+dir)
}

// cat is how long `hdfs dfs -cat` takes, in seconds.
func (c *cluster) cat(t *testing.T, name string) float64 {
	t.Helper()
	return c.takes(t, "hdfs dfs -cat '"+name+"' > /dev/null")
}

// takes is how long a command takes, in seconds: the median of three.
func (c *cluster) takes(t *testing.T, command string) float64 {
	t.Helper()
	var taken []launchRun
	for range 3 {
		begin := time.Now()
		c.shell(t, command)
		taken = append(taken, launchRun{wall: time.Since(begin).Seconds()})
	}
	return median(taken, func(r launchRun) float64 { return r.wall })
}
