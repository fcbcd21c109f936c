package client

import (
	"context"
	"errors"
	"path"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/client/exit"
	"tfos/internal/client/stage"
	"tfos/internal/launch"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// dies is a job that YARN gives up: its masters died too often.
func (w *world) dies() {
	defer w.lock()()
	w.end(w.id(), yarn.StateFailed, yarn.FinalFailed, "Application failed 2 times due to AM Container exited with exitCode: 137")
}

// endEach lets each of the next submissions run for a second, and ends it.
func (w *world) endEach(n int, end func()) {
	go func() {
		for k := range n {
			for submitted := 0; submitted <= k; {
				time.Sleep(time.Second)
				w.mu.Lock()
				submitted = len(w.sent)
				w.mu.Unlock()
			}
			w.running()
			time.Sleep(time.Second)
			end()
		}
	}()
}

func (w *world) succeeds() {
	w.finish(view(status.Succeeded, 0), yarn.StateFinished, yarn.FinalSucceeded)
}

// TestAJobThatTheClusterEndedIsSubmittedAgain goes on at the newest checkpoint, in an application
// of its own.
func TestAJobThatTheClusterEndedIsSubmittedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fresh = true
		w.save()
		j := aJob()
		j.Checkpoint.Dir, j.Recovery.Resubmit = "hdfs://"+models, 2
		c := w.cluster()
		c.Masters = 2
		ends := []func(){w.dies, func() { w.publish(view(status.Running)); time.Sleep(time.Second); w.succeeds() }}
		w.endEach(2, func() { ends[0](); ends = ends[1:] })
		var s shown
		if err := c.Run(t.Context(), prepare(t, j), s.ui(), RunOptions{}); err != nil {
			t.Fatal(err)
		}
		if len(w.sent) != 2 || w.sent[1].ID.Sequence != 8 {
			t.Fatalf("submitted %d times", len(w.sent))
		}
		b, err := stage.ReadSmall(t.Context(), w.fs, path.Join(launch.JobDir("/user/ann", w.sent[1].ID), launch.ManifestFile))
		if err != nil {
			t.Fatal(err)
		}
		m, err := launch.ParseManifest(b)
		if want := (launch.StartPoint{From: anID.String(), Checkpoint: "hdfs://" + models + "/ckpt-300", Step: 300}); err != nil || m.Resume == nil || *m.Resume != want {
			t.Errorf("the manifest has %+v, %v; want %+v", m.Resume, err, want)
		}
		for _, want := range []string{
			"YARN ends the job when its master dies 2 times within 10m, lost nodes and preemption apart (yarn.resourcemanager.am.max-attempts); tfos run then submits it again, up to 2 times",
			"digits (application_1700000000000_0007) was ended by the cluster: Application failed 2 times",
			"it is submitted again, 1 of 2 (recovery.resubmit)",
			"resumes application_1700000000000_0007 from hdfs:///models/digits/ckpt-300 at step 300",
			"cluster_spec 1 published",
			"digits (application_1700000000000_0008, after application_1700000000000_0007) succeeded in",
		} {
			if !strings.Contains(s.err.String(), want) {
				t.Errorf("no %q in\n%s", want, s.err.String())
			}
		}
	})
}

func TestWhatIsSubmittedAgain(t *testing.T) {
	for _, c := range []struct {
		name     string
		resubmit int
		end      func(*world)
		code     exit.Code
		sent     int
		says     string
	}{
		{"as often as is wanted", 2, (*world).dies, exit.Infrastructure, 3, "digits (application_1700000000000_0009, after application_1700000000000_0007, application_1700000000000_0008) failed after"},
		{"not if that is not wanted", 0, (*world).dies, exit.Infrastructure, 1, "digits (application_1700000000000_0007) failed after"},
		{"infrastructure by the master's word", 1, func(w *world) {
			w.finish(view(status.Failed, int(exit.Infrastructure)), yarn.StateFinished, yarn.FinalFailed)
		}, exit.Infrastructure, 2, "after application_1700000000000_0007) failed"},
		{"not the program's failure", 2, func(w *world) {
			w.finish(view(status.Failed, 1), yarn.StateFinished, yarn.FinalFailed)
		}, exit.JobFailed, 1, "failed after"},
		{"not what was killed", 2, func(w *world) {
			defer w.lock()()
			w.end(w.id(), yarn.StateKilled, yarn.FinalKilled, "killed by ann")
		}, exit.Killed, 1, "was killed"},
		{"not what the cluster refuses", 2, func(w *world) {
			w.finish(view(status.Failed, int(exit.Refused)), yarn.StateFinished, yarn.FinalFailed)
		}, exit.Refused, 1, "was refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.fresh = true
				j := aJob()
				j.Recovery.Resubmit = c.resubmit
				w.endEach(c.sent, func() { c.end(w) })
				var s shown
				err := w.cluster().Run(t.Context(), prepare(t, j), s.ui(), RunOptions{})
				if exit.Of(err) != c.code || len(w.sent) != c.sent || !strings.Contains(err.Error(), c.says) {
					t.Errorf("submitted %d times, code %d: %v", len(w.sent), exit.Of(err), err)
				}
				if c.sent > 1 && !strings.Contains(s.err.String(), "it has no checkpoint.dir, and starts from the beginning") {
					t.Errorf("said\n%s", s.err.String())
				}
				time.Sleep(time.Minute) // the script ends
			})
		})
	}
}

// TestSubmittedAgainToAClusterInTrouble: what ended the job may be in the way of the next
// submission for a while.
func TestSubmittedAgainToAClusterInTrouble(t *testing.T) {
	for name, lasts := range map[string]time.Duration{"for a minute": time.Minute, "for ever": time.Hour, "until it is interrupted": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.fresh = true
				if err := w.fs.Mkdir(t.Context(), models, 0o755); err != nil {
					t.Fatal(err)
				}
				busy := func(err error) {
					defer w.lock()()
					w.busy = err
				}
				j := aJob()
				j.Checkpoint.Dir, j.Recovery.Resubmit = "hdfs://"+models, 1
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				ends := []func(){func() {
					busy(errors.New("connection refused"))
					w.dies()
					time.AfterFunc(lasts, func() { busy(nil) })
					if name == "until it is interrupted" {
						time.AfterFunc(10*time.Second, func() { cancel(ErrInterrupted) })
					}
				}, w.succeeds}
				n := 1
				if lasts == time.Minute {
					n = 2
				}
				w.endEach(n, func() { ends[0](); ends = ends[1:] })
				var s shown
				err := w.cluster().Run(ctx, prepare(t, j), s.ui(), RunOptions{})
				switch {
				case lasts == time.Minute && (err != nil || len(w.sent) != 2 || !strings.Contains(s.err.String(), "not submitted, trying again for 5m0s") ||
					!strings.Contains(s.err.String(), "it starts from the beginning: there is no checkpoint in")):
					t.Errorf("submitted %d times: %v\n%s", len(w.sent), err, s.err.String())
				case name == "for ever" && (exit.Of(err) != exit.Infrastructure || !strings.Contains(err.Error(), "could not be submitted again")):
					t.Errorf("for ever: %v", err)
				case name == "until it is interrupted" && exit.Of(err) != exit.Interrupted:
					t.Errorf("interrupted: %v", err)
				}
				time.Sleep(2 * time.Hour) // the script ends
			})
		})
	}
}
