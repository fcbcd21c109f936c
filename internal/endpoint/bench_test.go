package endpoint_test

import (
	"io"
	"net"
	"testing"

	"go.uber.org/zap"

	"tfos/internal/endpoint"
)

// BenchmarkForward compares pulls through a forwarded port with direct ones: large ones in bytes a
// second, small ones in time.
func BenchmarkForward(b *testing.B) {
	for _, k := range []endpoint.Kind{endpoint.Direct, endpoint.Forward} {
		for _, c := range []struct {
			name string
			size int
		}{{"16MiB", 16 << 20}, {"1KiB", 1 << 10}} {
			b.Run(c.name+"/"+string(k), func(b *testing.B) { pull(b, k, c.size) })
		}
	}
}

func pull(b *testing.B, k endpoint.Kind, size int) {
	e, err := endpoint.New(b.Context(), k, endpoint.Options{Self: worker0, Logger: zap.NewNop()})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() { // sends so much for each byte that it gets
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		answer, ask := make([]byte, size), make([]byte, 1)
		for {
			if _, err := io.ReadFull(c, ask); err != nil {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	}()
	r := rig{endpoints: e}
	r.move(b, l.Addr().String())
	c, err := net.Dial("tcp", r.ps(b))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.SetBytes(int64(size))
	got := make([]byte, size)
	for b.Loop() {
		if _, err := c.Write(got[:1]); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, got); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUpdate is a move in a job of 200 tasks, for one agent.
func BenchmarkUpdate(b *testing.B) {
	k := endpoint.Redirect
	if !built() {
		k = endpoint.Forward
	}
	e, err := endpoint.New(b.Context(), k, endpoint.Options{Self: worker0, Logger: zap.NewNop(), Roles: roles, Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	s := spec(1, 1, "127.0.0.1:1")
	for i := 1; i < 200; i++ {
		m := s.Members[1]
		m.Task.Index = i
		s.Members = append(s.Members, m)
	}
	for b.Loop() {
		s.Generation++
		s.Members[100].Incarnation++
		if err := e.Update(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
}
