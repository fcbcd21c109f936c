package dfs

import (
	"encoding/binary"
	"math"
	"testing"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
)

func placed(id, offset, length uint64) *pb.LocatedBlockProto {
	return &pb.LocatedBlockProto{
		B: &pb.ExtendedBlockProto{PoolId: proto.String("p"), BlockId: &id, GenerationStamp: proto.Uint64(1), NumBytes: &length}, Offset: &offset,
		Corrupt: proto.Bool(false), BlockToken: &pb.TokenProto{Identifier: []byte{}, Password: []byte{}, Kind: proto.String(""), Service: proto.String("")},
	}
}

// FuzzLocatedBlocks gives two answers of the NameNode about one file, and how long a block is that
// is being written. Whatever they are, what is found at an offset holds that offset.
func FuzzLocatedBlocks(f *testing.F) {
	add := func(visible uint64, lists ...*pb.LocatedBlocksProto) {
		var in [2][]byte
		for i, l := range lists {
			l.UnderConstruction, l.IsLastBlockComplete = proto.Bool(l.LastBlock != nil), proto.Bool(l.LastBlock == nil)
			b, err := proto.Marshal(l)
			if err != nil {
				f.Fatal(err)
			}
			in[i] = b
		}
		f.Add(visible, in[0], in[1])
	}
	add(0, &pb.LocatedBlocksProto{FileLength: proto.Uint64(150), Blocks: []*pb.LocatedBlockProto{placed(1, 0, 100), placed(2, 100, 50)}})
	add(70, &pb.LocatedBlocksProto{FileLength: proto.Uint64(100), Blocks: []*pb.LocatedBlockProto{placed(1, 0, 100)}, LastBlock: placed(2, 100, 50)},
		&pb.LocatedBlocksProto{FileLength: proto.Uint64(200), Blocks: []*pb.LocatedBlockProto{placed(2, 100, 100)}})
	add(math.MaxUint64, &pb.LocatedBlocksProto{FileLength: proto.Uint64(1 << 63), LastBlock: placed(2, 100, 50)})
	add(0, &pb.LocatedBlocksProto{FileLength: proto.Uint64(9), Blocks: []*pb.LocatedBlockProto{placed(1, 1<<63-1, 1), placed(2, 1<<63, 5)}},
		&pb.LocatedBlocksProto{FileLength: proto.Uint64(9), Blocks: []*pb.LocatedBlockProto{placed(1, 2, 1<<63)}})
	f.Fuzz(func(t *testing.T, visible uint64, first, second []byte) {
		m := &blockMap{}
		for _, in := range [][]byte{first, second} {
			var list pb.LocatedBlocksProto
			if proto.Unmarshal(in, &list) != nil {
				return
			}
			size, found, err := blocksOf(&list, func(*pb.LocatedBlockProto) uint64 { return visible })
			if err != nil {
				continue
			}
			if size < 0 {
				t.Errorf("a file of %d bytes", size)
			}
			if m.learn(found) != nil {
				return // another file
			}
			for i, b := range m.known {
				if i > 0 && m.known[i-1].offset >= b.offset {
					t.Errorf("a block at %d after one at %d", b.offset, m.known[i-1].offset)
				}
				for _, offset := range []int64{0, b.offset, b.offset + b.length/2, b.end() - 1, b.end(), int64(binary.LittleEndian.Uint32(append(in, 0, 0, 0, 0)))} {
					if at, ok := m.at(offset); ok && (at.offset > offset || at.end() <= offset) {
						t.Errorf("the block of %d bytes at %d is said to hold %d", at.length, at.offset, offset)
					}
				}
			}
		}
	})
}
