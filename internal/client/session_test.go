package client

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"tfos/internal/status"
	"tfos/internal/yarn"
)

// sessionToItsEnd runs a job for another program until the event that tells of its end. Closing
// owner ends the session, with result.
func sessionToItsEnd(t *testing.T, w *world, o SessionOptions) (ended event, owner io.Closer, result <-chan error) {
	t.Helper()
	o.Host = "localhost"
	wishes, closer := io.Pipe()
	heard, out := io.Pipe()
	o.In, o.Out = wishes, out
	over := make(chan error, 1)
	go func() { over <- w.cluster().Session(t.Context(), prepare(t, aJob()), o) }()
	for lines := bufio.NewScanner(heard); lines.Scan(); {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if e.Event == "ended" {
			return e, closer, over
		}
	}
	panic("unreachable: the session keeps its output open")
}

func anyPort(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestTheDeskOutlivesTheJob: feeders that come after the end of a job are told that nobody wants
// their rows, until the program that started the session closes its input.
func TestTheDeskOutlivesTheJob(t *testing.T) {
	w := newWorld(t)
	w.kept["c1/stdout"], w.kept["c1/stderr"] = "", ""
	w.script(func() { w.finish(view(status.Succeeded, 0), yarn.StateFinished, yarn.FinalSucceeded) })
	l := anyPort(t)
	_, owner, result := sessionToItsEnd(t, w, SessionOptions{Listener: l})
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatalf("after the end nobody answers: %v", err)
	}
	c.Close()
	owner.Close()
	if err := <-result; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("it goes on without its owner")
	}
}

// TestASessionThatFailsSaysWhereItsLogsAre: who closes an embedded cluster after it keeps them.
func TestASessionThatFailsSaysWhereItsLogsAre(t *testing.T) {
	w := newWorld(t)
	w.kept["c1/stdout"], w.kept["c1/stderr"] = "", ""
	w.script(func() { w.finish(view(status.Failed, 1), yarn.StateFinished, yarn.FinalFailed) })
	e, owner, result := sessionToItsEnd(t, w, SessionOptions{Listener: anyPort(t), logsAt: "/jobs/1/logs"})
	if want := "its logs are in /jobs/1/logs/application_"; !strings.HasPrefix(e.Advice, want) {
		t.Errorf("the advice is %q, want %s…", e.Advice, want)
	}
	owner.Close()
	if err := <-result; !errors.Is(err, ErrEnded) {
		t.Errorf("the session ended with %v", err)
	}
}
