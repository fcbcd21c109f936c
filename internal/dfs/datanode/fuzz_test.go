package datanode

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"tfos/internal/dfs/datanode/datanodetest"
	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/sasl"
	"tfos/internal/hadoop/wire"
)

// canned is a connection from which comes what was prepared.
type canned struct {
	net.Conn
	io.Reader
}

func (c canned) Read(p []byte) (int, error)    { return c.Reader.Read(p) }
func (canned) Write(p []byte) (int, error)     { return len(p), nil }
func (canned) SetDeadline(time.Time) error     { return nil }
func (canned) SetReadDeadline(time.Time) error { return nil }
func (canned) Close() error                    { return nil }
func (canned) LocalAddr() net.Addr             { return nil }
func (canned) RemoteAddr() net.Addr            { return nil }
func message(m proto.Message) []byte           { b, _ := proto.Marshal(m); return wire.AppendDelimited(nil, b) }
func receiveFrom(b []byte) *conn {
	return newConn("dn", canned{Reader: bytes.NewReader(b)}, time.Minute)
}
func (c *conn) exchanged(o Options) (*conn, error) {
	return c, (&Client{o: o}).handshake(context.Background(), c, &pb.TokenProto{})
}

// reseal writes the right checksums into packets whose header says how long they and their data
// are. What comes before the packets stays as it is.
func reseal(b []byte, shape datanodetest.Shape) {
	_, packets, err := wire.CutDelimited(b)
	for err == nil && len(packets) > 6 {
		length, header := binary.BigEndian.Uint32(packets), int(binary.BigEndian.Uint16(packets[4:]))
		if len(packets) < 6+header || length < 4 || int64(length) > int64(len(packets)-6-header+4) {
			return
		}
		var h pb.PacketHeaderProto
		err = proto.Unmarshal(packets[6:6+header], &h)
		content := packets[6+header : 6+header+int(length)-4]
		if n := int(h.GetDataLen()); err == nil && n >= 0 && n <= len(content) {
			sums := len(content) - n
			copy(content[:sums], datanodetest.Checksums(content[sums:], shape))
		}
		packets = packets[6+header+len(content):]
	}
}

