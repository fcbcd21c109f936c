package endpoint

import (
	"io"
	"net"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// carry passes bytes on from one side of a link to the other, and the end of them. A side that
// fails ends the link.
func (l *link) carry(to, from *net.TCPConn, count *atomic.Int64) {
	raw, err := from.SyscallConn()
	if err != nil {
		l.reset()
		return
	}
	for {
		n, err := ready(raw)
		if err != nil {
			l.reset()
			return
		}
		if n == 0 {
			// An error is the other direction's to find, or means that the link was reset.
			_ = to.CloseWrite()
			return
		}
		// Known to be there: the kernel moves them (splice), and the pipe that this takes is held
		// no longer than that.
		count.Add(int64(n)) // first: who sees the bytes sees them counted
		if _, err := io.CopyN(to, from, int64(n)); err != nil {
			l.reset()
			return
		}
	}
}

// ready waits until there is something to read and tells how many bytes; 0: no more will come.
func ready(raw syscall.RawConn) (n int, err error) {
	waited := raw.Read(func(fd uintptr) bool {
		if n, err = unix.IoctlGetInt(int(fd), unix.SIOCINQ); err != nil || n > 0 {
			return true
		}
		if err = peek(int(fd)); err == unix.EAGAIN {
			return false
		}
		if err == nil { // the end, or bytes that have just come
			n, err = unix.IoctlGetInt(int(fd), unix.SIOCINQ)
		}
		return true
	})
	if waited != nil {
		return 0, waited
	}
	return n, err
}

// peek fails with EAGAIN if there is nothing to read yet, and with what befell the connection.
func peek(fd int) error {
	var b [1]byte
	for {
		_, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if err != unix.EINTR {
			return err
		}
	}
}

// reset ends both sides at once.
func (l *link) reset() {
	reset(l.near)
	reset(l.far)
}

// reset closes with RST, whatever was still to be sent. Its errors mean that it is closed already.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}
