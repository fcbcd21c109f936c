package am

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/yarn"
)

// many is how many workers the jobs here have besides a chief: more than any queue of the master's
// holds of what agents say.
const many = 270

// TestNobodyIsSilentBecauseTheMasterIsBusy: the owner does not get to its mail for longer than an
// agent may be silent, and every agent reports steps meanwhile.
func TestNobodyIsSilentBecauseTheMasterIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(40*time.Second, 0)}.programs())
		w.chatty = true
		time.AfterFunc(20*time.Second, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.busy = 10 * time.Second
		})
		v := w.succeeded(t, fmt.Sprintf("command: x\nroles: {chief: {}, worker: {instances: %d}}\n", many))
		expect(t, "restarts", restarts(v), nil)
		_, turns := w.log()
		for _, turn := range turns {
			if left, ok := turn.Event.(membership.Left); ok && left.Silent {
				t.Errorf("%s: %s was taken for silent", turn.Time, left.Task)
			}
		}
		if v.Progress != 1 || v.Tasks[1].Step < 30 {
			t.Errorf("progress %v, step %d", v.Progress, v.Tasks[1].Step)
		}
	})
}

// TestClusterSpecsAreCoalesced: twenty workers are lost at once, and join again at different times
// within a second. An agent that has no part in it is sent a few cluster_specs, not twenty.
func TestClusterSpecsAreCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(2*time.Minute, 0)}.programs())
		const lost = 20
		for i := range lost {
			time.AfterFunc(time.Minute+time.Duration(i)*25*time.Millisecond, func() { w.lose(job.Task{Role: "worker", Index: i}, yarn.ExitPreempted) })
		}
		v := w.succeeded(t, fmt.Sprintf("command: x\nroles: {chief: {}, worker: {instances: %d}, ps: {}}\n", 2*lost))
		if v.Generation < lost || len(v.Restarts) != lost {
			t.Fatalf("generation %d, %d restarts: the test wants one for each of %d", v.Generation, len(v.Restarts), lost)
		}
		// Within half a second, the heartbeats to YARN, and one that ends the row.
		if n := w.specs[job.Task{Role: "ps"}]; n > 8 {
			t.Errorf("a parameter server that lost nothing was sent %d cluster_specs", n)
		}
	})
}
