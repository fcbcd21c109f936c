package client

import (
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/client/exit"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// TestFollowersAskSeldom: who follows a job asks the ResourceManager often while a person waits for
// its start, and the longer the job the less. The end comes at once all the same: the master tells
// of it.
func TestFollowersAskSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, submitted := training(t)
		const followers = 100
		ended := make(chan error, followers)
		for range followers {
			go func() {
				var s shown
				ended <- c.Attach(t.Context(), submitted.ID, s.ui(), RunOptions{})
			}()
		}
		// asked is how often a follower asks in a second, on the average of a while.
		asked := func(during time.Duration) float64 {
			w.mu.Lock()
			before := w.reports
			w.mu.Unlock()
			time.Sleep(during)
			defer w.lock()()
			return float64(w.reports-before) / followers / during.Seconds()
		}
		for _, part := range []struct {
			during time.Duration
			most   float64
		}{{eager, 10.5}, {settling, 1.1}, {10 * time.Minute, 0.35}, {time.Hour, 0.2}} {
			got := asked(part.during)
			t.Logf("%d followers, the next %v: %.1f questions a second", followers, part.during, got*followers)
			if got > part.most || got == 0 {
				t.Errorf("in the next %v each asks %.2f times a second, want at most %.2f", part.during, got, part.most)
			}
		}
		w.leave("nm1:1")
		w.finish(view(status.Succeeded, 0), yarn.StateFinished, yarn.FinalSucceeded)
		began := time.Now()
		for range followers {
			if err := <-ended; exit.Of(err) != exit.OK {
				t.Error(err)
			}
		}
		if took := time.Since(began); took > lastPoll {
			t.Errorf("the last follower saw the end after %v", took)
		}
	})
}
