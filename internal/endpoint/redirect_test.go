package endpoint_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"tfos/internal/clusterspec"
	"tfos/internal/endpoint"
	"tfos/internal/job"
)

func startRedirect(t testing.TB, port int) *endpoint.Endpoints {
	t.Helper()
	dir := t.TempDir()
	e, err := endpoint.New(t.Context(), endpoint.Redirect, endpoint.Options{Self: worker0, Logger: zap.NewNop(), Proof: proof, Roles: roles, Port: port, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	return e
}

// built reports whether there is a library for this kind of machine. Where not, New must say so.
func built() bool { return runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64" }

func TestRedirectIsTriedOutFirst(t *testing.T) {
	if !built() {
		_, err := endpoint.New(t.Context(), endpoint.Redirect, endpoint.Options{Self: worker0, Logger: zap.NewNop(), Roles: roles, Dir: t.TempDir()})
		if !errors.Is(err, endpoint.ErrUnavailable) {
			t.Errorf("on %s: %v, want unavailable", runtime.GOARCH, err)
		}
		return
	}
	e := startRedirect(t, 0)
	s := clusterspec.Spec{Generation: 1, Members: []clusterspec.Member{
		member(ps0, 1, "127.0.0.1:1"),
		{Task: job.Task{Role: "ps", Index: 1}, Incarnation: 1}, // known, and nowhere
		member(worker0, 1, "127.0.0.1:2"),
	}}
	if err := e.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, m := range e.View().Members {
		shown = append(shown, m.Address)
	}
	if want := []string{"127.101.0.0:4", "127.101.0.1:4", "127.100.0.0:4"}; !slices.Equal(shown, want) {
		t.Errorf("the process sees %v, want %v", shown, want)
	}
	for _, c := range e.Counters() {
		if c.Sent != -1 || c.Received != -1 || c.Connections != 0 {
			t.Errorf("counted %+v", c)
		}
	}
	stranger := clusterspec.Spec{Generation: 2, Members: []clusterspec.Member{{Task: job.Task{Role: "stranger"}, Incarnation: 1, Address: "127.0.0.1:1"}}}
	if err := e.Update(t.Context(), stranger); err == nil || !strings.Contains(err.Error(), "stranger/0") {
		t.Errorf("a task of no role: %v", err)
	}
}

func TestRedirectKeepsWhatIsPreloadedAlready(t *testing.T) {
	if !built() {
		return
	}
	e := startRedirect(t, 0)
	before := []string{"A=b", "LD_PRELOAD=/lib/other.so", "TFOS_ENDPOINTS=/of/another/agent"}
	env := e.Env(before)
	preload, _ := strings.CutPrefix(env[1], "LD_PRELOAD=")
	ours, theirs, _ := strings.Cut(preload, ":")
	if len(env) != 3 || env[0] != "A=b" || theirs != "/lib/other.so" || !strings.HasPrefix(env[2], "TFOS_ENDPOINTS="+filepath.Dir(ours)) {
		t.Errorf("the environment is %q", env)
	}
	if before[1] != "LD_PRELOAD=/lib/other.so" {
		t.Error("the argument was changed")
	}
}

// TestRedirectDoesNotReachUs: this test is a static program, in any case not preloaded.
func TestRedirectDoesNotReachUs(t *testing.T) {
	if !built() {
		return
	}
	e := startRedirect(t, 0)
	if b := e.Look(os.Getpid()); b.PID != os.Getpid() || !b.Sure || b.Why == "" {
		t.Errorf("the test is %+v, want one that cannot have the library", b)
	}
	if b := e.Look(1 << 30); b != (endpoint.Bare{}) {
		t.Errorf("a process that does not exist is %+v", b)
	}
	r := rig{endpoints: e, client: dialer{t}}
	s := serve(t, "a")
	r.move(t, s.addr())
	r.refuses(t) // by this machine: nobody listens at a virtual address
}

// TestALookAtAProgramThatEnds: from its start to the moment in which nothing is left of it, a
// program with the library is never one that cannot have it.
func TestALookAtAProgramThatEnds(t *testing.T) {
	if !built() {
		return
	}
	e := startRedirect(t, 0)
	for range 100 {
		p := exec.Command("/bin/bash", "-c", "read -r; (exit 0); exit 1")
		p.Env = e.Env(os.Environ())
		in, err := p.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { in.Close(); ended <- p.Wait() }()
		for over := false; !over; {
			if b := e.Look(p.Process.Pid); b.Sure {
				t.Errorf("it is %+v", b)
			}
			select {
			case <-ended:
				over = true
			default:
			}
		}
	}
}

func TestRedirectSaysWhereItCannotBe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "with space")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := endpoint.New(t.Context(), endpoint.Redirect, endpoint.Options{Self: worker0, Logger: zap.NewNop(), Roles: roles, Dir: dir})
	if !errors.Is(err, endpoint.ErrUnavailable) {
		t.Errorf("below %q: %v, want unavailable", dir, err)
	}
	_, err = endpoint.New(t.Context(), endpoint.Redirect, endpoint.Options{Self: job.Task{Role: "stranger"}, Logger: zap.NewNop(), Roles: roles, Dir: t.TempDir()})
	if err == nil {
		t.Error("a task of no role has endpoints")
	}
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestRedirectWithoutRoom(t *testing.T) {
	if !built() {
		return
	}
	e, err := endpoint.New(t.Context(), endpoint.Redirect, endpoint.Options{Self: worker0, Logger: zap.NewNop(), Roles: roles, Dir: t.TempDir(), Tasks: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.Update(t.Context(), spec(1, 1, "127.0.0.1:1")); err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("two tasks in a table for one: %v", err)
	}
}
