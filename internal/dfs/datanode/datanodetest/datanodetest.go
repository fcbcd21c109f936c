// Package datanodetest is a DataNode for tests: it keeps blocks in memory, serves them over
// READ_BLOCK, takes them over WRITE_BLOCK, alone or as one of a pipeline, and fails as it is told.
package datanodetest

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/sasl"
	"tfos/internal/hadoop/token"
	"tfos/internal/hadoop/wire"
)

// Shape is how a Server sends data.
type Shape struct {
	Chunk    int // bytes that a checksum guards; 0: 512
	Packet   int // bytes of data in a packet; 0: 64 KiB
	Checksum pb.ChecksumTypeProto
	Ragged   bool // every third packet has a chunk less
	// Allowed are the protections that a handshake may agree on; none: there is no handshake. AES
	// encrypts by it if asked.
	Allowed []sasl.QOP
	AES     bool
	// Password is what the handshake wants from who has the name given; nil: that of the token
	// "good".
	Password func(username string) (token.Secret, error)
}

// Fault is what goes wrong with one block.
type Fault struct {
	Flip int64 // a bit of the byte here in the block, checksums unchanged; 0: none
	Die  int64 // the connection breaks before the packet that holds this byte; 0: never
	Hang int64 // nothing comes from the packet on that holds this byte; 0: all does
	// Stall gets no answer, until the connection ends. It is told of each request, and has room or
	// is ignored.
	Stall chan<- struct{}
}

// Server is a DataNode.
type Server struct {
	t        testing.TB
	shape    Shape
	listener net.Listener
	busy     sync.WaitGroup

	mu     sync.Mutex
	beat   *sync.Cond          // of mu: a heartbeat came
	blocks map[uint64]*replica // guarded by mu, as what follows
	faults map[uint64]Fault
	trip   func(Step) Trip // nil: all goes well
	token  string          // the identifier that requests must bear; "": any
	conns  map[net.Conn]bool
	seen   Seen
	ended  bool
}

// Seen is what clients did.
type Seen struct{ Connections, Requests, Confirmed, Writes, Heartbeats int }

// Start serves until the test ends.
func Start(t testing.TB, s Shape) *Server {
	t.Helper()
	if s.Chunk == 0 {
		s.Chunk = 512
	}
	if s.Packet == 0 {
		s.Packet = 64 << 10
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &Server{t: t, shape: s, listener: listener, blocks: map[uint64]*replica{}, faults: map[uint64]Fault{}, conns: map[net.Conn]bool{}}
	d.beat = sync.NewCond(&d.mu)
	d.busy.Go(d.accept)
	t.Cleanup(d.Stop)
	return d
}

// Stop ends it. It may be called more than once.
func (d *Server) Stop() {
	d.die()
	d.busy.Wait()
}

// die takes it from the network.
func (d *Server) die() {
	d.mu.Lock()
	d.ended = true
	d.mu.Unlock()
	d.listener.Close()
	d.Drop()
}

// Addr is where it listens.
func (d *Server) Addr() string { return d.listener.Addr().String() }

// Node is how a NameNode names it. It takes no calls.
func (d *Server) Node() *pb.DatanodeInfoProto {
	host, port, _ := net.SplitHostPort(d.Addr())
	n, _ := strconv.Atoi(port)
	return &pb.DatanodeInfoProto{Location: proto.String("/rack"), Id: &pb.DatanodeIDProto{
		IpAddr: &host, HostName: &host, DatanodeUuid: proto.String(d.Addr()), XferPort: proto.Uint32(uint32(n)), InfoPort: proto.Uint32(0), IpcPort: proto.Uint32(1),
	}}
}

// Put stores a block.
func (d *Server) Put(id uint64, content []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.blocks[id] = &replica{data: content, confirmed: len(content), whole: true, stamp: 1}
}

// Forget loses a block.
func (d *Server) Forget(id uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.blocks, id)
}

// Fail says what is wrong with a block from now on.
func (d *Server) Fail(id uint64, f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults[id] = f
}

// Want refuses requests without this token.
func (d *Server) Want(identifier string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.token = identifier
}

// Drop breaks all connections.
func (d *Server) Drop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for conn := range d.conns {
		conn.Close()
	}
}

// AwaitHeartbeats waits until writers have sent so many.
func (d *Server) AwaitHeartbeats(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.seen.Heartbeats < n {
		d.beat.Wait()
	}
}

// Seen is what clients did so far.
func (d *Server) Seen() Seen {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen
}

func (d *Server) accept() {
	for {
		conn, err := d.listener.Accept()
		if err != nil {
			return
		}
		d.mu.Lock()
		if d.ended {
			conn.Close()
		}
		d.conns[conn] = true
		d.seen.Connections++
		d.mu.Unlock()
		d.busy.Go(func() {
			defer func() {
				conn.Close()
				d.mu.Lock()
				delete(d.conns, conn)
				d.mu.Unlock()
			}()
			d.serve(conn)
		})
	}
}

