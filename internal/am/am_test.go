package am

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/control"
	"tfos/internal/dfs"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

const digits = `
name: digits
command: python train.py
roles:
  chief: {instances: 1}
  worker: {instances: 2}
  ps: {instances: 1}
`

func TestJobSucceedsByItsChief(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chief := func(_ job.Task, inc job.Incarnation, _ <-chan struct{}) control.Exited {
			time.Sleep(time.Minute) // of the bubble's time: it trains
			return control.Exited{Incarnation: inc}
		}
		w := newWorld(t, map[string]program{"chief": chief, "worker": serves, "ps": serves})
		if err := w.train(digits); err != nil {
			t.Fatal(err)
		}
		if w.final != yarn.FinalSucceeded {
			t.Errorf("final status %v: %s", w.final, w.diag)
		}
		v := w.result()
		if v.State != status.Succeeded || *v.ExitCode != 0 || v.Generation != 1 || v.Progress != 1 || len(v.Tasks) != 4 {
			t.Errorf("result %+v", v)
		}
		for _, task := range v.Tasks {
			want := status.Stopped
			if task.Role == "chief" {
				want = status.Succeeded
			}
			if task.State != want {
				t.Errorf("%s/%d is %s, want %s", task.Role, task.Index, task.State, want)
			}
		}
		if len(w.starts) != 4 || w.starts[job.Task{Role: "worker", Index: 1}].Env["TFOS_INDEX"] != "1" {
			t.Errorf("starts %+v", w.starts)
		}
	})
}

// TestProgramsGetTheValuesOfTheirVariables, though the machine, whose logs are read by many, does
// not keep them.
func TestProgramsGetTheValuesOfTheirVariables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(time.Minute, 0)}.programs())
		w.succeeded(t, "command: x\nenv: {TOKEN: one}\nroles: {chief: {env: {KEY: two}}}\n")
		if env := w.starts[job.Task{Role: "chief"}].Env; env["TOKEN"] != "one" || env["KEY"] != "two" {
			t.Errorf("environment %v", env)
		}
	})
}

func TestFailureNamesTheTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		worker := func(task job.Task, inc job.Incarnation, stop <-chan struct{}) control.Exited {
			if task.Index == 1 {
				return exits(3, "ValueError: shapes differ")(task, inc, stop)
			}
			return serves(task, inc, stop)
		}
		w := newWorld(t, map[string]program{"chief": serves, "worker": worker, "ps": serves})
		if err := w.train(digits); err != nil {
			t.Fatal(err)
		}
		if w.final != yarn.FinalFailed {
			t.Errorf("final status %v", w.final)
		}
		for _, want := range []string{"worker/1", "exit code 3", "ValueError: shapes differ"} {
			if !strings.Contains(w.diag, want) {
				t.Errorf("diagnostics do not say %q: %s", want, w.diag)
			}
		}
	})
}

func TestContainersThatCannotBeStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.failStart = errors.New("no space left on the node")
		if err := w.train(digits); err != nil {
			t.Fatal(err)
		}
		if v := w.result(); *v.ExitCode != job.ExitInfrastructure || !strings.Contains(v.Diagnostics, "no space left on the node") {
			t.Errorf("exit code %d: %s", *v.ExitCode, v.Diagnostics)
		}
	})
}

// TestResourceManagerRestarts: the master registers again and asks for everything again; calls that
// are lost meanwhile are repeated.
func TestResourceManagerRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]program{"chief": exits(0), "worker": serves, "ps": serves})
		w.silent, w.refuse = 5, yarn.ErrNotRegistered
		if err := w.train(digits); err != nil {
			t.Fatal(err)
		}
		if w.registered != 2 || w.final != yarn.FinalSucceeded {
			t.Errorf("registered %d times, final status %v: %s", w.registered, w.final, w.diag)
		}
	})
}

