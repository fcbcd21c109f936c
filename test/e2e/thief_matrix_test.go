//go:build e2e && matrix

package e2e

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tfos/internal/status"
)

// TestMatrixOfAPortThief lets another process of a node try to take a task's port all the time,
// while the task's program is killed and started again, and then while its agent is: the first
// holds its port throughout, and the second needs another one.
func TestMatrixOfAPortThief(t *testing.T) {
	c := hadoop(t)
	id := strings.TrimSpace(tfos(t, c.env, "submit", jobFile(t, fmt.Sprintf(`name: robbed
command: %s -u listen_and_stay.py
files: [%s]
roles:
  worker: {instances: 2, memory: 512MiB}
strategy: none
`, python(t), program("listen_and_stay.py")))).want(t, 0).stdout)
	defer gone(t, id)
	defer func() { tfos(t, c.env, "kill", id).want(t, 0) }()
	b := newBreaker(t, c, id, nil)
	var v status.View
	stepping := func(incarnation int) status.Task {
		t.Helper()
		eventually(t, fmt.Sprintf("incarnation %d of worker/1 to listen", incarnation), func() bool {
			if v = b.view(); v.ExitCode != nil {
				t.Fatalf("it ended with exit code %d: %s", *v.ExitCode, v.Diagnostics)
			}
			return len(v.Tasks) == 2 && int(find(t, v, "worker/1").Incarnation) >= incarnation && find(t, v, "worker/1").Step > 0
		})
		return find(t, v, "worker/1")
	}
	first := stepping(1)
	thief := rob(t, first.Address)
	b.signal(first.PID, unix.SIGKILL)
	second := stepping(2)
	if thief.has() || second.Container != first.Container || second.Address != first.Address {
		t.Errorf("it was at %s in %s and is at %s in %s; robbed: %v", first.Address, first.Container, second.Address, second.Container, thief.has())
	}
	b.signal(b.agent(second), unix.SIGKILL)
	third := stepping(3)
	if third.Container == second.Container {
		t.Errorf("it is in %s still", third.Container)
	}
	eventually(t, "the thief to have what the agent left", thief.has)
	if len(v.Restarts) != 2 || v.Restarts[0].Cause == "" || v.Restarts[1].Cause == "" {
		t.Errorf("restarts %+v, want two with their causes", v.Restarts)
	}
}

// thief is somebody who tries to have a port until the test ends.
type thief struct{ got chan net.Listener }

func rob(t *testing.T, address string) *thief {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	th := &thief{got: make(chan net.Listener, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			if l, err := net.Listen("tcp4", ":"+port); err == nil {
				th.got <- l
				return
			}
			<-tick.C
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if th.has() {
			(<-th.got).Close()
		}
	})
	return th
}

// has reports whether the port was got.
func (th *thief) has() bool { return len(th.got) > 0 }
