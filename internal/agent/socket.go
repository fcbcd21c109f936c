package agent

import (
	"errors"
	"net"
	"os"
	"path/filepath"
)

// sunPath is how long a Unix socket's path may be (unix(7): 108 bytes with the terminating zero).
const sunPath = 107

// The program's sockets in its directory.
const (
	apiSocket   = ".tfos-agent"
	filesSocket = ".tfos-files"
)

// socket is a Unix socket that only its user can open. Close removes it.
type socket struct {
	net.Listener
	dir string // made for the socket; empty: none was
}

// orSocket is given, or else a new Unix socket of this name in dir, or in a temporary directory where dir's path is too long, as those
// of YARN are.
func orSocket(given net.Listener, dir, name string) (net.Listener, error) {
	if given != nil {
		return given, nil
	}
	s := &socket{}
	path := filepath.Join(dir, name)
	if len(path) > sunPath {
		var err error
		if s.dir, err = os.MkdirTemp("", "tfos-"); err != nil { // mode 0700
			return nil, err
		}
		path = filepath.Join(s.dir, name)
	}
	var err error
	if s.Listener, err = net.Listen("unix", path); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *socket) remove() error {
	if s.dir == "" {
		return nil
	}
	return os.RemoveAll(s.dir)
}

// Close implements net.Listener.
func (s *socket) Close() error { return errors.Join(s.Listener.Close(), s.remove()) }
