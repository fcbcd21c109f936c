package fileserver

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"tfos/internal/dfs"
)

// directTimeout bounds the search for a DataNode that a program may read from for itself.
const directTimeout = 5 * time.Second

// directs is a file whose bytes a reader can have from where they are.
type directs interface {
	Direct(ctx context.Context, offset, length int64) (dfs.Direct, error)
	// Distrust says that one of them broke, or was silent.
	Distrust(d dfs.Direct)
}

// direct is what Direct gives, and how long the file is.
func (o *openFile) direct(offset, length uint64) (dfs.Direct, int64, error) {
	size := o.enter(offset)
	defer o.leave()
	f, ok := o.file.(directs)
	if !ok {
		return dfs.Direct{}, 0, errors.ErrUnsupported
	}
	ctx, cancel := context.WithTimeout(o.s.ctx, directTimeout)
	defer cancel()
	d, err := f.Direct(ctx, int64(min(offset, math.MaxInt64)), int64(min(length, math.MaxInt64)))
	return d, size, err
}

// distrust tells the filesystem of a direct that broke.
func (o *openFile) distrust(d dfs.Direct) {
	o.enter(0)
	defer o.leave()
	if f, ok := o.file.(directs); ok {
		f.Distrust(d)
	}
}

// giveDirect gives the peer a connection to a DataNode, or nothing. What is in the way is not said:
// whoever reads by opRead hears of it if it lasts.
func (c *session) giveDirect(payload []byte) error {
	d := decoder{b: payload}
	offset, length := d.uint64(), d.uint64()
	if err := d.end(); err != nil || c.reader == nil {
		return fmt.Errorf("direct: %w", errMalformed)
	}
	peer, ok := c.conn.(*net.UnixConn)
	if !ok {
		return c.reply(nil, nil)
	}
	direct, size, err := c.reader.direct(offset, length)
	if err != nil {
		c.s.log.Debug("a program cannot read from a DataNode for itself", zap.String("file", c.reader.name), zap.Uint64("offset", offset), zap.Error(err))
		return c.reply(nil, nil)
	}
	defer direct.Socket.Close()                                                                                             // the peer has it then
	c.given = append(c.given[max(0, len(c.given)-1):], dfs.Direct{Block: direct.Block, End: direct.End, Addr: direct.Addr}) // the rest is gone
	return handOver(peer, appendDirect(nil, direct, size), direct.Socket, c.s.o.Silence)
}

// appendDirect appends the answer that goes with a direct.
func appendDirect(b []byte, d dfs.Direct, size int64) []byte {
	b = appendHeader(b, 4*8+4+len(d.Ahead), codeOK)
	for _, n := range []int64{d.Block + d.Offset, d.Block, d.End, size} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(d.Chunk))
	return append(b, d.Ahead...)
}

// handOver sends an answer and a socket beside it, which blocks from then on, for as long as
// silence is borne.
func handOver(peer *net.UnixConn, answer []byte, socket syscall.Conn, silence time.Duration) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return fmt.Errorf("hand a connection over: %w", err)
	}
	limit := unix.NsecToTimeval(silence.Nanoseconds())
	var sent error
	err = raw.Control(func(fd uintptr) {
		sent = cmp.Or(unix.SetNonblock(int(fd), false), unix.SetsockoptTimeval(int(fd), unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
		if sent == nil {
			_, _, sent = peer.WriteMsgUnix(answer, unix.UnixRights(int(fd)), nil)
		}
	})
	return cmp.Or(err, sent)
}

// broke has other DataNodes asked from now on than that of the direct which broke at an offset, if
// there are any.
func (c *session) broke(payload []byte) ([]byte, error) {
	d := decoder{b: payload}
	offset := int64(d.uint64())
	if err := d.end(); err != nil || c.reader == nil {
		return nil, errMalformed
	}
	for _, direct := range c.given {
		if direct.Block <= offset && offset < direct.End {
			c.reader.distrust(direct)
		}
	}
	return nil, nil
}
