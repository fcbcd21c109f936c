package client

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/client/exit"
	"tfos/internal/dfs"
	"tfos/internal/launch"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// TestEndedJobsAreListed: ended jobs are kept on the filesystem when YARN has forgotten them, and
// one that YARN ended leaves its result when somebody looks.
func TestEndedJobsAreListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.cluster()
		if jobs, err := c.History(t.Context(), 10); err != nil || len(jobs) != 0 {
			t.Errorf("before the first job: %+v, %v", jobs, err)
		}
		id := func(n int) yarn.ApplicationID { return yarn.ApplicationID{ClusterTimestamp: 1, Sequence: int32(n)} }
		for n := 1; n <= 20; n++ {
			dir := c.jobDir(id(n))
			if err := w.fs.Mkdir(t.Context(), dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if n > 18 { // one runs, one was killed by YARN
				continue
			}
			left := fmt.Sprintf(`{"name": "night-%d", "state": "failed", "exit_code": 1, "started": "2026-11-30T01:00:00Z", "finished": "2026-11-30T02:00:00Z", "restarts": [{}, {}]}`, n)
			if err := dfs.WriteFile(t.Context(), w.fs, dir+"/"+launch.ResultFile, []byte(left), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w.apps[id(19)] = yarn.Report{ID: id(19), Name: "killed", User: "ann", Type: launch.ApplicationType, State: yarn.StateKilled, Final: yarn.FinalKilled, Diagnostics: "by an administrator", Started: time.Now(), Finished: time.Now()}
		w.apps[id(20)] = yarn.Report{ID: id(20), Name: "runs", User: "ann", Type: launch.ApplicationType, State: yarn.StateRunning}

		jobs, err := c.History(t.Context(), 10)
		if err != nil || len(jobs) != 10 {
			t.Fatalf("%d jobs, %v", len(jobs), err)
		}
		if j := jobs[0]; j.ID != id(19).String() || j.State != status.Stopped || j.ExitCode != int(exit.Killed) || j.Diagnostics != "by an administrator" {
			t.Errorf("the killed one: %+v", j)
		}
		if j := jobs[1]; j.ID != id(18).String() || j.Name != "night-18" || j.ExitCode != 1 || j.Restarts != 2 || j.Finished.Sub(j.Started) != time.Hour {
			t.Errorf("the newest that left a result: %+v", j)
		}
		clear(w.apps)
		w.down = errors.New("connection refused") // and now without YARN
		if jobs, err = c.History(t.Context(), 100); err != nil || len(jobs) != 19 {
			t.Errorf("without YARN %d jobs, %v", len(jobs), err)
		}
		if v, err := c.PastView(t.Context(), id(19)); err != nil || v.State != status.Stopped {
			t.Errorf("show says %+v, %v", v, err)
		}
		if _, err := c.PastView(t.Context(), id(20)); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "no result is kept of it") {
			t.Errorf("show of one that runs: %v", err)
		}
	})
}
