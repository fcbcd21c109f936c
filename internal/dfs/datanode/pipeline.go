package datanode

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
)

const (
	writeBlock = 80 // the operation

	// maxUnconfirmed is how many packets may be on their way. A block that is written holds the
	// memory of one more, 4 MiB in all.
	maxUnconfirmed = 63
	// patienceOfDataNodes is after how much silence they give a writer up
	// (dfs.client.socket-timeout, as they have it).
	patienceOfDataNodes = time.Minute
)

// Construction says which block is written, who writes it, and how much of it is there already.
type Construction struct {
	Addr   string // of the first DataNode, host:port
	Client string // who holds the lease of the file
	Block  *pb.ExtendedBlockProto
	Token  *pb.TokenProto
	Nodes  []Node // the block goes from each to the next
	Stage  pb.OpWriteBlockProto_BlockConstructionStage
	// Stamp is the block's generation stamp from now on; 0 for a new block.
	Stamp uint64
	// Size is what to make room for, in bytes, Confirmed what every DataNode has, Sent what some
	// may have.
	Size, Confirmed, Sent int64
	Packets               *Packets
}

// Node is a DataNode of a pipeline, and where in it the block goes.
type Node struct {
	Info      *pb.DatanodeInfoProto
	Storage   pb.StorageTypeProto
	StorageID string
}

// PipelineError says which DataNode of a pipeline failed.
type PipelineError struct {
	Node int // its place in Construction.Nodes
	Err  error
}

func (e *PipelineError) Error() string { return e.Err.Error() }
func (e *PipelineError) Unwrap() error { return e.Err }

// Pipeline is DataNodes that write a block, each of which sends to the next what it gets. What they
// have not confirmed is kept, so that it can go through another pipeline if this one breaks.
//
// One goroutine uses it.
type Pipeline struct {
	conn    *conn
	nodes   int
	answers time.Duration // how long an answer may take
	done    chan struct{} // closed by Close
	busy    sync.WaitGroup
	changed chan struct{} // has room for one: queue became shorter, or err was set

	sending sync.Mutex // held while something is sent

	mu        sync.Mutex
	queue     []*Packet // guarded by mu, as what follows; sent, or to be sent again, in order
	confirmed []*Packet // whose memory nobody has given back
	length    int64     // of the block, as far as all have confirmed it
	sent      time.Time // the last packet
	err       error     // the first; stays
}

// Write builds a pipeline. An error that a DataNode is to blame for is a *PipelineError. Ctx bounds
// the building, not the writing.
//
// Where the stage is PIPELINE_CLOSE_RECOVERY that is all: the DataNodes have ended the block.
func (c *Client) Write(ctx context.Context, o Construction) (*Pipeline, error) {
	answers := c.o.Timeout + time.Duration(len(o.Nodes))*c.o.Patience
	conn, err := c.dial(ctx, Range{Addr: o.Addr, Block: o.Block, Token: o.Token})
	node := 0
	if err == nil {
		stop := context.AfterFunc(ctx, conn.close)
		defer stop()
		if node, err = conn.construct(o, answers); err != nil {
			conn.close()
		}
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, ctx.Err() // why the connection was closed
	case errors.Is(err, fs.ErrClosed):
		return nil, err
	default:
		return nil, &PipelineError{node, fmt.Errorf("pipeline from DataNode %s: %w", o.Addr, err)}
	}
	p := &Pipeline{conn: conn, nodes: len(o.Nodes), answers: answers, done: make(chan struct{}), changed: make(chan struct{}, 1), length: o.Confirmed, sent: time.Now()}
	p.mu.Lock()
	p.expect()
	p.mu.Unlock()
	p.busy.Go(p.confirm)
	p.busy.Go(p.live)
	return p, nil
}