// FuzzReader gives a range's answer and packets, with seal with checksums that fit them. Whatever
// they are, no more comes than was asked for.
func FuzzReader(f *testing.F) {
	const offset, length = 700, 2000
	shape := datanodetest.Shape{Chunk: 512, Checksum: pb.ChecksumTypeProto_CHECKSUM_CRC32C}
	data := bytes.Repeat([]byte("0123456789abcdef"), 160) // 2560 bytes: 512 to 3072
	good := message(&pb.BlockOpResponseProto{Status: pb.Status_SUCCESS.Enum(), ReadOpChecksumInfo: &pb.ReadOpChecksumInfoProto{
		Checksum: &pb.ChecksumProto{Type: shape.Checksum.Enum(), BytesPerChecksum: proto.Uint32(512)}, ChunkOffset: proto.Uint64(512),
	}})
	good = append(good, datanodetest.Packet(512, 0, datanodetest.Checksums(data[:1024], shape), data[:1024])...)
	good = append(good, datanodetest.Packet(1536, 1, datanodetest.Checksums(data[1024:], shape), data[1024:])...)
	good = append(good, datanodetest.Packet(3072, 2, nil, nil)...)
	other := bytes.Clone(good) // data of another kind, behind the old checksums
	other[bytes.LastIndex(other, data[:16])] = 'x'
	f.Add(false, good)
	f.Add(true, other)
	f.Add(false, good[:len(good)-40])
	f.Add(false, message(&pb.BlockOpResponseProto{Status: pb.Status_ERROR_ACCESS_TOKEN.Enum()}))
	f.Fuzz(func(t *testing.T, seal bool, in []byte) {
		if seal {
			in = bytes.Clone(in)
			reseal(in, shape)
		}
		c := New(Options{})
		conn := receiveFrom(in)
		sums, err := conn.request(Range{Block: &pb.ExtendedBlockProto{}, Offset: offset, Length: length})
		if err != nil {
			return
		}
		r := &Reader{client: c, conn: conn, sums: sums, at: offset - sums.lead, skip: sums.lead, left: length}
		got, err := io.ReadAll(r)
		if len(got) > length || err == nil && len(got) != length {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if bytes.Equal(in, good) && (err != nil || !bytes.Equal(got, data[offset-512:][:length])) {
			t.Errorf("the good one gives %d bytes, %v", len(got), err)
		}
	})
}

// FuzzHandshake gives a DataNode's messages of the handshake, and what comes wrapped after it.
func FuzzHandshake(f *testing.F) {
	challenge := sasl.NewServer(sasl.ServerOptions{Realm: "0", URI: "hdfs/0", Allowed: []sasl.QOP{sasl.AuthConf, sasl.Auth}, Nonce: "nonce"}).Challenge()
	success := pb.DataTransferEncryptorMessageProto_SUCCESS.Enum()
	first := message(&pb.DataTransferEncryptorMessageProto{Status: success, Payload: challenge})
	f.Add(append(bytes.Clone(first), message(&pb.DataTransferEncryptorMessageProto{Status: success, Payload: []byte("rspauth=0"), CipherOption: []*pb.CipherOptionProto{{
		Suite: pb.CipherSuiteProto_AES_CTR_NOPADDING.Enum(), InKey: make([]byte, 40), InIv: make([]byte, 16), OutKey: make([]byte, 40), OutIv: make([]byte, 16),
	}}})...))
	f.Add(message(&pb.DataTransferEncryptorMessageProto{Status: pb.DataTransferEncryptorMessageProto_ERROR_UNKNOWN_KEY.Enum()}))
	f.Fuzz(func(t *testing.T, in []byte) {
		if _, err := receiveFrom(in).exchanged(Options{Allowed: []sasl.QOP{sasl.AuthConf, sasl.Auth}, AES: true}); err == nil {
			t.Error("a DataNode that knows nothing has proved itself")
		}
	})
}

// FuzzAcks gives what DataNodes say of the packets of a block. Whatever it is, packets are
// confirmed one after the other, and no more than were sent.
func FuzzAcks(f *testing.F) {
	const nodes, sent, size = 2, 5, 100
	ack := func(seq int64, reply ...pb.Status) []byte {
		return message(&pb.PipelineAckProto{Seqno: &seq, Reply: reply})
	}
	var good []byte
	for seq := range int64(sent) {
		good = append(good, ack(seq, pb.Status_SUCCESS, pb.Status_SUCCESS)...)
		good = append(good, ack(heartbeat, pb.Status_SUCCESS, pb.Status_SUCCESS)...)
	}
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add(append(bytes.Clone(good[:len(good)/2]), ack(2, pb.Status_SUCCESS, pb.Status_ERROR)...))
	f.Add(ack(1, pb.Status_SUCCESS, pb.Status_SUCCESS))
	f.Add(ack(0, pb.Status_SUCCESS))
	f.Add(ack(0, pb.Status_SUCCESS, pb.Status_SUCCESS, pb.Status_OOB_RESTART))
	packets, err := NewPackets(pb.ChecksumTypeProto_CHECKSUM_CRC32C, 512, size)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		p := &Pipeline{conn: receiveFrom(in), nodes: nodes, answers: time.Minute, done: make(chan struct{}), changed: make(chan struct{}, 1)}
		for seq := range int64(sent) {
			packet := packets.New(seq, seq*size, (seq+1)*size)
			packet.Write(make([]byte, size))
			p.queue = append(p.queue, packet)
		}
		p.confirm()
		var failed *PipelineError
		if !errors.As(p.err, &failed) || failed.Node < 0 || failed.Node >= nodes {
			t.Errorf("error %v, which blames no DataNode", p.err)
		}
		rest := p.Close()
		if p.length != int64(sent-len(rest))*size {
			t.Errorf("%d bytes are confirmed, and %d packets are not", p.length, len(rest))
		}
		for i, packet := range rest {
			if packet.seq != int64(sent-len(rest)+i) {
				t.Errorf("packet %d is unconfirmed in place %d", packet.seq, i)
			}
		}
		if bytes.Equal(in, good) && len(rest) > 0 {
			t.Errorf("the good ones leave %d packets unconfirmed: %v", len(rest), p.err)
		}
	})
}
