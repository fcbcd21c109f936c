package datanodetest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/wire"
)

// replica is what a Server has of a block.
type replica struct {
	data      []byte
	confirmed int // bytes that may be read
	whole     bool
	stamp     uint64
	writer    net.Conn // nil: nobody writes it
}

// Step is something that a Server is about to do for a writer.
type Step struct {
	Block  uint64
	Stage  pb.OpWriteBlockProto_BlockConstructionStage
	Packet int   // 0: it is asked for a pipeline; else which packet of the connection it has got, heartbeats not counted
	Offset int64 // of the packet
	Last   bool
}

// Trip is how a step goes wrong.
type Trip int

// Trips.
const (
	Well      Trip = iota
	Refuse         // it says that it cannot
	Die            // it is gone from the network before it did anything
	DieAfter       // it is gone once all is done but for the answer
	Silence        // nothing comes any more, until the connection ends
	Confused       // it confirms another packet
	Truncated      // it confirms for fewer DataNodes than there are
)

// Trip has f asked what goes wrong at each step of writing, from now on. It may be called by
// several connections at once.
func (d *Server) Trip(f func(Step) Trip) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trip = f
}

func (d *Server) trips(s Step) Trip {
	d.mu.Lock()
	f := d.trip
	d.mu.Unlock()
	if f == nil {
		return Well
	}
	return f(s)
}

// Replica is what it has of a block, and its generation stamp; whole if that was ended.
func (d *Server) Replica(id uint64) (data []byte, stamp uint64, whole bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.blocks[id]; r != nil {
		return bytes.Clone(r.data), r.stamp, r.whole
	}
	return nil, 0, false
}

// Alive reports whether it can be reached.
func (d *Server) Alive() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.ended
}

// write serves a WRITE_BLOCK.
func (d *Server) write(s stream, conn net.Conn) {
	var op pb.OpWriteBlockProto
	if !d.receive(s, &op) {
		return
	}
	block, stage := op.GetHeader().GetBaseHeader().GetBlock(), op.GetStage()
	step := Step{Block: block.GetBlockId(), Stage: stage}
	trip := d.trips(step)
	switch trip {
	case Die:
		d.die()
		return
	case Silence:
		_, _ = io.Copy(io.Discard, s)
		return
	}
	d.mu.Lock()
	d.seen.Writes++
	refused := d.token != "" && string(op.GetHeader().GetBaseHeader().GetToken().GetIdentifier()) != d.token
	d.mu.Unlock()
	if refused {
		d.send(s, &pb.BlockOpResponseProto{Status: pb.Status_ERROR_ACCESS_TOKEN.Enum(), Message: proto.String("the token is too old")})
		return
	}
	r, err := d.prepare(&op, conn)
	if err != nil || trip == Refuse {
		d.send(s, &pb.BlockOpResponseProto{Status: pb.Status_ERROR.Enum(), Message: proto.String(fmt.Sprint("no: ", err))})
		return
	}
	next, bad := d.mirror(&op)
	if next != nil {
		defer next.Close()
	}
	if bad != "" {
		d.send(s, &pb.BlockOpResponseProto{Status: pb.Status_ERROR.Enum(), FirstBadLink: &bad})
		return
	}
	if trip == DieAfter {
		d.die()
		return
	}
	d.send(s, &pb.BlockOpResponseProto{Status: pb.Status_SUCCESS.Enum(), FirstBadLink: proto.String("")})
	if stage == pb.OpWriteBlockProto_PIPELINE_CLOSE_RECOVERY {
		return
	}
	w := &writing{d: d, s: s, r: r, step: step, next: next, conn: conn, checksum: op.GetRequestedChecksum()}
	if next != nil {
		w.answers = bufio.NewReader(next)
	}
	for w.packet() {
	}
}

