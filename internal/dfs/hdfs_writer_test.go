package dfs

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
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

// fakeCluster is a NameNode that keeps one file at a time, and DataNodes. It holds the writer to
// the rules that a real one has.
type fakeCluster struct {
	*HDFS
	*fakeNameNode
	t     *testing.T
	nodes []*datanodetest.Server

	mu       sync.Mutex
	path     string // guarded by mu, as what follows; of the file; "": there is none
	holder   string // of its lease; "": it is closed
	blocks   []*pb.LocatedBlockProto
	block    uint64 // the last that was given out
	stamp    uint64 // the last that was given out
	copies   int    // of each block
	synced   int64  // the length that the writer told
	early    int    // how many times the next block is refused because the one before is nowhere
	late     int    // how many times the file cannot be closed because too few DataNodes have told of its last block
	given    int    // blocks that were given back
	renewed  int    // leases
	rebuilt  int    // pipelines
	named    []uint64
	replaced func(*pb.AddBlockRequestProto) // looks at requests for blocks
	created  func()                         // happens when a file has been made, before its writer is told
	removed  chan string                    // gets the paths that were removed, if it has room
}

const (
	fakeBlockSize = 64 << 10
	fakeMaster    = 1000 // the first block and generation stamp
)

func newFakeCluster(t *testing.T, dataNodes int, o Options, settings ...string) *fakeCluster {
	t.Helper()
	f := &fakeCluster{t: t, block: fakeMaster, stamp: fakeMaster}
	for range dataNodes {
		f.nodes = append(f.nodes, datanodetest.Start(t, datanodetest.Shape{Checksum: pb.ChecksumTypeProto_CHECKSUM_CRC32C}))
	}
	defaults := serverDefaults(false)
	defaults.ServerDefaults.BlockSize, defaults.ServerDefaults.WritePacketSize = proto.Uint64(fakeBlockSize), proto.Uint32(4096)
	defaults.ServerDefaults.ChecksumType = pb.ChecksumTypeProto_CHECKSUM_CRC32C.Enum()
	f.fakeNameNode = startNameNode(t, map[string]func([]byte) (proto.Message, error){
		"getServerDefaults": answer(defaults),
		"getFileInfo": handle(f, func(req *pb.GetFileInfoRequestProto) (proto.Message, error) {
			if f.path == "" || req.GetSrc() != f.path {
				return &pb.GetFileInfoResponseProto{}, nil
			}
			return &pb.GetFileInfoResponseProto{Fs: f.status()}, nil
		}),
		"create": handle(f, func(req *pb.CreateRequestProto) (proto.Message, error) {
			f.path, f.holder, f.blocks, f.copies = req.GetSrc(), req.GetClientName(), nil, int(req.GetReplication())
			if f.created != nil {
				f.created()
			}
			return &pb.CreateResponseProto{Fs: f.status()}, nil
		}),
		"append": handle(f, func(req *pb.AppendRequestProto) (proto.Message, error) {
			if f.holder != "" {
				return nil, &rpc.JavaError{Class: "org.apache.hadoop.hdfs.protocol.AlreadyBeingCreatedException", Message: "it is being written"}
			}
			f.holder = req.GetClientName()
			resp := &pb.AppendResponseProto{Stat: f.status()}
			if n := len(f.blocks); n > 0 && f.blocks[n-1].GetB().GetNumBytes() < fakeBlockSize {
				resp.Block = f.blocks[n-1]
			}
			return resp, nil
		}),
		"addBlock":               handle(f, f.addBlock),
		"abandonBlock":           handle(f, f.abandonBlock),
		"updateBlockForPipeline": handle(f, f.updateBlockForPipeline),
		"updatePipeline":         handle(f, f.updatePipeline),
		"fsync": handle(f, func(req *pb.FsyncRequestProto) (proto.Message, error) {
			f.synced = f.length(len(f.blocks)-1) + req.GetLastBlockLength()
			return &pb.FsyncResponseProto{}, f.leased(req.GetSrc(), req.GetClient())
		}),
		"renewLease": handle(f, func(req *pb.RenewLeaseRequestProto) (proto.Message, error) {
			f.renewed++
			return &pb.RenewLeaseResponseProto{}, nil
		}),
		"complete": handle(f, f.complete),
		"rename2": handle(f, func(req *pb.Rename2RequestProto) (proto.Message, error) {
			f.path = req.GetDst()
			return &pb.Rename2ResponseProto{}, nil
		}),
		"delete": handle(f, func(req *pb.DeleteRequestProto) (proto.Message, error) {
			there := f.path == req.GetSrc()
			f.path, f.holder = "", ""
			select {
			case f.removed <- req.GetSrc():
			default:
			}
			return &pb.DeleteResponseProto{Result: &there}, nil
		}),
		"getBlockLocations": handle(f, func(*pb.GetBlockLocationsRequestProto) (proto.Message, error) {
			return located(func(l *pb.LocatedBlocksProto) {
				l.FileLength = proto.Uint64(uint64(f.length(len(f.blocks))))
				at := uint64(0)
				for _, b := range f.blocks {
					b.Offset = proto.Uint64(at)
					at += b.GetB().GetNumBytes()
					l.Blocks = append(l.Blocks, b)
				}
			}), nil
		}),
	})
	c := conf.New(conf.Environment{})
	if err := c.SetOverrides(settings); err != nil {
		t.Fatal(err)
	}
	o.Conf, o.User = c, "ann"
	h, err := Open(t.Context(), "hdfs://"+f.addr, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	f.HDFS = h.(*HDFS)
	return f
}

// handle decodes a request, and has the cluster to itself.
func handle[T any, M interface {
	*T
	proto.Message
}](f *fakeCluster, do func(M) (proto.Message, error)) func([]byte) (proto.Message, error) {
	return func(request []byte) (proto.Message, error) {
		req := M(new(T))
		if err := proto.Unmarshal(request, req); err != nil {
			return nil, err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		return do(req)
	}
}

// The methods below hold mu.

func (f *fakeCluster) status() *pb.HdfsFileStatusProto {
	return file(func(s *pb.HdfsFileStatusProto) {
		s.Length, s.Blocksize, s.FileId = proto.Uint64(uint64(f.length(len(f.blocks)))), proto.Uint64(fakeBlockSize), proto.Uint64(42)
		s.BlockReplication = proto.Uint32(uint32(f.copies))
	})
}

// length is that of the first n blocks.
func (f *fakeCluster) length(n int) int64 {
	total := int64(0)
	for _, b := range f.blocks[:n] {
		total += int64(b.GetB().GetNumBytes())
	}
	return total
}

func (f *fakeCluster) leased(path, holder string) error {
	if path != f.path || holder != f.holder {
		return &rpc.JavaError{Class: "org.apache.hadoop.hdfs.server.namenode.LeaseExpiredException", Message: "No lease on " + path}
	}
	return nil
}

// commit takes over what the writer says of the last block.
func (f *fakeCluster) commit(b *pb.ExtendedBlockProto) {
	if len(f.blocks) == 0 {
		if b != nil {
			f.t.Errorf("block %v of an empty file", b)
		}
		return
	}
	last := f.blocks[len(f.blocks)-1].GetB()
	if b == nil {
		return
	}
	if b.GetBlockId() != last.GetBlockId() || b.GetGenerationStamp() != last.GetGenerationStamp() || b.GetNumBytes() < last.GetNumBytes() {
		f.t.Errorf("the last block is %v, the writer has %v", last, b)
	}
	last.NumBytes = b.NumBytes
}

func (f *fakeCluster) addBlock(req *pb.AddBlockRequestProto) (proto.Message, error) {
	if err := f.leased(req.GetSrc(), req.GetClientName()); err != nil {
		return nil, err
	}
	for _, n := range req.GetExcludeNodes() {
		if n.GetLocation() == "" {
			return nil, &rpc.JavaError{Class: "java.lang.IllegalArgumentException", Message: "Network Location path does not start with /: null"}
		}
	}
	if f.replaced != nil {
		f.replaced(req)
	}
	if f.early > 0 {
		f.early--
		return nil, &rpc.JavaError{Class: notReplicatedYetException, Message: "Not replicated yet"}
	}
	f.commit(req.GetPrevious())
	f.block++
	f.stamp++
	b := &pb.LocatedBlockProto{
		B:      &pb.ExtendedBlockProto{PoolId: proto.String("pool"), BlockId: proto.Uint64(f.block), GenerationStamp: proto.Uint64(f.stamp), NumBytes: proto.Uint64(0)},
		Offset: proto.Uint64(0), Corrupt: proto.Bool(false),
		BlockToken: &pb.TokenProto{Identifier: []byte{}, Password: []byte{}, Kind: proto.String(""), Service: proto.String("")},
	}
	for i, d := range f.nodes {
		if len(b.Locs) < f.copies && !slices.ContainsFunc(req.GetExcludeNodes(), func(n *pb.DatanodeInfoProto) bool { return n.GetId().GetDatanodeUuid() == d.Addr() }) {
			b.Locs = append(b.Locs, d.Node())
			b.StorageTypes = append(b.StorageTypes, pb.StorageTypeProto_SSD)
			b.StorageIDs = append(b.StorageIDs, fmt.Sprint("storage-", i))
		}
	}
	if len(b.Locs) == 0 {
		return nil, &rpc.JavaError{Class: plainIOException, Message: "could only be written to 0 of the 1 minReplication nodes"}
	}
	f.blocks = append(f.blocks, b)
	return &pb.AddBlockResponseProto{Block: b}, nil
}

func (f *fakeCluster) abandonBlock(req *pb.AbandonBlockRequestProto) (proto.Message, error) {
	last := len(f.blocks) - 1
	if last < 0 || f.blocks[last].GetB().GetBlockId() != req.GetB().GetBlockId() || req.GetFileId() != 42 {
		f.t.Errorf("given back was %v", req)
	}
	f.blocks = f.blocks[:last]
	f.given++
	return &pb.AbandonBlockResponseProto{}, f.leased(req.GetSrc(), req.GetHolder())
}

func (f *fakeCluster) updateBlockForPipeline(req *pb.UpdateBlockForPipelineRequestProto) (proto.Message, error) {
	last := f.blocks[len(f.blocks)-1]
	if b := req.GetBlock(); b.GetBlockId() != last.GetB().GetBlockId() || b.GetGenerationStamp() != last.GetB().GetGenerationStamp() {
		f.t.Errorf("the pipeline of %v is to be built anew, the last block is %v", b, last.GetB())
	}
	f.stamp++
	fresh := proto.CloneOf(last)
	fresh.B.GenerationStamp = &f.stamp
	fresh.Locs = nil
	return &pb.UpdateBlockForPipelineResponseProto{Block: fresh}, nil
}

func (f *fakeCluster) updatePipeline(req *pb.UpdatePipelineRequestProto) (proto.Message, error) {
	last := f.blocks[len(f.blocks)-1]
	was, is := req.GetOldBlock(), req.GetNewBlock()
	if was.GetGenerationStamp() != last.GetB().GetGenerationStamp() || is.GetGenerationStamp() != f.stamp || is.GetNumBytes() < last.GetB().GetNumBytes() ||
		len(req.GetNewNodes()) == 0 || len(req.GetStorageIDs()) != len(req.GetNewNodes()) {
		f.t.Errorf("pipeline of %v became %v, generation %d was the last", was, req, f.stamp)
	}
	last.B = proto.CloneOf(is)
	last.Locs, last.StorageIDs = nil, nil
	for i, id := range req.GetNewNodes() {
		last.Locs = append(last.Locs, &pb.DatanodeInfoProto{Id: id})
		n := slices.IndexFunc(f.nodes, func(d *datanodetest.Server) bool { return d.Addr() == id.GetDatanodeUuid() })
		if storage := req.GetStorageIDs()[i]; storage != fmt.Sprint("storage-", n) {
			f.t.Errorf("DataNode %d keeps the block in %s", n, storage)
		}
	}
	f.rebuilt++
	return &pb.UpdatePipelineResponseProto{}, f.leased(f.path, req.GetClientName())
}

func (f *fakeCluster) complete(req *pb.CompleteRequestProto) (proto.Message, error) {
	if err := f.leased(req.GetSrc(), req.GetClientName()); err != nil {
		return nil, err
	}
	f.named = append(f.named, req.GetLast().GetBlockId())
	f.commit(req.GetLast())
	if f.late > 0 {
		f.late--
		return &pb.CompleteResponseProto{Result: proto.Bool(false)}, nil
	}
	f.holder = ""
	return &pb.CompleteResponseProto{Result: proto.Bool(true)}, nil
}

// want holds the file, which is closed, against content: on each DataNode that the NameNode knows
// of and that lives, and as a reader has it.
func (f *fakeCluster) want(content []byte) {
	f.t.Helper()
	f.mu.Lock()
	at := 0
	for _, b := range f.blocks {
		length, copies := int(b.GetB().GetNumBytes()), 0
		for _, d := range f.nodes {
			named := slices.ContainsFunc(b.GetLocs(), func(n *pb.DatanodeInfoProto) bool { return n.GetId().GetDatanodeUuid() == d.Addr() })
			if !named || !d.Alive() {
				continue
			}
			got, stamp, whole := d.Replica(b.GetB().GetBlockId())
			if stamp != b.GetB().GetGenerationStamp() || !whole || len(got) != length {
				continue // it failed without our knowing, at the end: the NameNode has another made
			}
			if copies++; !bytes.Equal(got, content[min(at, len(content)):min(at+length, len(content))]) {
				f.t.Errorf("a replica of the block at %d is not what was written", at)
			}
		}
		if copies == 0 {
			f.t.Errorf("the block at %d is nowhere", at)
		}
		at += length
	}
	f.mu.Unlock()
	if at != len(content) {
		f.t.Errorf("the file has %d bytes, want %d", at, len(content))
	}
	file, err := f.Open(f.t.Context(), "/file")
	if err != nil {
		f.t.Error(err)
		return
	}
	defer file.Close()
	if got, err := io.ReadAll(file); err != nil || !bytes.Equal(got, content) {
		f.t.Errorf("%d bytes are read back, %v, want the %d that were written", len(got), err, len(content))
	}
}

func pseudorandom(n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(b)
	return b
}

// once is a trip at one step of one block, counted from the file's first.
func once(block, packet int, trip datanodetest.Trip) func(datanodetest.Step) datanodetest.Trip {
	var first sync.Once
	return func(s datanodetest.Step) (at datanodetest.Trip) {
		if s.Block == uint64(fakeMaster+block) && s.Packet == packet {
			first.Do(func() { at = trip })
		}
		return at
	}
}

func patient() Options { return Options{Timeout: 30 * time.Second} }

// Whichever of three DataNodes fails at whatever moment, the file is written, and every replica
// that the NameNode knows of is all of it.
func TestDataNodeThatFails(t *testing.T) {
	content := pseudorandom(fakeBlockSize*5/2 + 1234)
	const packets = fakeBlockSize / 4096 // of a block; one more ends it
	for _, c := range []struct {
		name   string
		block  int
		packet int
		trip   datanodetest.Trip
	}{
		{"does not take the block", 1, 0, datanodetest.Refuse},
		{"dies when it is asked", 1, 0, datanodetest.Die},
		{"dies before it answers", 2, 0, datanodetest.DieAfter},
		{"dies at the first packet", 1, 1, datanodetest.Die},
		{"dies in the middle", 2, 7, datanodetest.Die},
		{"dies before it confirms", 2, 7, datanodetest.DieAfter},
		{"finds a wrong checksum", 2, 7, datanodetest.Refuse},
		{"confirms another packet", 2, 7, datanodetest.Confused},
		{"confirms too little", 2, 7, datanodetest.Truncated},
		{"dies at the end of a block", 1, packets + 1, datanodetest.Die},
		{"dies before it confirms the end of a block", 1, packets + 1, datanodetest.DieAfter},
		{"does not take the end", 1, packets + 1, datanodetest.Refuse},
		{"dies at the end of the file", 3, 10, datanodetest.DieAfter},
	} {
		for node := range 3 {
			t.Run(fmt.Sprint(c.name, " ", node), func(t *testing.T) {
				f := newFakeCluster(t, 3, patient())
				f.nodes[node].Trip(once(c.block, c.packet, c.trip))
				w, err := f.Create(t.Context(), "/file", CreateOptions{})
				if err != nil {
					t.Fatal(err)
				}
				for at := 0; at < len(content); at += 1000 {
					if _, err := w.Write(content[at:min(at+1000, len(content))]); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				f.want(content)
				f.mu.Lock()
				defer f.mu.Unlock()
				if taken := c.packet > 0; f.rebuilt > 0 != taken || !taken && f.given == 0 {
					t.Errorf("%d blocks were given back, and %d pipelines built anew", f.given, f.rebuilt)
				}
			})
		}
	}
}

// A DataNode that says nothing any more is left behind like a dead one.
func TestDataNodeThatIsSilent(t *testing.T) {
	content := pseudorandom(fakeBlockSize * 3 / 2)
	for _, packet := range []int{0, 5, fakeBlockSize/4096 + 1} {
		t.Run(fmt.Sprint(packet), func(t *testing.T) {
			f := newFakeCluster(t, 2, Options{Timeout: 100 * time.Millisecond, Patience: time.Minute})
			f.nodes[0].Trip(func(s datanodetest.Step) datanodetest.Trip {
				if s.Packet == packet {
					return datanodetest.Silence
				}
				return datanodetest.Well
			})
			blocks, err := f.readers(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			blocks.client = datanode.New(datanode.Options{Dial: f.dial, Timeout: 100 * time.Millisecond, Patience: time.Millisecond})
			w, err := f.Create(t.Context(), "/file", CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(content); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			f.want(content)
		})
	}
}

// A file that is appended to and synced goes on like a new one, wherever its end is.
func TestAppendWhileDataNodesFail(t *testing.T) {
	content := pseudorandom(3 * fakeBlockSize)
	for _, begin := range []int{0, 1, 511, 512, 5000, fakeBlockSize - 1, fakeBlockSize} {
		for _, trip := range []datanodetest.Trip{datanodetest.Well, datanodetest.Refuse, datanodetest.Die, datanodetest.DieAfter} {
			for packet := range 4 {
				f := newFakeCluster(t, 3, patient())
				if err := WriteFile(t.Context(), f, "/file", content[:begin], 0); err != nil {
					t.Fatal(err)
				}
				armed := once(1, packet, trip)
				f.nodes[packet%3].Trip(armed)
				w, err := f.Append(t.Context(), "/file")
				if err != nil {
					t.Fatal(err)
				}
				at := begin
				for _, n := range []int{1, 700, 3, 9000, 70_000} {
					if _, err := w.Write(content[at : at+n]); err != nil {
						t.Fatal(err)
					}
					at += n
					if err := w.Sync(); err != nil {
						t.Fatal(err)
					}
					f.mu.Lock()
					if f.synced != int64(at) {
						t.Errorf("the NameNode was told of %d bytes, want %d", f.synced, at)
					}
					f.mu.Unlock()
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				f.want(content[:at])
			}
		}
	}
}

var writeSeeds = flag.Int("write-seeds", 40, "how many random files are written to DataNodes that fail at random")

// As long as one DataNode does its work, and those that do not say so, all that was written is read
// back: random writes and syncs, and random faults at random moments.
func TestRandomFaults(t *testing.T) {
	content := pseudorandom(4 * fakeBlockSize)
	for seed := range uint64(*writeSeeds) {
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			seeded := rand.New(rand.NewPCG(seed, 1))
			f := newFakeCluster(t, 2+seeded.IntN(3), patient())
			for _, d := range f.nodes[1:] {
				var mu sync.Mutex
				own := rand.New(rand.NewPCG(seed, seeded.Uint64()))
				rarity := 5 + own.IntN(60)
				d.Trip(func(datanodetest.Step) datanodetest.Trip {
					mu.Lock()
					defer mu.Unlock()
					if own.IntN(rarity) > 0 {
						return datanodetest.Well
					}
					return []datanodetest.Trip{datanodetest.Refuse, datanodetest.Die, datanodetest.DieAfter, datanodetest.Confused}[own.IntN(4)]
				})
			}
			f.mu.Lock()
			f.early, f.late = seeded.IntN(2), seeded.IntN(3)
			f.mu.Unlock()
			blocks, err := f.readers(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			blocks.pause = time.Millisecond
			w, err := f.Create(t.Context(), "/file", CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			at := 0
			for at < len(content) && seeded.IntN(50) > 0 {
				n := min(seeded.IntN(1<<(4+seeded.IntN(14))), len(content)-at)
				if _, err := w.Write(content[at : at+n]); err != nil {
					t.Fatal(err)
				}
				if at += n; seeded.IntN(3) == 0 {
					if err := w.Sync(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			f.want(content[:at])
		})
		if !ok {
			t.Logf("again: go test ./internal/dfs -run 'TestRandomFaults/^%d$' -write-seeds %d", seed, seed+1)
		}
	}
}

// A file that stays open for long does not run out of DataNodes: a block that lost one ends at the
// next sync.
func TestSyncEndsABlockThatLostADataNode(t *testing.T) {
	f := newFakeCluster(t, 4, patient(), "dfs.replication=2")
	content := pseudorandom(4000)
	w, err := f.Create(t.Context(), "/file", CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	put := func(n int) {
		t.Helper()
		_, err := w.Write(content[1000*n : 1000*(n+1)])
		if err == nil {
			err = w.Sync()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put(0)
	f.nodes[0].Stop()
	put(1)
	put(2)
	f.nodes[2].Stop()
	put(3)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f.want(content)
	var copies []int
	for _, b := range f.blocks {
		copies = append(copies, len(b.GetLocs()))
	}
	if !slices.Equal(copies, []int{1, 1}) || f.rebuilt != 2 {
		t.Errorf("the blocks went to %d DataNodes in the end, %d pipelines were built anew", copies, f.rebuilt)
	}
}

// Where no DataNode of a block is left the write fails with a sentence that says so, and nothing of
// the file stays.
func TestEveryDataNodeFails(t *testing.T) {
	f := newFakeCluster(t, 2, patient())
	blocks, err := f.readers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	blocks.pause = time.Millisecond
	for _, d := range f.nodes {
		d.Trip(once(1, 3, datanodetest.Die))
	}
	w, err := f.Create(t.Context(), "/file", CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = w.Write(pseudorandom(20_000)); err == nil {
		err = w.Sync()
	}
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "/file") || !strings.Contains(err.Error(), "last DataNode") {
		t.Errorf("error %v, want ErrUnreachable that names the file", err)
	}
	if again := w.Close(); again == nil || again.Error() != err.Error() {
		t.Errorf("close: %v, want the same error", again)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.path != "" {
		t.Errorf("%s stays behind", f.path)
	}
}

// The last DataNode of a block is given another chance: only its connection broke.
func TestLastDataNodeComesBack(t *testing.T) {
	f := newFakeCluster(t, 1, patient())
	blocks, err := f.readers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	blocks.pause = time.Millisecond
	content := pseudorandom(fakeBlockSize)
	w, err := f.Create(t.Context(), "/file", CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(content); at += 10_000 {
		if _, err := w.Write(content[at:min(at+10_000, len(content))]); err != nil {
			t.Fatal(err)
		}
		if err := w.Sync(); err != nil { // it gets somewhere between two breaks
			t.Fatal(err)
		}
		f.nodes[0].Drop()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f.want(content)
}

// A DataNode that failed is not asked for the next block, of this file or another, where there are
// enough others.
func TestDataNodeThatFailedIsLeftOut(t *testing.T) {
	content := pseudorandom(2 * fakeBlockSize)
	for _, c := range []struct {
		name  string
		nodes int
		trip  datanodetest.Trip // of the second DataNode, in the first block
		want  []int             // left out at each request for a block
		given int
	}{
		{"three for two copies", 3, datanodetest.Refuse, []int{0, 1, 1, 1}, 0},
		{"two for two copies, one of which is dead", 2, datanodetest.Die, []int{0, 1, 1, 1}, 0},
		{"two for two copies, which both live", 2, datanodetest.Refuse, []int{0, 1, 0, 0, 0}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFakeCluster(t, c.nodes, patient(), "dfs.replication=2")
			var left []int
			f.replaced = func(req *pb.AddBlockRequestProto) { left = append(left, len(req.GetExcludeNodes())) }
			f.nodes[1].Trip(once(1, 2, c.trip))
			for range 2 {
				if err := WriteFile(t.Context(), f, "/file", content, 0); err != nil {
					t.Fatal(err)
				}
				f.want(content)
			}
			if !slices.Equal(left, c.want) || f.given != c.given {
				t.Errorf("%d DataNodes were left out, want %d; %d blocks were given back, want %d", left, c.want, f.given, c.given)
			}
		})
	}
}

// Where all others are dead a DataNode that failed has to do.
func TestDataNodeThatFailedIsTheOnlyOne(t *testing.T) {
	f := newFakeCluster(t, 2, patient(), "dfs.replication=2")
	f.nodes[1].Trip(once(1, 2, datanodetest.Refuse))
	content := pseudorandom(fakeBlockSize)
	if err := WriteFile(t.Context(), f, "/file", content, 0); err != nil {
		t.Fatal(err)
	}
	f.nodes[0].Stop()
	if err := WriteFile(t.Context(), f, "/file", content, 0); err != nil {
		t.Fatal(err)
	}
	f.want(content)
}

// Where no DataNode can be reached, the NameNode has none left to name: that is no full disk.
func TestNoDataNodeCanBeReached(t *testing.T) {
	f := newFakeCluster(t, 2, patient())
	f.nodes[0].Stop()
	f.nodes[1].Stop()
	err := WriteFile(t.Context(), f, "/file", []byte("x"), 0)
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "connect") {
		t.Errorf("%v, want ErrUnreachable and who was tried", err)
	}
}

// A block that is asked for before the one ahead of it is anywhere is asked for again, and so is
// the end of the file, with the last block named each time.
func TestNameNodeThatIsBehind(t *testing.T) {
	f := newFakeCluster(t, 1, patient())
	f.early, f.late = 2, 2
	if err := WriteFile(t.Context(), f, "/file", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	f.want([]byte("x"))
	if !slices.Equal(f.named, []uint64{fakeMaster + 1, fakeMaster + 1, fakeMaster + 1}) {
		t.Errorf("the last block was named as %d", f.named)
	}
}

// Aborting a new file leaves nothing, and what was appended before an abort stays.
func TestAbort(t *testing.T) {
	f := newFakeCluster(t, 1, patient())
	w, err := f.Create(t.Context(), "/file", CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(pseudorandom(10_000)); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	if _, err := f.Stat(t.Context(), "/file"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat: %v", err)
	}
	if err := WriteFile(t.Context(), f, "/file", []byte("one "), 0); err != nil {
		t.Fatal(err)
	}
	w, err = f.Append(t.Context(), "/file")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Append(t.Context(), "/file"); !errors.Is(err, ErrBusy) {
		t.Errorf("second append: %v, want ErrBusy", err)
	}
	if _, err := w.Write([]byte("two")); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	f.want([]byte("one two"))
}

// Who gives up before the NameNode has answered leaves nothing either.
func TestCreateIsGivenUp(t *testing.T) {
	f := newFakeCluster(t, 1, patient())
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan struct{})
	f.created, f.removed = func() { cancel(); <-answer }, make(chan string, 1)
	if _, err := f.Create(ctx, "/file", CreateOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("create: %v", err)
	}
	close(answer)
	if path := <-f.removed; !isTemporary(strings.TrimPrefix(path, "/")) {
		t.Errorf("%s was removed", path)
	}
}

// The checksums are those that the client's configuration wants, or else the cluster's.
func TestChecksumsThatAreWanted(t *testing.T) {
	for _, c := range []struct {
		settings []string
		err      error
	}{
		{nil, nil},
		{[]string{"dfs.checksum.type=crc32", "dfs.bytes-per-checksum=1000"}, nil},
		{[]string{"dfs.checksum.type=NULL"}, nil},
		{[]string{"dfs.checksum.type=MD5"}, ErrUnsupported},
	} {
		f := newFakeCluster(t, 1, patient(), c.settings...)
		content := pseudorandom(fakeBlockSize + 100)
		if err := WriteFile(t.Context(), f, "/file", content, 0); !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.settings, err, c.err)
		} else if err == nil {
			f.want(content)
		}
	}
}

// A writer that is busy with something else keeps its lease.
func TestLeaseIsRenewed(t *testing.T) {
	f := newFakeCluster(t, 1, patient())
	w, err := f.newWriter(t.Context(), "/file")
	if err != nil {
		t.Fatal(err)
	}
	ticks := make(chan time.Time)
	ctx, cancel := context.WithCancel(t.Context())
	var renewing sync.WaitGroup
	renewing.Go(func() { w.renew(ctx, ticks) })
	for range 3 {
		ticks <- time.Time{}
	}
	cancel()
	renewing.Wait()
	if f.renewed < 2 { // the third may be cut short
		t.Errorf("%d renewals", f.renewed)
	}
}
