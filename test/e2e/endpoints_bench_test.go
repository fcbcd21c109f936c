//go:build e2e && bench

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// puller is a job whose worker pulls variables from its ps when it is told to.
type puller struct {
	endpoints string
	dir       string
	orders    int
	agent     string // its directory in /proc
	cmd       *exec.Cmd
}

// pulls are what one order took.
type pulls struct {
	median float64 // s of one pull
	cpu    float64 // s of the worker's agent, for one pull
}

// TestBenchEndpoints has a TensorFlow worker pull variables from a ps, in turn by each way to reach
// it: 100 MB at a time, and 1 KiB.
func TestBenchEndpoints(t *testing.T) {
	// One pair of TensorFlow's processes pulls half as fast again as another, for as long as they
	// live: so there are many pairs.
	const large, small, turns = 15, 300, 7
	ways := []string{"direct", "redirect", "forward"}
	peaks := make(map[string]float64)
	took := map[string]map[string][]pulls{"large": {}, "small": {}}
	for turn := range turns {
		jobs := make(map[string]*puller)
		for _, w := range ways {
			jobs[w] = startPuller(t, w)
		}
		for _, variable := range []string{"large", "small"} {
			times := map[string]int{"large": large, "small": small}[variable]
			for i := range ways {
				w := ways[(turn+i)%len(ways)]
				jobs[w].pull(t, variable, 5) // the first connect, and warm up
				took[variable][w] = append(took[variable][w], jobs[w].pull(t, variable, times))
			}
		}
		for w, j := range jobs {
			peaks[w] = max(peaks[w], hwm(j.agent))
			j.end(t)
		}
	}
	fmt.Printf("\nPulls of a TensorFlow worker from a ps on the same machine, %d rounds in turn, median (min-max)\n", turns)
	fmt.Printf("%-10s %-24s %-22s %-24s %-22s %-22s %s\n", "", "100 MB, MB/s", "of direct, paired", "1 KiB, ms", "direct's, paired", "agent's CPU, s a GB", "agent's peak, MiB")
	for _, w := range ways {
		of := func(variable string, f func(a, direct pulls) float64) string {
			var v []float64
			for i, p := range took[variable][w] {
				v = append(v, f(p, took[variable]["direct"][i]))
			}
			slices.Sort(v)
			return fmt.Sprintf("%.2f (%.2f-%.2f)", v[len(v)/2], v[0], v[len(v)-1])
		}
		ratio := func(p, direct pulls) float64 { return direct.median / p.median }
		fmt.Printf("%-10s %-24s %-22s %-24s %-22s %-22s %.1f\n", w,
			of("large", func(p, _ pulls) float64 { return 100 / p.median }), of("large", ratio),
			of("small", func(p, _ pulls) float64 { return 1000 * p.median }), of("small", ratio),
			of("large", func(p, _ pulls) float64 { return 10 * p.cpu }), peaks[w])
	}
}

func startPuller(t *testing.T, endpoints string) *puller {
	t.Helper()
	p := &puller{endpoints: endpoints, dir: t.TempDir()}
	job := jobFile(t, fmt.Sprintf("name: pull\ncommand: %s %s %s\nendpoints: %s\nstrategy: none\n"+
		"roles:\n  worker: {memory: 2GiB}\n  ps: {memory: 2GiB}\n", python(t), program("pull.py"), p.dir, endpoints))
	p.cmd = exec.CommandContext(t.Context(), filepath.Join(root, "bin", "tfos"), "run", "--master", "local", job)
	p.cmd.Env, p.cmd.Stderr = cleanEnv(), t.Output()
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(os.Interrupt) }
	p.cmd.WaitDelay = 10 * time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var agent int
	p.answer(t, "agent", &agent)
	p.agent = filepath.Join("/proc", strconv.Itoa(agent))
	return p
}

// pull has the worker pull a variable some times.
func (p *puller) pull(t *testing.T, variable string, times int) pulls {
	t.Helper()
	before := p.cpu(t)
	p.order(t, map[string]any{"variable": variable, "times": times})
	var took []float64
	p.answer(t, fmt.Sprintf("took-%d", p.orders-1), &took)
	cpu := p.cpu(t) - before
	slices.Sort(took)
	return pulls{median: took[len(took)/2], cpu: cpu / float64(times)}
}

func (p *puller) order(t *testing.T, what map[string]any) {
	t.Helper()
	b, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(p.dir, fmt.Sprintf("go-%d", p.orders))
	p.orders++
	if err := os.WriteFile(name+".new", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

func (p *puller) answer(t *testing.T, name string, into any) {
	t.Helper()
	var b []byte
	eventually(t, name+" of "+p.endpoints, func() bool {
		var err error
		b, err = os.ReadFile(filepath.Join(p.dir, name))
		return err == nil
	})
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// cpu is how many seconds the worker's agent has used.
func (p *puller) cpu(t *testing.T) float64 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(p.agent, "stat"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	const utime, hertz = 11, 100 // proc_pid_stat(5), after the name; the kernel's USER_HZ
	var ticks float64
	for _, f := range strings.Fields(rest)[utime : utime+2] {
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return ticks / hertz
}

func (p *puller) end(t *testing.T) {
	t.Helper()
	p.order(t, map[string]any{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	defer context.AfterFunc(ctx, func() { p.cmd.Process.Signal(os.Interrupt) })()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the job by %s: %v", p.endpoints, err)
	}
}