// prepare makes the replica ready, as a DataNode does in each stage.
func (d *Server) prepare(op *pb.OpWriteBlockProto, conn net.Conn) (*replica, error) {
	block := op.GetHeader().GetBaseHeader().GetBlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	id, least, most := block.GetBlockId(), int(op.GetMinBytesRcvd()), int(op.GetMaxBytesRcvd())
	r := d.blocks[id]
	if op.GetStage() == pb.OpWriteBlockProto_PIPELINE_SETUP_CREATE {
		if r != nil {
			return nil, fmt.Errorf("block %d is there already", id)
		}
		r = &replica{stamp: block.GetGenerationStamp(), writer: conn}
		d.blocks[id] = r
		return r, nil
	}
	if r == nil {
		return nil, fmt.Errorf("there is no block %d", id)
	}
	if r.stamp < block.GetGenerationStamp() || r.stamp > op.GetLatestGenerationStamp() {
		return nil, fmt.Errorf("block %d is of generation %d, not %d to %d", id, r.stamp, block.GetGenerationStamp(), op.GetLatestGenerationStamp())
	}
	if r.writer != nil {
		r.writer.Close()
	}
	switch op.GetStage() {
	case pb.OpWriteBlockProto_PIPELINE_SETUP_APPEND, pb.OpWriteBlockProto_PIPELINE_SETUP_APPEND_RECOVERY:
		if !r.whole && op.GetStage() == pb.OpWriteBlockProto_PIPELINE_SETUP_APPEND || len(r.data) != least {
			return nil, fmt.Errorf("block %d has %d bytes, whole %v, where %d are to be appended to", id, len(r.data), r.whole, least)
		}
		r.whole, r.data = false, bytes.Clone(r.data) // a test's own
	case pb.OpWriteBlockProto_PIPELINE_SETUP_STREAMING_RECOVERY:
		if r.whole || r.confirmed < least || len(r.data) > most {
			return nil, fmt.Errorf("block %d has %d bytes, %d of them confirmed, whole %v, where %d to %d are wanted", id, len(r.data), r.confirmed, r.whole, least, most)
		}
		r.data = r.data[:r.confirmed]
	case pb.OpWriteBlockProto_PIPELINE_CLOSE_RECOVERY:
		if len(r.data) != least {
			return nil, fmt.Errorf("block %d has %d bytes, where %d are the end", id, len(r.data), least)
		}
		r.whole, r.confirmed = true, len(r.data)
	default:
		return nil, fmt.Errorf("stage %s", op.GetStage())
	}
	r.stamp, r.writer = op.GetLatestGenerationStamp(), conn
	return r, nil
}

// mirror builds the rest of the pipeline. It returns the DataNode that it could not reach, if there
// is one.
func (d *Server) mirror(op *pb.OpWriteBlockProto) (next net.Conn, bad string) {
	if len(op.GetTargets()) == 0 {
		return nil, ""
	}
	id := op.GetTargets()[0].GetId()
	addr := net.JoinHostPort(id.GetIpAddr(), strconv.Itoa(int(id.GetXferPort())))
	next, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, addr
	}
	d.mu.Lock()
	d.conns[next] = true
	d.mu.Unlock()
	rest := proto.CloneOf(op)
	rest.Targets = op.GetTargets()[1:]
	m, err := proto.Marshal(rest)
	if err != nil {
		d.t.Error(err)
	}
	var answer pb.BlockOpResponseProto
	_, err = next.Write(wire.AppendDelimited([]byte{0, 28, 80}, m))
	switch {
	case err != nil, !d.receive(stream{Reader: bufio.NewReader(next)}, &answer):
		return next, addr
	case answer.GetFirstBadLink() != "":
		return next, answer.GetFirstBadLink()
	case answer.GetStatus() != pb.Status_SUCCESS:
		return next, addr
	}
	return next, ""
}

// writing is a block on its way.
type writing struct {
	d        *Server
	s        stream
	r        *replica
	step     Step
	conn     net.Conn
	next     net.Conn      // nil: it is the last
	answers  *bufio.Reader // of next
	checksum *pb.ChecksumProto
}

