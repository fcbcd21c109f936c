package endpoint

import (
	"net"
	"sync"

	"go.uber.org/zap"
)

// elsewhere is the part of a crowd that may come from other machines: one in so many. They are
// peers to which a coordinator handed its own addresses, or strangers; the program that a port is
// for is on this machine.
const elsewhere = 2

// crowd counts the connections of all ports together, so that they leave descriptors for everything
// else. Each takes two.
type crowd struct {
	most   int
	logger *zap.Logger

	mu   sync.Mutex
	here int  // guarded by mu: all of them
	far  int  // guarded by mu: those from other machines
	told bool // guarded by mu: that one was refused
}

func newCrowd(most int, logger *zap.Logger) *crowd { return &crowd{most: most, logger: logger} }

// enter counts a connection in, unless there are too many.
func (c *crowd) enter(conn *net.TCPConn) bool {
	far := !local(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.here >= c.most || far && c.far >= max(1, c.most/elsewhere) {
		if !c.told {
			c.told = true
			c.logger.Warn("too many connections to peers: more are refused", zap.Int("connections", c.here), zap.Stringer("from", conn.RemoteAddr()))
		}
		return false
	}
	c.here++
	if far {
		c.far++
	}
	return true
}

// leave counts one out that was counted in.
func (c *crowd) leave(conn *net.TCPConn) {
	far := !local(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.here--
	if far {
		c.far--
	}
}

// local reports whether the other end of a connection is on this machine: it has a loopback
// address, or the one that it connected to.
func local(conn *net.TCPConn) bool {
	from, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return false
	}
	to, ok := conn.LocalAddr().(*net.TCPAddr)
	return from.IP.IsLoopback() || ok && from.IP.Equal(to.IP)
}
