package dfs

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/colinmarc/hdfs/v2"
)

// blocks is one of the library's clients, with the bridge that is its NameNode and the connections to DataNodes that it made.
// One file that is being written, and one goroutine at a time, uses it.
type blocks struct {
	*bridge
	client *hdfs.Client
	conns  *connections
}

// openBlocks makes a client for one file.
func (h *HDFS) openBlocks(ctx context.Context) (*blocks, error) {
	protection, err := h.dataProtection(ctx)
	if err != nil {
		return nil, err
	}
	b := &blocks{bridge: newBridge(h), conns: &connections{dial: h.dial, timeout: h.timeout, open: map[*dataConn]bool{}}}
	user := h.user
	if user == "" {
		user = "unknown" // the library insists on a name, which goes no further than the bridge
	}
	b.client, err = hdfs.NewClient(hdfs.ClientOptions{
		Addresses:              []string{bridgeAddr{}.String()},
		User:                   user,
		UseDatanodeHostname:    h.byHostname,
		NamenodeDialFunc:       func(context.Context, string, string) (net.Conn, error) { return b.bridge, nil },
		DatanodeDialFunc:       b.conns.connect,
		DataTransferProtection: protection,
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// close ends the client's goroutine and its connections.
func (b *blocks) close() {
	_ = b.client.Close() // closes the bridge, which cannot fail
	b.conns.closeAll()
}

// aesSuite is the one of dfs.encrypt.data.transfer.cipher.suites that there is.
const aesSuite = "AES/CTR/NoPadding"

// dataProtection chooses how the library is to talk to DataNodes. What it gets wrong is refused here: it takes answers for others
// under integrity, and under privacy unless the servers encrypt by AES.
func (h *HDFS) dataProtection(ctx context.Context) (string, error) {
	defaults, err := h.serverDefaults(ctx)
	if err != nil {
		return "", err
	}
	byAES := slices.Contains(h.conf.List("dfs.encrypt.data.transfer.cipher.suites"), aesSuite)
	allowed := h.conf.List("dfs.data.transfer.protection")
	for i := range allowed {
		allowed[i] = strings.ToLower(allowed[i])
	}
	switch {
	case defaults.GetEncryptDataTransfer() && byAES:
		return hdfs.DataTransferProtectionPrivacy, nil
	case defaults.GetEncryptDataTransfer():
		return "", h.fail("open", "/", fmt.Errorf("dfs.encrypt.data.transfer without dfs.encrypt.data.transfer.cipher.suites=%s is %w", aesSuite, ErrUnsupported))
	case len(allowed) == 0:
		return "", nil
	case slices.Contains(allowed, hdfs.DataTransferProtectionAuthentication):
		return hdfs.DataTransferProtectionAuthentication, nil
	case slices.Contains(allowed, hdfs.DataTransferProtectionPrivacy) && byAES:
		return hdfs.DataTransferProtectionPrivacy, nil
	}
	return "", h.fail("open", "/", fmt.Errorf("dfs.data.transfer.protection=%s is %w, unless it allows authentication, or privacy with dfs.encrypt.data.transfer.cipher.suites=%s",
		strings.Join(allowed, ","), ErrUnsupported, aesSuite))
}

// connections are those to DataNodes that one client of the library made. The library forgets to close some of them.
type connections struct {
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	timeout time.Duration

	mu     sync.Mutex
	open   map[*dataConn]bool // guarded by mu
	closed bool               // guarded by mu
}

// connect is the library's dialer.
func (c *connections) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout) // the library passes no deadline
	defer cancel()
	conn, err := c.dial(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("DataNode %s: %w", addr, err)
	}
	data := &dataConn{Conn: conn, timeout: c.timeout, all: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close()
		return nil, fs.ErrClosed
	}
	c.open[data] = true
	return data, nil
}

// closeAll also makes the operation fail that is in the middle of using one.
func (c *connections) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for conn := range c.open {
		_ = conn.Conn.Close()
		delete(c.open, conn)
	}
}

// dataConn is a connection to a DataNode on which every step has to move within the timeout. It reads when something is due,
// so silence means that the DataNode, or one behind it in the pipeline, is gone.
type dataConn struct {
	net.Conn
	timeout time.Duration
	all     *connections
}

func (c *dataConn) Read(p []byte) (int, error) {
	if err := c.Conn.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *dataConn) Write(p []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// SetDeadline ignores the library, which would turn the deadline off.
func (c *dataConn) SetDeadline(time.Time) error { return nil }

func (c *dataConn) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}
