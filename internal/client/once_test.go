package client

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/client/exit"
	"tfos/internal/client/once"
	"tfos/internal/control"
	"tfos/internal/launch"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// keyed is aJob with a key.
func keyed(t *testing.T) *Prepared {
	j := aJob()
	j.Once = "nightly-2026-11-30"
	return prepare(t, j)
}

func TestADoubledTaskFollowsTheOneApplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fresh = true
		c := w.cluster()
		var first, second shown
		ended := make(chan error)
		p := keyed(t)
		go func() { ended <- c.Run(t.Context(), p, first.ui(), RunOptions{}) }()
		time.Sleep(time.Second)
		w.running()
		w.publish(view(status.Running))
		w.print("nm1:1", control.Stdout, "epoch 1\n")
		q := keyed(t)
		go func() { ended <- c.Run(t.Context(), q, second.ui(), RunOptions{}) }()
		time.Sleep(time.Second)
		w.print("nm1:1", control.Stdout, "epoch 2\n")
		w.leave("nm1:1")
		w.finish(view(status.Failed, 1), yarn.StateFinished, yarn.FinalFailed)
		for range 2 {
			if err := <-ended; exit.Of(err) != exit.JobFailed {
				t.Errorf("ended with %v", err)
			}
		}
		if len(w.sent) != 1 || !strings.Contains(second.err.String(), `application_1700000000000_0007 does the work of "nightly-2026-11-30" already: nothing was submitted`) {
			t.Errorf("submitted %d times\n%s", len(w.sent), second.err.String())
		}
		for _, s := range []*shown{&first, &second} {
			if s.out.String() != "epoch 1\nepoch 2\n" {
				t.Errorf("stdout %q", s.out.String())
			}
		}
		if left := w.leftOfJob(); slices.ContainsFunc(left, func(n string) bool { return path.Base(n) == launch.TicketFile }) {
			t.Errorf("a submission lies about: %v", left)
		}
	})
}

// TestWhatRunsAgainUnderAKey: a failed run may be run again, a succeeded one never, even when
// nobody but the key remembers it.
func TestWhatRunsAgainUnderAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fresh = true
		c := w.cluster()
		ends := []func(){
			func() { w.finish(view(status.Failed, 1), yarn.StateFinished, yarn.FinalFailed) },
			func() { defer w.lock()(); w.end(w.id(), yarn.StateKilled, yarn.FinalKilled, "killed by ann") },
			w.succeeds,
		}
		w.endEach(3, func() { ends[0](); ends = ends[1:] })
		for i, want := range []exit.Code{exit.JobFailed, exit.Killed, exit.OK, exit.OK} {
			var s shown
			if err := c.Run(t.Context(), keyed(t), s.ui(), RunOptions{}); exit.Of(err) != want {
				t.Errorf("call %d: %v, want code %d\n%s", i+1, err, want, s.err.String())
			}
			if said := s.err.String(); i == 1 && !strings.Contains(said, `try 1, application_1700000000000_0007, ended with exit code 1: it is run again`) ||
				i == 3 && !strings.Contains(said, `application_1700000000000_0009 succeeded`) {
				t.Errorf("call %d says\n%s", i+1, said)
			}
		}
		clear(w.apps) // YARN forgets, and the staging directories are swept
		if err := w.fs.Remove(t.Context(), launch.JobsDir("/user/ann"), true); err != nil {
			t.Fatal(err)
		}
		var s shown
		if err := c.Run(t.Context(), keyed(t), s.ui(), RunOptions{}); err != nil {
			t.Error(err)
		}
		if got, err := c.SubmitOnly(t.Context(), keyed(t), s.ui(), RunOptions{}); err != nil || got.ID.Sequence != 9 {
			t.Errorf("submit says %+v, %v", got, err)
		}
		if len(w.sent) != 3 {
			t.Errorf("submitted %d times", len(w.sent))
		}
	})
}

