package dfs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"tfos/internal/dfs/datanode"
	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/sasl"
)

const (
	// suspicion is how long a DataNode that failed is asked last.
	suspicion = 5 * time.Minute
	// wrapRest is how long no connection is given away after one could not be: the others cannot
	// either, mostly.
	wrapRest = time.Minute
)

// replicas reads blocks from those DataNodes of theirs that work.
type replicas struct {
	fs     *HDFS
	client *datanode.Client
	pause  time.Duration // attemptPause

	mu       sync.Mutex
	suspects map[string]time.Time // guarded by mu; DataNodes by address, and when each failed
	wrapped  time.Time            // guarded by mu; when a connection could not be given away
}

// aesSuite is the one of dfs.encrypt.data.transfer.cipher.suites that there is.
const aesSuite = "AES/CTR/NoPadding"

// readers makes what moves the blocks of a filesystem's files, at the first file that is opened.
func (h *HDFS) readers(ctx context.Context) (*replicas, error) {
	defaults, err := h.serverDefaults(ctx)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.blocks != nil {
		return h.blocks, nil
	}
	o := datanode.Options{Dial: h.dial, Timeout: h.timeout, AES: slices.Contains(h.conf.List("dfs.encrypt.data.transfer.cipher.suites"), aesSuite)}
	if defaults.GetEncryptDataTransfer() {
		o.Allowed, o.Key = []sasl.QOP{sasl.AuthConf}, h.dataKey
	} else if list := h.conf.List("dfs.data.transfer.protection"); len(list) > 0 {
		if o.Allowed, err = sasl.ParseProtection(list); err != nil {
			return nil, h.fail("open", "/", fmt.Errorf("dfs.data.transfer.protection: %w", err))
		}
		if slices.Contains(o.Allowed, sasl.Auth) { // the least that is allowed, which costs nothing
			o.Allowed = []sasl.QOP{sasl.Auth}
		}
	}
	h.blocks = &replicas{fs: h, client: datanode.New(o), pause: attemptPause, suspects: map[string]time.Time{}}
	return h.blocks, nil
}

// dataKey asks the NameNode for a key to encrypt data by.
func (h *HDFS) dataKey(ctx context.Context) (*pb.DataEncryptionKeyProto, error) {
	resp := &pb.GetDataEncryptionKeyResponseProto{}
	if err := h.call(ctx, "open", "/", "getDataEncryptionKey", &pb.GetDataEncryptionKeyRequestProto{}, resp); err != nil {
		return nil, err
	}
	if resp.GetDataEncryptionKey() == nil {
		return nil, errors.New("the NameNode wants data encrypted and gives out no key")
	}
	return resp.GetDataEncryptionKey(), nil
}

// stream is a part of a block on its way from a replica.
type stream struct {
	*datanode.Reader
	block  block
	node   *pb.DatanodeInfoProto
	offset int64 // in the file, of what comes next
}

// open asks for a part of a block, and reads the first of it into p, from the first replica that
// gives it.
func (r *replicas) open(ctx context.Context, b block, offset, length int64, p []byte) (s *stream, n int, err error) {
	err = r.first(ctx, b, func(node *pb.DatanodeInfoProto) error {
		if s, err = r.request(ctx, b, node, offset, length); err == nil {
			n, err = r.next(ctx, s, p)
		}
		return err
	})
	return s, n, err
}

// first does something with the replicas of a block in turn, until it succeeds.
func (r *replicas) first(ctx context.Context, b block, do func(node *pb.DatanodeInfoProto) error) error {
	err := fmt.Errorf("block %d is on no DataNode that lives: %w", b.located.GetB().GetBlockId(), ErrUnreachable)
	for _, node := range r.order(b.located.GetLocs()) {
		if err = do(node); err == nil || ctx.Err() != nil || errors.Is(err, datanode.ErrToken) {
			break // no other will do better
		}
	}
	return err
}

