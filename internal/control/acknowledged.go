package control

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"
)

// An agent that says nothing may be gone with its node, or be short of processor time, or hang. The
// node's own system tells: it acknowledges what comes over a connection whether the process runs or
// not, and closes the connection when the process ends.

// caller is who calls, as the TLS handshake found out, and by which connection.
type caller struct {
	credentials.CommonAuthInfo
	who Subject
	raw net.Conn
}

// AuthType implements credentials.AuthInfo.
func (caller) AuthType() string { return "tls" }

// acknowledged is when the other side's system last acknowledged something; zero: the connection
// cannot tell.
func acknowledged(c net.Conn) time.Time {
	switch c := c.(type) {
	case interface{ Acknowledged() time.Time }:
		return c.Acknowledged()
	case syscall.Conn:
		raw, err := c.SyscallConn()
		if err != nil {
			return time.Time{}
		}
		var at time.Time
		if err := raw.Control(func(fd uintptr) {
			if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
				at = time.Now().Add(-time.Duration(info.Last_ack_recv) * time.Millisecond)
			}
		}); err != nil {
			return time.Time{}
		}
		return at
	}
	return time.Time{}
}
