package client

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"testing"

	"tfos/internal/status"
	"tfos/internal/yarn"
)

// TestTheDeskOutlivesTheJob: feeders that come after the end of a job are told that nobody wants
// their rows, until the program that started the session closes its input.
func TestTheDeskOutlivesTheJob(t *testing.T) {
	w := newWorld(t)
	w.kept["c1/stdout"], w.kept["c1/stderr"] = "", ""
	w.script(func() { w.finish(view(status.Succeeded, 0), yarn.StateFinished, yarn.FinalSucceeded) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wishes, owner := io.Pipe()
	heard, out := io.Pipe()
	result := make(chan error, 1)
	go func() {
		result <- w.cluster().Session(t.Context(), prepare(t, aJob()), SessionOptions{In: wishes, Out: out, Host: "localhost", Listener: l})
	}()
	for lines := bufio.NewScanner(heard); lines.Scan(); {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if e.Event == "ended" {
			break
		}
	}
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
