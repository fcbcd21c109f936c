package memnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"tfos/internal/memnet"
)

// connect makes a connection from host a to host b.
func connect(t *testing.T, n *memnet.Network) (here, there net.Conn) {
	t.Helper()
	l, err := n.Host("b").Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	here, err = n.Host("a").Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return here, <-accepted
}

// TestConnIsANetConn runs the suite that golang.org/x/net has for every net.Conn.
func TestConnIsANetConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		c1, c2 = connect(t, memnet.New())
		return c1, c2, func() { c1.Close(); c2.Close() }, nil
	})
}

func TestCutIsSilentAndHealDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		here, there := connect(t, n)
		defer here.Close()
		defer there.Close()
		n.Cut("b")
		if _, err := here.Write([]byte("late")); err != nil {
			t.Fatalf("write over a cut: %v", err)
		}
		there.SetReadDeadline(time.Now().Add(time.Hour))
		b := make([]byte, 8)
		if _, err := there.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read over a cut: %v, want the deadline", err)
		}
		there.SetReadDeadline(time.Time{})
		n.Heal("b")
		if got, err := there.Read(b); err != nil || string(b[:got]) != "late" {
			t.Fatalf("after healing: %q, %v", b[:got], err)
		}
	})
}

func TestACloseOverACutIsNotSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		here, there := connect(t, n)
		n.Cut("a")
		here.Close()
		there.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := there.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read: %v, want the deadline", err)
		}
		if _, err := there.Write([]byte("x")); err != nil {
			t.Fatalf("write: %v", err)
		}
		there.SetReadDeadline(time.Time{})
		n.Heal("a")
		if _, err := there.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("read after healing: %v, want EOF", err)
		}
		there.Close()
	})
}

func TestDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		if _, err := n.Host("a").Dial(t.Context(), "b:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens: %v, want refused", err)
		}
		l, err := n.Host("b").Listen(1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Host("b").Listen(1); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("listen twice: %v, want in use", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		n.Cut("a")
		if _, err := n.Host("a").Dial(ctx, "b:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial from a cut host: %v, want the deadline", err)
		}
		l.Close()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept on a closed listener: %v", err)
		}
	})
}

func TestResetBreaksBothEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		here, there := connect(t, n)
		defer here.Close()
		defer there.Close()
		n.Reset("a")
		for _, c := range []net.Conn{here, there} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read: %v, want reset", err)
			}
		}
	})
}
