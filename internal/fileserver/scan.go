package fileserver

import (
	"errors"
	"io"
	"slices"
	"sync"

	"tfos/internal/dfs"
)

const (
	// maxAhead is how many chunks a scan holds at most.
	maxAhead = 12
	// maxGap is how much a reader may leave out and still be taken to read in sequence, in bytes:
	// TensorFlow steps over records.
	maxGap = 256 << 10
	// maxLanes is from how many blocks of a file a scan reads at once: the second begins on its
	// DataNode before the first is over.
	maxLanes = 2
)

// scan is one place of a file that is read in sequence, and what was read ahead from there. One
// reader has it at a time.
//
// The first read fetches what it asks for and no more, though as much at once as the scan's share
// of the memory is: it may be the only one. The second starts reading ahead, and each further one
// doubles how far.
type scan struct {
	file dfs.File
	size int64 // of the file
	pool *pool
	busy *sync.WaitGroup // counts goroutines, for the server

	next  int64 // where the next read is expected
	reads int
	ahead int // chunks to hold beyond what is asked for
	share int // of the memory, in chunks

	mu    sync.Mutex
	queue []*chunk // guarded by mu, as what follows; they follow each other
	end   int64    // where queue ends
	lanes []int64  // the blocks, by where they begin, that a goroutine is reading from
}

// blocks is a file of blocks, each of which comes from a place of its own.
type blocks interface {
	// Block says where the block begins and ends that holds an offset, in bytes; false if that is
	// not known.
	Block(offset int64) (begin, end int64, ok bool)
}

// chunk is a piece of a file, and of one block.
type chunk struct {
	offset int64
	block  int64 // where that begins
	begun  bool  // b is filled or being filled; guarded by the scan's mu
	memory *[chunkSize]byte
	b      []byte        // of memory
	ready  chan struct{} // closed when b is filled or err set
	err    error
}

func newScan(f dfs.File, p *pool, busy *sync.WaitGroup, offset int64) *scan {
	p.count(1)
	return &scan{file: f, size: f.Size(), pool: p, busy: busy, next: offset, end: offset}
}

// reaches reports whether offset lies in what was read ahead, or soon follows it.
func (s *scan) reaches(offset int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return offset >= s.next && offset <= s.end+maxGap
}

// read emits [offset, offset+n), which lies in the file, and says how much of it it did: less
// without an error if memory ran out.
func (s *scan) read(offset, n int64, emit func([]byte) error) (int64, error) {
	s.share = s.pool.share()
	if s.reads++; s.reads > 1 {
		s.ahead = min(max(2, 2*s.ahead), s.share)
	}
	end := offset + n
	for at := offset; at < end; {
		c := s.chunkAt(at, end)
		if c == nil {
			return at - offset, nil
		}
		<-c.ready
		if c.err != nil {
			return at - offset, c.err
		}
		part := c.b[at-c.offset:]
		part = part[:min(int64(len(part)), end-at)]
		if err := emit(part); err != nil {
			return at - offset, err
		}
		at += int64(len(part))
	}
	s.next = end
	s.chunkAt(end, end) // keeps the queue long while the reader is busy with what it got
	return n, nil
}

// chunkAt gives back what lies before offset, asks for what is needed up to end and for what is to
// be held beyond, and returns the chunk that offset lies in: nil if there is no memory for it.
func (s *scan) chunkAt(offset, end int64) *chunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(offset)
	if len(s.queue) == 0 {
		s.end = offset
	}
	limit := max(s.ahead, 1)
	if wanted := (end - offset) / chunkSize; wanted > int64(limit) {
		limit = int(min(wanted, int64(s.share)))
	}
	target := min(end+int64(s.ahead)*chunkSize, s.size)
	for s.end < target && len(s.queue) < limit {
		memory := s.pool.take()
		if memory == nil {
			break
		}
		n := min(chunkSize, s.size-s.end)
		if s.ahead == 0 {
			n = min(n, end-s.end)
		}
		block := int64(0)
		if f, ok := s.file.(blocks); ok {
			if begin, end, ok := f.Block(s.end); ok {
				block, n = begin, min(n, end-s.end)
			}
		}
		s.queue = append(s.queue, &chunk{offset: s.end, block: block, memory: memory, b: memory[:n], ready: make(chan struct{})})
		s.end += n
	}
	s.begin()
	if len(s.queue) == 0 {
		return nil
	}
	return s.queue[0]
}

// forget gives back the chunks before offset. The caller holds mu, which is let go while one of
// them is being filled: a reader may skip over it.
func (s *scan) forget(offset int64) {
	for len(s.queue) > 0 {
		c := s.queue[0]
		if c.offset+int64(len(c.b)) > offset {
			return
		}
		if c.begun {
			s.mu.Unlock()
			<-c.ready
			s.mu.Lock()
		}
		s.pool.put(c.memory)
		s.queue = s.queue[1:]
	}
}

// begin starts reading what is asked for and nobody reads. The caller holds mu.
func (s *scan) begin() {
	for _, c := range s.queue {
		if len(s.lanes) == maxLanes {
			return
		}
		if !c.begun && !slices.Contains(s.lanes, c.block) {
			s.lanes = append(s.lanes, c.block)
			s.busy.Go(func() { s.fill(c.block) })
		}
	}
}

// fill reads what is asked for of a block, in sequence, until nothing is.
func (s *scan) fill(block int64) {
	for {
		s.mu.Lock()
		i := slices.IndexFunc(s.queue, func(c *chunk) bool { return !c.begun && c.block == block })
		if i < 0 {
			s.lanes = slices.DeleteFunc(s.lanes, func(b int64) bool { return b == block })
			s.begin()
			s.mu.Unlock()
			return
		}
		c := s.queue[i]
		c.begun = true
		s.mu.Unlock()
		n, err := s.file.ReadAt(c.b, c.offset)
		if n < len(c.b) {
			c.err = err
			if errors.Is(err, io.EOF) {
				c.err = io.ErrUnexpectedEOF // it has become shorter
			}
		}
		close(c.ready)
	}
}

// drop gives the memory back. What is being filled goes when it is.
func (s *scan) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pool.count(-1)
	var asked []*chunk
	for _, c := range s.queue {
		if c.begun {
			asked = append(asked, c)
		} else {
			s.pool.put(c.memory)
		}
	}
	s.queue = nil
	s.busy.Go(func() {
		for _, c := range asked {
			<-c.ready
			s.pool.put(c.memory)
		}
	})
}
