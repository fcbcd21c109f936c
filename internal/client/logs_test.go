package client

import (
	"errors"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/control"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// TestALogThatNeverComesIsNotWaitedForByAnothersClock: the end of the job is by the
// ResourceManager's clock, which is an hour ahead.
func TestALogThatNeverComesIsNotWaitedForByAnothersClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Cluster{Logs: noLogs{}, Collects: true}
		began := time.Now()
		err := c.keptLog(t.Context(), yarn.Report{State: yarn.StateFinished, Finished: began.Add(time.Hour)}, status.Task{Container: "container_1_0001_01_000002"}, control.Stdout,
			func([]byte) error { return nil })
		if waited := time.Since(began); !errors.Is(err, fs.ErrNotExist) || waited > time.Minute {
			t.Errorf("%v after %s", err, waited)
		}
	})
}
