// Package port keeps TCP ports for programs that will listen on them later.
//
// A port is held by a socket that is bound and never listens, from before its number is known to
// anyone until it is released: there is no moment at which another process could take it. What lets
// the one program in is an option that is set on the socket after it was bound alone; the kernel
// looks at the options of the sockets that are there when another binds. Measured on Linux 6.18,
// for IPv6 (dual stack) and IPv4 binds alike; the kernel never hands a held port out for bind(:0).
package port

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Sharing says who may bind a held port.
type Sharing int

// The ways of sharing a held port.
const (
	// ReusePort lets programs of the same user in that set SO_REUSEPORT: TensorFlow with
	// TF_GRPC_REUSE_PORT=true.
	ReusePort Sharing = iota + 1
	// ReuseAddr lets programs in that set SO_REUSEADDR, as most servers do: TensorBoard has no
	// other way. Any user's may, if it asks for this very number.
	ReuseAddr
)

// Port is one held port. Its owner calls Close.
type Port struct {
	Number int
	fd     int
}

// Hold takes a free port on all addresses, for both IPv6 and IPv4 where the host has both.
func Hold(s Sharing) (*Port, error) {
	fd, number, err := bind()
	if err != nil {
		return nil, fmt.Errorf("hold a port: %w", err)
	}
	option := unix.SO_REUSEPORT
	if s == ReuseAddr {
		option = unix.SO_REUSEADDR
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, 1); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("hold port %d: %w", number, err)
	}
	return &Port{Number: number, fd: fd}, nil
}

// bind binds a port exclusively, so that the number is nobody else's: with SO_REUSEPORT set before,
// old kernels hand one port to two processes of a user.
func bind() (fd, number int, err error) {
	if fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err == nil {
		if err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err == nil {
			err = unix.Bind(fd, &unix.SockaddrInet6{})
		}
		if err != nil {
			unix.Close(fd)
		}
	}
	if err != nil && !errors.Is(err, unix.EADDRINUSE) { // a host without IPv6
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return 0, 0, err
		}
		if err = unix.Bind(fd, &unix.SockaddrInet4{}); err != nil {
			unix.Close(fd)
			return 0, 0, err
		}
	}
	if err != nil {
		return 0, 0, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return 0, 0, err
	}
	switch a := name.(type) {
	case *unix.SockaddrInet6:
		return fd, a.Port, nil
	case *unix.SockaddrInet4:
		return fd, a.Port, nil
	default:
		unix.Close(fd)
		return 0, 0, fmt.Errorf("bound to a %T", name)
	}
}

// Close releases the port. It is called once.
func (p *Port) Close() error { return unix.Close(p.fd) }
