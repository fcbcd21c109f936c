package listen

import (
	"errors"
	"net"
	"sync"

	"go.uber.org/zap"
)

// Closer serves connections, and closes them all in the end. It bounds nothing, and turns nobody
// away: its listener may.
type Closer struct {
	listener net.Listener

	mu     sync.Mutex
	closed bool                  // guarded by mu
	open   map[net.Conn]struct{} // guarded by mu
	served sync.WaitGroup
}

// NewCloser makes a Closer of l, which it owns.
func NewCloser(l net.Listener, logger *zap.Logger) *Closer {
	return &Closer{listener: Patient(l, logger), open: map[net.Conn]struct{}{}}
}

// Run hands each connection to serve, in a goroutine of its own, and closes it afterwards. It
// returns once Close was called and all have ended.
func (c *Closer) Run(serve func(net.Conn)) error {
	defer c.served.Wait()
	for {
		conn, err := c.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if c.enter(conn) {
			c.served.Go(func() {
				defer c.leave(conn)
				serve(conn)
			})
		}
	}
}

func (c *Closer) enter(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		conn.Close()
		return false
	}
	c.open[conn] = struct{}{}
	return true
}

func (c *Closer) leave(conn net.Conn) {
	conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
}

// Close ends Run, and all connections. It is safe to call more than once.
func (c *Closer) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.listener.Close()
	for conn := range c.open { // any order
		conn.Close()
	}
}
