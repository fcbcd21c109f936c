package dfs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"tfos/internal/dfs/datanode"
	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/rpc"
	"tfos/internal/pause"
)

const (
	// maxReplaced is how many times a new block is given back because a DataNode does not take it.
	maxReplaced = 5
	// replicationWait bounds how long a new block waits for the one before to reach a DataNode.
	replicationWait = 20 * time.Second
	// maxFruitless is how often in a row a pipeline is built anew without a byte more being
	// confirmed. The last DataNode of a block is tried again as often: it may have been its
	// connection alone that broke.
	maxFruitless = 5
)

// openBlock is a block that is being written, through a pipeline of DataNodes. If one of them
// fails, the others go on: the NameNode gives the block a new generation stamp, by which it knows
// later that a replica without it lacks something, a new pipeline is built of those that are left,
// and gets again what not all had confirmed.
type openBlock struct {
	w      *hdfsWriter
	known  *pb.ExtendedBlockProto // as the NameNode has it; its length is what was confirmed
	token  *pb.TokenProto
	nodes  []datanode.Node // what is left of the pipeline
	lost   bool            // it was longer once
	stage  pb.OpWriteBlockProto_BlockConstructionStage
	size   int64 // up to which it may grow
	offset int64 // where the next byte goes
	sent   int64 // up to where something has gone to a DataNode
	seq    int64 // of the next packet

	pipeline  *datanode.Pipeline // nil: there is none, or no more
	packet    *datanode.Packet   // is being filled; nil: none
	waiting   []*datanode.Packet // to be sent again
	fruitless int                // pipelines that broke without a byte more being confirmed than broke holds
	broke     int64              // up to where the block was confirmed when a pipeline broke last
}

// newBlock asks the NameNode for a block, until it names one whose DataNodes all take it.
func (w *hdfsWriter) newBlock(ctx context.Context) (*openBlock, error) {
	var refused []*pb.DatanodeInfoProto
	var why error // of the last that refused
	for {
		located, err := w.addBlock(ctx, refused)
		if remote, ok := errors.AsType[*rpc.RemoteError](err); ok && remote.Class == plainIOException && why != nil {
			// The NameNode counts those that are left out as full.
			return nil, &foreignError{ours: ErrUnreachable, err: fmt.Errorf("no DataNode takes a block, %d were tried, the last: %w", len(refused), why)}
		}
		if err != nil {
			return nil, err
		}
		b := w.openBlock(located, pb.OpWriteBlockProto_PIPELINE_SETUP_CREATE)
		if len(b.nodes) == 0 {
			return nil, fmt.Errorf("the NameNode has given block %d to no DataNode: %w", b.id(), ErrUnreachable)
		}
		if err = b.connect(ctx, b.stage, 0); err == nil {
			b.stage = pb.OpWriteBlockProto_DATA_STREAMING
			return b, nil
		}
		failed, ok := errors.AsType[*datanode.PipelineError](err)
		if !ok {
			return nil, err
		}
		why = err
		node := b.nodes[failed.Node].Info
		w.fs.log.Warn("a DataNode does not take a block, which goes elsewhere",
			zap.String("file", w.name), zap.Uint64("block", b.id()), zap.String("datanode", w.fs.dataAddr(node.GetId())), zap.Error(err))
		w.fs.outcasts.add(node)
		if err := w.giveBack(ctx, b.known); err != nil {
			return nil, err
		}
		if refused = append(refused, node); len(refused) > maxReplaced {
			return nil, &foreignError{ours: ErrUnreachable, err: fmt.Errorf("%d DataNodes in a row do not take a block, the last: %w", len(refused), err)}
		}
	}
}

