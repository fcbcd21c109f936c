//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestLeases has ten tasks share 1,000 files of very different sizes for two epochs, kills the
// processes of two and the agent of a third while they read, and counts: each record is consumed
// exactly once in each epoch.
func TestLeases(t *testing.T) {
	t.Parallel()
	const epochs = 2
	data, out := t.TempDir(), t.TempDir()
	records := writeLines(t, data, 1000)
	job := jobFile(t, fmt.Sprintf("command: %s %s '%s/*.txt' %s %d\nstrategy: none\nroles:\n  worker: {instances: 10, memory: 64MiB}\n",
		python(t), program("count_records.py"), data, out, epochs))
	done := make(chan run, 1)
	go func() { done <- tfos(t, nil, "run", "--master", "local", job) }()

	for n, kill := range []func(int) error{killProcess, killProcess, killAgent} {
		eventually(t, "tasks to read", func() bool { return len(spans(t, out)) > 150*(n+1) })
		if err := kill(pidOf(t, out, 3+n)); err != nil {
			t.Fatal(err)
		}
	}
	r := (<-done).want(t, 0)
	for n := range 3 {
		if _, err := os.Stat(filepath.Join(out, fmt.Sprintf("pid.%d.2", 3+n))); err != nil {
			t.Errorf("worker/%d did not come back: %v", 3+n, err)
		}
	}

	readers := make(map[int]int)
	for epoch := 1; epoch <= epochs; epoch++ {
		seen := make(map[string]int)
		for _, s := range spans(t, out) {
			if s.Epoch == epoch {
				readers[s.Task] += len(s.Records)
				for _, record := range s.Records {
					seen[record]++
				}
			}
		}
		wrong := 0
		for record := range records {
			if n := seen[record]; n != 1 {
				if wrong++; wrong <= 5 {
					t.Errorf("epoch %d: record %s was consumed %d times", epoch, record, n)
				}
			}
		}
		if len(seen) != len(records) || wrong > 0 {
			t.Errorf("epoch %d: %d records were consumed, %d of them not once; there are %d", epoch, len(seen), wrong, len(records))
		}
	}
	t.Logf("%d records in each of %d epochs; by task: %v", len(records), epochs, readers)
	gone(t, r.application(t))
}

// writeLines makes files of lines that are all different, most of them small and a few a thousand
// times larger. It returns what the lines begin with.
func writeLines(t *testing.T, dir string, files int) map[string]bool {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	all := make(map[string]bool)
	for i := range files {
		var b strings.Builder
		for n := range int(math.Exp(r.Float64()*7.5)) - 1 {
			id := fmt.Sprintf("%d:%d", i, n)
			all[id] = true
			fmt.Fprintf(&b, "%s %s\n", id, strings.Repeat("x", r.IntN(40)))
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("part-%04d.txt", i)), []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// span is what a task consumed at once.
type span struct {
	Epoch, Task int
	Records     []string
}

// spans reads what was consumed so far.
func spans(t *testing.T, dir string) []span {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	all := make([]span, len(names))
	for i, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &all[i]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return all
}

// pidOf is the process of a task's first incarnation.
func pidOf(t *testing.T, dir string, index int) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("pid.%d.1", index)))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
