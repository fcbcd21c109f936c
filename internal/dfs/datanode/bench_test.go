package datanode_test

import (
	"io"
	"net"
	"testing"
	"time"

	"tfos/internal/dfs/datanode"
	"tfos/internal/dfs/datanode/datanodetest"
	"tfos/internal/hadoop/pb"
)

// BenchmarkRead reads a block in sequence, and BenchmarkSmallReads 4 KiB at a time here and there.
// The DataNode is a process's own, and what it costs is in the figures.
func BenchmarkRead(b *testing.B) { benchmark(b, 64<<20, 1<<20) }

func BenchmarkSmallReads(b *testing.B) { benchmark(b, 4<<10, 4<<10) }

func benchmark(b *testing.B, length, piece int) {
	d := datanodetest.Start(b, datanodetest.Shape{Checksum: pb.ChecksumTypeProto_CHECKSUM_CRC32C})
	d.Put(7, make([]byte, 64<<20))
	c := datanode.New(datanode.Options{Dial: new(net.Dialer).DialContext, Timeout: time.Minute})
	defer c.Close()
	b.SetBytes(int64(length))
	p := make([]byte, piece)
	at := int64(0)
	for b.Loop() {
		r, err := c.Open(b.Context(), datanode.Range{Addr: d.Addr(), Block: block(7), Offset: at, Length: int64(length)})
		if err != nil {
			b.Fatal(err)
		}
		for {
			if _, err := r.Read(p); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
		at = (at + 7*int64(length)) % (64<<20 - int64(length) + 1)
	}
}

// BenchmarkWrite writes a block through one DataNode, a process's own too.
func BenchmarkWrite(b *testing.B) {
	const length, piece = 64 << 20, 1 << 20
	d := datanodetest.Start(b, datanodetest.Shape{})
	c := datanode.New(datanode.Options{Dial: new(net.Dialer).DialContext, Timeout: time.Minute})
	defer c.Close()
	packets, err := datanode.NewPackets(pb.ChecksumTypeProto_CHECKSUM_CRC32C, 512, 64<<10)
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, piece)
	b.SetBytes(length)
	for id := uint64(0); b.Loop(); id++ {
		p, err := c.Write(b.Context(), datanode.Construction{
			Addr: d.Addr(), Client: "client", Block: block(id), Token: goodToken, Nodes: []datanode.Node{{Info: d.Node()}},
			Stage: pb.OpWriteBlockProto_PIPELINE_SETUP_CREATE, Size: length, Packets: packets,
		})
		if err != nil {
			b.Fatal(err)
		}
		seq, at := int64(0), int64(0)
		packet := packets.New(seq, at, length)
		for at < length {
			for rest := data; len(rest) > 0; {
				rest = rest[packet.Write(rest):]
				if !packet.Full() {
					continue
				}
				at, seq = packet.End(), seq+1
				if err := p.Send(packet); err != nil {
					b.Fatal(err)
				}
				if packet = nil; at < length {
					packet = packets.New(seq, at, length)
				}
			}
		}
		if err := p.Send(packets.Last(seq, at)); err != nil {
			b.Fatal(err)
		}
		if err := p.Flush(); err != nil {
			b.Fatal(err)
		}
		p.Close()
		d.Forget(id)
	}
}
