package client

import (
	"path"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/dfs"
	"tfos/internal/launch"
	"tfos/internal/yarn"
)

// TestSubmissionSweeps: what is left of old jobs goes with the next submission, unless the job may
// still run.
func TestSubmissionSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const day = 24 * time.Hour
		id := func(n int32) yarn.ApplicationID {
			return yarn.ApplicationID{ClusterTimestamp: 1600000000000, Sequence: n}
		}
		left := func(n int32, file string) {
			t.Helper()
			dir := launch.JobDir("/user/ann", id(n))
			if err := w.fs.Mkdir(t.Context(), dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := dfs.WriteFile(t.Context(), w.fs, path.Join(dir, file), []byte("{}"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		left(1, launch.JobFile) // of whose end nobody knows
		time.Sleep(keptUnknown - keptFor - day)
		left(2, launch.ResultFile) // ended, and YARN has forgotten it
		left(3, launch.JobFile)    // of whose end nobody knows, not so old
		left(4, launch.JobFile)    // killed by YARN
		left(5, launch.ResultFile) // looks ended, but YARN says that it runs
		if err := w.fs.Mkdir(t.Context(), path.Join(launch.JobsDir("/user/ann"), "notes"), 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * day)
		left(6, launch.ResultFile) // young
		time.Sleep(keptFor - day + time.Hour)
		for n, state := range map[int32]yarn.ApplicationState{4: yarn.StateKilled, 5: yarn.StateRunning} {
			w.apps[id(n)] = yarn.Report{ID: id(n), Type: launch.ApplicationType, User: "ann", State: state}
		}

		var s shown
		if _, err := w.cluster().Submit(t.Context(), prepare(t, aJob()), s.ui()); err != nil {
			t.Fatal(err)
		}
		var got []string
		dirs, err := w.fs.List(t.Context(), launch.JobsDir("/user/ann"))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dirs {
			got = append(got, path.Base(d.Name))
		}
		want := []string{id(3).String(), id(5).String(), id(6).String(), anID.String(), "notes"}
		if !slices.Equal(got, want) {
			t.Errorf("left %v, want %v", got, want)
		}
	})
}