// addBlock asks for a block elsewhere than on the DataNodes that refused it, and on those that
// failed lately. If there are too few others for as many copies as the file wants, those that
// failed get another chance, unless they cannot even be connected to.
func (w *hdfsWriter) addBlock(ctx context.Context, refused []*pb.DatanodeInfoProto) (*pb.LocatedBlockProto, error) {
	failed := w.fs.outcasts.but(refused)
	for {
		located, err := w.allot(ctx, slices.Concat(refused, failed))
		remote, _ := errors.AsType[*rpc.RemoteError](err)
		switch {
		case err == nil && (len(failed) == 0 || len(located.GetLocs()) >= w.replication):
			return located, nil
		case err == nil:
			back := w.fs.reachable(ctx, failed)
			if len(back) == 0 {
				return located, nil
			}
			if err := w.giveBack(ctx, located.GetB()); err != nil {
				return nil, err
			}
			w.fs.outcasts.forgive(back)
			failed = w.fs.outcasts.but(refused)
		case len(failed) > 0 && remote != nil && remote.Class == plainIOException: // there are no others at all
			failed = nil
		default:
			return nil, err
		}
	}
}

// allot asks for a block, and again if it comes too early, as Java clients do.
func (w *hdfsWriter) allot(ctx context.Context, excluded []*pb.DatanodeInfoProto) (*pb.LocatedBlockProto, error) {
	end := time.Now().Add(replicationWait)
	for pauses := pause.Growing(50*time.Millisecond, 2*time.Second); ; {
		resp := &pb.AddBlockResponseProto{}
		req := &pb.AddBlockRequestProto{Src: &w.path, ClientName: &w.holder, Previous: w.last, ExcludeNodes: excluded, FileId: &w.fileID}
		err := w.ask(ctx, "addBlock", req, resp)
		remote, ok := errors.AsType[*rpc.RemoteError](err)
		if !ok || remote.Class != notReplicatedYetException || time.Now().After(end) {
			return resp.GetBlock(), err
		}
		w.fs.log.Debug("a new block waits for the one before", zap.String("file", w.name))
		if err := pauses.Wait(ctx); err != nil {
			return nil, err
		}
	}
}

// giveBack gives a new block back.
func (w *hdfsWriter) giveBack(ctx context.Context, b *pb.ExtendedBlockProto) error {
	req := &pb.AbandonBlockRequestProto{B: b, Src: &w.path, Holder: &w.holder, FileId: &w.fileID}
	return w.ask(ctx, "abandonBlock", req, &pb.AbandonBlockResponseProto{})
}

// openBlock is a block as the NameNode names it, without a pipeline.
func (w *hdfsWriter) openBlock(l *pb.LocatedBlockProto, stage pb.OpWriteBlockProto_BlockConstructionStage) *openBlock {
	there := int64(l.GetB().GetNumBytes())
	b := &openBlock{w: w, known: l.GetB(), token: l.GetBlockToken(), stage: stage, size: w.blockSize, offset: there, sent: there, broke: there}
	for i, info := range l.GetLocs() {
		n := datanode.Node{Info: info, Storage: pb.StorageTypeProto_DISK}
		if i < len(l.GetStorageTypes()) {
			n.Storage = l.GetStorageTypes()[i]
		}
		if i < len(l.GetStorageIDs()) {
			n.StorageID = l.GetStorageIDs()[i]
		}
		b.nodes = append(b.nodes, n)
	}
	return b
}

func (b *openBlock) id() uint64 { return b.known.GetBlockId() }

// connect builds a pipeline of the nodes.
func (b *openBlock) connect(ctx context.Context, stage pb.OpWriteBlockProto_BlockConstructionStage, stamp uint64) (err error) {
	b.pipeline, err = b.w.transfer.Write(ctx, datanode.Construction{
		Addr: b.w.fs.dataAddr(b.nodes[0].Info.GetId()), Client: b.w.holder, Block: b.known, Token: b.token, Nodes: b.nodes,
		Stage: stage, Stamp: stamp, Size: b.size, Confirmed: int64(b.known.GetNumBytes()), Sent: b.sent, Packets: b.w.packets,
	})
	return err
}

// begin makes a block ready that was opened to append.
func (b *openBlock) begin(ctx context.Context) error {
	if b.stage != pb.OpWriteBlockProto_PIPELINE_SETUP_APPEND {
		return nil
	}
	err := b.rebuild(ctx, b.stage)
	if err != nil {
		err = b.recover(ctx, err)
	}
	return err
}

