package datanode

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
)

const (
	// headerRoom is what a packet has before its checksums, in bytes: the fields of its header are
	// of fixed length.
	headerRoom = 6 + 25
	// heartbeat is the number of packets that only say that the writer lives.
	heartbeat = -1
)

// Packets makes the packets of blocks whose data is guarded in one way.
type Packets struct {
	sums   checksums
	chunks int       // that a packet holds
	memory sync.Pool // of *[]byte: a packet each
}

// NewPackets makes Packets of about size bytes, with a checksum for each chunk bytes.
func NewPackets(kind pb.ChecksumTypeProto, chunk, size int) (*Packets, error) {
	sums, err := newChecksums(&pb.ReadOpChecksumInfoProto{
		Checksum: &pb.ChecksumProto{Type: &kind, BytesPerChecksum: proto.Uint32(uint32(chunk))}, ChunkOffset: proto.Uint64(0),
	}, 0)
	if err != nil {
		return nil, fmt.Errorf("checksums for writing: %w", err)
	}
	p := &Packets{sums: sums, chunks: min(max(size/chunk, 1), max(maxPacket/2/chunk, 1))}
	p.memory.New = func() any {
		b := make([]byte, headerRoom+p.chunks*(crc32.Size+chunk))
		return &b
	}
	return p, nil
}

// kind is how DataNodes are told of the checksums.
func (ps *Packets) kind() *pb.ChecksumProto {
	kind := pb.ChecksumTypeProto_CHECKSUM_NULL
	switch ps.sums.table {
	case castagnoli:
		kind = pb.ChecksumTypeProto_CHECKSUM_CRC32C
	case crc32.IEEETable:
		kind = pb.ChecksumTypeProto_CHECKSUM_CRC32
	}
	return &pb.ChecksumProto{Type: &kind, BytesPerChecksum: proto.Uint32(uint32(ps.sums.chunk))}
}

// Packet is a piece of a block that is written. Until it is confirmed it may have to be sent again,
// so its memory lasts that long.
//
//	+--------------+---------------+------+
//	| (free)       | checksums     | data |
//	|       header |               |      |
//	+--------------+---------------+------+
//
// Checksums and header lie right before the data, however few they are, so that all of it goes at
// once.
type Packet struct {
	of     *Packets
	memory *[]byte
	seq    int64 // of the block's packets
	offset int64 // in the block
	n      int   // bytes of data
	room   int   // at most
	last   bool  // and empty: no more follows
}

// New makes a packet for the bytes of a block from offset to end at most. One that begins inside a
// chunk ends with it: a DataNode takes no more then, because it has to make the chunk's checksum
// itself.
func (ps *Packets) New(seq, offset, end int64) *Packet {
	room := ps.chunks * ps.sums.chunk
	if inside := int(offset % int64(ps.sums.chunk)); inside > 0 {
		room = ps.sums.chunk - inside
	}
	return &Packet{of: ps, memory: ps.memory.Get().(*[]byte), seq: seq, offset: offset, room: int(min(int64(room), end-offset))}
}

// Last makes the packet that ends a block of this length.
func (ps *Packets) Last(seq, length int64) *Packet {
	return &Packet{of: ps, seq: seq, offset: length, last: true}
}

func (p *Packet) dataAt() int { return headerRoom + p.of.chunks*crc32.Size }

// Write puts bytes in, as many as have room.
func (p *Packet) Write(b []byte) int {
	n := copy((*p.memory)[p.dataAt()+p.n:p.dataAt()+p.room], b)
	p.n += n
	return n
}

// Full reports whether no more has room.
func (p *Packet) Full() bool { return p.n == p.room }

// End is where in the block the packet ends.
func (p *Packet) End() int64 { return p.offset + int64(p.n) }

// encode is the packet on the wire, as Reader has it. It is valid until the packet is let go.
func (p *Packet) encode() []byte {
	if p.memory == nil {
		return encodePacket(nil, p.offset, p.seq, 0, 0, p.last)
	}
	b, at := *p.memory, p.dataAt()
	data := b[at : at+p.n]
	sums := p.of.sums.size(p.n)
	p.of.sums.put(b[at-sums:at], data)
	begin := at - sums - headerRoom
	encodePacket(b[begin:begin], p.offset, p.seq, sums, p.n, false)
	return b[begin : at+p.n]
}

// letGo gives the memory back.
func (p *Packet) letGo() {
	if p.memory != nil {
		p.of.memory.Put(p.memory)
		p.memory = nil
	}
}

// encodePacket appends what a packet has before its checksums.
func encodePacket(b []byte, offset, seq int64, sums, data int, last bool) []byte {
	header, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.PacketHeaderProto{
		OffsetInBlock: &offset, Seqno: &seq, LastPacketInBlock: &last, DataLen: proto.Int32(int32(data)),
	})
	if err != nil || 6+len(header) != headerRoom {
		panic(fmt.Sprintf("header of a packet: %d bytes, %v", len(header), err)) // all its fields are there, and of fixed length
	}
	b = binary.BigEndian.AppendUint32(b, uint32(4+sums+data))
	b = binary.BigEndian.AppendUint16(b, uint16(len(header)))
	return append(b, header...)
}
