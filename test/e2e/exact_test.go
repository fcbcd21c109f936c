//go:build e2e

package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Make nightly gives twenty.
var (
	resumes    = flag.Int("resumes", 1, "at how many random moments a job of each kind is killed and resumed")
	resumeSeed = flag.Uint64("resume-seed", 0, "repeats the moments of a run; 0: new ones")
)

var weightsRE = regexp.MustCompile(`weights ([0-9a-f]{64})`)

// TestResumeIsExact kills a deterministic job at random moments and resumes it: the weights that it
// ends with are, bit for bit, those of a run that nobody disturbed.
func TestResumeIsExact(t *testing.T) {
	t.Parallel()
	c := hadoop(t)
	seed := *resumeSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("repeat the moments with -resume-seed %d", seed)
	file := jobFile(t, fmt.Sprintf("name: exact\ncommand: ${PYTHON:-python3} exact.py --steps 200 --pause 0.02\nfiles: [%s, %s]\nroles: {worker: {memory: 2GiB}}\n",
		program("exact.py"), filepath.Join(root, "examples/digits/digits.py")))
	for _, kind := range []string{"v1", "loop"} {
		t.Run(kind, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, uint64(len(kind))))
			args := func(dir string) []string {
				return []string{"--env", "PYTHON=" + python(t), "--env", "EXACT=" + kind, "--checkpoint-dir", "hdfs:///models/exact-" + kind + dir, file}
			}
			weights := func(output string) string {
				t.Helper()
				m := weightsRE.FindStringSubmatch(output)
				if m == nil {
					t.Fatalf("no weights in\n%s", output)
				}
				return m[1]
			}
			want := weights(tfos(t, c.env, append([]string{"run"}, args("")...)...).want(t, 0).stdout)
			for i := range *resumes {
				at, more := 21+random.Int64N(170), time.Duration(random.Int64N(int64(200*time.Millisecond)))
				id := strings.TrimSpace(tfos(t, c.env, append([]string{"submit"}, args(fmt.Sprint("-", i))...)...).want(t, 0).stdout)
				eventually(t, fmt.Sprint("step ", at), func() bool {
					v := jobStatus(t, c.env, id)
					return steps(v) >= at || v.ExitCode != nil
				})
				time.Sleep(more) // a moment between two looks, not a wait for anything
				tfos(t, c.env, "kill", id).want(t, 0)
				r := tfos(t, c.env, "resume", id).want(t, 0)
				if got := weights(r.stdout); got != want {
					t.Errorf("killed %v after step %d: the weights are %s, want %s\n%s", more, at, got, want, r.stderr)
				}
				t.Logf("killed %v after step %d: %s", more, at, regexp.MustCompile(`restored .*`).FindString(r.stdout))
			}
		})
	}
}
