package datanode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync"
	"time"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/sasl"
)

const (
	// keepIdle is how long a connection that nobody uses is kept. DataNodes close theirs after 4 s
	// (dfs.datanode.socket.reuse.keepalive).
	keepIdle = 3 * time.Second
	// connectTimeout bounds the wait for a host that is gone. One that is there answers at once,
	// however busy it is.
	connectTimeout = 10 * time.Second
	// maxIdle is how many connections are kept for each DataNode.
	maxIdle = 8
)

// Options says how DataNodes are reached.
type Options struct {
	Dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	Timeout time.Duration // of each step: a DataNode that says nothing for so long is gone
	// Patience is how much longer a pipeline may take for each DataNode in it. Each of them gives
	// the next as much less, so who waits for one that is stuck gives up first, and says which it
	// was. 0: 5 s, as DataNodes have it.
	Patience time.Duration
	// Allowed are the protections that may be agreed on with a DataNode. None: DataNodes take us
	// without a handshake.
	Allowed []sasl.QOP
	// AES asks for it as the cipher of privacy. A DataNode that does not know it uses one of SASL's
	// own.
	AES bool
	// Key gives a fresh key of the NameNode's, by which DataNodes know us instead of by the token
	// of the block; nil: there is none.
	Key func(ctx context.Context) (*pb.DataEncryptionKeyProto, error)
}

// Errors that a caller answers in its own way.
var (
	ErrToken    = errors.New("block token refused") // too old: the NameNode gives out another
	ErrChecksum = errors.New("checksum does not fit the data")
)

// RefusedError is a DataNode's answer other than success.
type RefusedError struct{ Status, Message string }

func (e *RefusedError) Error() string { return e.Status + ": " + e.Message }

// Is lets callers write errors.Is(err, ErrToken).
func (e *RefusedError) Is(target error) bool {
	return target == ErrToken && e.Status == pb.Status_ERROR_ACCESS_TOKEN.String()
}

// Client reads from and writes to DataNodes. It is safe for concurrent use.
type Client struct {
	o Options

	mu     sync.Mutex
	idle   map[string][]*conn // guarded by mu, as what follows; by address, the one used last at the end
	sweep  *time.Timer        // closes what was idle for too long; nil: nothing is idle
	closed bool
}

// New makes a Client. It connects when something is read or written.
func New(o Options) *Client {
	o.Patience = cmp.Or(o.Patience, 5*time.Second)
	return &Client{o: o, idle: map[string][]*conn{}}
}

// Range is a part of a block.
type Range struct {
	Addr   string // of the DataNode, host:port
	Block  *pb.ExtendedBlockProto
	Token  *pb.TokenProto
	Offset int64 // in the block, bytes
	Length int64 // at least 1; the block has as many
}

// Open asks for a range. Ctx bounds the asking, not the reading.
func (c *Client) Open(ctx context.Context, r Range) (*Reader, error) {
	reader, err := c.open(ctx, r)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err() // why the connection was closed
	}
	if err != nil {
		return nil, fmt.Errorf("DataNode %s: %w", r.Addr, err)
	}
	return reader, nil
}

func (c *Client) open(ctx context.Context, r Range) (*Reader, error) {
	if conn := c.take(r.Addr); conn != nil {
		reader, err := c.ask(ctx, conn, r)
		if err == nil || ctx.Err() != nil || errors.As(err, new(*RefusedError)) {
			return reader, err
		}
		// The DataNode closed it meanwhile, and then probably all.
		c.forget(r.Addr)
	}
	conn, err := c.dial(ctx, r)
	if err != nil {
		return nil, err
	}
	return c.ask(ctx, conn, r)
}

// ask makes the request on a connection, which it closes if that fails.
func (c *Client) ask(ctx context.Context, conn *conn, r Range) (*Reader, error) {
	stop := context.AfterFunc(ctx, conn.close)
	defer stop()
	sums, err := conn.request(r)
	if err != nil {
		conn.close()
		return nil, err
	}
	return &Reader{client: c, conn: conn, sums: sums, at: r.Offset - sums.lead, skip: sums.lead, left: r.Length}, nil
}

// take finds a connection that was kept.
func (c *Client) take(addr string) *conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.idle[addr]
	if len(kept) == 0 {
		return nil
	}
	last := len(kept) - 1
	conn := kept[last]
	c.idle[addr] = kept[:last]
	if time.Since(conn.since) > keepIdle { // and so are the others
		closeAll(kept)
		delete(c.idle, addr)
		return nil
	}
	return conn
}

// keep takes back a connection on which nothing is under way.
func (c *Client) keep(conn *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.idle[conn.addr]) == maxIdle {
		conn.close()
		return
	}
	conn.since = time.Now()
	c.idle[conn.addr] = append(c.idle[conn.addr], conn)
	if c.sweep == nil {
		c.sweep = time.AfterFunc(keepIdle, c.closeOld)
	}
}

// closeOld closes what has been idle for too long.
func (c *Client) closeOld() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep = nil
	for addr, kept := range c.idle {
		old := 0
		for old < len(kept) && time.Since(kept[old].since) > keepIdle {
			old++
		}
		closeAll(kept[:old])
		if c.idle[addr] = kept[old:]; old == len(kept) {
			delete(c.idle, addr)
		}
	}
	if len(c.idle) > 0 {
		c.sweep = time.AfterFunc(keepIdle, c.closeOld)
	}
}

// forget closes what is idle at a DataNode.
func (c *Client) forget(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	closeAll(c.idle[addr])
	delete(c.idle, addr)
}

// Close closes the connections that are idle, and no other is kept. Ranges that are being read stay
// readable.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.sweep != nil {
		c.sweep.Stop()
	}
	for addr, kept := range c.idle {
		closeAll(kept)
		delete(c.idle, addr)
	}
}

func closeAll(conns []*conn) {
	for _, conn := range conns {
		conn.close()
	}
}

// dial connects, and makes the handshake if there is one.
func (c *Client) dial(ctx context.Context, r Range) (*conn, error) {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return nil, fs.ErrClosed
	}
	connecting, cancel := context.WithTimeout(ctx, min(c.o.Timeout, connectTimeout))
	defer cancel()
	socket, err := c.o.Dial(connecting, "tcp", r.Addr)
	if err != nil {
		return nil, err
	}
	conn := newConn(r.Addr, socket, c.o.Timeout)
	if len(c.o.Allowed) == 0 {
		return conn, nil
	}
	stop := context.AfterFunc(ctx, conn.close)
	defer stop()
	if err := c.handshake(ctx, conn, r.Token); err != nil {
		conn.close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return conn, nil
}
