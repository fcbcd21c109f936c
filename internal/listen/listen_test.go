package listen

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// source gives what a test has it give.
type source struct {
	answers chan answer
	closed  chan struct{}
	close   sync.Once
}

type answer struct {
	conn net.Conn
	err  error
}

func newSource() *source {
	return &source{answers: make(chan answer, 100), closed: make(chan struct{})}
}

func (s *source) Accept() (net.Conn, error) {
	select {
	case a := <-s.answers:
		return a.conn, a.err
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *source) Close() error   { s.close.Do(func() { close(s.closed) }); return nil }
func (s *source) Addr() net.Addr { return address("here:1") }

// comes is a connection from an address; the peer's end is returned.
func (s *source) comes(from string) net.Conn {
	ours, theirs := net.Pipe()
	s.answers <- answer{conn: &remote{ours, address(from)}}
	return theirs
}

type address string

func (a address) Network() string { return "test" }
func (a address) String() string  { return string(a) }

type remote struct {
	net.Conn
	from address
}

func (r *remote) RemoteAddr() net.Addr { return r.from }

// ended reports whether the other end of a connection is closed.
func ended(c net.Conn) bool {
	c.SetReadDeadline(time.Now().Add(time.Nanosecond))
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

// serve accepts until the listener ends, and hands on what it gets.
func serve(l *Listener) (accepted chan *Conn, end chan error) {
	accepted, end = make(chan *Conn, 100), make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				end <- err
				return
			}
			accepted <- c.(*Conn)
		}
	}()
	return accepted, end
}

func TestAcceptSurvivesTheSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EMFILE, syscall.EMFILE} {
			s.answers <- answer{err: &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", e)}}
		}
		s.comes("a:1")
		l := New(s, Options{})
		began := time.Now()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 7*pauseMin || took > 7*pauseMax {
			t.Errorf("seven errors took %v", took)
		}
		c.Close()
		s.answers <- answer{err: syscall.EBADF}
		if _, err := l.Accept(); !errors.Is(err, syscall.EBADF) {
			t.Errorf("of a broken listener: %v", err)
		}
		s.answers <- answer{err: syscall.ENOBUFS}
		s.comes("a:2")
		if c, err := Patient(s, l.o.Logger).Accept(); err != nil {
			t.Error(err)
		} else {
			c.Close()
		}
		s.answers <- answer{err: syscall.EMFILE}
		time.AfterFunc(time.Millisecond, func() { l.Close() })
		if _, err := l.Accept(); err == nil {
			t.Error("accepted after Close")
		}
	})
}

// TestOneAddressHasItsShare: more than that is turned away at once, and others are not affected.
func TestOneAddressHasItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		l := New(s, Options{Unfinished: 8, PerAddress: 2})
		accepted, end := serve(l)
		var flood []net.Conn
		for range 20 {
			flood = append(flood, s.comes("evil:1"))
		}
		good := s.comes("good:1")
		synctest.Wait()
		if n := len(accepted); n != 3 {
			t.Fatalf("accepted %d, want 2 of one address and 1 of another", n)
		}
		if ended(flood[1]) || !ended(flood[2]) || !ended(flood[19]) || ended(good) {
			t.Error("the wrong ones were turned away")
		}
		time.Sleep(l.o.Grace)
		late := s.comes("evil:1") // takes the place of one that has had its time
		synctest.Wait()
		if !ended(flood[0]) || ended(flood[1]) || ended(late) {
			t.Error("an old one did not make room for a new one")
		}
		time.Sleep(l.o.Timeout)
		synctest.Wait()
		if !ended(flood[1]) || !ended(late) || !ended(good) {
			t.Error("one that never says anything stays")
		}
		if len(l.from) != 0 || l.unfinished.Len() != 0 {
			t.Errorf("left: %v", l.from)
		}
		l.Close()
		<-end
	})
}

// TestAllTogetherAreBounded: with many addresses too. Who is admitted does not count any more.
func TestAllTogetherAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		l := New(s, Options{Unfinished: 3, PerAddress: 2})
		accepted, end := serve(l)
		a, b, c, d := s.comes("a:1"), s.comes("b:1"), s.comes("[2001:db8::1]:1"), s.comes("d:1")
		synctest.Wait()
		if n := len(accepted); n != 3 {
			t.Fatalf("accepted %d, want 3", n)
		}
		if !(<-accepted).Admit() {
			t.Error("the first is gone")
		}
		synctest.Wait()
		if n := len(accepted); n != 3 {
			t.Fatalf("accepted %d more, want 3: the fourth when the first was admitted", n)
		}
		e := s.comes("[2001:db8::2]:1")
		time.Sleep(l.o.Grace)
		synctest.Wait()
		if ended(a) || !ended(b) || ended(c) || ended(d) || ended(e) {
			t.Error("not the oldest made room")
		}
		if n := l.from["2001:db8::/64"]; n != 2 {
			t.Errorf("a network of version 6 has %d", n)
		}
		(<-accepted).Close()
		time.Sleep(2 * l.o.Timeout)
		synctest.Wait()
		if ended(a) {
			t.Error("an admitted one was closed")
		}
		l.Close()
		<-end
		a.Close()
	})
}

// TestCloseEndsAWait: one that waits for room.
func TestCloseEndsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		l := New(s, Options{Unfinished: 1, Grace: time.Hour, Timeout: time.Hour})
		accepted, end := serve(l)
		s.comes("a:1")
		s.comes("b:1")
		(<-accepted).Conn.Close()
		synctest.Wait()
		l.Close()
		if err := <-end; !errors.Is(err, net.ErrClosed) {
			t.Errorf("the end: %v", err)
		}
	})
}
