//go:build e2e && bench

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// benchMegabytes is how much is read in sequence.
const benchMegabytes = 1024

// TestBenchHDFS measures hdfs:// in TensorFlow against a local directory and against `hdfs dfs -cat`.
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

// cat is how long `hdfs dfs -cat` takes, in seconds: the median of three.
func (c *cluster) cat(t *testing.T, name string) float64 {
	t.Helper()
	var taken []launchRun
	for range 3 {
		begin := time.Now()
		c.shell(t, "hdfs dfs -cat '"+name+"' > /dev/null")
		taken = append(taken, launchRun{wall: time.Since(begin).Seconds()})
	}
	return median(taken, func(r launchRun) float64 { return r.wall })
}