type stream struct {
	*bufio.Reader
	io.Writer
}

func (d *Server) serve(conn net.Conn) {
	s := stream{bufio.NewReader(conn), conn}
	if len(d.shape.Allowed) > 0 {
		var err error
		if s, err = d.handshake(s); err != nil {
			d.t.Logf("handshake: %v", err)
			return
		}
	}
	for d.operation(s, conn) {
	}
}

// operation does one operation, and reports whether another may follow.
func (d *Server) operation(s stream, conn net.Conn) bool {
	var head [3]byte
	if _, err := io.ReadFull(s, head[:]); err != nil {
		return false
	}
	switch {
	case head == [3]byte{0, 28, 81}:
		return d.read(s)
	case head == [3]byte{0, 28, 80}:
		d.write(s, conn)
	case head[0] == 0 && head[1] == 28:
		d.t.Errorf("operation %d", head[2])
	default: // a stranger's, who calls whoever had this port before
		d.t.Logf("no operation of a client: %v", head)
	}
	return false
}

// read serves a READ_BLOCK.
func (d *Server) read(s stream) bool {
	var op pb.OpReadBlockProto
	if !d.receive(s, &op) {
		return false
	}
	id := op.GetHeader().GetBaseHeader().GetBlock().GetBlockId()
	d.mu.Lock()
	d.seen.Requests++
	var content []byte
	kept, there := d.blocks[id]
	if there {
		content = kept.data[:kept.confirmed]
	}
	fault := d.faults[id]
	refused := d.token != "" && string(op.GetHeader().GetBaseHeader().GetToken().GetIdentifier()) != d.token
	d.mu.Unlock()
	switch {
	case fault.Stall != nil:
		select {
		case fault.Stall <- struct{}{}:
		default:
		}
		_, _ = s.ReadByte()
		return false
	case refused:
		d.send(s, &pb.BlockOpResponseProto{Status: pb.Status_ERROR_ACCESS_TOKEN.Enum(), Message: proto.String("the token is too old")})
		return false
	case !there:
		d.send(s, &pb.BlockOpResponseProto{Status: pb.Status_ERROR.Enum(), Message: proto.String("no such block")})
		return false
	}
	chunk := int64(d.shape.Chunk)
	from, end := int64(op.GetOffset()), min(int64(op.GetOffset()+op.GetLen()), int64(len(content)))
	from, end = from/chunk*chunk, min((end+chunk-1)/chunk*chunk, int64(len(content)))
	d.send(s, &pb.BlockOpResponseProto{Status: pb.Status_SUCCESS.Enum(), ReadOpChecksumInfo: &pb.ReadOpChecksumInfoProto{
		Checksum: &pb.ChecksumProto{Type: d.shape.Checksum.Enum(), BytesPerChecksum: proto.Uint32(uint32(chunk))}, ChunkOffset: proto.Uint64(uint64(from)),
	}})
	for seq := int64(0); ; seq++ {
		size := int64(d.shape.Packet)
		if d.shape.Ragged && seq%3 == 2 {
			size -= chunk
		}
		data := content[from:min(end, from+size)]
		if fault.Die > 0 && fault.Die < from+int64(len(data)) {
			return false
		}
		if fault.Hang > 0 && fault.Hang < from+int64(len(data)) {
			_, _ = s.ReadByte()
			return false
		}
		sums := Checksums(data, d.shape)
		if at := fault.Flip - from; fault.Flip > 0 && at >= 0 && at < int64(len(data)) {
			data = bytes.Clone(data)
			data[at] ^= 4
		}
		if _, err := s.Write(Packet(from, seq, sums, data)); err != nil {
			return false
		}
		if len(data) == 0 {
			break
		}
		from += int64(len(data))
	}
	var status pb.ClientReadStatusProto
	if !d.receive(s, &status) {
		return false
	}
	if status.GetStatus() == pb.Status_CHECKSUM_OK {
		d.mu.Lock()
		d.seen.Confirmed++
		d.mu.Unlock()
	}
	return true
}

// Packet is one on the wire. One without data says that there are no more.
func Packet(offset, seq int64, sums, data []byte) []byte {
	header, err := proto.Marshal(&pb.PacketHeaderProto{
		OffsetInBlock: &offset, Seqno: &seq, LastPacketInBlock: proto.Bool(len(data) == 0), DataLen: proto.Int32(int32(len(data))),
	})
	if err != nil {
		panic(err)
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(sums)+len(data)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(header)))
	b = append(b, header...)
	return append(append(b, sums...), data...)
}

