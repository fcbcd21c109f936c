package am

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// plan is a program by task and incarnation; those that it does not name serve until they are
// stopped.
type plan map[string]program

func (p plan) run(t job.Task, inc job.Incarnation, stop <-chan struct{}) control.Exited {
	if f, ok := p[fmt.Sprintf("%s#%d", t, inc)]; ok {
		return f(t, inc, stop)
	}
	return serves(t, inc, stop)
}

func (p plan) programs() map[string]program {
	return map[string]program{"chief": p.run, "worker": p.run, "ps": p.run}
}

// after runs a while of the bubble's time, then ends with the code, unless it is stopped before.
func after(d time.Duration, code int, stderr ...string) program {
	return func(t job.Task, inc job.Incarnation, stop <-chan struct{}) control.Exited {
		select {
		case <-time.After(d):
			return exits(code, stderr...)(t, inc, stop)
		case <-stop:
			return serves(t, inc, stop)
		}
	}
}

var errNoSpace = errors.New("no space left on the node")

// restarts are those of the result, without their times.
func restarts(v status.View) []string {
	var out []string
	for _, r := range v.Restarts {
		s := r.Task + " " + r.Cause
		if r.NewContainer {
			s += " new container"
		}
		out = append(out, s)
	}
	return out
}

// again are the processes that were started as a second or later incarnation, without their nodes.
func (w *world) again() []string {
	var out []string
	for _, h := range w.history {
		if !strings.Contains(h, "inc=1 ") {
			h, _, _ = strings.Cut(h, " on ")
			out = append(out, h)
		}
	}
	slices.Sort(out)
	return out
}

func (w *world) succeeded(t *testing.T, text string) status.View {
	t.Helper()
	if err := w.train(text); err != nil {
		t.Fatal(err)
	}
	v := w.result()
	if v.State != status.Succeeded {
		t.Fatalf("%s: %s", v.State, v.Diagnostics)
	}
	return v
}

func expect(t *testing.T, what string, got, want []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestKilledProcessRestartsInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"worker/1#1": after(time.Minute, 137), "chief/0#1": after(3*time.Minute, 0)}.programs())
		v := w.succeeded(t, digits)
		expect(t, "started again", w.again(), []string{"worker/1 inc=2 generation=2"})
		expect(t, "restarts", restarts(v), []string{"worker/1 program"})
		if s := v.Restarts[0].Seconds; s > 0.1 {
			t.Errorf("it took %v s of the bubble's time, want none: the first restart comes at once", s)
		}
		if n := len(w.places[job.Task{Role: "worker", Index: 1}]); n != 1 {
			t.Errorf("worker/1 had %d containers, want 1", n)
		}
	})
}

// TestLostContainerIsReplaced: nobody else starts again, unless its addresses are real ones; then
// all do, in their containers.
func TestLostContainerIsReplaced(t *testing.T) {
	for _, k := range []struct {
		endpoints       string
		chief           string // its last incarnation
		again, restarts []string
	}{
		{"redirect", "chief/0#1", []string{"worker/1 inc=2 generation=3"}, []string{"worker/1 node lost new container"}},
		{"direct", "chief/0#2",
			[]string{"chief/0 inc=2 generation=2", "ps/0 inc=2 generation=2", "worker/0 inc=2 generation=2", "worker/1 inc=2 generation=2"},
			[]string{"worker/1 node lost new container", "chief/0 aftershock", "worker/0 aftershock", "ps/0 aftershock"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, plan{k.chief: after(3*time.Minute, 0)}.programs())
			lost := job.Task{Role: "worker", Index: 1}
			time.AfterFunc(time.Minute, func() { w.lose(lost, yarn.ExitAborted) })
			v := w.succeeded(t, digits+"endpoints: "+k.endpoints+"\n")
			expect(t, k.endpoints+": started again", w.again(), k.again)
			expect(t, k.endpoints+": restarts", restarts(v), k.restarts)
			for task, containers := range w.places {
				if want := map[bool]int{true: 2, false: 1}[task == lost]; len(containers) != want {
					t.Errorf("%s: %s had %d containers, want %d", k.endpoints, task, len(containers), want)
				}
			}
		})
	}
}

