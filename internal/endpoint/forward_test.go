package endpoint_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"go.uber.org/zap"

	"tfos/internal/endpoint"
)

func startForward(t testing.TB) *endpoint.Endpoints {
	t.Helper()
	e, err := endpoint.New(t.Context(), endpoint.Forward, endpoint.Options{Self: worker0, Logger: zap.NewNop(), Proof: proof})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestForwardKeepsTheContract(t *testing.T) {
	contract(t, small, func(t *testing.T) *rig { return &rig{endpoints: startForward(t), client: dialer{t}} })
}

// TestForwardShowsTheTaskItsRealAddress: it listens there itself.
func TestForwardShowsTheTaskItsRealAddress(t *testing.T) {
	r := rig{endpoints: startForward(t)}
	r.move(t, "10.0.0.1:2222")
	v := r.endpoints.View()
	if v.Generation != 1 || len(v.Members) != 2 || v.Members[0].Address != "127.0.0.1:9" {
		t.Errorf("the view is %+v", v)
	}
	if ps := v.Members[1]; ps.Task != ps0 || ps.Incarnation != 1 || !strings.HasPrefix(ps.Address, "127.0.0.1:") {
		t.Errorf("ps/0 is shown as %+v", ps)
	}
	if cs := r.endpoints.Counters(); len(cs) != 1 || cs[0].Task != ps0 {
		t.Errorf("counters of %+v, want ps/0 alone", cs)
	}
}

// TestForwardIsReachedFromOtherNodes: the addresses that a coordinator hands on name its node.
func TestForwardIsReachedFromOtherNodes(t *testing.T) {
	for _, host := range []string{"localhost", "127.0.0.2"} {
		e, err := endpoint.New(t.Context(), endpoint.Forward, endpoint.Options{Self: worker0, Host: host, Logger: zap.NewNop(), Proof: proof})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		r := rig{endpoints: e, client: dialer{t}}
		s := serve(t, "a")
		r.move(t, s.addr())
		if got := r.ps(t); !strings.HasPrefix(got, host+":") {
			t.Errorf("ps/0 is shown as %s", got)
		}
		r.reaches(t, "a")
		_, port, err := net.SplitHostPort(r.ps(t))
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.client.connect(net.JoinHostPort("127.0.0.1", port))
		if only := host != "localhost"; only == (err == nil) {
			t.Errorf("named %s, and reached at 127.0.0.1: %v", host, err)
		}
	}
}

// TestForwardPassesEverythingOn sends much both ways at once, ends one direction, and still gets
// the rest of the other.
func TestForwardPassesEverythingOn(t *testing.T) {
	r := rig{endpoints: startForward(t)}
	l := listen(t, "127.0.0.1:0")
	defer l.Close()
	w := witness(t, l, ps0)
	go w.Run()
	defer w.Close()
	r.move(t, l.Addr().String())
	up, down := bytes.Repeat([]byte("to the server "), 300_000), bytes.Repeat([]byte("back again "), 500_000)

	served := make(chan error, 1)
	go func() { served <- exchange(accepting(l), down, up) }()
	c, err := net.Dial("tcp", r.ps(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(exchange(c, up, down), <-served); err != nil {
		t.Fatal(err)
	}
	if n := r.counters(); n.Sent != int64(len(up)) || n.Received != int64(len(down)) {
		t.Errorf("counted %d and %d bytes, %d and %d were sent", n.Sent, n.Received, len(up), len(down))
	}
}

func accepting(l net.Listener) net.Conn {
	c, err := l.Accept()
	if err != nil {
		return nil
	}
	return c
}

// exchange sends and receives at the same time, each to its end.
func exchange(c net.Conn, send, want []byte) error {
	if c == nil {
		return errors.New("no connection")
	}
	defer c.Close()
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(send)
		sent <- errors.Join(err, c.(*net.TCPConn).CloseWrite())
	}()
	got, err := io.ReadAll(c)
	if err == nil && !bytes.Equal(got, want) {
		err = errors.New("other bytes came than were sent")
	}
	return errors.Join(err, <-sent)
}

// TestForwardCountsWhatIsUnderWay: a connection that stays open is not left out.
func TestForwardCountsWhatIsUnderWay(t *testing.T) {
	r := rig{endpoints: startForward(t), client: dialer{t}}
	s := serve(t, "a")
	r.move(t, s.addr())
	c := r.reaches(t, "a")
	for range 3 {
		if _, err := c.echo("12345"); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.counters(); n.Sent != 18 || n.Received != 2+18 {
		t.Errorf("counted %d bytes sent and %d received, want 18 and 20", n.Sent, n.Received)
	}
}
