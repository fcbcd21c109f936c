//go:build e2e

package fileserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"tfos/internal/dfs"
	"tfos/internal/dfs/datanode"
	"tfos/internal/dfs/datanode/datanodetest"
	"tfos/internal/hadoop/pb"
)

// blockSize is of the files that a DataNode has.
const blockSize = 4 << 20

// onDataNode is a filesystem whose files can be read through it, and from a DataNode too. What the
// latter does wrong must not be seen.
type onDataNode struct {
	dfs.FS
	node   *datanodetest.Server
	client *datanode.Client
	broken atomic.Int32 // how many directs were said to have broken
}

type onDataNodeFile struct {
	dfs.File
	of *onDataNode
}

func (f *onDataNode) Open(ctx context.Context, name string) (dfs.File, error) {
	file, err := f.FS.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return &onDataNodeFile{file, f}, nil
}

func (f *onDataNodeFile) Direct(ctx context.Context, offset, length int64) (dfs.Direct, error) {
	if offset >= f.Size() {
		return dfs.Direct{}, io.EOF
	}
	id := offset / blockSize
	d := dfs.Direct{Block: id * blockSize, End: min((id+1)*blockSize, f.Size())}
	d.End = offset + min(length, d.End-offset)
	r, err := f.of.client.Open(ctx, datanode.Range{
		Addr:  f.of.node.Addr(),
		Block: &pb.ExtendedBlockProto{PoolId: proto.String("pool"), BlockId: proto.Uint64(uint64(id)), GenerationStamp: proto.Uint64(1)},
		Token: &pb.TokenProto{Identifier: []byte{}, Password: []byte{}, Kind: proto.String(""), Service: proto.String("")}, Offset: offset - d.Block, Length: d.End - offset,
	})
	if err != nil {
		return dfs.Direct{}, err
	}
	var ok bool
	if d.Stream, ok = r.Detach(); !ok {
		r.Close()
		return dfs.Direct{}, errors.ErrUnsupported
	}
	return d, nil
}

func (f *onDataNodeFile) Distrust(dfs.Direct) { f.of.broken.Add(1) }

// program is a process that reads through the plugin.
type program struct {
	t  *testing.T
	in io.Writer
	rd io.Reader
}

// buildProgram returns a command line, and the directory of its TensorFlow.
func buildProgram(t *testing.T) (exe, framework string) {
	t.Helper()
	dir := t.TempDir()
	exe = filepath.Join(dir, "program")
	for _, args := range [][]string{
		{"-DFRAMEWORK", "-shared", "-fPIC", "-o", filepath.Join(dir, "libtensorflow_framework.so.2")},
		{"-Wall", "-Werror", "-o", exe},
	} {
		cmd := exec.Command("cc", append(args, "testdata/program.c", "-ldl")...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
	}
	return exe, dir
}

func startProgram(t *testing.T, exe, framework, socket string) *program {
	t.Helper()
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	plugin, err := filepath.Abs("../../python/tfos/native/files_" + machine + ".so")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, plugin, "hdfs:///f")
	cmd.Env = append(os.Environ(), "TFOS_FILES="+socket, "LD_LIBRARY_PATH="+framework)
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the program: %v", err)
		}
	})
	return &program{t, in, out}
}

const (
	inChild   = 1
	otherFile = 2
)

func (p *program) read(offset, length, flags uint64) ([]byte, code) {
	p.t.Helper()
	if err := binary.Write(p.in, binary.LittleEndian, []uint64{offset, length, flags}); err != nil {
		p.t.Fatal(err)
	}
	var answer [2]int64
	if err := binary.Read(p.rd, binary.LittleEndian, &answer); err != nil {
		p.t.Fatal(err)
	}
	b := make([]byte, answer[0])
	if _, err := io.ReadFull(p.rd, b); err != nil {
		p.t.Fatal(err)
	}
	return b, code(answer[1])
}