// TestASubmitterThatDied: whoever comes next hands in what it left, whole.
func TestASubmitterThatDied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fresh = true
		c := w.cluster()
		w.refuseSubmit(errors.New("connection reset")) // as good as dead: it cannot submit, and goes
		var s shown
		err := c.Run(t.Context(), keyed(t), s.ui(), RunOptions{})
		if exit.Of(err) != exit.Infrastructure || !strings.Contains(err.Error(), `the next tfos run --once "nightly-2026-11-30" goes on with application_1700000000000_0007`) {
			t.Fatalf("the first: %v", err)
		}
		w.refuseSubmit(nil)
		w.endEach(1, w.succeeds)
		if err := c.Run(t.Context(), keyed(t), s.ui(), RunOptions{}); err != nil {
			t.Fatal(err)
		}
		if len(w.sent) != 1 || w.sent[0].ID != anID || w.sent[0].Name != "digits" || len(w.sent[0].Launch.Files) < 4 || len(w.sent[0].Launch.Tokens) == 0 {
			t.Errorf("submitted %+v", w.sent)
		}
	})
}

func TestAnotherClusterIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.cluster()
		var s shown
		if _, err := c.SubmitOnly(t.Context(), keyed(t), s.ui(), RunOptions{}); err != nil {
			t.Fatal(err)
		}
		clear(w.apps)
		c.Where = "other:8032"
		_, err := c.SubmitOnly(t.Context(), keyed(t), s.ui(), RunOptions{})
		if exit.Of(err) != exit.Refused || !strings.Contains(err.Error(), "was submitted to the ResourceManager at rm:8032, and the one at other:8032 does not know how it stands") {
			t.Errorf("another cluster: %v", err)
		}
	})
}

func TestARefusedKeyedJobIsToldAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fresh = true
		w.verdict = func(r *yarn.Report) {
			r.State, r.Final, r.Diagnostics, r.Attempt = yarn.StateFailed, yarn.FinalFailed, "queue ml is full", yarn.AttemptID{}
		}
		c := w.cluster()
		var s shown
		if err := c.Run(t.Context(), keyed(t), s.ui(), RunOptions{}); exit.Of(err) != exit.Refused || !strings.Contains(err.Error(), "queue ml is full") {
			t.Fatalf("refused: %v", err)
		}
		w.verdict = nil
		w.endEach(2, func() {
			if len(w.sent) == 2 {
				w.succeeds()
			}
		})
		if err := c.Run(t.Context(), keyed(t), s.ui(), RunOptions{}); err != nil || len(w.sent) != 2 {
			t.Errorf("afterwards: %v, submitted %d times", err, len(w.sent))
		}
	})
}

// TestTheSweepRemembersKeys: an old job's directory goes, and how it ended stays with its key.
func TestTheSweepRemembersKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fresh = true
		c := w.cluster()
		var s shown
		got, err := c.SubmitOnly(t.Context(), keyed(t), s.ui(), RunOptions{})
		if err != nil {
			t.Fatal(err)
		}
		w.running()
		w.succeeds() // nobody follows it
		time.Sleep(keptFor + time.Hour)
		c.sweepJobs(t.Context(), time.Now())
		if left := w.left(c.jobDir(got.ID)); len(left) > 0 {
			t.Fatalf("left %v", left)
		}
		if last, err := c.book("nightly-2026-11-30").Last(t.Context()); err != nil || last.Outcome == nil || !last.Outcome.Succeeded() {
			t.Errorf("the key knows %+v, %v", last, err)
		}
		time.Sleep(onceKept + time.Hour)
		c.sweepJobs(t.Context(), time.Now())
		if last, err := c.book("nightly-2026-11-30").Last(t.Context()); err != nil || last != (once.Try{}) {
			t.Errorf("after %v more the key knows %+v, %v", onceKept, last, err)
		}
	})
}