// request asks one DataNode for a part of a block.
func (r *replicas) request(ctx context.Context, b block, node *pb.DatanodeInfoProto, offset, length int64) (*stream, error) {
	s := &stream{block: b, node: node, offset: offset}
	var err error
	s.Reader, err = r.client.Open(ctx, datanode.Range{
		Addr: r.fs.dataAddr(node.GetId()), Block: b.located.GetB(), Token: b.located.GetBlockToken(), Offset: offset - b.offset, Length: length,
	})
	if err != nil {
		return nil, r.failed(ctx, s, err)
	}
	return s, nil
}

// next reads on. A stream that failed is of no more use.
func (r *replicas) next(ctx context.Context, s *stream, p []byte) (int, error) {
	n, err := s.Read(p)
	s.offset += int64(n)
	if err != nil {
		return n, r.failed(ctx, s, err)
	}
	return n, nil
}

// suspect has a DataNode asked last for a while.
func (r *replicas) suspect(addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.suspects[addr] = time.Now()
}

// detachable reports whether it is worth trying to give a connection away.
func (r *replicas) detachable() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.wrapped) > wrapRest
}

// wraps notes that a connection cannot be given away.
func (r *replicas) wraps() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrapped = time.Now()
}

// order puts those that failed lately last, and leaves the rest as the NameNode has it.
func (r *replicas) order(nodes []*pb.DatanodeInfoProto) []*pb.DatanodeInfoProto {
	r.mu.Lock()
	defer r.mu.Unlock()
	nodes = slices.Clone(nodes)
	slices.SortStableFunc(nodes, func(a, b *pb.DatanodeInfoProto) int {
		return r.suspected(a).Compare(r.suspected(b))
	})
	return nodes
}

// suspected is when a DataNode failed; zero if that was long ago or never. The caller holds mu.
func (r *replicas) suspected(node *pb.DatanodeInfoProto) time.Time {
	addr := r.fs.dataAddr(node.GetId())
	if when := r.suspects[addr]; time.Since(when) < suspicion {
		return when
	}
	delete(r.suspects, addr)
	return time.Time{}
}

// failed remembers which DataNode failed, and tells the NameNode of a replica whose bytes are
// wrong, so that it makes another. It returns the error as ours.
func (r *replicas) failed(ctx context.Context, s *stream, err error) error {
	id, addr := s.block.located.GetB().GetBlockId(), r.fs.dataAddr(s.node.GetId())
	wrong := errors.Is(err, datanode.ErrChecksum)
	err = fmt.Errorf("block %d: %w", id, err)
	if ctx.Err() != nil || errors.Is(err, datanode.ErrToken) {
		return err // not the DataNode's fault
	}
	r.fs.log.Warn("a replica cannot be read, another will be", zap.Uint64("block", id), zap.String("datanode", addr), zap.Error(err))
	r.suspect(addr)
	if !wrong {
		return err
	}
	bad := &pb.LocatedBlockProto{
		B: s.block.located.GetB(), Offset: s.block.located.Offset, Locs: []*pb.DatanodeInfoProto{s.node}, Corrupt: proto.Bool(true),
		BlockToken: &pb.TokenProto{Identifier: []byte{}, Password: []byte{}, Kind: proto.String(""), Service: proto.String("")},
	}
	req := &pb.ReportBadBlocksRequestProto{Blocks: []*pb.LocatedBlockProto{bad}}
	if reportErr := r.fs.call(ctx, "report", "/", "reportBadBlocks", req, &pb.ReportBadBlocksResponseProto{}); reportErr != nil {
		r.fs.log.Warn("the NameNode was not told of a damaged replica", zap.Uint64("block", id), zap.Error(reportErr))
	}
	return &foreignError{ours: ErrCorrupt, err: err}
}

// dataAddr is where a DataNode serves blocks.
func (h *HDFS) dataAddr(id *pb.DatanodeIDProto) string { return h.nodeAddr(id, id.GetXferPort()) }

// ipcAddr is where it takes calls.
func (h *HDFS) ipcAddr(id *pb.DatanodeIDProto) string { return h.nodeAddr(id, id.GetIpcPort()) }

func (h *HDFS) nodeAddr(id *pb.DatanodeIDProto, port uint32) string {
	host := id.GetIpAddr()
	if h.byHostname {
		host = id.GetHostName()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