// TestSilentAgentIsReplaced: an agent that cannot be reached loses its task, and is told to go when
// it is back.
func TestSilentAgentIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{"chief/0#1": after(10*time.Minute, 0)}.programs())
		var node string
		time.AfterFunc(time.Minute, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, h := range w.history {
				if task, on, _ := strings.Cut(h, " on "); strings.HasPrefix(task, "worker/1 ") {
					node = on
				}
			}
			w.net.Cut(node)
		})
		time.AfterFunc(3*time.Minute, func() { w.net.Heal(node) })
		time.AfterFunc(5*time.Minute, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if a := w.places[job.Task{Role: "worker", Index: 1}][0]; a.dead.Err() == nil {
				t.Error("two minutes after the network healed the agent that was replaced is still there")
			}
		})
		v := w.succeeded(t, digits)
		expect(t, "restarts", restarts(v), []string{"worker/1 silent new container"})
	})
}

func TestLostServerRestartsTheCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{
			"ps/0#1":    after(time.Minute, 137),
			"chief/0#1": after(time.Minute+2*time.Second, 1, "UnavailableError"),
			"chief/0#2": after(time.Minute, 0),
		}.programs())
		v := w.succeeded(t, digits+"recovery: {user-failures: 1}\n")
		expect(t, "started again", w.again(), []string{"chief/0 inc=2 generation=2", "ps/0 inc=2 generation=2"})
		expect(t, "restarts", restarts(v), []string{"ps/0 program", "chief/0 aftershock"})
	})
}

func TestMirroredAftershocksAreNotCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{
			"worker/1#1": after(time.Minute, 137),
			"worker/0#1": after(time.Minute+2*time.Second, 1, "AbortedError"),
			"worker/2#1": after(time.Minute+7*time.Second, 1, "AbortedError"),
			"worker/0#2": after(time.Minute, 0), "worker/1#2": after(time.Minute, 0), "worker/2#2": after(time.Minute, 0),
		}.programs())
		v := w.succeeded(t, "command: x\nroles: {worker: {instances: 3}}\nrecovery: {user-failures: 1}\n")
		expect(t, "restarts", restarts(v), []string{"worker/1 program", "worker/0 aftershock", "worker/2 aftershock"})
	})
}

func TestProgramThatAlwaysFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := newWorld(t, map[string]program{"chief": serves, "worker": exits(3, "ValueError: shapes differ"), "ps": serves})
		if err := w.train("command: x\nroles: {worker: {}, ps: {}}\n"); err != nil {
			t.Fatal(err)
		}
		v := w.result()
		for _, want := range []string{"worker/0 failed: exit code 3", "failure 4", "3 are forgiven", "ValueError: shapes differ"} {
			if !strings.Contains(v.Diagnostics, want) {
				t.Errorf("diagnostics do not say %q: %s", want, v.Diagnostics)
			}
		}
		if *v.ExitCode != job.ExitFailed || len(w.again()) != 3 {
			t.Errorf("exit code %d after %q", *v.ExitCode, w.again())
		}
		// Of the bubble's time: none, then pauses of 1 and 2 seconds, each a quarter more or less,
		// and some heartbeats.
		if took := time.Since(began); took < 2250*time.Millisecond || took > 10*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func TestClusterThatAlwaysFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.failStart = errNoSpace
		if err := w.train("command: x\nroles: {worker: {}}\nrecovery: {user-failures: 0}\n"); err != nil {
			t.Fatal(err)
		}
		v := w.result()
		if *v.ExitCode != job.ExitInfrastructure || !strings.Contains(v.Diagnostics, "10 times in a row") || !strings.Contains(v.Diagnostics, errNoSpace.Error()) {
			t.Errorf("exit code %d: %s", *v.ExitCode, v.Diagnostics)
		}
		if w.next != 12 { // the master has container 1
			t.Errorf("%d containers were granted, want 10", w.next-2)
		}
	})
}

// TestFailingNodeIsExcluded: the exclusion reaches the ResourceManager.
func TestFailingNodeIsExcluded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]program{"worker": exits(0)})
		w.oneNode, w.failStart = true, errNoSpace
		time.AfterFunc(20*time.Second, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.failStart = nil
		})
		if err := w.train("command: x\nroles: {worker: {}}\n"); err != nil {
			t.Fatal(err)
		}
		if !w.excluded["node"] {
			t.Errorf("the node was not excluded: %s", w.diag)
		}
	})
}
