//go:build e2e && bench

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rounds is how many runs a median is taken of. One more of each goes before, uncounted: it warms
// caches up.
const rounds = 5

// launchRun is what one launch of four trivial programs took.
type launchRun struct {
	started  float64 // s from the submission, as the ResourceManager dates it, until the last program ran
	finished float64 // s until the ResourceManager called the application finished
	wall     float64 // s of the client's process
	client   float64 // MiB, peak
	am       float64 // MiB, peak
	agent    float64 // MiB, peak of the largest
}

// TestBenchLaunch times tfos beside stock DistributedShell on one cluster, in turn: 1 ps and 3
// workers against four containers, each with the same trivial Python program.
func TestBenchLaunch(t *testing.T) {
	c := hadoop(t)
	programs := map[string]func(t *testing.T, dir string) (launchRun, string){
		"tfos":             c.launchTfos,
		"DistributedShell": c.launchShell,
	}
	names := []string{"tfos", "DistributedShell"}
	results := map[string][]launchRun{}
	for round := range rounds + 1 {
		for _, name := range names {
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			r, id := programs[name](t, dir)
			begin, end := c.times(t, id)
			r.started, r.finished = lastStamp(t, dir)-begin, end-begin
			if round > 0 {
				results[name] = append(results[name], r)
			}
		}
	}
	fmt.Printf("\nLaunch of 4 tasks (1 ps + 3 workers; DistributedShell: 4 containers), %d rounds in turn, median (min-max)\n", rounds)
	fmt.Printf("%-18s %-22s %-22s %-22s %-20s %-20s %s\n", "", "all started, s", "FINISHED, s", "client's process, s", "client, MiB", "AM, MiB", "agent, MiB")
	for _, name := range names {
		rs := results[name]
		fmt.Printf("%-18s %-22s %-22s %-22s %-20s %-20s %s\n", name,
			spread(rs, func(r launchRun) float64 { return r.started }), spread(rs, func(r launchRun) float64 { return r.finished }),
			spread(rs, func(r launchRun) float64 { return r.wall }), spread(rs, func(r launchRun) float64 { return r.client }),
			spread(rs, func(r launchRun) float64 { return r.am }), spread(rs, func(r launchRun) float64 { return r.agent }))
	}
	finished := func(name string) float64 {
		return median(results[name], func(r launchRun) float64 { return r.finished })
	}
	fmt.Printf("tfos / DistributedShell to FINISHED: %.2f\n", finished("tfos")/finished("DistributedShell"))
	for _, b := range []string{"tfos", "tfos-am", "tfos-agent"} {
		info, err := os.Stat(filepath.Join(root, "bin", b))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("bin/%s: %.1f MiB\n", b, float64(info.Size())/(1<<20))
	}
}

// launchTfos runs the program on 1 ps and 3 workers and checks that each knew a cluster of four.
func (c *cluster) launchTfos(t *testing.T, dir string) (launchRun, string) {
	job := jobFile(t, fmt.Sprintf(`name: bench
command: python3 %s %s
success: all
roles:
  ps: {instances: 1, memory: 256MiB, service: false}
  worker: {instances: 3, memory: 256MiB}
`, program("stamp.py"), dir))
	watch := watchPeaks("tfos-am", "tfos-agent")
	r, out := c.client(t, c.env, filepath.Join(root, "bin", "tfos"), "run", job)
	peaks := watch()
	r.am, r.agent = peaks["tfos-am"], peaks["tfos-agent"]
	for _, s := range stamps(t, dir) {
		if strings.Count(s.Config, ":4\"") != 4 {
			t.Errorf("a task did not know its cluster: %s", s.Config)
		}
	}
	return r, applicationRE.FindString(out)
}

// launchShell runs the program in four containers of stock DistributedShell.
func (c *cluster) launchShell(t *testing.T, dir string) (launchRun, string) {
	line := fmt.Sprintf(`eval "$(%s --name %s env)"; dshell -shell_command "python3 %s %s" -num_containers 4 -container_memory 256 -master_memory 256`,
		filepath.Join(root, "deploy/testcluster/cluster"), c.name, program("stamp.py"), dir)
	watch := watchPeaks("org.apache.hadoop.yarn.applications.distributedshell.ApplicationMaster")
	r, out := c.client(t, nil, "bash", "-c", line)
	for _, mib := range watch() {
		r.am = mib
	}
	return r, applicationRE.FindString(out)
}

// client runs a client to its end and measures its process, or the largest of its children.
func (c *cluster) client(t *testing.T, env []string, name string, args ...string) (launchRun, string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(cleanEnv(), env...)
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return launchRun{wall: time.Since(begin).Seconds(), client: float64(usage.Maxrss) / 1024}, string(out)
}

// times asks the ResourceManager when an application was submitted and finished, in seconds since
// the epoch.
func (c *cluster) times(t *testing.T, id string) (begin, end float64) {
	t.Helper()
	var info struct {
		App struct {
			StartedTime, FinishedTime float64
			State, FinalStatus        string
		}
	}
	eventually(t, "the end of "+id, func() bool {
		resp, err := http.Get(c.rmWeb(t) + "/ws/v1/cluster/apps/" + id)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&info); err != nil {
			t.Fatal(err)
		}
		return info.App.State == "FINISHED"
	})
	if info.App.FinalStatus != "SUCCEEDED" {
		t.Errorf("%s: %s", id, info.App.FinalStatus)
	}
	return info.App.StartedTime / 1000, info.App.FinishedTime / 1000
}

// stamp is what test/programs/stamp.py wrote.
type stamp struct {
	At     float64 `json:"at"` // s since the epoch
	Config string  `json:"tf_config"`
}

func stamps(t *testing.T, dir string) []stamp {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 4 {
		t.Fatalf("%d programs ran, want 4 (%v)", len(files), err)
	}
	var all []stamp
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var s stamp
		if err := json.Unmarshal(b, &s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func lastStamp(t *testing.T, dir string) float64 {
	last := 0.0
	for _, s := range stamps(t, dir) {
		last = max(last, s.At)
	}
	return last
}

// watchPeaks samples the peak memory (VmHWM) of processes whose command line holds one of the
// words, until the function it returns is called: that tells the largest of each word, in MiB.
func watchPeaks(words ...string) func() map[string]float64 {
	stop, done := make(chan struct{}), make(chan map[string]float64)
	go func() {
		peaks := map[string]float64{}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				done <- peaks
				return
			case <-tick.C:
			}
			dirs, _ := filepath.Glob("/proc/[0-9]*")
			for _, d := range dirs {
				line, _ := os.ReadFile(filepath.Join(d, "cmdline"))
				words0 := strings.Split(string(line), "\x00")
				for _, w := range words {
					if slices.ContainsFunc(words0, func(arg string) bool { return arg == w || filepath.Base(arg) == w }) {
						peaks[w] = max(peaks[w], hwm(d))
					}
				}
			}
		}
	}()
	return func() map[string]float64 {
		close(stop)
		return <-done
	}
}

func sorted(rs []launchRun, of func(launchRun) float64) []float64 {
	var v []float64
	for _, r := range rs {
		v = append(v, of(r))
	}
	slices.Sort(v)
	return v
}

func median(rs []launchRun, of func(launchRun) float64) float64 { return sorted(rs, of)[len(rs)/2] }

// spread is "median (min-max)".
func spread(rs []launchRun, of func(launchRun) float64) string {
	v := sorted(rs, of)
	return fmt.Sprintf("%.1f (%.1f-%.1f)", v[len(v)/2], v[0], v[len(v)-1])
}
