package am

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"tfos/internal/control"
	"tfos/internal/dfs"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/membership"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// containers checks how many containers each task had.
func (w *world) containers(t *testing.T, want map[string]int) {
	t.Helper()
	for task, agents := range w.places {
		n := 1
		if more, ok := want[task.String()]; ok {
			n = more
		}
		if len(agents) != n {
			t.Errorf("%s had %d containers, want %d", task, len(agents), n)
		}
	}
}

// after does something a while after the world's begin.
func (w *world) after(d time.Duration, do func()) { time.AfterFunc(d, do) }

// attempts checks how often the master was replaced.
func attempts(t *testing.T, v status.View, want int32) {
	t.Helper()
	if v.Attempt != want || len(v.Takeovers) != int(want)-1 {
		t.Errorf("attempt %d, took over at %v; want attempt %d", v.Attempt, v.Takeovers, want)
	}
}

// TestMasterDiesQuietly: nobody but the master notices.
func TestMasterDiesQuietly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(5*time.Minute, 0)}.programs())
		w.after(time.Minute, w.kill)
		w.after(2*time.Minute, w.kill)
		v := w.succeeded(t, digits)
		expect(t, "started again", w.again(), nil)
		expect(t, "restarts", restarts(v), nil)
		w.containers(t, nil)
		attempts(t, v, 3)
		if v.Generation != 1 {
			t.Errorf("generation %d, want 1: nothing moved", v.Generation)
		}
	})
}

// TestHalfWrittenFilesOfDeadMastersGo: a master that is killed while it writes the journal leaves a
// hidden file.
func TestHalfWrittenFilesOfDeadMastersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(5*time.Minute, 0)}.programs())
		swept := &sweptFS{FS: w.fs}
		w.fs = swept
		w.after(time.Minute, w.kill)
		w.succeeded(t, digits)
		if want := []string{"/job"}; !slices.Equal(swept.dirs, want) {
			t.Errorf("swept %q, want %q", swept.dirs, want)
		}
	})
}

// sweptFS takes note of the directories that were swept.
type sweptFS struct {
	dfs.FS
	dirs []string
}

func (f *sweptFS) Sweep(ctx context.Context, dir string) ([]string, error) {
	f.dirs = append(f.dirs, dir)
	return f.FS.Sweep(ctx, dir)
}

// TestMasterDiesWhereNoContainersAreKept: YARN ended them with it, and would refuse every heartbeat
// that gives one back. All get new ones at once.
func TestMasterDiesWhereNoContainersAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#12": after(5*time.Minute, 0)}.programs())
		w.forgets = true
		w.after(time.Minute, w.kill)
		v := w.succeeded(t, digits)
		w.containers(t, map[string]int{"chief/0": 2, "worker/0": 2, "worker/1": 2, "ps/0": 2})
		attempts(t, v, 2)
		if took := v.Finished.Sub(v.Takeovers[0]); took > 5*time.Minute+10*time.Second {
			t.Errorf("%s from the takeover to the end of a program that runs for 5 minutes", took)
		}
	})
}

// TestMasterDiesAmidReplacement: at whatever moment of it, the task that was lost is replaced once,
// or once more than that where its new container had not started yet; and nobody else loses
// anything but by the rules.
func TestMasterDiesAmidReplacement(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond, 900 * time.Millisecond, 1100 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second} {
		t.Run(fmt.Sprint(delay), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, plan{"chief/0#1": after(5*time.Minute, 0)}.programs())
				lost := job.Task{Role: "worker", Index: 1}
				w.after(time.Minute, func() { w.lose(lost, yarn.ExitAborted) })
				w.after(time.Minute+delay, w.kill)
				v := w.succeeded(t, digits)
				w.containers(t, map[string]int{"worker/1": 2})
				attempts(t, v, 2)
				again := w.again()
				for i, a := range again {
					again[i], _, _ = strings.Cut(a, " inc=")
				}
				expect(t, "started again", again, []string{"worker/1"})
			})
		})
	}
}

