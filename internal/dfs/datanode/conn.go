package datanode

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"time"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
)

const (
	version   = 28 // of the DataTransferProtocol, since Hadoop 2
	readBlock = 81 // the operation

	// clientName is under what DataNodes log us.
	clientName = "tfos"

	// buffered bytes hold a packet's headers and checksums. What follows is read past the buffer.
	buffered = 4 << 10
	// maxMessage bounds a message of a DataNode, in bytes.
	maxMessage = 64 << 10
)

// conn is a connection to a DataNode, which does one operation at a time.
type conn struct {
	addr    string
	socket  net.Conn
	timeout time.Duration
	r       *bufio.Reader // of what comes, unwrapped
	w       io.Writer     // wraps what goes
	since   time.Time     // idle
}

func newConn(addr string, socket net.Conn, timeout time.Duration) *conn {
	return &conn{addr: addr, socket: socket, timeout: timeout, r: bufio.NewReaderSize(socket, buffered), w: socket}
}

// protect puts a way of wrapping between us and the socket.
func (c *conn) protect(stream io.ReadWriter) {
	c.r.Reset(stream)
	c.w = stream
}

// plain is the socket, if it has a descriptor and what goes over it is as we read it.
func (c *conn) plain() (Socket, bool) {
	socket, ok := c.socket.(Socket)
	return socket, ok && c.w == io.Writer(c.socket)
}

func (c *conn) close() { _ = c.socket.Close() } // what is to be sent was sent

// step gives the DataNode another while for what comes next. It answers when something is due, so
// silence means that it is gone.
func (c *conn) step() error { return c.socket.SetDeadline(time.Now().Add(c.timeout)) }

// request asks for a range:
//
//	+----------------+---------------+---------------------------+
//	| uint16 version | uint8 op (81) | varint + OpReadBlockProto |
//	+----------------+---------------+---------------------------+
//
// The answer is varint + BlockOpResponseProto, and after success packets follow (see Reader).
func (c *conn) request(r Range) (checksums, error) {
	m, err := proto.Marshal(&pb.OpReadBlockProto{
		Header: &pb.ClientOperationHeaderProto{
			BaseHeader: &pb.BaseHeaderProto{Block: r.Block, Token: r.Token}, ClientName: proto.String(clientName),
		},
		Offset: proto.Uint64(uint64(r.Offset)), Len: proto.Uint64(uint64(r.Length)),
	})
	if err != nil {
		return checksums{}, err
	}
	if err := c.step(); err != nil {
		return checksums{}, err
	}
	head := append(binary.BigEndian.AppendUint16(nil, version), readBlock)
	if err := c.send(head, m); err != nil {
		return checksums{}, err
	}
	var answer pb.BlockOpResponseProto
	if err := receive(c.r, &answer); err != nil {
		return checksums{}, fmt.Errorf("answer to the request for a block: %w", err)
	}
	if s := answer.GetStatus(); s != pb.Status_SUCCESS {
		return checksums{}, &RefusedError{s.String(), answer.GetMessage()}
	}
	return newChecksums(answer.GetReadOpChecksumInfo(), r.Offset)
}

// send writes a message behind its length, and head before that, at once.
func (c *conn) send(head, message []byte) error {
	b := append(binary.AppendUvarint(head, uint64(len(message))), message...)
	_, err := c.w.Write(b)
	return err
}

// receive reads a message behind its length.
func receive(r *bufio.Reader, m proto.Message) error {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return err
	}
	if n > maxMessage {
		return fmt.Errorf("message of %d bytes", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return noEOF(err)
	}
	return proto.Unmarshal(b, m)
}

// noEOF is for what ends in the middle.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// checksums say how the data of a range is guarded.
type checksums struct {
	table *crc32.Table // nil: not at all
	chunk int          // bytes that one guards
	lead  int64        // bytes that come ahead of the range, because checksums guard whole chunks
}

const maxChunk = 16 << 20 // bytes, as maxPacket

func newChecksums(info *pb.ReadOpChecksumInfoProto, offset int64) (checksums, error) {
	s := checksums{chunk: int(info.GetChecksum().GetBytesPerChecksum()), lead: offset - int64(info.GetChunkOffset())}
	if s.chunk < 1 || s.chunk > maxChunk || s.lead < 0 || s.lead >= int64(s.chunk) {
		return s, fmt.Errorf("the DataNode sends checksums of %d bytes each from %d on, where %d was asked for", s.chunk, info.GetChunkOffset(), offset)
	}
	switch kind := info.GetChecksum().GetType(); kind {
	case pb.ChecksumTypeProto_CHECKSUM_NULL:
	case pb.ChecksumTypeProto_CHECKSUM_CRC32:
		s.table = crc32.IEEETable
	case pb.ChecksumTypeProto_CHECKSUM_CRC32C:
		s.table = castagnoli
	default:
		return s, fmt.Errorf("checksums of an unknown type, %d", kind)
	}
	return s, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli) // the processor has it

// size is how many bytes of checksums guard n bytes.
func (s checksums) size(n int) int {
	if s.table == nil {
		return 0
	}
	return (n + s.chunk - 1) / s.chunk * crc32.Size
}

// put writes the checksums of data.
func (s checksums) put(sums, data []byte) {
	for ; len(sums) >= crc32.Size; sums = sums[crc32.Size:] {
		chunk := data[:min(s.chunk, len(data))]
		binary.BigEndian.PutUint32(sums, crc32.Checksum(chunk, s.table))
		data = data[len(chunk):]
	}
}

// verify holds data against its checksums.
func (s checksums) verify(data, sums []byte) bool {
	for ; len(sums) >= crc32.Size; sums = sums[crc32.Size:] {
		chunk := data[:min(s.chunk, len(data))]
		if crc32.Checksum(chunk, s.table) != binary.BigEndian.Uint32(sums) {
			return false
		}
		data = data[len(chunk):]
	}
	return true
}