func TestRetries(t *testing.T) {
	for _, c := range []struct {
		name    string
		retries int
		resume  Resume
		end     func(*world)
		code    exit.Code
		sent    int
	}{
		{"the program's failures", 2, Fresh, func(w *world) { w.finish(view(status.Failed, 1), yarn.StateFinished, yarn.FinalFailed) }, exit.JobFailed, 3},
		{"the cluster's", 1, ResumeIfAny, (*world).dies, exit.Infrastructure, 2},
		{"not a kill", 2, Fresh, func(w *world) {
			defer w.lock()()
			w.end(w.id(), yarn.StateKilled, yarn.FinalKilled, "killed by ann")
		}, exit.Killed, 1},
		{"not a refusal", 2, Fresh, func(w *world) { w.finish(view(status.Failed, 3), yarn.StateFinished, yarn.FinalFailed) }, exit.Refused, 1},
	} {
		for _, key := range []string{"", "k"} {
			t.Run(strings.TrimSpace(c.name+" "+key), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.fresh = true
					w.save()
					j := aJob()
					j.Checkpoint.Dir, j.Retries, j.Once = "hdfs://"+models, c.retries, key
					w.endEach(c.sent, func() { c.end(w) })
					var s shown
					err := w.cluster().Run(t.Context(), prepare(t, j), s.ui(), RunOptions{Resume: c.resume})
					if exit.Of(err) != c.code || len(w.sent) != c.sent {
						t.Errorf("submitted %d times, code %d: %v\n%s", len(w.sent), exit.Of(err), err, s.err.String())
					}
					if got, want := strings.Count(s.err.String(), "resumes "), map[Resume]int{ResumeIfAny: c.sent}[c.resume]; got != want {
						t.Errorf("resumed %d times, want %d\n%s", got, want, s.err.String())
					}
				})
			})
		}
	}
}

// TestRetriesCoverSubmissions: a cluster that is away when the night begins.
func TestRetriesCoverSubmissions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.busy = errors.New("connection refused")
		j := aJob()
		j.Retries = 3
		time.AfterFunc(2*time.Second, func() { defer w.lock()(); w.busy = nil })
		w.endEach(1, w.succeeds)
		var s shown
		if err := w.cluster().Run(t.Context(), prepare(t, j), s.ui(), RunOptions{}); err != nil || !strings.Contains(s.err.String(), "it is tried again, 1 of 3 (retries)") {
			t.Errorf("%v\n%s", err, s.err.String())
		}
	})
}

// TestAttachEndsAsRunWould, while the job runs, afterwards, and when YARN has forgotten it.
func TestAttachEndsAsRunWould(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, submitted := training(t)
		var s shown
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(ErrInterrupted) })
		err := c.Attach(ctx, submitted.ID, s.ui(), RunOptions{})
		if exit.Of(err) != exit.Interrupted || !strings.Contains(err.Error(), "tfos attach application_1700000000000_0007") {
			t.Errorf("interrupted: %v", err)
		}
		w.print("nm1:1", control.Stdout, "loss 0.5\n")
		w.script(func() {
			w.kept["c1/stdout"], w.kept["c1/stderr"] = "loss 0.5\n", ""
			w.leave("nm1:1")
			w.finish(view(status.Failed, 1), yarn.StateFinished, yarn.FinalFailed)
		})
		for i := range 3 {
			if i == 2 {
				clear(w.apps)
			}
			var s shown
			err := c.Attach(t.Context(), submitted.ID, s.ui(), RunOptions{})
			if exit.Of(err) != exit.JobFailed || s.out.String() != "loss 0.5\n" {
				t.Errorf("attach %d: %v, stdout %q\n%s", i+1, err, s.out.String(), s.err.String())
			}
		}
		if _, err := w.fs.Stat(t.Context(), c.jobDir(submitted.ID)); err != nil {
			t.Error(err)
		}
		if err := w.fs.Remove(t.Context(), c.jobDir(submitted.ID), true); err != nil {
			t.Fatal(err)
		}
		if err := c.Attach(t.Context(), submitted.ID, s.ui(), RunOptions{}); exit.Of(err) != exit.Usage {
			t.Errorf("of an application that nobody knows: %v", err)
		}
	})
}

func TestAttachIsForTheOwner(t *testing.T) {
	w := newWorld(t)
	w.apps[anID] = yarn.Report{ID: anID, Name: "theirs", User: "bob", Type: launch.ApplicationType, State: yarn.StateRunning}
	var s shown
	if err := w.cluster().Attach(t.Context(), anID, s.ui(), RunOptions{}); exit.Of(err) != exit.Refused || !strings.Contains(err.Error(), "is bob's") {
		t.Errorf("attached to another's: %v", err)
	}
}