// TestAgentDiesWithoutMaster: whether YARN says so to the next master or not.
func TestAgentDiesWithoutMaster(t *testing.T) {
	for _, told := range []bool{true, false} {
		t.Run(fmt.Sprint("told ", told), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, plan{"chief/0#1": after(5*time.Minute, 0)}.programs())
				w.after(time.Minute, w.kill)
				w.after(time.Minute+time.Second, func() {
					w.lose(job.Task{Role: "worker", Index: 1}, yarn.ExitAborted)
					if !told {
						w.mu.Lock()
						w.completed = nil
						w.mu.Unlock()
					}
				})
				v := w.succeeded(t, digits)
				w.containers(t, map[string]int{"worker/1": 2})
				cause := map[bool]string{true: "node lost", false: "silent"}[told]
				if got := restarts(v); len(got) == 0 || got[0] != "worker/1 "+cause+" new container" {
					t.Errorf("restarts %q", got)
				}
			})
		})
	}
}

// TestProcessExitsWithoutMaster: its failure is charged, once.
func TestProcessExitsWithoutMaster(t *testing.T) {
	for budget, code := range map[int]int{0: job.ExitFailed, 1: job.ExitSucceeded} {
		t.Run(fmt.Sprint("budget ", budget), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, plan{"chief/0#1": after(5*time.Minute, 0), "worker/1#1": after(time.Minute, 3)}.programs())
				w.after(time.Minute-time.Second, w.kill)
				w.after(2*time.Minute, w.kill) // the next one does not charge it again
				if err := w.train(fmt.Sprintf("%srecovery: {user-failures: %d}\n", digits, budget)); err != nil {
					t.Fatal(err)
				}
				v := w.result()
				if *v.ExitCode != code {
					t.Errorf("exit code %d, want %d: %s", *v.ExitCode, code, v.Diagnostics)
				}
				if code == job.ExitSucceeded {
					expect(t, "restarts", restarts(v), []string{"worker/1 program"})
					w.containers(t, nil)
				}
			})
		})
	}
}

// TestDeciderSucceedsWithoutMaster: the next master learns it from the agent, and the job ends
// well.
func TestDeciderSucceedsWithoutMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(time.Minute, 0)}.programs())
		w.after(time.Minute-time.Second, w.kill)
		v := w.succeeded(t, digits)
		expect(t, "started again", w.again(), nil)
		attempts(t, v, 2)
	})
}

// TestMasterDiesWhileTheGangForms: what it has stays.
func TestMasterDiesWhileTheGangForms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(time.Minute, 0)}.programs())
		w.limit = 3
		w.after(10*time.Second, w.kill)
		w.after(time.Minute, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.limit = 0
		})
		v := w.succeeded(t, digits)
		expect(t, "started again", w.again(), nil)
		w.containers(t, nil)
		attempts(t, v, 2)
	})
}

// TestMasterDiesWhileTheJobStops: the result that was decided stays, and what was left is stopped.
func TestMasterDiesWhileTheJobStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(time.Minute, 0), "worker/1#1": stubborn, "ps/0#1": stubborn}.programs())
		w.after(time.Minute+2*time.Second, w.kill)
		v := w.succeeded(t, digits)
		attempts(t, v, 2)
		w.containers(t, nil)
		if len(w.live) > 0 {
			t.Errorf("still alive: %v", w.live)
		}
	})
}

// TestJournalIsGone: the job starts over, and what the attempt before left is given back.
func TestJournalIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#11": after(time.Minute, 0)}.programs())
		w.after(time.Minute, func() {
			w.kill()
			if err := w.fs.Remove(t.Context(), "/job/"+launch.JournalFile(1), false); err != nil {
				t.Error(err)
			}
		})
		v := w.succeeded(t, strings.ReplaceAll(digits, "instances: 2", "instances: 1"))
		attempts(t, v, 2)
		for task, agents := range w.places {
			if len(agents) != 2 || agents[0].dead.Err() == nil {
				t.Errorf("%s had %d containers, the first one is alive: %v", task, len(agents), agents[0].dead.Err() == nil)
			}
		}
	})
}

