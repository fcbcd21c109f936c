package fileserver

import (
	"bytes"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
)

// blockFile is a file in blocks. It notes which of them are read at once.
type blockFile struct {
	content []byte
	block   int64
	gate    func(offset, end int64) // called by each read; nil: nothing

	mu   sync.Mutex
	busy map[int64]int // guarded by mu; reads of each block that go on
	most int           // guarded by mu; blocks that were read at once
	torn bool          // guarded by mu; two reads of one block went on at once, or one was of two blocks
}

func (f *blockFile) Read([]byte) (int, error)       { return 0, io.EOF }
func (f *blockFile) Seek(int64, int) (int64, error) { return 0, nil }
func (f *blockFile) Close() error                   { return nil }
func (f *blockFile) Size() int64                    { return int64(len(f.content)) }
func (f *blockFile) Block(offset int64) (begin, end int64, ok bool) {
	begin = offset / f.block * f.block
	return begin, min(begin+f.block, f.Size()), offset < f.Size()
}

func (f *blockFile) ReadAt(p []byte, offset int64) (int, error) {
	block := offset / f.block
	f.mu.Lock()
	f.busy[block]++
	f.torn = f.torn || f.busy[block] > 1 || (offset+int64(len(p))-1)/f.block != block
	f.most = max(f.most, len(f.busy))
	f.mu.Unlock()
	if f.gate != nil {
		f.gate(offset, offset+int64(len(p)))
	}
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.busy[block]--; f.busy[block] == 0 {
			delete(f.busy, block)
		}
	}()
	return bytes.NewReader(f.content).ReadAt(p, offset)
}

// The next block is begun before the one before it is over: here the end of the one and the
// beginning of the other come only once both are asked for.
func TestScanCrossesBlocks(t *testing.T) {
	const block int64 = 3*chunkSize + 1000
	f := &blockFile{content: noise(10 * chunkSize), block: block, busy: map[int64]int{}}
	ending, begun := make(chan struct{}), make(chan struct{})
	f.gate = func(offset, end int64) {
		switch block {
		case end:
			close(ending)
			<-begun
		case offset:
			close(begun)
			<-ending
		}
	}
	readThrough(t, f, newPool(32), func() int64 { return 256 << 10 })
	if f.most != maxLanes || f.torn {
		t.Errorf("%d blocks were read at once, want %d; reads within a block were out of sequence: %v", f.most, maxLanes, f.torn)
	}
}

// However long blocks and reads are, and however little memory there is, all comes as it is, and
// each block is read in sequence.
func TestScanOfAnyBlocks(t *testing.T) {
	seeded := rand.New(rand.NewPCG(1, 2))
	content := noise(5*chunkSize + 77)
	for range 15 {
		f := &blockFile{content: content, block: 1 + seeded.Int64N(4*chunkSize), busy: map[int64]int{}}
		f.block = max(f.block, 100_000)
		readThrough(t, f, newPool(1+seeded.IntN(16)), func() int64 { return 1 + seeded.Int64N(2*chunkSize) })
		if f.most > maxLanes || f.torn {
			t.Errorf("blocks of %d bytes: %d were read at once, out of sequence: %v", f.block, f.most, f.torn)
		}
	}
}

// readThrough reads a file in sequence, and wants all memory back.
func readThrough(t *testing.T, f *blockFile, p *pool, length func() int64) {
	t.Helper()
	var busy sync.WaitGroup
	s := newScan(f, p, &busy, 0)
	var got []byte
	for at := int64(0); at < f.Size(); {
		n, err := s.read(at, min(length(), f.Size()-at), func(b []byte) error {
			got = append(got, b...)
			return nil
		})
		if err != nil || n == 0 {
			t.Fatalf("at %d: %d bytes, %v", at, n, err)
		}
		at += n
	}
	s.drop()
	busy.Wait()
	if !bytes.Equal(got, f.content) {
		t.Errorf("%d bytes came that are not the file", len(got))
	}
	if p.taken != 0 {
		t.Errorf("%d buffers were not given back", p.taken)
	}
}