// construct asks for a pipeline:
//
//	+----------------+---------------+----------------------------+
//	| uint16 version | uint8 op (80) | varint + OpWriteBlockProto |
//	+----------------+---------------+----------------------------+
//
// The answer is varint + BlockOpResponseProto, and comes when the last DataNode is there. Then
// packets go, as Reader has them, and for each comes a varint + PipelineAckProto. An error is that
// of the DataNode in the place returned.
func (c *conn) construct(o Construction, answers time.Duration) (node int, err error) {
	block := proto.CloneOf(o.Block)
	block.NumBytes = proto.Uint64(uint64(o.Size))
	op := &pb.OpWriteBlockProto{
		Header: &pb.ClientOperationHeaderProto{BaseHeader: &pb.BaseHeaderProto{Block: block, Token: o.Token}, ClientName: &o.Client},
		Stage:  &o.Stage, PipelineSize: proto.Uint32(uint32(len(o.Nodes))), LatestGenerationStamp: &o.Stamp,
		MinBytesRcvd: proto.Uint64(uint64(o.Confirmed)), MaxBytesRcvd: proto.Uint64(uint64(o.Sent)), RequestedChecksum: o.Packets.kind(),
		StorageType: &o.Nodes[0].Storage, StorageId: &o.Nodes[0].StorageID,
	}
	for _, n := range o.Nodes[1:] {
		op.Targets = append(op.Targets, n.Info)
		op.TargetStorageTypes = append(op.TargetStorageTypes, n.Storage)
		op.TargetStorageIds = append(op.TargetStorageIds, n.StorageID)
	}
	m, err := proto.Marshal(op)
	if err != nil {
		return 0, err
	}
	if err := c.socket.SetDeadline(time.Now().Add(answers)); err != nil {
		return 0, err
	}
	if err := c.send(append(binary.BigEndian.AppendUint16(nil, version), writeBlock), m); err != nil {
		return 0, err
	}
	var answer pb.BlockOpResponseProto
	if err := receive(c.r, &answer); err != nil {
		return 0, fmt.Errorf("answer to the request to write a block: %w", noEOF(err))
	}
	bad := answer.GetFirstBadLink()
	if answer.GetStatus() == pb.Status_SUCCESS && bad == "" {
		return 0, nil
	}
	for i, n := range o.Nodes {
		if id := n.Info.GetId(); bad == net.JoinHostPort(id.GetIpAddr(), strconv.Itoa(int(id.GetXferPort()))) {
			return i, fmt.Errorf("it does not get to %s: %w", bad, &RefusedError{answer.GetStatus().String(), answer.GetMessage()})
		}
	}
	return 0, &RefusedError{answer.GetStatus().String(), answer.GetMessage()}
}

// Send sends a packet, which the Pipeline has from then on, whatever the error. It waits while too
// much is unconfirmed.
func (p *Pipeline) Send(packet *Packet) error {
	b := packet.encode()
	err := p.await(maxUnconfirmed - 1)
	p.mu.Lock()
	p.queue = append(p.queue, packet)
	if err == nil {
		err = p.err
	}
	if len(p.queue) == 1 && err == nil {
		p.expect()
	}
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return p.write(b)
}

// Flush waits until all that was sent is confirmed.
func (p *Pipeline) Flush() error { return p.await(0) }

// Length is how much of the block every DataNode has confirmed, in bytes.
func (p *Pipeline) Length() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.length
}

// Close ends the connection, and returns what was not confirmed.
func (p *Pipeline) Close() []*Packet {
	close(p.done)
	p.conn.close()
	p.busy.Wait()
	p.letGo()
	return p.queue
}

// await waits until at most n packets are unconfirmed. What bounds it is that confirm gets a
// deadline for each answer (see expect).
func (p *Pipeline) await(n int) error {
	defer p.letGo()
	for {
		p.mu.Lock()
		err, waiting := p.err, len(p.queue)
		p.mu.Unlock()
		if waiting <= n && (err == nil || n == 0) {
			return nil
		}
		if err != nil {
			return err
		}
		<-p.changed
	}
}