// TestReplacedMasterEnds: one that YARN has given up on, and that cannot reach YARN, learns it from
// the next one's announcement.
func TestReplacedMasterEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]program{"chief": serves, "worker": serves, "ps": serves})
		w.after(time.Minute, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.silent = 1 << 30
		})
		w.after(10*time.Minute, func() {
			next := New(Options{Container: w.container, Manifest: launch.Manifest{Staging: "/job"}, FS: w.fs, Log: zap.NewNop()})
			next.o.Container.Attempt.Attempt = 2
			if err := next.announce(t.Context(), "elsewhere:1"); err != nil {
				t.Error(err)
			}
		})
		began := time.Now()
		if err := w.train(digits); !errors.Is(err, yarn.ErrAttemptGone) {
			t.Errorf("run ended with %v", err)
		}
		if took := time.Since(began); took < 10*time.Minute || took > 12*time.Minute {
			t.Errorf("it ended after %s of the bubble's time", took)
		}
	})
}

// TestResourceManagerRestartsAmidReplacement: at whatever moment of it, exactly one container takes
// the place of the one that was lost.
func TestResourceManagerRestartsAmidReplacement(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond, 900 * time.Millisecond, 1100 * time.Millisecond} {
		t.Run(fmt.Sprint(delay), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, plan{"chief/0#1": after(5*time.Minute, 0)}.programs())
				w.after(time.Minute, func() { w.lose(job.Task{Role: "worker", Index: 1}, yarn.ExitAborted) })
				w.after(time.Minute+delay, func() {
					w.mu.Lock()
					defer w.mu.Unlock()
					w.silent, w.refuse = 3, yarn.ErrNotRegistered
				})
				v := w.succeeded(t, digits)
				w.containers(t, map[string]int{"worker/1": 2})
				attempts(t, v, 1)
				if granted := w.next - 2; granted != 5 {
					t.Errorf("%d containers were granted, want 5", granted)
				}
				for _, a := range w.asks {
					if a.Count != 0 {
						t.Errorf("still asked for: %+v", a)
					}
				}
			})
		})
	}
}

// TestAnswersAreLostAsTheResourceManagerRestarts: it has registered the master, and the master does
// not know.
func TestAnswersAreLostAsTheResourceManagerRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(5*time.Minute, 0)}.programs())
		w.after(time.Minute, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.refuse, w.mute = yarn.ErrNotRegistered, true
		})
		v := w.succeeded(t, digits)
		expect(t, "restarts", restarts(v), nil)
		w.containers(t, nil)
	})
}

// TestResourceManagerIsAwayAtTheEnd: the master waits for it, and registers again if it has
// forgotten.
func TestResourceManagerIsAwayAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(time.Minute, 0)}.programs())
		w.finishErrors = []error{errors.New("connection refused"), errors.New("connection refused"), yarn.ErrNotRegistered}
		w.succeeded(t, digits)
		if w.final != yarn.FinalSucceeded || w.registered != 2 {
			t.Errorf("final status %v, registered %d times", w.final, w.registered)
		}
	})
}

// TestSlowFilesystemHoldsNothingUp: for longer than the journal's patience.
func TestSlowFilesystemHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(time.Minute, 0)}.programs())
		w.fs = slowFS{FS: w.fs, delay: time.Hour}
		began := time.Now()
		w.succeeded(t, digits)
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("it took %s of the bubble's time", took)
		}
	})
}

// TestJournalIsNotCutOffAtTheEnd: a write that is under way when the job ends is one of a second,
// with which the master has patience.
func TestJournalIsNotCutOffAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(time.Minute, 0)}.programs())
		cut := new(atomic.Int32)
		w.fs = slowFS{FS: w.fs, delay: time.Second, cut: cut}
		w.succeeded(t, digits)
		if n := cut.Load(); n != 0 {
			t.Errorf("%d writes were cut off", n)
		}
	})
}

// TestMasterDiesBeforeItsJournalHasWhyItStopped: the next one charges nobody for the ends that the
// one before wanted.
func TestMasterDiesBeforeItsJournalHasWhyItStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(time.Minute, 0), "chief/0#12": after(time.Minute, 0)}.programs())
		death := time.Minute + membership.JournalPatience + time.Second
		w.fs = slowFS{FS: w.fs, delay: time.Hour, from: time.Now().Add(50 * time.Second), until: time.Now().Add(death)}
		w.after(death, w.kill)
		v := w.succeeded(t, digits+"recovery: {user-failures: 0}\n")
		attempts(t, v, 2)
		for _, task := range []string{"worker/0", "worker/1", "ps/0"} {
			if !slices.ContainsFunc(v.Restarts, func(r status.Restart) bool { return r.Task == task && r.Cause == string(membership.CauseStopped) }) {
				t.Errorf("%s was not started again for having been stopped: %v", task, restarts(v))
			}
		}
	})
}

