package sim

import (
	"bytes"
	"flag"
	"fmt"
	"strings"
	"testing"
)

var (
	oneSeed = flag.Int64("seed", -1, "simulate this seed alone, and show its event logs")
	seeds   = flag.Int("seeds", 200, "how many seeds to simulate")
)

// check plays a seed twice, and returns what was broken.
func check(seed uint64, opts Options) (Outcome, []string) {
	first, second := Run(seed, opts), Run(seed, opts)
	broken := first.Violations
	for i := range first.Logs {
		if !bytes.Equal(first.Logs[i], second.Logs[i]) {
			broken = append(broken, fmt.Sprintf("same: job %d went another way in a second run", i))
		}
	}
	return first, broken
}

func TestInvariants(t *testing.T) {
	t.Parallel()
	first, n := uint64(0), *seeds
	if *oneSeed >= 0 {
		first, n = uint64(*oneSeed), 1
	}
	results := make(map[int]int)
	for seed := first; seed < first+uint64(n); seed++ {
		out, broken := check(seed, Options{})
		for _, r := range out.Results {
			results[r.ExitCode]++
		}
		if *oneSeed >= 0 {
			t.Logf("%s\n%s", out.Elapsed, bytes.Join(out.Logs, []byte("\n")))
		}
		if len(broken) > 0 {
			t.Fatalf("seed %d:\n  %s\nrepeat it with: go test ./internal/sim -run TestInvariants -v -seed %d",
				seed, strings.Join(broken, "\n  "), seed)
		}
	}
	t.Logf("jobs by exit code: %v", results)
	// A simulation in which everything fails, or nothing, shows nothing.
	for _, code := range []int{0, 1, 4, 5} {
		if *oneSeed < 0 && n >= 100 && results[code] == 0 {
			t.Errorf("no job ended with exit code %d", code)
		}
	}
}
