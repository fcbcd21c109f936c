package agent

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// sunPath is how long a Unix socket's path may be (unix(7): 108 bytes with the terminating zero).
const sunPath = 107

// The program's sockets in launch.TaskDir.
const (
	apiSocket   = "agent"
	filesSocket = "files"
	feedSocket  = "feed"
)

// socket is a Unix socket that only its user can open. Close removes it.
type socket struct {
	net.Listener
	dir *os.File // the socket's, open for its path; nil: it need not be
}

// orSocket is given, or else a new Unix socket of this name in dir. Where dir's path is too long
// for a socket's, as those of YARN are, the socket's path goes through this process's open file of
// dir: a directory elsewhere would stay behind when the agent is killed.
func orSocket(given net.Listener, dir, name string) (net.Listener, error) {
	if given != nil {
		return given, nil
	}
	s := &socket{}
	path := filepath.Join(dir, name)
	if len(path) > sunPath {
		var err error
		if s.dir, err = os.Open(dir); err != nil {
			return nil, err
		}
		path = fmt.Sprintf("/proc/%d/fd/%d/%s", os.Getpid(), s.dir.Fd(), name)
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
	if s.dir == nil {
		return nil
	}
	return s.dir.Close()
}

// Close implements net.Listener.
func (s *socket) Close() error { return errors.Join(s.Listener.Close(), s.remove()) }