// stubborn takes a while to stop.
func stubborn(t job.Task, inc job.Incarnation, stop <-chan struct{}) control.Exited {
	<-stop
	time.Sleep(5 * time.Second)
	return serves(t, inc, stop)
}

// slowFS takes its time to create the journal.
type slowFS struct {
	dfs.FS
	delay time.Duration
	from  time.Time     // when it begins to
	until time.Time     // zero: for ever
	cut   *atomic.Int32 // counts those that were cut off; nil: nobody does
}

func (f slowFS) Create(ctx context.Context, name string, o dfs.CreateOptions) (dfs.Writer, error) {
	if strings.Contains(name, "journal") && !time.Now().Before(f.from) && (f.until.IsZero() || time.Now().Before(f.until)) {
		select {
		case <-time.After(f.delay):
		case <-ctx.Done():
			if f.cut != nil {
				f.cut.Add(1)
			}
			return nil, ctx.Err()
		}
	}
	return f.FS.Create(ctx, name, o)
}

func TestJournalsOfOthersAreRefused(t *testing.T) {
	for _, text := range []string{"", "{", "{}", `{"tfos_journal":1}`, `{"tfos_journal":1,"machine":{}}`, `{"tfos_journal":2,"machine":{"version":1}}`} {
		if _, _, err := parseJournal("journal", []byte(text)); err == nil {
			t.Errorf("%q was taken for a journal", text)
		}
	}
}

func FuzzParseJournal(f *testing.F) {
	f.Add([]byte(`{"tfos_journal":1,"attempt":1,"machine":{"version":1,"job":"command: x\nroles: {worker: {}}","state":{"phase":"idle","tasks":[{"task":"worker/0","run":"waiting"}]}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, _, err := parseJournal("journal", b); err == nil && !slices.Equal(m.Job().Tasks(), m.Job().Tasks()) {
			t.Error("a machine without a job")
		}
	})
}

// TestWhatIsInTheWayIsShown: a journal that cannot be written, and a ResourceManager that does not
// answer, end no job, and are told for as long as they last.
func TestWhatIsInTheWayIsShown(t *testing.T) {
	for name, lasts := range map[string]time.Duration{"to the end": time.Hour, "for a while": 15 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, plan{"chief/0#1": after(time.Minute, 0), "worker/1#1": after(35*time.Second, 1)}.programs())
				from := time.Now().Add(30 * time.Second)
				w.fs = brokenFS{FS: w.fs, from: from, until: from.Add(lasts)}
				silent := func(n int) func() {
					return func() {
						w.mu.Lock()
						defer w.mu.Unlock()
						w.silent = n
					}
				}
				w.after(30*time.Second, silent(1<<20))
				w.after(30*time.Second+lasts, silent(0))
				v := w.succeeded(t, digits)
				all := strings.Join(v.Problems, "\n")
				if lasts < time.Minute {
					if all != "" {
						t.Errorf("it is over, and told: %s", all)
					}
					return
				}
				for _, want := range []string{"the master's journal cannot be written: if the master dies, tasks may start anew: ", "safe mode", "the ResourceManager does not answer the master", "connection reset"} {
					if !strings.Contains(all, want) {
						t.Errorf("no %q in %q", want, all)
					}
				}
			})
		})
	}
}

// brokenFS cannot write the journal for a while.
type brokenFS struct {
	dfs.FS
	from, until time.Time
}

func (f brokenFS) Create(ctx context.Context, name string, o dfs.CreateOptions) (dfs.Writer, error) {
	if now := time.Now(); strings.Contains(name, "journal") && !now.Before(f.from) && now.Before(f.until) {
		return nil, errors.New("safe mode")
	}
	return f.FS.Create(ctx, name, o)
}
