package am

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/status"
)

// TestATrainingThatStandsStill: it is said and the stacks are taken, and by choice its processes
// are started again.
func TestATrainingThatStandsStill(t *testing.T) {
	for restart, want := range map[string][]string{
		"false": {"chief/0 inc=1", "worker/0 inc=1", "evaluator/0 inc=1"},
		"true":  {"chief/0 inc=1", "worker/0 inc=1", "evaluator/0 inc=1", "chief/0 inc=2", "worker/0 inc=2"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, plan{"chief/0#1": after(10*time.Minute, 0), "chief/0#2": after(2*time.Minute, 0), "worker/0#2": after(2*time.Minute, 0), "worker/0#1": after(10*time.Minute, 0)}.programs())
			w.programs["evaluator"] = serves
			w.chatty, w.hangs = true, func(inc job.Incarnation, step int64) bool { return inc == 1 && step > 60 }
			problem := ""
			w.after(3*time.Minute, func() {
				c := w.client(t)
				defer c.Close()
				err := c.Watch(w.ctx, false, func(b []byte) error {
					var v status.View
					if err := json.Unmarshal(b, &v); err != nil {
						return err
					}
					problem = strings.Join(v.Problems, "; ")
					return io.EOF
				})
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
			})
			v := w.succeeded(t, "command: x\nroles: {chief: {}, worker: {}, evaluator: {wait: 0s}}\nstall: {restart: "+restart+"}\n")
			if len(w.stacks) != 3 || !slices.ContainsFunc(w.stacks, func(s string) bool {
				return s == "chief/0: no step for 1m0s, where 1s is usual (at step 60)"
			}) {
				t.Errorf("stacks: %q", w.stacks)
			}
			var started []string
			for _, line := range w.history {
				name, _, _ := strings.Cut(line, " generation")
				started = append(started, name)
			}
			slices.Sort(want)
			slices.Sort(started)
			if !slices.Equal(started, want) {
				t.Errorf("restart %s: started %q, want %q", restart, started, want)
			}
			said := 0
			_, turns := w.log()
			for _, turn := range turns {
				if ev, is := turn.Event.(membership.Stalled); is && !ev.Restart {
					said++
				}
			}
			if said != 1 {
				t.Errorf("the event log says it %d times", said)
			}
			if restart == "true" {
				if r := v.Restarts; len(r) != 2 || r[0].Cause != "stalled" || r[0].Step != 60 || v.Recovery.Failures != 1 {
					t.Errorf("restarts %+v, failures %d", r, v.Recovery.Failures)
				}
			} else if !strings.Contains(problem, "no step since ") || !strings.Contains(problem, "tfos stacks application_1_0007") {
				t.Errorf("after three minutes status says %q", problem)
			}
			if len(v.Problems) > 0 {
				t.Errorf("in the end status says %q", v.Problems)
			}
		})
	}
}
