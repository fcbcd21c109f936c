package dfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/rpc"
	"tfos/internal/hadoop/token"
)

const (
	clientDatanodeProtocol = "org.apache.hadoop.hdfs.protocol.ClientDatanodeProtocol"
	// locateAhead is of how much of a file the blocks are asked for at once, in bytes.
	locateAhead = 2 << 30
	// knockTimeout bounds how long a DataNode may take to accept a connection, or to say how long a
	// block is.
	knockTimeout = 5 * time.Second
)

// block is a block of a file: where it lies in the file, and on which DataNodes, the nearest first.
type block struct {
	offset, length int64
	located        *pb.LocatedBlockProto
}

func (b block) end() int64 { return b.offset + b.length }

// blockMap is what is known of where the blocks of one file are.
type blockMap struct {
	fs   *HDFS
	name string

	mu    sync.Mutex
	known []block // guarded by mu; in order, with gaps
}

// locate asks where the blocks of a file are from offset on, and how long the file is. That counts
// what is readable in a block that is being written, which the NameNode does not know.
func (m *blockMap) locate(ctx context.Context, offset int64) (size int64, err error) {
	resp := &pb.GetBlockLocationsResponseProto{}
	req := &pb.GetBlockLocationsRequestProto{Src: &m.name, Offset: proto.Uint64(uint64(offset)), Length: proto.Uint64(locateAhead)}
	if err := m.fs.call(ctx, "open", m.name, "getBlockLocations", req, resp); err != nil {
		return 0, err
	}
	size, found, err := blocksOf(resp.GetLocations(), func(b *pb.LocatedBlockProto) uint64 { return m.fs.visible(ctx, b) })
	if err == nil {
		err = m.learn(found)
	}
	return size, m.fs.fail("open", m.name, err)
}

// blocksOf reads an answer of the NameNode: how long the file is, and its blocks. visible tells how
// much of a block that is being written may be read, in bytes.
func blocksOf(list *pb.LocatedBlocksProto, visible func(*pb.LocatedBlockProto) uint64) (size int64, found []block, err error) {
	if err := plainBlocks(list); err != nil {
		return 0, nil, err
	}
	last := list.GetLastBlock()
	growing := last != nil && list.GetUnderConstruction() && !list.GetIsLastBlockComplete()
	for _, l := range list.GetBlocks() {
		if growing && l.GetOffset() >= last.GetOffset() {
			continue
		}
		b, err := newBlock(l, l.GetB().GetNumBytes())
		if err != nil {
			return 0, nil, err
		}
		found = append(found, b)
	}
	length := list.GetFileLength()
	if growing {
		b, err := newBlock(last, visible(last))
		if err != nil {
			return 0, nil, err
		}
		found = append(found, b)
		length = max(length, uint64(b.end()))
	}
	if length > math.MaxInt64 {
		return 0, nil, fmt.Errorf("the NameNode says that the file has %d bytes", length)
	}
	return int64(length), found, nil
}

// newBlock is a located block of so many bytes, if a file can have one there.
func newBlock(l *pb.LocatedBlockProto, length uint64) (block, error) {
	if offset := l.GetOffset(); offset > math.MaxInt64 || length > math.MaxInt64-offset {
		return block{}, fmt.Errorf("the NameNode says that a block of %d bytes is at offset %d", length, offset)
	}
	return block{int64(l.GetOffset()), int64(length), l}, nil
}

// learn takes over what the NameNode said. Where it names another block than before, another file
// lies under the name.
func (m *blockMap) learn(found []block) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range found {
		i, there := slices.BinarySearchFunc(m.known, b.offset, func(k block, offset int64) int { return cmp.Compare(k.offset, offset) })
		if !there {
			m.known = slices.Insert(m.known, i, b)
			continue
		}
		if m.known[i].located.GetB().GetBlockId() != b.located.GetB().GetBlockId() {
			return errReplaced
		}
		m.known[i] = b
	}
	return nil
}

var errReplaced = errors.New("the file was replaced while it was being read: open it again")

// at finds the block that an offset lies in.
func (m *blockMap) at(offset int64) (block, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := len(m.known) - 1; i >= 0; i-- {
		if b := m.known[i]; b.offset <= offset {
			return b, offset < b.end()
		}
	}
	return block{}, false
}

// find is at, after asking the NameNode if need be.
func (m *blockMap) find(ctx context.Context, offset int64) (block, error) {
	if b, ok := m.at(offset); ok {
		return b, nil
	}
	if _, err := m.locate(ctx, offset); err != nil {
		return block{}, err
	}
	b, ok := m.at(offset)
	if !ok {
		return block{}, fmt.Errorf("no block holds offset %d: %w", offset, errReplaced)
	}
	return b, nil
}

// visible asks the DataNodes how much of a block that is being written may be read, in bytes. If
// none says it is what the NameNode knows: what its writer synced.
func (h *HDFS) visible(ctx context.Context, b *pb.LocatedBlockProto) uint64 {
	for _, node := range b.GetLocs() {
		n, err := h.visibleAt(ctx, b, node)
		if err == nil {
			return n
		}
		h.log.Debug("a DataNode does not say how long a block is that is being written", zap.String("datanode", h.ipcAddr(node.GetId())), zap.Error(err))
	}
	return b.GetB().GetNumBytes()
}

func (h *HDFS) visibleAt(ctx context.Context, b *pb.LocatedBlockProto, node *pb.DatanodeInfoProto) (uint64, error) {
	client := rpc.NewClient(rpc.Options{
		Protocol: clientDatanodeProtocol, Addrs: []string{h.ipcAddr(node.GetId())}, User: h.user, Dial: h.dial, Timeout: knockTimeout,
		Protection: h.conf.List("hadoop.rpc.protection"), Retry: rpc.Retry{MaxAttempts: 1}, Log: h.log,
		Token: func() (token.Token, bool) {
			t := b.GetBlockToken()
			return token.Token{Kind: t.GetKind(), Service: t.GetService(), Identifier: t.GetIdentifier(), Password: t.GetPassword()}, len(t.GetIdentifier()) > 0
		},
	})
	defer client.Close()
	resp := &pb.GetReplicaVisibleLengthResponseProto{}
	err := client.Call(ctx, "getReplicaVisibleLength", &pb.GetReplicaVisibleLengthRequestProto{Block: b.GetB()}, resp, rpc.Idempotent())
	return resp.GetLength(), err
}