// Checksums are those of data.
func Checksums(data []byte, s Shape) []byte {
	table := crc32.IEEETable
	switch s.Checksum {
	case pb.ChecksumTypeProto_CHECKSUM_NULL:
		return nil
	case pb.ChecksumTypeProto_CHECKSUM_CRC32C:
		table = crc32.MakeTable(crc32.Castagnoli)
	}
	var sums []byte
	for len(data) > 0 {
		chunk := data[:min(s.Chunk, len(data))]
		sums = binary.BigEndian.AppendUint32(sums, crc32.Checksum(chunk, table))
		data = data[len(chunk):]
	}
	return sums
}

func (d *Server) send(s stream, m proto.Message) {
	b, err := proto.Marshal(m)
	if err != nil {
		d.t.Error(err)
	}
	_, _ = s.Write(wire.AppendDelimited(nil, b))
}

func (d *Server) receive(s stream, m proto.Message) bool {
	n, err := binary.ReadUvarint(s)
	if err != nil {
		return false
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(s, b); err != nil {
		return false
	}
	if err := proto.Unmarshal(b, m); err != nil {
		d.t.Error(err)
		return false
	}
	return true
}

// handshake is the other side of the client's.
func (d *Server) handshake(s stream) (stream, error) {
	var magic [4]byte
	if _, err := io.ReadFull(s, magic[:]); err != nil {
		return s, err
	}
	var m pb.DataTransferEncryptorMessageProto
	if !d.receive(s, &m) || magic != [4]byte{0xde, 0xad, 0xbe, 0xef} {
		return s, io.ErrUnexpectedEOF
	}
	server := sasl.NewServer(sasl.ServerOptions{Realm: "0", URI: "hdfs/0", Allowed: d.shape.Allowed, Nonce: "nonce"})
	success := pb.DataTransferEncryptorMessageProto_SUCCESS.Enum()
	d.send(s, &pb.DataTransferEncryptorMessageProto{Status: success, Payload: server.Challenge()})
	if !d.receive(s, &m) {
		return s, io.ErrUnexpectedEOF
	}
	password := d.shape.Password
	if password == nil {
		password = func(username string) (token.Secret, error) {
			if username != base64.StdEncoding.EncodeToString([]byte("good")) {
				return token.Secret("of somebody else"), nil
			}
			return Encode("secret"), nil
		}
	}
	final, err := server.Accept(m.GetPayload(), password)
	if err != nil {
		d.send(s, &pb.DataTransferEncryptorMessageProto{Status: pb.DataTransferEncryptorMessageProto_ERROR.Enum(), Message: proto.String(err.Error())})
		return s, err
	}
	protector, err := server.Protector()
	if err != nil {
		return s, err
	}
	answer := &pb.DataTransferEncryptorMessageProto{Status: success, Payload: final}
	if d.shape.AES && len(m.GetCipherOption()) > 0 {
		in, out, iv := bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 16), make([]byte, aes.BlockSize)
		answer.CipherOption = []*pb.CipherOptionProto{{
			Suite: pb.CipherSuiteProto_AES_CTR_NOPADDING.Enum(), InKey: protector.Wrap(in), InIv: iv, OutKey: protector.Wrap(out), OutIv: iv,
		}}
		d.send(s, answer)
		from, _ := aes.NewCipher(in)
		to, _ := aes.NewCipher(out)
		return stream{
			bufio.NewReader(cipher.StreamReader{S: cipher.NewCTR(from, iv), R: s.Reader}), cipher.StreamWriter{S: cipher.NewCTR(to, iv), W: s.Writer},
		}, nil
	}
	d.send(s, answer)
	if protector == nil {
		return s, nil
	}
	w := &wrapped{s: s, p: protector}
	return stream{bufio.NewReader(w), w}, nil
}

// Encode is a password as the handshake has it.
func Encode(password string) token.Secret {
	return token.Secret(base64.StdEncoding.EncodeToString([]byte(password)))
}

// wrapped is the stream after a handshake that agreed on more than authentication.
type wrapped struct {
	s    stream
	p    *sasl.Protector
	rest bytes.Buffer
}

func (w *wrapped) Read(p []byte) (int, error) {
	if w.rest.Len() == 0 {
		frame, err := wire.ReadFrame(w.s.Reader, 1<<20)
		if err != nil {
			return 0, err
		}
		message, err := w.p.Unwrap(frame)
		if err != nil {
			return 0, err
		}
		w.rest.Write(message)
	}
	return w.rest.Read(p)
}

func (w *wrapped) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		part := rest[:min(len(rest), w.p.Max())]
		rest = rest[len(part):]
		message := w.p.Wrap(part)
		if _, err := w.s.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...)); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