// letGo gives back the memory of what was confirmed. The goroutine that sends does it, so that none
// is reused that is being sent.
func (p *Pipeline) letGo() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, packet := range p.confirmed {
		packet.letGo()
	}
	p.confirmed = p.confirmed[:0]
}

// write puts a packet on the wire. Where that fails, what the DataNode said last tells more: its
// connection breaks too if it is the next one that died.
func (p *Pipeline) write(b []byte) error {
	p.sending.Lock()
	err := p.conn.socket.SetWriteDeadline(time.Now().Add(2 * p.answers)) // confirm gives up before
	if err == nil {
		_, err = p.conn.w.Write(b)
	}
	p.sending.Unlock()
	p.mu.Lock()
	p.sent = time.Now()
	p.mu.Unlock()
	if err == nil {
		return nil
	}
	return p.await(-1)
}

// live sends a packet without data where nothing else goes.
func (p *Pipeline) live() {
	every := min(p.conn.timeout, patienceOfDataNodes) / 2
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-tick.C:
		}
		p.mu.Lock()
		idle := p.err == nil && time.Since(p.sent) >= every/2
		p.mu.Unlock()
		if !idle {
			continue
		}
		p.sending.Lock()
		err := p.conn.socket.SetWriteDeadline(time.Now().Add(2 * p.answers))
		if err == nil {
			_, err = p.conn.w.Write(encodePacket(nil, 0, heartbeat, 0, 0, false))
		}
		p.sending.Unlock()
		if err != nil {
			return // confirm says why
		}
	}
}

// expect gives the next answer its deadline: where nothing waits for one, that to the next
// heartbeat. The caller holds mu.
func (p *Pipeline) expect() {
	wait := p.answers
	if len(p.queue) == 0 {
		wait += p.conn.timeout
	}
	_ = p.conn.socket.SetReadDeadline(time.Now().Add(wait)) // fails where reading does
}

// confirm reads what the DataNodes say, until the block is whole or one of them fails.
func (p *Pipeline) confirm() {
	for whole := false; !whole; {
		var m pb.PipelineAckProto
		err := receive(p.conn.r, &m)
		if err != nil {
			err = &PipelineError{0, fmt.Errorf("DataNode %s: %w", p.conn.addr, noEOF(err))}
		} else {
			whole, err = p.take(&m)
		}
		if err != nil {
			p.mu.Lock()
			p.err = err
			p.mu.Unlock()
			p.conn.close() // nobody sends on
		}
		select {
		case p.changed <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// take does what an answer says, and reports whether it was the block's last.
func (p *Pipeline) take(m *pb.PipelineAckProto) (whole bool, err error) {
	if err := judge(m, p.nodes); err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.expect()
	if m.GetSeqno() == heartbeat {
		return false, nil
	}
	if len(p.queue) == 0 || p.queue[0].seq != m.GetSeqno() {
		return false, &PipelineError{0, fmt.Errorf("DataNode %s confirms packet %d, which is not the next", p.conn.addr, m.GetSeqno())}
	}
	first := p.queue[0]
	p.queue[0] = nil
	p.queue = p.queue[1:]
	p.confirmed = append(p.confirmed, first)
	p.length = max(p.length, first.End())
	return first.last, nil
}

// judge finds the DataNode that failed, if an answer says that one did. Each puts its own word
// before those of the DataNodes behind it, and an error there where the next one should be.
func judge(m *pb.PipelineAckProto, nodes int) error {
	for i := len(m.GetReply()) - 1; i >= 0; i-- {
		if s := m.GetReply()[i]; s != pb.Status_SUCCESS {
			return &PipelineError{min(i, nodes-1), fmt.Errorf("DataNode %d of the pipeline: %w", i+1, &RefusedError{s.String(), "packet not written"})}
		}
	}
	if len(m.GetReply()) != nodes {
		return &PipelineError{0, fmt.Errorf("%d DataNodes confirm a packet, where %d write it", len(m.GetReply()), nodes)}
	}
	return nil
}