// write takes as many bytes as the block has room for.
func (b *openBlock) write(ctx context.Context, p []byte) (int, error) {
	if err := b.begin(ctx); err != nil {
		return 0, err
	}
	written := 0
	for written < len(p) && b.offset < b.size {
		if b.packet == nil {
			b.packet = b.w.packets.New(b.seq, b.offset, b.size)
			b.seq++
		}
		n := b.packet.Write(p[written:])
		written, b.offset = written+n, b.offset+int64(n)
		if b.packet.Full() {
			if err := b.send(ctx); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

// send sends what was put into a packet.
func (b *openBlock) send(ctx context.Context) error {
	if b.packet == nil {
		return nil
	}
	packet := b.packet
	b.packet = nil
	b.sent = max(b.sent, packet.End())
	if err := b.pipeline.Send(packet); err != nil {
		return b.recover(ctx, err)
	}
	return nil
}

// flush waits until every DataNode of the pipeline has all there is.
func (b *openBlock) flush(ctx context.Context) error {
	if err := b.send(ctx); err != nil {
		return err
	}
	for b.pipeline != nil {
		err := b.pipeline.Flush()
		if err == nil {
			b.known.NumBytes = proto.Uint64(uint64(b.pipeline.Length()))
			return nil
		}
		if err := b.recover(ctx, err); err != nil {
			return err
		}
	}
	return nil
}

// finish ends the block, on every DataNode that is left.
func (b *openBlock) finish(ctx context.Context) error {
	if err := b.flush(ctx); err != nil || b.pipeline == nil {
		return err
	}
	b.stage = pb.OpWriteBlockProto_PIPELINE_CLOSE
	err := b.pipeline.Send(b.w.packets.Last(b.seq, b.offset))
	if err == nil {
		err = b.pipeline.Flush()
	}
	if err != nil {
		return b.recover(ctx, err)
	}
	b.pipeline.Close()
	b.pipeline = nil
	return nil
}

// drop ends the pipeline, and keeps what it has not confirmed.
func (b *openBlock) drop() {
	if b.pipeline == nil {
		return
	}
	b.waiting = append(b.pipeline.Close(), b.waiting...)
	if length := b.pipeline.Length(); length > b.broke {
		b.known.NumBytes = proto.Uint64(uint64(length))
		b.fruitless, b.broke = 0, length
	}
	b.pipeline = nil
}

// recover builds the pipeline anew, as often as there are DataNodes left.
func (b *openBlock) recover(ctx context.Context, cause error) error {
	for {
		b.drop()
		failed, ok := errors.AsType[*datanode.PipelineError](cause)
		if !ok {
			return cause // not a DataNode's
		}
		node := b.nodes[failed.Node].Info
		addr := b.w.fs.dataAddr(node.GetId())
		b.fruitless++
		if b.fruitless > maxFruitless {
			return &foreignError{ours: ErrUnreachable, err: fmt.Errorf("block %d lost its last DataNode %s: %w", b.id(), addr, cause)}
		}
		if len(b.nodes) > 1 {
			b.w.fs.outcasts.add(node)
			b.lost = true
			b.nodes = slices.Delete(slices.Clone(b.nodes), failed.Node, failed.Node+1)
		} else if err := pause.About(ctx, b.w.pause); err != nil {
			return err
		}
		b.w.fs.log.Warn("a DataNode failed under a file that is being written, which goes on with those left", zap.String("file", b.w.name),
			zap.Uint64("block", b.id()), zap.String("datanode", addr), zap.Int("left", len(b.nodes)), zap.Error(cause))
		if cause = b.rebuild(ctx, b.stage|recoveryBit); cause == nil {
			return nil
		}
	}
}

// recoveryBit is added to a stage where the DataNodes do not all stand where the writer does.
const recoveryBit = pb.OpWriteBlockProto_PIPELINE_SETUP_APPEND_RECOVERY

// rebuild makes a pipeline of the nodes for a block that there is already, under a new generation
// stamp, and sends what waits. A block that was being ended is ended by that.
func (b *openBlock) rebuild(ctx context.Context, stage pb.OpWriteBlockProto_BlockConstructionStage) error {
	resp := &pb.UpdateBlockForPipelineResponseProto{}
	if err := b.w.ask(ctx, "updateBlockForPipeline", &pb.UpdateBlockForPipelineRequestProto{Block: b.known, ClientName: &b.w.holder}, resp); err != nil {
		return err
	}
	stamp := resp.GetBlock().GetB().GetGenerationStamp()
	b.token = resp.GetBlock().GetBlockToken()
	if err := b.connect(ctx, stage, stamp); err != nil {
		return err
	}
	next := proto.CloneOf(b.known)
	next.GenerationStamp = &stamp
	req := &pb.UpdatePipelineRequestProto{ClientName: &b.w.holder, OldBlock: b.known, NewBlock: next}
	for _, n := range b.nodes {
		req.NewNodes = append(req.NewNodes, n.Info.GetId())
		req.StorageIDs = append(req.StorageIDs, n.StorageID)
	}
	if err := b.w.ask(ctx, "updatePipeline", req, &pb.UpdatePipelineResponseProto{}); err != nil {
		return err
	}
	b.known = next
	if b.stage == pb.OpWriteBlockProto_PIPELINE_CLOSE {
		b.pipeline.Close()
		b.pipeline, b.waiting = nil, nil
		return nil
	}
	b.stage = pb.OpWriteBlockProto_DATA_STREAMING
	for len(b.waiting) > 0 {
		packet := b.waiting[0]
		b.waiting = b.waiting[1:]
		if err := b.pipeline.Send(packet); err != nil {
			return err
		}
	}
	return nil
}

// abandon lets go of the block in the middle.
func (b *openBlock) abandon() {
	b.drop()
	b.waiting, b.packet = nil, nil
}

// ask makes a call about the file.
func (w *hdfsWriter) ask(ctx context.Context, method string, req, resp proto.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return w.fs.nameNode.Call(ctx, method, req, resp, rpc.Idempotent())
}

// outcasts are DataNodes that failed a writer lately. The NameNode takes ten minutes to notice that
// one is dead.
type outcasts struct {
	mu   sync.Mutex
	list map[string]outcast // guarded by mu; by UUID
}

type outcast struct {
	node  *pb.DatanodeInfoProto
	since time.Time
}

func (o *outcasts) add(node *pb.DatanodeInfoProto) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.list == nil {
		o.list = map[string]outcast{}
	}
	o.list[node.GetId().GetDatanodeUuid()] = outcast{node, time.Now()}
}

// but are those that are cast out, except these.
func (o *outcasts) but(nodes []*pb.DatanodeInfoProto) []*pb.DatanodeInfoProto {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []*pb.DatanodeInfoProto
	for id, out := range o.list {
		same := func(n *pb.DatanodeInfoProto) bool { return n.GetId().GetDatanodeUuid() == id }
		if time.Since(out.since) > suspicion {
			delete(o.list, id)
		} else if !slices.ContainsFunc(nodes, same) {
			list = append(list, out.node)
		}
	}
	return list
}

func (o *outcasts) forgive(nodes []*pb.DatanodeInfoProto) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, n := range nodes {
		delete(o.list, n.GetId().GetDatanodeUuid())
	}
}

// reachable are those DataNodes that accept a connection.
func (h *HDFS) reachable(ctx context.Context, nodes []*pb.DatanodeInfoProto) []*pb.DatanodeInfoProto {
	ctx, cancel := context.WithTimeout(ctx, knockTimeout)
	defer cancel()
	answers := make([]bool, len(nodes))
	var knocks sync.WaitGroup
	for i, node := range nodes {
		knocks.Go(func() {
			if conn, err := h.dial(ctx, "tcp", h.dataAddr(node.GetId())); err == nil {
				answers[i] = conn.Close() == nil
			}
		})
	}
	knocks.Wait()
	var list []*pb.DatanodeInfoProto
	for i, node := range nodes {
		if answers[i] {
			list = append(list, node)
		}
	}
	return list
}
