package sim

import (
	"bytes"
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	oneSeed   = flag.Int64("seed", -1, "simulate this seed alone, and show its event logs")
	seeds     = flag.Int("seeds", 200, "how many seeds to simulate")
	firstSeed = flag.Uint64("first-seed", 0, "the first of them")
)

// fullEvery says how many seeds go through their event logs and are played twice: one in so many.
// What is wrong with a log, or differs from run to run, is so in many seeds, and most of a seed's
// time goes there.
const fullEvery = 4

// check plays a seed, in full if its turn comes, and returns what was broken. A panic is shown when
// the seed is played alone.
func check(seed uint64, opts Options) (out Outcome, broken []string) {
	defer func() {
		if *oneSeed < 0 {
			if p := recover(); p != nil {
				broken = append(broken, fmt.Sprintf("panic: %v", p))
			}
		}
	}()
	if seed%fullEvery != 0 && *oneSeed < 0 {
		out := Run(seed, opts)
		return out, out.Violations
	}
	opts.Logs = true
	first, second := Run(seed, opts), Run(seed, opts)
	return first, append(first.Violations, differ(first, second)...)
}

// differ tells where a second run of a seed went another way.
func differ(first, second Outcome) []string {
	var broken []string
	for i := range first.Logs {
		if !bytes.Equal(first.Logs[i], second.Logs[i]) {
			broken = append(broken, fmt.Sprintf("same: job %d went another way in a second run", i))
		}
	}
	return broken
}

// tally is what became of many seeds.
type tally struct {
	mu      sync.Mutex
	results map[int]int // guarded by mu: jobs by exit code
	broken  []string    // guarded by mu: of the lowest seed that broke something
	seed    uint64      // guarded by mu: that one
}

func (l *tally) add(seed uint64, out Outcome, broken []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range out.Results {
		l.results[r.ExitCode]++
	}
	if len(broken) > 0 && (len(l.broken) == 0 || seed < l.seed) {
		l.broken, l.seed = broken, seed
	}
}

// play plays seeds on every processor, from the first on, and stops at one that breaks something.
func play(first uint64, n int) *tally {
	l := &tally{results: make(map[int]int)}
	var next atomic.Uint64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for !stop.Load() {
				i := next.Add(1) - 1
				if i >= uint64(n) {
					return
				}
				out, broken := check(first+i, Options{})
				l.add(first+i, out, broken)
				if len(broken) > 0 {
					stop.Store(true)
				}
			}
		})
	}
	wg.Wait()
	return l
}

func TestInvariants(t *testing.T) {
	t.Parallel()
	if *oneSeed >= 0 {
		out, broken := check(uint64(*oneSeed), Options{})
		t.Logf("%s\n%s", out.Elapsed, bytes.Join(out.Logs, []byte("\n")))
		if len(broken) > 0 {
			t.Errorf("broken:\n  %s", strings.Join(broken, "\n  "))
		}
		return
	}
	l := play(*firstSeed, *seeds)
	if len(l.broken) > 0 {
		t.Fatalf("seed %d:\n  %s\nrepeat it with: go test ./internal/sim -run TestInvariants -v -seed %d",
			l.seed, strings.Join(l.broken, "\n  "), l.seed)
	}
	t.Logf("jobs by exit code: %v", l.results)
	// A simulation in which everything fails, or nothing, shows nothing.
	for code, enough := range map[int]int{0: 100, 1: 100, 4: 100, 5: 1000, 6: 1000} {
		if *seeds >= enough && l.results[code] == 0 {
			t.Errorf("no job ended with exit code %d", code)
		}
	}
}