// TestPluginReads: however a program reads, whatever the shape of what DataNodes send, and whatever
// is wrong with it, the program sees the file.
func TestPluginReads(t *testing.T) {
	exe, framework := buildProgram(t)
	crc := pb.ChecksumTypeProto_CHECKSUM_CRC32C
	for _, c := range []struct {
		name     string
		shape    datanodetest.Shape
		fault    datanodetest.Fault
		stopped  bool
		requests int // of the DataNode, at least: who reads by way of the agent for a while makes few
	}{
		{name: "as a rule", shape: datanodetest.Shape{Checksum: crc}, requests: 250},
		{name: "small packets", shape: datanodetest.Shape{Checksum: crc, Packet: 5 << 10}, requests: 250},
		{name: "large packets", shape: datanodetest.Shape{Checksum: crc, Packet: 700 << 10}, requests: 250},
		{name: "packets that are too large", shape: datanodetest.Shape{Checksum: crc, Packet: 2 << 20}, requests: 1},
		{name: "packets of different lengths", shape: datanodetest.Shape{Checksum: crc, Ragged: true}, requests: 2},
		{name: "packets of different lengths, no checksums", shape: datanodetest.Shape{Checksum: pb.ChecksumTypeProto_CHECKSUM_NULL, Ragged: true}, requests: 2},
		{name: "long chunks", shape: datanodetest.Shape{Checksum: crc, Chunk: 4096}, requests: 250},
		{name: "odd chunks", shape: datanodetest.Shape{Checksum: crc, Chunk: 999, Packet: 9990}, requests: 250},
		{name: "short chunks", shape: datanodetest.Shape{Checksum: crc, Chunk: 100}, requests: 1},
		{name: "no checksums", shape: datanodetest.Shape{Checksum: pb.ChecksumTypeProto_CHECKSUM_NULL}, requests: 250},
		{name: "another checksum", shape: datanodetest.Shape{Checksum: pb.ChecksumTypeProto_CHECKSUM_CRC32}, requests: 1},
		{name: "a flipped bit", shape: datanodetest.Shape{Checksum: crc}, fault: datanodetest.Fault{Flip: 1_234_567}, requests: 2},
		{name: "connections that break", shape: datanodetest.Shape{Checksum: crc}, fault: datanodetest.Fault{Die: 2 << 20}, requests: 2},
		{name: "silence", shape: datanodetest.Shape{Checksum: crc}, fault: datanodetest.Fault{Hang: 1 << 20}, requests: 1},
		{name: "no DataNode", shape: datanodetest.Shape{Checksum: crc}, stopped: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			memory := inMemory(t)
			data := noise(6*blockSize + 12_345)
			put(t, memory, "/f", data)
			node := datanodetest.Start(t, c.shape)
			for id := range uint64(7) {
				node.Put(id, data[id*blockSize:min((id+1)*blockSize, uint64(len(data)))])
				node.Fail(id, c.fault)
			}
			if c.stopped {
				node.Stop()
			}
			client := datanode.New(datanode.Options{Dial: new(net.Dialer).DialContext, Timeout: time.Minute})
			t.Cleanup(client.Close)
			files := &onDataNode{FS: memory, node: node, client: client}
			w := newWorld(t, files, 0)
			if c.fault.Hang > 0 {
				w.s.o.Silence = 50 * time.Millisecond
			}
			p := startProgram(t, exe, framework, w.addr)
			random := rand.New(rand.NewPCG(3, 4))
			at, size := uint64(0), uint64(256<<10)
			for range 600 {
				flags := uint64(0)
				switch random.IntN(60) {
				case 0:
					at = random.Uint64N(uint64(len(data) + 1000))
				case 1:
					at += random.Uint64N(400 << 10) // ahead, a little or too much
				case 2:
					size = 1 + random.Uint64N(1<<20)
				case 3:
					size = 1 + random.Uint64N(9<<20)
				case 4:
					size = 256 << 10
				case 5:
					flags = inChild
				case 6:
					flags = otherFile
				case 7:
					at = 0
				}
				from := min(at, uint64(len(data)))
				want, status := data[from:min(from+size, uint64(len(data)))], codeOK
				if uint64(len(want)) < size {
					status = codeOutOfRange
				}
				got, code := p.read(at, size, flags)
				if code != status || !bytes.Equal(got, want) {
					t.Fatalf("[%d, +%d): %d bytes and code %d, want %d and %d; equal: %v", at, size, len(got), code, len(want), status, bytes.Equal(got, want))
				}
				if at += uint64(len(got)); at >= uint64(len(data)) {
					at = 0
				}
			}
			if broken := files.broken.Load() > 0; broken != (c.fault.Die > 0 || c.fault.Hang > 0) {
				t.Errorf("%d directs were said to have broken", files.broken.Load())
			}
			seen := node.Seen()
			t.Logf("the DataNode has seen %+v", seen)
			if seen.Requests < c.requests {
				t.Errorf("the DataNode was asked %d times, want at least %d", seen.Requests, c.requests)
			}
		})
	}
}