// packet takes a packet, and reports whether another may follow.
func (w *writing) packet() bool {
	var head [6]byte
	if _, err := io.ReadFull(w.s, head[:]); err != nil {
		return false
	}
	b := make([]byte, int(binary.BigEndian.Uint16(head[4:]))+int(binary.BigEndian.Uint32(head[:]))-4)
	if _, err := io.ReadFull(w.s, b); err != nil {
		return false
	}
	var h pb.PacketHeaderProto
	if err := proto.Unmarshal(b[:binary.BigEndian.Uint16(head[4:])], &h); err != nil {
		w.d.t.Error(err)
		return false
	}
	body := b[binary.BigEndian.Uint16(head[4:]):]
	sums, data := body[:len(body)-int(h.GetDataLen())], body[len(body)-int(h.GetDataLen()):]
	alive := h.GetSeqno() == -1
	if !alive {
		w.step.Packet++
	}
	w.step.Offset, w.step.Last = h.GetOffsetInBlock(), h.GetLastPacketInBlock()
	trip := Well
	if !alive {
		trip = w.d.trips(w.step)
	}
	status := pb.Status_SUCCESS
	switch trip {
	case Die:
		w.d.die()
		return false
	case Silence:
		_, _ = io.Copy(io.Discard, w.s)
		return false
	case Refuse:
		status = pb.Status_ERROR_CHECKSUM
	}
	var behind []pb.Status
	if w.next != nil {
		if _, err := w.next.Write(append(head[:], b...)); err != nil {
			behind = []pb.Status{pb.Status_ERROR}
		}
	}
	if !alive && status == pb.Status_SUCCESS && !w.keep(&h, sums, data) {
		return false
	}
	if w.next != nil && behind == nil {
		var m pb.PipelineAckProto
		if w.d.receive(stream{Reader: w.answers}, &m) {
			behind = m.GetReply()
			if m.GetSeqno() != h.GetSeqno() {
				behind = []pb.Status{pb.Status_ERROR}
			}
		} else {
			behind = []pb.Status{pb.Status_ERROR}
		}
	}
	w.d.mu.Lock()
	if alive {
		w.d.seen.Heartbeats++
		w.d.beat.Broadcast()
	}
	good := status == pb.Status_SUCCESS
	for _, s := range behind {
		good = good && s == pb.Status_SUCCESS
	}
	if end := int(h.GetOffsetInBlock()) + len(data); good && !alive && end > w.r.confirmed && w.r.writer == w.conn {
		w.r.confirmed = end
	}
	w.d.mu.Unlock()
	seq, reply := h.GetSeqno(), append([]pb.Status{status}, behind...)
	switch trip {
	case DieAfter:
		w.d.die()
		return false
	case Confused:
		seq += 1000
	case Truncated:
		reply = reply[1:]
	}
	w.d.send(w.s, &pb.PipelineAckProto{Seqno: &seq, Reply: reply})
	if !good {
		// A DataNode leaves it to the writer to hang up. A connection that is closed over unread
		// packets is reset, and takes the answer with it.
		_, _ = io.Copy(io.Discard, w.s)
	}
	return good && !h.GetLastPacketInBlock()
}

// keep stores what a packet holds, and holds it to the rules that DataNodes have.
func (w *writing) keep(h *pb.PacketHeaderProto, sums, data []byte) bool {
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	if w.r.writer != w.conn {
		return false // another took over
	}
	from, chunk := int(h.GetOffsetInBlock()), int(w.checksum.GetBytesPerChecksum())
	if from > len(w.r.data) {
		w.d.t.Errorf("packet from %d on, where there are %d bytes", from, len(w.r.data))
		return false
	}
	if inside := from % chunk; inside > 0 && len(data) > chunk-inside {
		w.d.t.Errorf("packet of %d bytes from %d on, inside a chunk and beyond it", len(data), from)
		return false
	}
	if h.GetLastPacketInBlock() {
		if len(data) > 0 || from != len(w.r.data) {
			w.d.t.Errorf("the block of %d bytes ends at %d with %d bytes more", len(w.r.data), from, len(data))
		}
		w.r.whole, w.r.writer = true, nil
		return true
	}
	if want := Checksums(data, Shape{Chunk: chunk, Checksum: w.checksum.GetType()}); !bytes.Equal(want, sums) {
		w.d.t.Errorf("checksums of the packet from %d on are wrong", from)
		return false
	}
	if end := from + len(data); end > len(w.r.data) {
		w.r.data = append(w.r.data, data[len(w.r.data)-from:]...)
	}
	return true
}
