package serve

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"tfos/internal/feed"
)

// store keeps bodies: in memory as far as that goes, then in files that have no name any more.
// Bodies that are set aside need no room: they move to the disk when others want the memory, and
// count no more. Safe for concurrent use.
type store struct {
	dir          string
	memory, disk int64 // how much of each may be used

	mu      sync.Mutex
	changed *sync.Cond
	inMem   int64              // guarded by mu
	onDisk  int64              // guarded by mu
	aside   map[*body]struct{} // guarded by mu: in memory, set aside, and held by nobody
	free    [][]byte           // guarded by mu: buffers to be used again
	closed  bool               // guarded by mu
}

// kept is how many buffers are kept to be used again.
const kept = 4

func newStore(dir string, memory, disk int64) *store {
	s := &store{dir: dir, memory: memory, disk: disk, aside: map[*body]struct{}{}}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// read takes a body of n bytes from r. Where there is no room it waits until there is, unless
// urgent: then the disk takes it. A body larger than all the room there may be is taken once there
// is no other.
func (s *store) read(r io.Reader, n int64, urgent bool) (feed.Body, error) {
	inMemory, buffer, err := s.reserve(n, urgent)
	if err != nil {
		return nil, err
	}
	d := &body{s: s, n: n}
	if inMemory {
		d.b = buffer
		if _, err = io.ReadFull(r, buffer); err != nil {
			d.Drop()
			return nil, fmt.Errorf("read rows: %w", err)
		}
		return d, nil
	}
	if d.f, err = s.file(r, n); err != nil {
		s.release(0, n, nil)
		return nil, err
	}
	return d, nil
}

// file copies n bytes of r into a file that has no name any more.
func (s *store) file(r io.Reader, n int64) (*os.File, error) {
	f, err := os.CreateTemp(s.dir, "rows-")
	if err != nil {
		return nil, fmt.Errorf("keep rows: %w", err)
	}
	if err = os.Remove(f.Name()); err == nil {
		_, err = io.CopyN(f, r, n)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("keep rows: %w", err)
	}
	return f, nil
}

// reserve waits for room, and says where it is.
func (s *store) reserve(n int64, urgent bool) (inMemory bool, buffer []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closed {
		if s.inMem+n <= s.memory {
			s.inMem += n
			return true, s.buffer(n), nil
		}
		if moved, err := s.makeRoom(); err != nil {
			return false, nil, err
		} else if moved {
			continue
		}
		if urgent || s.onDisk+n <= s.disk || s.inMem+s.onDisk == 0 {
			s.onDisk += n
			return false, nil, nil
		}
		s.changed.Wait()
	}
	return false, nil, net.ErrClosed
}

// makeRoom moves a body that is set aside to the disk, and reports whether there was one. s.mu is
// held, but not meanwhile.
func (s *store) makeRoom() (moved bool, err error) {
	for b := range s.aside { // any order: none is waited for
		delete(s.aside, b)
		s.mu.Unlock()
		err := b.move()
		s.mu.Lock()
		return true, err
	}
	return false, nil
}

// buffer finds a buffer of n bytes, or makes one. s.mu is held.
func (s *store) buffer(n int64) []byte {
	for i, b := range s.free {
		if int64(cap(b)) >= n && int64(cap(b)) <= 2*n {
			s.free = append(s.free[:i], s.free[i+1:]...)
			return b[:n]
		}
	}
	return make([]byte, n, max(n, 1)) // one of nothing is one, too
}

func (s *store) release(memory, disk int64, buffer []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inMem, s.onDisk = s.inMem-memory, s.onDisk-disk
	if buffer != nil {
		if len(s.free) == kept {
			s.free = s.free[1:]
		}
		s.free = append(s.free, buffer)
	}
	s.changed.Broadcast()
}

// setAside says whether a body may move to the disk.
func (s *store) setAside(b *body, may bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !may {
		delete(s.aside, b)
		return
	}
	s.aside[b] = struct{}{}
	s.changed.Broadcast()
}

// close ends all waiting.
func (s *store) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.changed.Broadcast()
}

// body is one in memory or in a file. Whoever writes it holds it, so that its bytes stay meanwhile.
type body struct {
	s *store
	n int64

	mu      sync.Mutex
	b       []byte   // guarded by mu; nil: it is in a file
	f       *os.File // guarded by mu
	holders int      // guarded by mu
	aside   bool     // guarded by mu: in a file it does not count
	dropped bool     // guarded by mu
}

// Size implements feed.Body.
func (b *body) Size() int64 { return b.n }

// Drop implements feed.Body.
func (b *body) Drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropped = true
	b.settle()
}

// Aside implements feed.Body.
func (b *body) Aside() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.aside || b.dropped {
		return
	}
	b.aside = true
	if b.f != nil {
		b.s.release(0, b.n, nil)
	}
	b.settle()
}

// settle does with the bytes what may be done once nobody holds them. b.mu is held.
func (b *body) settle() {
	switch {
	case b.holders > 0:
	case b.dropped && b.f != nil:
		b.f.Close() // it has no name, so that is its end
		b.f = nil
		if !b.aside {
			b.s.release(0, b.n, nil)
		}
	case b.dropped && b.b != nil:
		b.s.setAside(b, false)
		b.s.release(b.n, 0, b.b)
		b.b = nil
	case b.aside && b.b != nil:
		b.s.setAside(b, true)
	}
}

// move takes the bytes from memory to a file, if they are set aside and nobody holds them.
func (b *body) move() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.holders > 0 || b.dropped || b.b == nil { // who holds them settles it
		return nil
	}
	f, err := b.s.file(bytes.NewReader(b.b), b.n)
	if err != nil {
		b.s.setAside(b, true)
		return err
	}
	b.s.release(b.n, 0, b.b)
	b.f, b.b = f, nil
	return nil
}

// hold keeps the bytes until the function that it returns is called. It is for whoever owns the
// queue that the body is in, at that moment.
func hold(of feed.Body) (let func()) {
	b, ok := of.(*body)
	if !ok { // a chunk without rows may have none
		return func() {}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holders++
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.holders--
		b.settle()
	}
}

// writeFrame writes a frame, whose body is held; nil: it has none.
func writeFrame(w io.Writer, k feed.Kind, head any, of feed.Body) error {
	b, _ := of.(*body)
	var size int64
	if b != nil {
		size = b.n
	}
	frame, err := feed.AppendFrame(nil, k, head, size)
	if err != nil {
		return err
	}
	switch {
	case b == nil:
		_, err = w.Write(frame)
	case b.f != nil:
		if _, err = w.Write(frame); err == nil {
			_, err = io.Copy(w, io.NewSectionReader(b.f, 0, b.n))
		}
	default:
		buffers := net.Buffers{frame, b.b}
		_, err = buffers.WriteTo(w)
	}
	return err
}
