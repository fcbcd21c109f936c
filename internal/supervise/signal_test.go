package supervise

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSignalReachesWhoExpectsIt: the shell that waits for the program has no handler, and must not
// die of it.
func TestSignalReachesWhoExpectsIt(t *testing.T) {
	dir := t.TempDir()
	out := Recent{size: 1 << 10}
	p, err := Start(Spec{
		Command: `bash -c 'trap "echo told; exit 0" USR1; echo ready; while :; do sleep 0.01; done'; echo "then $?"`,
		Dir:     dir, Env: os.Environ(), Stdout: &out,
	})
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	read := func() string {
		b, _ := out.Take()
		all += string(b)
		return all
	}
	for deadline := time.Now().Add(time.Minute); !strings.Contains(read(), "ready"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the program does not start")
		}
	}
	if n, err := p.Signal(syscall.SIGUSR2); n != 0 || err != nil {
		t.Errorf("a signal that nobody expects was sent to %d processes, %v", n, err)
	}
	if n, err := p.Signal(syscall.SIGUSR1); n != 1 || err != nil {
		t.Errorf("it was sent to %d processes, %v; want 1", n, err)
	}
	<-p.Done()
	if got := read(); got != "ready\ntold\nthen 0\n" {
		t.Errorf("the program wrote %q", got)
	}
	if n, err := p.Signal(syscall.SIGUSR1); n != 0 || err != nil {
		t.Errorf("after the end: %d, %v", n, err)
	}
}

func TestCatches(t *testing.T) {
	status := []byte("Name:\tx\nSigIgn:\tffffffffffffffff\nSigCgt:\t0000000000000200\n")
	for _, c := range []struct {
		signal syscall.Signal
		want   bool
	}{{syscall.SIGUSR1, true}, {syscall.SIGUSR2, false}, {0, false}, {65, false}} {
		if got := catches(status, c.signal); got != c.want {
			t.Errorf("%v: %v", c.signal, got)
		}
	}
	if catches([]byte("SigCgt:\tx\n"), syscall.SIGUSR1) {
		t.Error("nonsense catches")
	}
}
