package fileserver

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"tfos/internal/dfs"
)

const (
	// maxScans is how many places of one file are read in sequence at once.
	maxScans = 4
	// smallRead is up to where a read that follows no other is taken for one of its kind, in bytes.
	smallRead = 128 << 10
	// growthEvery is the least time between two looks whether a file that was read to its end has
	// grown.
	growthEvery = time.Second
)

// openFile is a file open for reading. It belongs to all connections of one open file of a program.
type openFile struct {
	s      *Server
	handle uint64
	fs     dfs.FS
	name   string // in fs
	done   func() // releases fs

	mu     sync.Mutex
	users  int       // guarded by mu, as what follows: connections
	active int       // reads that go on
	file   dfs.File  // as long as it was when it was opened
	scans  []*scan   // that nobody reads; the one used last is at the end
	ended  int64     // where the last read outside of scans ended
	looked time.Time // for growth
}

// openFile opens a file for one connection.
func (s *Server) openFile(name string) (*openFile, error) {
	f, inside, release, err := s.o.Files.Use(s.ctx, name)
	if err != nil {
		return nil, err
	}
	s.growing.settle(f, inside)
	file, err := f.Open(s.ctx, inside)
	if err != nil {
		err = belowFile(s.ctx, f, inside, err)
		release()
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handles++
	o := &openFile{s: s, handle: s.handles, fs: f, name: inside, done: release, users: 1, file: file, ended: -1}
	s.opened[o.handle] = o
	return o, nil
}

// attach finds a file that another connection has open.
func (s *Server) attach(handle uint64) (*openFile, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.opened[handle]
	if o == nil {
		return nil, fmt.Errorf("open file %d: %w", handle, fs.ErrClosed)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.users++
	return o, nil
}

// release ends a connection's use. The last one closes the file.
func (o *openFile) release() {
	o.s.mu.Lock()
	o.mu.Lock()
	o.users--
	last := o.users == 0
	if last {
		delete(o.s.opened, o.handle)
	}
	o.mu.Unlock()
	o.s.mu.Unlock()
	if last {
		o.reset()
		_ = o.file.Close() // a reader loses nothing
		o.done()
	}
}

// reset drops what was read ahead.
func (o *openFile) reset() {
	for _, s := range o.scans {
		s.drop()
	}
	o.scans = nil
}

// read emits what there is of [offset, offset+length), and says which part is the last.
func (o *openFile) read(offset, length uint64, emitPart func(b []byte, last bool) error) error {
	size := uint64(o.enter(offset))
	defer o.leave()
	if offset >= size || length == 0 {
		return nil
	}
	at, n := int64(offset), int64(min(length, size-offset))
	left := n
	emit := func(b []byte) error {
		left -= int64(len(b))
		return emitPart(b, left == 0)
	}
	if s := o.take(at, n); s != nil {
		done, err := s.read(at, n, emit)
		o.putBack(s, err == nil && done == n)
		if err != nil {
			return err
		}
		at, n = at+done, n-done
	}
	return o.plain(at, n, emit)
}

// enter counts a read, and says how long the file is: newly, if the read is past its end.
func (o *openFile) enter(offset uint64) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if int64(offset) >= o.file.Size() && o.active == 0 {
		synced := o.s.growing.settle(o.fs, o.name)
		if synced.After(o.looked) || time.Since(o.looked) > growthEvery {
			o.looked = time.Now()
			o.grow(o.s.ctx)
		}
	}
	o.active++
	return o.file.Size()
}

// grow opens the file anew if it has become longer. An error is the next reader's, if it lasts. The
// caller holds mu.
func (o *openFile) grow(ctx context.Context) {
	info, err := o.fs.Stat(ctx, o.name)
	if err != nil || info.Size <= o.file.Size() {
		return
	}
	file, err := o.fs.Open(ctx, o.name)
	if err != nil {
		return
	}
	o.reset()
	_ = o.file.Close()
	o.file = file
}

func (o *openFile) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.active--
}

// take finds the scan that a read continues, or begins one if it looks like the start of one: nil
// says that the read stands alone.
func (o *openFile) take(offset, n int64) *scan {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, s := range o.scans {
		if s.reaches(offset) {
			o.scans = append(o.scans[:i], o.scans[i+1:]...)
			return s
		}
	}
	if n <= smallRead && offset != o.ended && offset != 0 {
		return nil
	}
	if len(o.scans) == maxScans {
		o.scans[0].drop()
		o.scans = o.scans[1:]
	}
	return newScan(o.file, o.s.chunks, &o.s.busy, offset)
}

func (o *openFile) putBack(s *scan, good bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if good {
		o.scans = append(o.scans, s)
	} else {
		s.drop()
	}
}

// plain reads without reading ahead.
func (o *openFile) plain(offset, n int64, emit func([]byte) error) error {
	if n == 0 {
		return nil
	}
	b := make([]byte, min(n, smallRead))
	for n > 0 {
		part := b[:min(n, int64(len(b)))]
		got, err := o.file.ReadAt(part, offset)
		if got < len(part) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF // it has become shorter
			}
			return err
		}
		if err := emit(part); err != nil {
			return err
		}
		offset, n = offset+int64(got), n-int64(got)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = offset
	return nil
}
