package am

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/job"
	"tfos/internal/notify"
	"tfos/internal/yarn"
)

// TestPeopleAreTold of a loss, a stall, a deadline and the end, each once, though the master is
// replaced meanwhile.
func TestPeopleAreTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "told")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(10*time.Minute, 0)}.programs())
		w.chatty, w.hangs = true, func(_ job.Incarnation, step int64) bool { return step > 90 }
		w.deadline = time.Now().Add(4 * time.Minute)
		w.after(30*time.Second, func() { w.lose(job.Task{Role: "worker", Index: 1}, yarn.ExitPreempted) })
		w.after(6*time.Minute, w.kill)
		w.succeeded(t, digits+"deadline: 06:00 UTC\nnotify: {me: {command: cat >> "+file+", on: [success, failure, restart, stall, deadline]}, other: {command: exit 1, on: [failure]}}\n")
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for line := range strings.Lines(string(b)) {
			var m notify.Message
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatal(err)
			}
			told = append(told, fmt.Sprintf("%s of %s (%d): %s", m.Event, m.Name, m.Attempt, m.Text))
		}
		want := []string{
			"restart of digits (1): starts again after a loss: worker/1 (preempted: its container on a node was preempted: YARN needed the room for another application)",
			"stall of digits (1): takes no steps: no step for 1m0s, where 1s is usual (at step 90)",
			"deadline of digits (1): has not ended by 06:00 UTC",
			"success of digits (2): succeeded after 10m0s",
		}
		for i := range told { // which one it is chance decides
			told[i] = regexp.MustCompile(`on node\d+`).ReplaceAllString(told[i], "on a node")
		}
		if !slices.Equal(told, want) {
			t.Errorf("told\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
		}
	})
}
