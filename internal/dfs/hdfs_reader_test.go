package dfs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"tfos/internal/dfs/datanode"
	"tfos/internal/dfs/datanode/datanodetest"
	"tfos/internal/hadoop/conf"
	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/rpc"
)

// fakeFile is a file of three blocks on two DataNodes, both of which have all.
type fakeFile struct {
	*HDFS
	content []byte
	nodes   [2]*datanodetest.Server

	mu       sync.Mutex
	token    string                        // guarded by mu, as what follows; of the blocks
	reported []*pb.LocatedBlockProto       // as damaged
	located  *pb.LocatedBlocksProto        // nil: the three blocks
	status   func(*pb.HdfsFileStatusProto) // changes the file's status
	asked    int                           // for locations
}

const fakeBlock = 100_000

func newFakeFile(t *testing.T, timeout time.Duration) *fakeFile {
	t.Helper()
	f := &fakeFile{content: make([]byte, 2*fakeBlock+5000), token: "first"}
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(f.content)
	for i := range f.nodes {
		f.nodes[i] = datanodetest.Start(t, datanodetest.Shape{Checksum: pb.ChecksumTypeProto_CHECKSUM_CRC32C, Packet: 10 << 10})
		for id := uint64(0); id < 3; id++ {
			f.nodes[i].Put(id, f.content[id*fakeBlock:min((id+1)*fakeBlock, uint64(len(f.content)))])
		}
	}
	n := startNameNode(t, map[string]func([]byte) (proto.Message, error){
		"getServerDefaults": answer(serverDefaults(false)),
		"getFileInfo": func([]byte) (proto.Message, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return &pb.GetFileInfoResponseProto{Fs: file(func(s *pb.HdfsFileStatusProto) {
				s.Length = proto.Uint64(uint64(len(f.content)))
				if f.status != nil {
					f.status(s)
				}
			})}, nil
		},
		"getBlockLocations": func([]byte) (proto.Message, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.asked++
			if f.located != nil {
				return &pb.GetBlockLocationsResponseProto{Locations: f.located}, nil
			}
			return located(func(l *pb.LocatedBlocksProto) {
				l.FileLength = proto.Uint64(uint64(len(f.content)))
				for id := uint64(0); id < 3; id++ {
					l.Blocks = append(l.Blocks, f.block(id))
				}
			}), nil
		},
		"reportBadBlocks": func(request []byte) (proto.Message, error) {
			var req pb.ReportBadBlocksRequestProto
			err := proto.Unmarshal(request, &req)
			f.mu.Lock()
			defer f.mu.Unlock()
			f.reported = append(f.reported, req.GetBlocks()...)
			return &pb.ReportBadBlocksResponseProto{}, err
		},
	})
	h, err := Open(t.Context(), "hdfs://"+n.addr, Options{Conf: conf.New(conf.Environment{}), User: "ann", Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	f.HDFS = h.(*HDFS)
	return f
}

// block is where one is. The caller holds mu.
func (f *fakeFile) block(id uint64) *pb.LocatedBlockProto {
	length := min(fakeBlock, uint64(len(f.content))-id*fakeBlock)
	return &pb.LocatedBlockProto{
		B:    &pb.ExtendedBlockProto{PoolId: proto.String("pool"), BlockId: &id, GenerationStamp: proto.Uint64(1), NumBytes: &length},
		Locs: []*pb.DatanodeInfoProto{f.nodes[0].Node(), f.nodes[1].Node()}, Offset: proto.Uint64(id * fakeBlock), Corrupt: proto.Bool(false),
		BlockToken: &pb.TokenProto{Identifier: []byte(f.token), Password: []byte{}, Kind: proto.String(""), Service: proto.String("")},
	}
}

func (f *fakeFile) open(t *testing.T) File {
	t.Helper()
	file, err := f.Open(t.Context(), "/file")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

func (f *fakeFile) want(t *testing.T, file io.Reader) {
	t.Helper()
	if got, err := io.ReadAll(file); err != nil || !bytes.Equal(got, f.content) {
		t.Errorf("%d bytes, %v, want the file's %d", len(got), err, len(f.content))
	}
}

// Reading in sequence asks twice for the first block and once for each other, and reading here and
// there once for each read, all on few connections.
func TestReadsThatFollowEachOther(t *testing.T) {
	f := newFakeFile(t, 5*time.Second)
	file := f.open(t)
	f.want(t, file)
	if seen := f.nodes[0].Seen(); seen.Requests != 4 || seen.Connections != 1 {
		t.Errorf("reading in sequence: the DataNode has seen %+v", seen)
	}
	seeded := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 4096)
	const reads = 50
	for range reads {
		at := seeded.Int64N(2 * fakeBlock / 3)
		at += at / (fakeBlock / 2) * fakeBlock / 2 // none crosses the end of a block
		if n, err := file.ReadAt(b, at); n != len(b) || err != nil || !bytes.Equal(b, f.content[at:][:n]) {
			t.Fatalf("%d bytes at %d, %v", n, at, err)
		}
	}
	if seen := f.nodes[0].Seen(); seen.Requests > 4+reads+2 || seen.Connections > 2 {
		t.Errorf("reading here and there: the DataNode has seen %+v", seen)
	}
}

func TestManyReadAtOnce(t *testing.T) {
	f := newFakeFile(t, 30*time.Second)
	var reading sync.WaitGroup
	for range 8 {
		reading.Go(func() {
			file, err := f.Open(t.Context(), "/file")
			if err != nil {
				t.Error(err)
				return
			}
			defer file.Close()
			reading := sync.WaitGroup{}
			for i := range 4 {
				reading.Go(func() {
					f.want(t, io.MultiReader(bytes.NewReader(f.content[:i*1000]), io.NewSectionReader(file, int64(i)*1000, 1<<40)))
				})
			}
			reading.Wait()
		})
	}
	reading.Wait()
}

func TestReplicaThatFails(t *testing.T) {
	for _, c := range []struct {
		name     string
		fail     func(f *fakeFile)
		reported int
	}{
		{"dead from the start", func(f *fakeFile) { f.nodes[0].Stop() }, 0},
		{"dies in the middle", func(f *fakeFile) { f.nodes[0].Fail(1, datanodetest.Fault{Die: 50_000}) }, 0},
		{"is damaged", func(f *fakeFile) { f.nodes[0].Fail(1, datanodetest.Fault{Flip: 50_000}) }, 1},
		{"is damaged in the first packet", func(f *fakeFile) { f.nodes[0].Fail(0, datanodetest.Fault{Flip: 5}) }, 1},
		{"is silent", func(f *fakeFile) { f.nodes[0].Fail(1, datanodetest.Fault{Stall: make(chan struct{})}) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFakeFile(t, 500*time.Millisecond)
			c.fail(f)
			f.want(t, f.open(t))
			f.mu.Lock()
			defer f.mu.Unlock()
			if len(f.reported) != c.reported {
				t.Fatalf("the NameNode was told of %d damaged replicas, want %d", len(f.reported), c.reported)
			}
			for _, b := range f.reported {
				if len(b.GetLocs()) != 1 || b.GetLocs()[0].GetId().GetDatanodeUuid() != f.nodes[0].Addr() {
					t.Errorf("it was told of %v", b)
				}
			}
			if f.asked != 1 {
				t.Errorf("it was asked %d times where the blocks are, want once", f.asked)
			}
		})
	}
}

func TestEveryReplicaIsDamaged(t *testing.T) {
	f := newFakeFile(t, 5*time.Second)
	f.nodes[0].Fail(1, datanodetest.Fault{Flip: 50_000})
	f.nodes[1].Fail(1, datanodetest.Fault{Flip: 60_000})
	file := f.open(t)
	// The first replica gives the second half of the block, the second the first half.
	f.want(t, file)
	f.nodes[1].Fail(1, datanodetest.Fault{Flip: 50_001})
	f.blocks.pause = 16 * time.Microsecond
	if _, err := file.ReadAt(make([]byte, 10), fakeBlock+50_000); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "/file") {
		t.Errorf("error %v, want ErrCorrupt", err)
	}
}

// A block token that expired while the file was open is replaced.
func TestExpiredBlockToken(t *testing.T) {
	f := newFakeFile(t, 5*time.Second)
	file := f.open(t)
	for _, d := range f.nodes {
		d.Want("second")
	}
	f.mu.Lock()
	f.token = "second"
	f.mu.Unlock()
	f.want(t, file)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked != 2 {
		t.Errorf("the NameNode was asked %d times where the blocks are, want twice", f.asked)
	}
}

func TestFileThatWasReplaced(t *testing.T) {
	f := newFakeFile(t, 5*time.Second)
	file := f.open(t)
	for _, d := range f.nodes {
		d.Want("second")
	}
	f.mu.Lock()
	other := f.block(2)
	other.Offset = proto.Uint64(0)
	f.located = located(func(l *pb.LocatedBlocksProto) { l.Blocks = []*pb.LocatedBlockProto{other} }).Locations
	f.mu.Unlock()
	if _, err := io.ReadAll(file); !errors.Is(err, errReplaced) {
		t.Errorf("error %v, want errReplaced", err)
	}
}

// A file that another is writing can be read up to where its DataNodes say.
func TestFileThatIsBeingWritten(t *testing.T) {
	f := newFakeFile(t, 5*time.Second)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	calls := rpc.NewServer(rpc.ServerOptions{Listener: listener})
	calls.Register(clientDatanodeProtocol, 1, func(_ context.Context, _ rpc.Caller, method string, request []byte) (proto.Message, error) {
		var req pb.GetReplicaVisibleLengthRequestProto
		if err := proto.Unmarshal(request, &req); err != nil || method != "getReplicaVisibleLength" || req.GetBlock().GetBlockId() != 2 {
			t.Errorf("%s of %v, %v", method, &req, err)
		}
		return &pb.GetReplicaVisibleLengthResponseProto{Length: proto.Uint64(5000)}, nil
	})
	var serving sync.WaitGroup
	serving.Go(func() { _ = calls.Serve(context.Background()) })
	defer serving.Wait()
	defer calls.Close()

	f.token = "" // as where there are none
	last := f.block(2)
	last.B.NumBytes = proto.Uint64(0)
	last.Locs[1].Id.IpcPort = proto.Uint32(uint32(listener.Addr().(*net.TCPAddr).Port)) // of the first it is nobody's
	f.located = located(func(l *pb.LocatedBlocksProto) {
		l.FileLength, l.UnderConstruction, l.IsLastBlockComplete = proto.Uint64(2*fakeBlock), proto.Bool(true), proto.Bool(false)
		l.Blocks, l.LastBlock = []*pb.LocatedBlockProto{f.block(0), f.block(1), last}, last
	}).Locations
	f.status = func(s *pb.HdfsFileStatusProto) { s.Length = proto.Uint64(2 * fakeBlock) }
	file := f.open(t)
	if file.Size() != int64(len(f.content)) {
		t.Errorf("size %d, want %d", file.Size(), len(f.content))
	}
	f.want(t, file)
}

func TestEmptyFile(t *testing.T) {
	f := newFakeFile(t, 5*time.Second)
	f.content = nil
	f.located = located(func(l *pb.LocatedBlocksProto) { l.FileLength = proto.Uint64(0) }).Locations
	file := f.open(t)
	f.want(t, file)
	if n, err := file.ReadAt(make([]byte, 1), 0); n != 0 || err != io.EOF {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// Closing a file ends the reads that wait for a DataNode.
func TestCloseEndsReads(t *testing.T) {
	f := newFakeFile(t, time.Minute)
	asked := make(chan struct{}, 1)
	f.nodes[0].Fail(0, datanodetest.Fault{Stall: asked})
	file := f.open(t)
	var reading sync.WaitGroup
	reading.Go(func() {
		if _, err := file.Read(make([]byte, 10)); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("error %v, want ErrClosed", err)
		}
	})
	<-asked
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	reading.Wait()
}

func TestBlockOnNoDataNode(t *testing.T) {
	h := &HDFS{}
	b := block{located: &pb.LocatedBlockProto{B: &pb.ExtendedBlockProto{BlockId: proto.Uint64(7)}}}
	r := &replicas{fs: h, client: datanode.New(datanode.Options{})}
	if _, _, err := r.open(t.Context(), b, 0, 1, make([]byte, 1)); !errors.Is(err, ErrUnreachable) {
		t.Errorf("error %v, want ErrUnreachable", err)
	}
}

// unpack takes the packets of a connection that was given away apart, up to the end of the file's
// part.
func unpack(t *testing.T, d Direct) []byte {
	t.Helper()
	defer d.Socket.Close()
	from := io.MultiReader(bytes.NewReader(d.Ahead), d.Socket)
	var all []byte
	for int64(len(all)) < d.End-d.Block-d.Offset {
		var head [6]byte
		if _, err := io.ReadFull(from, head[:]); err != nil {
			t.Fatal(err)
		}
		header, rest := make([]byte, binary.BigEndian.Uint16(head[4:])), make([]byte, binary.BigEndian.Uint32(head[:])-4)
		if _, err := io.ReadFull(from, header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(from, rest); err != nil {
			t.Fatal(err)
		}
		var h pb.PacketHeaderProto
		if err := proto.Unmarshal(header, &h); err != nil {
			t.Fatal(err)
		}
		all = append(all, rest[len(rest)-int(h.GetDataLen()):]...)
	}
	return all
}

// A connection that is given away brings what one block has of what was asked for, from a replica
// that is there.
func TestDirect(t *testing.T) {
	f := newFakeFile(t, 5*time.Second)
	file := f.open(t).(*hdfsFile)
	f.nodes[0].Stop()
	for _, c := range []struct{ offset, length, end int64 }{
		{0, 10, 10}, {1000, 1 << 40, fakeBlock}, {fakeBlock + 77, 50_000, fakeBlock + 50_077}, {2*fakeBlock + 4999, 7, 2*fakeBlock + 5000},
	} {
		d, err := file.Direct(t.Context(), c.offset, c.length)
		if err != nil {
			t.Fatal(err)
		}
		begin := d.Block + d.Offset
		if d.End != c.end || begin > c.offset || d.Chunk != 512 {
			t.Errorf("[%d, +%d): %+v", c.offset, c.length, d)
		}
		got := unpack(t, d)
		if want := f.content[begin:c.end]; len(got) < len(want) || !bytes.Equal(got[:len(want)], want) {
			t.Errorf("[%d, +%d): other bytes", c.offset, c.length)
		}
	}
	if _, err := file.Direct(t.Context(), file.Size(), 1); err != io.EOF {
		t.Errorf("behind the end: %v", err)
	}
}

// One that is said to be silent is asked last.
func TestDistrust(t *testing.T) {
	f := newFakeFile(t, 5*time.Second)
	file := f.open(t).(*hdfsFile)
	for _, node := range f.nodes {
		d, err := file.Direct(t.Context(), 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		d.Socket.Close()
		if d.Addr != node.Addr() {
			t.Errorf("%s was asked, want %s", d.Addr, node.Addr())
		}
		file.Distrust(d)
	}
}

// Where packets are not as they could be given away a DataNode is asked for some once, and then all
// is read through the file.
func TestDirectOfOtherPackets(t *testing.T) {
	f := newFakeFile(t, 5*time.Second)
	for i := range f.nodes {
		f.nodes[i] = datanodetest.Start(t, datanodetest.Shape{Checksum: pb.ChecksumTypeProto_CHECKSUM_CRC32})
		for id := range uint64(3) {
			f.nodes[i].Put(id, f.content[id*fakeBlock:min((id+1)*fakeBlock, uint64(len(f.content)))])
		}
	}
	file := f.open(t).(*hdfsFile)
	for range 3 {
		if _, err := file.Direct(t.Context(), 0, 10); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v, want ErrUnsupported", err)
		}
	}
	if seen := f.nodes[0].Seen(); seen.Requests != 1 {
		t.Errorf("the DataNode has seen %+v", seen)
	}
	f.want(t, file)
}
