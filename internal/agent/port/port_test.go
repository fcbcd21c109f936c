package port_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tfos/internal/agent/port"
)

// listen is another process's attempt to serve on a port. Options other than those given are off;
// Go itself would set SO_REUSEADDR.
func listen(network string, number int, options ...int) (net.Listener, error) {
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 0)
			for _, o := range options {
				err = errors.Join(err, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, o, 1))
			}
		}); e != nil {
			return e
		}
		return err
	}}
	return c.Listen(context.Background(), network, ":"+strconv.Itoa(number))
}

func TestAHeldPortLetsOnlyItsProgramIn(t *testing.T) {
	for _, c := range []struct {
		name    string
		sharing port.Sharing
		in      [][]int
		out     [][]int
	}{
		{
			"reuse port", port.ReusePort,
			[][]int{{unix.SO_REUSEPORT}, {unix.SO_REUSEPORT, unix.SO_REUSEADDR}}, // TensorFlow sets both
			[][]int{{}, {unix.SO_REUSEADDR}},
		},
		{
			"reuse address", port.ReuseAddr,
			[][]int{{unix.SO_REUSEADDR}, {unix.SO_REUSEADDR, unix.SO_REUSEPORT}},
			[][]int{{}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := port.Hold(c.sharing)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			for _, network := range []string{"tcp", "tcp4", "tcp6"} { // tcp is [::] for both families, as TensorFlow binds
				for _, options := range c.out {
					if l, err := listen(network, p.Number, options...); !errors.Is(err, syscall.EADDRINUSE) {
						t.Errorf("%s with %v: %v, want address in use", network, options, err)
						if err == nil {
							l.Close()
						}
					}
				}
				for _, options := range c.in {
					l, err := listen(network, p.Number, options...)
					if err != nil {
						t.Errorf("%s with %v: %v", network, options, err)
						continue
					}
					reach(t, l, p.Number)
					l.Close()
				}
			}
		})
	}
}

// reach shows that connections get to the program, not to the socket that holds the port.
func reach(t *testing.T, l net.Listener, number int) {
	t.Helper()
	for range 8 {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(number)))
		if err != nil { // a tcp6 listener of Go's takes no IPv4
			c, err = net.Dial("tcp", net.JoinHostPort("::1", strconv.Itoa(number)))
		}
		if err != nil {
			t.Errorf("dial: %v", err)
			return
		}
		s, err := l.Accept()
		if err != nil {
			t.Errorf("accept: %v", err)
			return
		}
		s.Close()
		c.Close()
	}
}

// TestAHeldPortStaysHeld: a program that ends and comes back, as in a restart in place, finds its
// port.
func TestAHeldPortStaysHeld(t *testing.T) {
	p, err := port.Hold(port.ReusePort)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for range 3 {
		l, err := listen("tcp", p.Number, unix.SO_REUSEPORT)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		if l, err := listen("tcp", p.Number); err == nil {
			l.Close()
			t.Fatal("between two lives of the program another took its port")
		}
	}
}

// TestNoPortIsHandedOutTwice: neither to another holder, nor to a program of ours that lets the
// kernel choose.
func TestNoPortIsHandedOutTwice(t *testing.T) {
	held := make(map[int]bool)
	for range 500 {
		p, err := port.Hold(port.ReusePort)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if held[p.Number] {
			t.Fatalf("port %d was given out twice", p.Number)
		}
		held[p.Number] = true
	}
	for range 500 {
		l, err := listen("tcp", 0, unix.SO_REUSEPORT, unix.SO_REUSEADDR)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if n := l.Addr().(*net.TCPAddr).Port; held[n] {
			t.Fatalf("the kernel chose port %d, which is held", n)
		}
	}
}