// TestAttemptGone: a master that YARN has given up on stops nothing and reports nothing. Another
// one may own the job.
func TestAttemptGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]program{"chief": serves, "worker": serves, "ps": serves})
		time.AfterFunc(time.Minute, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.refuse = yarn.ErrAttemptGone
			for _, task := range []job.Task{{Role: "chief"}, {Role: "ps"}, {Role: "worker"}, {Role: "worker", Index: 1}} {
				if _, ok := w.starts[task]; !ok {
					t.Errorf("%s was not started", task)
				}
			}
		})
		err := w.train(digits)
		if !errors.Is(err, yarn.ErrAttemptGone) {
			t.Errorf("run ended with %v", err)
		}
		if w.final != yarn.FinalUndefined {
			t.Errorf("it reported %v", w.final)
		}
	})
}

// TestTooLargeForTheQueue: what the ResourceManager will never grant ends the job at once, not
// after a wait.
func TestTooLargeForTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		if err := w.train("command: x\nroles:\n  worker: {instances: 1, memory: 100GiB}\n"); err != nil {
			t.Fatal(err)
		}
		if v := w.result(); *v.ExitCode != job.ExitRefused || !strings.Contains(v.Diagnostics, "100 GiB") || !strings.Contains(v.Diagnostics, "8 GiB") {
			t.Errorf("exit code %d: %s", *v.ExitCode, v.Diagnostics)
		}
	})
}

// TestEventLogReplays re-steps the staged event log in a fresh machine: it decides the same.
func TestEventLogReplays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]program{"chief": exits(0), "worker": serves, "ps": serves})
		if err := w.train(digits); err != nil {
			t.Fatal(err)
		}
		header, turns := w.log()
		machine, err := header.Machine()
		if err != nil {
			t.Fatal(err)
		}
		for i, turn := range turns {
			got := machine.Step(turn.Time, turn.Event).All()
			if len(got)+len(turn.Actions) > 0 && !reflect.DeepEqual(got, turn.Actions) {
				t.Fatalf("turn %d, %T: decided %v, the log says %v", i, turn.Event, got, turn.Actions)
			}
		}
		if !machine.Finished() {
			t.Errorf("after %d turns the machine has not finished", len(turns))
		}
	})
}

// TestAJobThatHasEndedIsNotRunAgain: a submitter that slept handed in what had ended long ago.
func TestAJobThatHasEndedIsNotRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		if err := w.fs.Mkdir(t.Context(), "/job", 0o700); err != nil {
			t.Fatal(err)
		}
		left := `{"state": "failed", "exit_code": 1, "diagnostics": "ValueError"}`
		if err := dfs.WriteFile(t.Context(), w.fs, "/job/"+launch.ResultFile, []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.train("once: nightly\n" + strings.TrimSpace(digits)); err != nil {
			t.Fatal(err)
		}
		if len(w.history) > 0 || w.final != yarn.FinalFailed || w.diag != "ValueError" {
			t.Errorf("started %v; told YARN %v, %q", w.history, w.final, w.diag)
		}
	})
}

// TestAJobIsStoppedAfterItsTimeout, which counts from the submission.
func TestAJobIsStoppedAfterItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]program{"chief": serves, "worker": serves, "ps": serves})
		began := time.Now()
		w.submitted = began.Add(-20 * time.Minute) // it waited for its master
		if err := w.train("timeout: 30m\n" + strings.TrimSpace(digits)); err != nil {
			t.Fatal(err)
		}
		v := w.result()
		if w.final != yarn.FinalFailed || v.State != status.Failed || *v.ExitCode != 6 || v.Diagnostics != "the job took longer than 30m0s and was stopped (timeout)" {
			t.Errorf("told YARN %v: %s; result %s, %d", w.final, w.diag, v.State, *v.ExitCode)
		}
		if took := time.Since(began); took < 10*time.Minute || took > 11*time.Minute {
			t.Errorf("stopped after %v", took)
		}
	})
}
