//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"tfos/internal/membership"
	"tfos/internal/status"
)

// TestTwoGangs submits two jobs at once of which each needs 60 % of the cluster: they cannot run
// side by side, and each may get a part of what it needs. Whoever is incomplete gives back what it
// has, pauses and tries again: both end well.
func TestTwoGangs(t *testing.T) {
	c := hadoop(t)
	const job = `name: gang-%s
command: sleep 20
success: all
roles:
  worker: {instances: 10, memory: 2GiB}
gang: {timeout: 6s}
`
	ids := make([]string, 2)
	var wg sync.WaitGroup
	for i := range ids {
		file := jobFile(t, fmt.Sprintf(job, strconv.Itoa(i)))
		wg.Go(func() { ids[i] = strings.TrimSpace(tfos(t, c.env, "submit", file).stdout) })
	}
	wg.Wait()
	givenUp := 0
	for _, id := range ids {
		var v status.View
		eventually(t, "the end of "+id, func() bool {
			v = jobStatus(t, c.env, id)
			return v.ExitCode != nil
		})
		if *v.ExitCode != 0 {
			t.Errorf("%s: exit code %d: %s", id, *v.ExitCode, v.Diagnostics)
		}
		_, turns := c.eventLog(t, id)
		for _, turn := range turns {
			for _, a := range turn.Actions {
				if ask, ok := a.(membership.Ask); ok && turn.Time.Before(*v.Finished) && v.Started.Before(turn.Time) {
					fmt.Printf("%s  %s asks for %d containers\n", turn.Time.Format("15:04:05.000"), v.Name, ask.Count)
					if ask.Count == 0 {
						givenUp++
					}
				}
			}
		}
		fmt.Printf("%s ran from %s to %s\n", v.Name, v.Tasks[0].Started.Format("15:04:05"), v.Finished.Format("15:04:05"))
		c.nothingLeft(t, id)
	}
	if givenUp == 0 {
		t.Error("no gang was given up: the jobs were not in each other's way")
	}
}

// TestGangThatNeverFits is refused at once, with the numbers.
func TestGangThatNeverFits(t *testing.T) {
	c := hadoop(t)
	c.refuses(t, refusal{file: "name: crowd\ncommand: \"true\"\nroles:\n  worker: {instances: 300, memory: 2GiB}\n", code: 3, says: []string{"300 containers of 2 GiB", "holds only 16"}})
}

// TestCrashLoop: a program that always fails spends its budget with growing pauses, then the job
// fails at once.
func TestCrashLoop(t *testing.T) {
	c := hadoop(t)
	r := tfos(t, c.env, "run", jobFile(t, strings.Replace(hello, `"true"`, `"echo the matter is this >&2; exit 3"`, 1))).want(t, 1)
	r.says(t, "worker/0 failed: exit code 3", "failure 4 of the program", "3 are forgiven", "the matter is this")
	id := r.application(t)
	v := jobStatus(t, c.env, id)
	var pauses []float64
	for _, again := range v.Restarts {
		if again.Cause != "program" || again.NewContainer {
			t.Errorf("restart %+v", again)
		}
		pauses = append(pauses, again.Seconds)
	}
	// Nothing, then 1 s and 2 s, a quarter more or less.
	if len(pauses) != 3 || pauses[1] < 0.75 || pauses[2] < 1.5 || !slices.IsSorted(pauses) {
		t.Errorf("pauses before the restarts: %v", pauses)
	}
	fmt.Printf("crash loop: pauses of %.2f s; the job ended %.2f s after the last failure\n", pauses, v.Finished.Sub(*v.Tasks[0].Finished).Seconds())
	c.nothingLeft(t, id)
}
