package datanode_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"tfos/internal/dfs/datanode"
	"tfos/internal/dfs/datanode/datanodetest"
	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/sasl"
)

// construction is a new block 7 on these DataNodes.
func construction(t *testing.T, packets *datanode.Packets, nodes ...*datanodetest.Server) datanode.Construction {
	t.Helper()
	c := datanode.Construction{
		Addr: nodes[0].Addr(), Client: "client", Block: block(7), Token: goodToken, Stage: pb.OpWriteBlockProto_PIPELINE_SETUP_CREATE, Size: 1 << 20, Packets: packets,
	}
	for _, d := range nodes {
		c.Nodes = append(c.Nodes, datanode.Node{Info: d.Node(), Storage: pb.StorageTypeProto_DISK, StorageID: "s"})
	}
	return c
}

func newPackets(t *testing.T, kind pb.ChecksumTypeProto, chunk, size int) *datanode.Packets {
	t.Helper()
	p, err := datanode.NewPackets(kind, chunk, size)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// writeAll writes a block in pieces, each of which is confirmed before the next, and ends it.
func writeAll(p *datanode.Pipeline, packets *datanode.Packets, content []byte, pieces ...int) error {
	offset, seq := int64(0), int64(0)
	for _, n := range append(pieces, len(content)) {
		piece := content[:min(n, len(content))]
		content = content[len(piece):]
		for len(piece) > 0 {
			packet := packets.New(seq, offset, 1<<20)
			n := packet.Write(piece)
			piece, offset, seq = piece[n:], offset+int64(n), seq+1
			if err := p.Send(packet); err != nil {
				return err
			}
		}
		if err := p.Flush(); err != nil {
			return err
		}
		if p.Length() != offset {
			return fmt.Errorf("%d bytes are confirmed, want %d", p.Length(), offset)
		}
	}
	if err := p.Send(packets.Last(seq, offset)); err != nil {
		return err
	}
	return p.Flush()
}

func TestWrite(t *testing.T) {
	content := random(400_000)
	for _, c := range []struct {
		kind        pb.ChecksumTypeProto
		chunk, size int
		nodes       int
		allowed     []sasl.QOP
		aes         bool
	}{
		{kind: pb.ChecksumTypeProto_CHECKSUM_CRC32C, chunk: 512, size: 64 << 10, nodes: 3},
		{kind: pb.ChecksumTypeProto_CHECKSUM_CRC32C, chunk: 512, size: 1, nodes: 2},
		{kind: pb.ChecksumTypeProto_CHECKSUM_CRC32, chunk: 1000, size: 10_500, nodes: 1},
		{kind: pb.ChecksumTypeProto_CHECKSUM_NULL, chunk: 512, size: 64 << 10, nodes: 1},
		{kind: pb.ChecksumTypeProto_CHECKSUM_CRC32C, chunk: 512, size: 64 << 10, nodes: 1, allowed: []sasl.QOP{sasl.Auth}},
		{kind: pb.ChecksumTypeProto_CHECKSUM_CRC32C, chunk: 512, size: 64 << 10, nodes: 1, allowed: []sasl.QOP{sasl.AuthInt}},
		{kind: pb.ChecksumTypeProto_CHECKSUM_CRC32C, chunk: 512, size: 64 << 10, nodes: 1, allowed: []sasl.QOP{sasl.AuthConf}},
		{kind: pb.ChecksumTypeProto_CHECKSUM_CRC32C, chunk: 512, size: 64 << 10, nodes: 1, allowed: []sasl.QOP{sasl.AuthConf}, aes: true},
	} {
		t.Run(fmt.Sprint(c.kind, c.size, c.nodes, c.allowed, c.aes), func(t *testing.T) {
			var nodes []*datanodetest.Server
			for range c.nodes {
				nodes = append(nodes, datanodetest.Start(t, datanodetest.Shape{Allowed: c.allowed, AES: c.aes}))
			}
			packets := newPackets(t, c.kind, c.chunk, c.size)
			p, err := client(t, datanode.Options{Allowed: c.allowed, AES: c.aes}).Write(t.Context(), construction(t, packets, nodes...))
			if err != nil {
				t.Fatal(err)
			}
			if err := writeAll(p, packets, content, 1, 511, 1, 600, 70_000, 3); err != nil {
				t.Error(err)
			}
			if rest := p.Close(); len(rest) > 0 {
				t.Errorf("%d packets are unconfirmed", len(rest))
			}
			for _, d := range nodes {
				if got, stamp, whole := d.Replica(7); !bytes.Equal(got, content) || !whole || stamp != 1 {
					t.Errorf("a DataNode has %d bytes of generation %d, whole %v", len(got), stamp, whole)
				}
			}
		})
	}
}

// Whatever goes wrong in a pipeline, the DataNode that did it is named, and what it did not confirm
// is given back: with what all have it is the block.
func TestPipelineFaults(t *testing.T) {
	content := random(400_000)
	for _, c := range []struct {
		name    string
		trip    datanodetest.Trip
		packet  int // 0: building fails
		blaming func(node int) int
	}{
		{"refuses", datanodetest.Refuse, 0, nil},
		{"dies before it is asked", datanodetest.Die, 0, nil},
		{"dies in the middle", datanodetest.Die, 3, nil},
		{"dies after writing", datanodetest.DieAfter, 3, nil},
		{"finds a checksum wrong", datanodetest.Refuse, 3, nil},
		// Who answers nonsense is known by the one before.
		{"confirms another packet", datanodetest.Confused, 3, nil},
		{"dies before the last packet", datanodetest.Die, 8, nil},
		{"dies after the last packet", datanodetest.DieAfter, 8, nil},
		// Of those that do not answer the first cannot be told from who stands before them.
		{"is silent", datanodetest.Silence, 3, func(int) int { return 0 }},
		{"is silent when asked", datanodetest.Silence, 0, func(int) int { return 0 }},
		{"forgets itself", datanodetest.Truncated, 3, func(int) int { return 0 }},
	} {
		for node := range 3 {
			t.Run(fmt.Sprint(c.name, node), func(t *testing.T) {
				var nodes []*datanodetest.Server
				for range 3 {
					nodes = append(nodes, datanodetest.Start(t, datanodetest.Shape{}))
				}
				var faulty sync.Once
				nodes[node].Trip(func(s datanodetest.Step) (trip datanodetest.Trip) {
					if s.Packet == c.packet {
						faulty.Do(func() { trip = c.trip })
					}
					return trip
				})
				packets := newPackets(t, pb.ChecksumTypeProto_CHECKSUM_CRC32C, 512, 64<<10)
				o := datanode.Options{Dial: new(net.Dialer).DialContext, Timeout: time.Minute}
				if c.trip == datanodetest.Silence {
					o.Timeout, o.Patience = 30*time.Millisecond, 30*time.Millisecond
				}
				cl := datanode.New(o)
				defer cl.Close()
				p, err := cl.Write(t.Context(), construction(t, packets, nodes...))
				var rest []*datanode.Packet
				length := int64(0)
				if err == nil {
					err = writeAll(p, packets, content)
					rest, length = p.Close(), p.Length()
				}
				var failed *datanode.PipelineError
				want := node
				if c.blaming != nil {
					want = c.blaming(node)
				}
				if !errors.As(err, &failed) || failed.Node != want {
					t.Errorf("error %v, want DataNode %d blamed", err, want)
				}
				if c.packet == 0 {
					return
				}
				for _, packet := range rest {
					if packet.End() < length {
						t.Errorf("a packet up to %d is unconfirmed, where %d bytes are confirmed", packet.End(), length)
					}
				}
				for i, d := range nodes {
					if got, _, _ := d.Replica(7); !bytes.HasPrefix(content, got) || int64(len(got)) < length {
						t.Errorf("DataNode %d has %d bytes, where %d are confirmed", i, len(got), length)
					}
				}
			})
		}
	}
}

// A pipeline that nobody sends through for long stays, and sends on.
func TestIdlePipeline(t *testing.T) {
	d := datanodetest.Start(t, datanodetest.Shape{})
	packets := newPackets(t, pb.ChecksumTypeProto_CHECKSUM_CRC32C, 512, 64<<10)
	cl := datanode.New(datanode.Options{Dial: new(net.Dialer).DialContext, Timeout: 40 * time.Millisecond, Patience: 5 * time.Second})
	defer cl.Close()
	p, err := cl.Write(t.Context(), construction(t, packets, d))
	if err != nil {
		t.Fatal(err)
	}
	d.AwaitHeartbeats(3)
	if err := writeAll(p, packets, random(1000)); err != nil {
		t.Error(err)
	}
	p.Close()
}

// Memory is bounded: who sends more than a pipeline confirms waits.
func TestUnconfirmedPacketsAreFew(t *testing.T) {
	d := datanodetest.Start(t, datanodetest.Shape{})
	asked := make(chan struct{})
	var first sync.Once
	d.Trip(func(s datanodetest.Step) datanodetest.Trip {
		if s.Packet > 0 {
			first.Do(func() { close(asked) })
			return datanodetest.Silence
		}
		return datanodetest.Well
	})
	packets := newPackets(t, pb.ChecksumTypeProto_CHECKSUM_CRC32C, 512, 512)
	p, err := client(t, datanode.Options{}).Write(t.Context(), construction(t, packets, d))
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	var sending sync.WaitGroup
	sending.Go(func() {
		for offset := int64(0); ; sent++ {
			packet := packets.New(int64(sent), offset, 1<<20)
			packet.Write(make([]byte, 512))
			offset = packet.End()
			if p.Send(packet) != nil {
				return
			}
		}
	})
	<-asked
	d.Stop()
	sending.Wait()
	if rest := p.Close(); len(rest) > 64 || sent > 63 {
		t.Errorf("%d packets were sent and %d are unconfirmed", sent, len(rest))
	}
}

// Bytes that are appended come under a new generation stamp, and a replica that is behind is not
// taken for whole.
func TestAppendToBlock(t *testing.T) {
	content := random(100_000)
	d := datanodetest.Start(t, datanodetest.Shape{})
	d.Put(7, slices.Clone(content[:70_001]))
	packets := newPackets(t, pb.ChecksumTypeProto_CHECKSUM_CRC32C, 512, 64<<10)
	o := construction(t, packets, d)
	o.Stage, o.Stamp, o.Confirmed, o.Sent = pb.OpWriteBlockProto_PIPELINE_SETUP_APPEND, 2, 70_000, 70_000
	cl := client(t, datanode.Options{})
	if _, err := cl.Write(t.Context(), o); !errors.As(err, new(*datanode.PipelineError)) {
		t.Errorf("appending to 70,001 bytes as if there were 70,000: %v", err)
	}
	o.Confirmed, o.Sent = 70_001, 70_001
	p, err := cl.Write(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	at := int64(70_001)
	for seq, rest := int64(0), content[at:]; len(rest) > 0; seq++ {
		packet := packets.New(seq, at, 1<<20)
		rest = rest[packet.Write(rest):]
		if at = packet.End(); seq == 0 && at%512 != 0 {
			t.Errorf("the first packet ends at %d, inside a chunk", at)
		}
		if err := p.Send(packet); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Send(packets.Last(100, at)); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(); err != nil {
		t.Error(err)
	}
	p.Close()
	if got, stamp, whole := d.Replica(7); !bytes.Equal(got, content) || stamp != 2 || !whole {
		t.Errorf("%d bytes of generation %d, whole %v", len(got), stamp, whole)
	}
}

// Write what was read: random sizes, so that packets begin and end everywhere.
func TestWritesOfRandomSizes(t *testing.T) {
	seeded := rand.New(rand.NewPCG(1, 2))
	content := random(100_000)
	for range 20 {
		d := datanodetest.Start(t, datanodetest.Shape{})
		packets := newPackets(t, pb.ChecksumTypeProto_CHECKSUM_CRC32C, 64<<seeded.IntN(4), 1<<seeded.IntN(17))
		p, err := client(t, datanode.Options{}).Write(t.Context(), construction(t, packets, d))
		if err != nil {
			t.Fatal(err)
		}
		var pieces []int
		for range 20 {
			pieces = append(pieces, seeded.IntN(5000))
		}
		if err := writeAll(p, packets, content, pieces...); err != nil {
			t.Error(err)
		}
		p.Close()
		if got, _, whole := d.Replica(7); !bytes.Equal(got, content) || !whole {
			t.Errorf("%d bytes came, whole %v", len(got), whole)
		}
	}
}
