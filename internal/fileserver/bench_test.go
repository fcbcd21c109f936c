package fileserver

import (
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"testing"

	"tfos/internal/dfs"
)

// BenchmarkSequentialRead is what passes through the socket, in the pieces that TensorFlow reads,
// from memory.
func BenchmarkSequentialRead(b *testing.B) {
	const piece = 256 << 10
	memory := dfs.NewMemory(dfs.MemoryOptions{User: "ann"})
	out, err := memory.Create(b.Context(), "/f", dfs.CreateOptions{})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := out.Write(make([]byte, 64<<20)); err != nil {
		b.Fatal(err)
	}
	if err := out.Close(); err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(b.TempDir(), "s"))
	if err != nil {
		b.Fatal(err)
	}
	s := New(Options{Files: oneFS{memory}, Listener: l})
	ran := make(chan error, 1)
	go func() { ran <- s.Run() }()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	ask := func(o op, payload []byte) {
		if _, err := conn.Write(append(appendHeader(nil, len(payload), code(o)), payload...)); err != nil {
			b.Fatal(err)
		}
	}
	answer := make([]byte, piece+1<<10)
	ask(opOpen, appendString(nil, "hdfs:///f"))
	if _, err := io.ReadFull(conn, answer[:headerSize+16]); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(piece)
	at := uint64(0)
	for b.Loop() {
		ask(opRead, binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, at), piece))
		if at += piece; at == 64<<20 {
			at = 0
		}
		for {
			if _, err := io.ReadFull(conn, answer[:headerSize]); err != nil {
				b.Fatal(err)
			}
			if code(answer[4]) == codeOK {
				break
			}
			if _, err := io.ReadFull(conn, answer[:binary.LittleEndian.Uint32(answer)]); err != nil {
				b.Fatal(err)
			}
		}
	}
	conn.Close()
	s.Close()
	<-ran
}
