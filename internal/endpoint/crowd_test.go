package endpoint

import (
	"net"
	"testing"

	"go.uber.org/zap"
)

// accepted is one connection of many to a port of this machine.
func accepted(t *testing.T, l *net.TCPListener, from string) *net.TCPConn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	a, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func TestCrowd(t *testing.T) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := newCrowd(3, zap.NewNop())
	first := accepted(t, l, "127.0.0.1")
	for i, want := range []bool{true, true, true, false, false} {
		conn := first
		if i > 0 {
			conn = accepted(t, l, "127.0.0.1")
		}
		if got := c.enter(conn); got != want {
			t.Errorf("connection %d: let in %v, want %v", i, got, want)
		}
	}
	first.Close()
	c.leave(first)
	if !c.enter(accepted(t, l, "127.0.0.1")) {
		t.Error("one is refused after another has left")
	}
	if !local(accepted(t, l, "127.0.0.2")) {
		t.Error("a loopback address is taken for another machine's")
	}
}
