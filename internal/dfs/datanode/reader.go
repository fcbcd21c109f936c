package datanode

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"net"
	"sync"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
)

// maxPacket bounds a packet, in bytes: Java's PacketReceiver has the same. DataNodes send 64 KiB.
const maxPacket = 16 << 20

// maxHeader bounds a packet's header, whose fields are all of fixed length.
const maxHeader = 128

// lastWait is how long the packet may take that says that there are no more. Nobody needs it but
// the connection.
const lastWait = time.Second

// Reader reads a range of a block, in packets:
//
//	+-------------------------+---------------+-------------------+-----------+------+
//	| uint32 length of itself,| uint16 length | PacketHeaderProto | checksums | data |
//	| the checksums, the data | of the header |                   |           |      |
//	+-------------------------+---------------+-------------------+-----------+------+
//
// They begin and end with whole chunks, so the first and the last may hold more than was asked for.
// An empty one follows the last, which we answer by saying that all checksums fitted.
//
// One goroutine at a time reads; any may Close.
type Reader struct {
	client *Client
	sums   checksums
	at     int64 // in the block, where the next packet begins
	skip   int64 // bytes to come before the range
	left   int64 // bytes of the range that nobody has read
	rest   []byte
	head   [6 + maxHeader]byte
	packet []byte // memory of a packet's checksums, and of rest behind them
	err    error  // the first; stays

	mu     sync.Mutex
	conn   *conn // guarded by mu; nil: given back
	closed bool  // guarded by mu
}

// Left is how many bytes of the range were not read yet.
func (r *Reader) Left() int64 { return r.left }

// Read implements io.Reader. io.EOF comes after the last byte of the range, which no error then
// calls into question.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	r.mu.Lock()
	conn := r.conn
	r.mu.Unlock()
	n, err := r.read(conn, p)
	if err != nil {
		r.err = fmt.Errorf("DataNode %s: %w", conn.addr, noEOF(err))
		r.Close()
		return 0, r.err
	}
	if r.left == 0 {
		r.finish(conn)
	}
	return n, nil
}

func (r *Reader) read(c *conn, p []byte) (int, error) {
	for len(r.rest) == 0 {
		n, err := r.next(c, p)
		if n > 0 || err != nil {
			return n, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	r.left -= int64(n)
	return n, nil
}

// next reads a packet. If all of it was asked for and p has the room it goes there, and else into
// rest.
func (r *Reader) next(c *conn, p []byte) (int, error) {
	if err := c.step(); err != nil {
		return 0, err
	}
	n, sums, err := r.header(c.r)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, io.ErrUnexpectedEOF // the DataNode has less of the block
	}
	direct := r.skip == 0 && n <= len(p) && int64(n) <= r.left
	data := p
	if !direct {
		if cap(r.packet) < sums+n {
			r.packet = append(make([]byte, 0, sums+n), r.packet[:sums]...)
		}
		data = r.packet[sums : sums+n]
	}
	data = data[:n]
	if _, err := io.ReadFull(c.r, data); err != nil {
		return 0, noEOF(err)
	}
	if !r.sums.verify(data, r.packet[:sums]) {
		return 0, fmt.Errorf("%w, between bytes %d and %d of the block", ErrChecksum, r.at, r.at+int64(n))
	}
	r.at += int64(n)
	if direct {
		r.left -= int64(n)
		return n, nil
	}
	skipped := min(r.skip, int64(n))
	r.skip -= skipped
	data = data[skipped:]
	r.rest = data[:min(int64(len(data)), r.left)]
	return 0, nil
}

// header reads a packet up to its data, and puts the checksums into r.packet. It returns how long
// both are.
func (r *Reader) header(from io.Reader) (data, sums int, err error) {
	head := r.head[:]
	if _, err := io.ReadFull(from, head[:6]); err != nil {
		return 0, 0, noEOF(err)
	}
	total, n := binary.BigEndian.Uint32(head), int(binary.BigEndian.Uint16(head[4:]))
	if n > maxHeader || total > maxPacket {
		return 0, 0, fmt.Errorf("packet of %d bytes with a header of %d", total, n)
	}
	if _, err := io.ReadFull(from, head[6:6+n]); err != nil {
		return 0, 0, noEOF(err)
	}
	var h pb.PacketHeaderProto
	if err := proto.Unmarshal(head[6:6+n], &h); err != nil {
		return 0, 0, fmt.Errorf("header of a packet: %w", err)
	}
	data = int(h.GetDataLen())
	if data < 0 || data > maxPacket {
		return 0, 0, fmt.Errorf("packet of %d bytes", data)
	}
	if sums = r.sums.size(data); int64(total) != 4+int64(sums)+int64(data) || h.GetOffsetInBlock() != r.at || h.GetLastPacketInBlock() != (data == 0) {
		return 0, 0, fmt.Errorf("packet of %d bytes, %d of them data from %d on, where %d was to follow", total, data, h.GetOffsetInBlock(), r.at)
	}
	if cap(r.packet) < sums {
		r.packet = make([]byte, sums)
	}
	r.packet = r.packet[:sums]
	_, err = io.ReadFull(from, r.packet)
	return data, sums, noEOF(err)
}

// finish reads the packet that says that there are no more, answers it, and gives the connection
// back. All bytes are there, so what fails here is no error, but the end of the connection.
func (r *Reader) finish(c *conn) {
	err := c.socket.SetDeadline(time.Now().Add(lastWait))
	n := 0
	if err == nil {
		n, _, err = r.header(c.r)
	}
	if err == nil && n == 0 {
		err = c.confirm(r.sums)
	}
	r.packet, r.rest = nil, nil
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conn = nil
	if err != nil || n != 0 || r.closed {
		c.close()
		return
	}
	r.client.keep(c)
}

// Stream is the connection of a Reader, for who takes the packets apart without it.
type Stream struct {
	Socket Socket // the caller's, to close
	Ahead  []byte // what has come already
	Offset int64  // in the block, where the first packet begins
	Chunk  int    // bytes that a CRC-32C guards each; 0: there are no checksums
}

// Socket is a connection with a descriptor, which can be given to another process.
type Socket interface {
	net.Conn
	syscall.Conn
}

// Detach gives the connection away. It can where nothing was read and packets come as they are,
// guarded by CRC-32C or by nothing; else the Reader stays of use.
func (r *Reader) Detach() (Stream, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.conn
	if c == nil || r.closed || r.rest != nil || r.packet != nil || r.sums.table != nil && r.sums.table != castagnoli {
		return Stream{}, false
	}
	socket, ok := c.plain()
	if !ok {
		return Stream{}, false
	}
	ahead, err := c.r.Peek(c.r.Buffered())
	if err != nil {
		return Stream{}, false
	}
	s := Stream{Socket: socket, Ahead: ahead, Offset: r.at, Chunk: r.sums.chunk}
	if r.sums.table == nil {
		s.Chunk = 0
	}
	r.conn, r.closed, r.err = nil, true, fs.ErrClosed
	return s, true
}

// confirm says that all was read, and whether it was held against checksums.
func (c *conn) confirm(s checksums) error {
	status := pb.Status_CHECKSUM_OK
	if s.table == nil {
		status = pb.Status_SUCCESS
	}
	m, err := proto.Marshal(&pb.ClientReadStatusProto{Status: status.Enum()})
	if err != nil {
		return err
	}
	return c.send(nil, m)
}

// Close ends the reading. A Read that goes on fails. The connection is lost, unless the range was
// read to its end.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return fs.ErrClosed
	}
	r.closed = true
	if r.conn != nil {
		r.conn.close()
	}
	return nil
}
