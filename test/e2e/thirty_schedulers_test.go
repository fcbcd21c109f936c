//go:build e2e && schedulers

package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tfos/internal/fault"
	"tfos/internal/job"
)

var (
	nights    = flag.Int("nights", 30, "how many nights in a row")
	nightSeed = flag.Uint64("night-seed", 0, "repeats the faults of a run; 0: new ones")
)

// calls is how often a scheduler tries a night.
const calls = 4

// scheduled runs a command line until it ends with 0, as a scheduler would: nobody looks. The
// answer is its last call.
func scheduled(t *testing.T, env []string, args []string) run {
	for call := 1; ; call++ {
		r := tfos(t, env, args...)
		if r.code == 0 || call == calls {
			return r
		}
		t.Logf("exit code %d, called again: %s", r.code, strings.TrimSpace(r.stderr[strings.LastIndex(strings.TrimSpace(r.stderr), "\n")+1:]))
	}
}

// TestSchedulersNights: one job, night after night, and in each a random fault: of a process, an
// agent, a node, the master, YARN, HDFS, or of the scheduler itself, which is killed with its call,
// or calls twice. Nobody does anything about it, and each morning there is a model: bit for bit the
// one of the other nights.
func TestSchedulersNights(t *testing.T) {
	c, err := startCluster("e2e-nights", portBase+1000, "--nms", "3", "--dns", "3", "--set", "dfs.replication=2")
	if err != nil {
		t.Fatal(err)
	}
	seed := *nightSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano() % 1_000_000)
	}
	t.Logf("the same faults again: -night-seed %d", seed)
	text := fmt.Sprintf(`name: nights
command: ${PYTHON:-python3} exact.py --steps 120 --pause 0.1
files: [%s, %s]
roles: {worker: {memory: 2GiB}}
`, program("exact.py"), filepath.Join(root, "examples/digits/digits.py"))
	j, err := job.Parse("job.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	file, models, faults := jobFile(t, text), map[string][]string{}, map[string]int{}
	for n := range *nights {
		date := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n).Format(time.DateOnly)
		dir := "hdfs:///nights/" + date
		night := []string{file, "--once", "{name}-{date}", "--date", date, "--resume", "--env", "PYTHON=" + python(t), "--checkpoint-dir", dir}
		args := slices.Concat([]string{"run", "--retries", "2"}, night)
		doubled := slices.Concat([]string{"submit"}, night)
		random := rand.New(rand.NewPCG(seed, uint64(n)))
		plan := fault.Draw(seed+uint64(n), 1, 10+random.Int64N(90), time.Second, j, can)
		scheduler := random.IntN(len(can)/2) == 0 // its own faults are two of many

		alive, kill := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		var first, second run
		if scheduler {
			callers.Go(func() { // this call is killed, and the next one comes when the scheduler is up again
				killed(alive, c, args)
				first = scheduled(t, c.env, args)
			})
			callers.Go(func() { second = scheduled(t, c.env, args) })
		} else {
			callers.Go(func() { first = scheduled(t, c.env, args) })
		}
		id := ""
		eventually(t, "an application for "+date, func() bool {
			id = strings.TrimSpace(tfos(t, c.env, doubled...).stdout) // a doubled call, too
			return id != ""
		})
		b := newBreaker(t, c, id, plan)
		what := string(plan[0].Kind)
		if scheduler {
			what = "the scheduler and its call are killed"
			b.await(plan[0])
		} else {
			b.run(plan)
		}
		kill()
		t.Logf("%s  %s, at step %d", date, what, plan[0].Step)
		faults[what]++
		done := make(chan struct{})
		go func() { callers.Wait(); close(done) }()
		for waiting := true; waiting; {
			select {
			case <-done:
				waiting = false
			case end := <-b.delayed:
				b.over(end)
			}
		}
		b.restore()
		ends := []run{first}
		if scheduler {
			ends = append(ends, second)
		}
		for _, r := range ends {
			r.want(t, 0)
		}
		newest := strings.TrimSpace(tfos(t, c.env, doubled...).want(t, 0).stdout)
		for _, m := range weightsRE.FindAllStringSubmatch(tfos(t, c.env, "attach", newest).want(t, 0).stdout, 1) {
			models[m[1]] = append(models[m[1]], date)
		}
		if ls := tfos(t, c.env, "checkpoint", "ls", dir).want(t, 0).stdout; !strings.Contains(ls, "120") || !strings.Contains(ls, "whole") {
			t.Errorf("%s: the model is not there, whole:\n%s", date, ls)
		}
	}
	if len(models) != 1 {
		t.Errorf("the nights have different models: %v", models)
	}
	for _, dates := range models {
		if len(dates) != *nights {
			t.Errorf("%d models in %d nights", len(dates), *nights)
		}
		fmt.Printf("nights %d, models %d, applications %d, faults %v\n", *nights, len(dates), applications(t, c, "nights"), faults)
	}
}
