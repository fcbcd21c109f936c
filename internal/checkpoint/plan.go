package checkpoint

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Plan is the work of verifying one checkpoint, cut into pieces that may be read in any order and
// at once. Only sums are kept of what was read, so a checkpoint may be larger than memory.
type Plan struct {
	Pieces  []Piece
	regions []region
	doubt   error // a *Doubt: what of it cannot be judged; nil: nothing
}

// Doubtful reports whether the checkpoint cannot be judged, unless reading its pieces proves that
// it is broken.
func (p *Plan) Doubtful() bool { return p.doubt != nil }

// Piece is a stretch of a file that is read in sequence.
type Piece struct {
	File     string
	FileSize int64 // bytes, as the listing had it
	Offset   int64
	Size     int64 // bytes
	spans    []span
}

// region is what one checksum covers: a tensor, a block of a table, a member of an archive.
type region struct {
	what       string // the subject of a sentence: "tensor w in ckpt-1.data-00000-of-00001"
	want       uint32
	polynomial uint32
	unchecked  bool // no checksum is known: it is enough that it can be read
}

// span is the part of a region that lies in a piece.
type span struct {
	region int
	offset int64 // in the file
	size   int64 // bytes in the file
	table  *crc32.Table
	// decode reads a region whose checksum is not that of the bytes in the file, and answers with a
	// *Problem if they make no sense. It is nil for the others. Such a region is never cut, and a
	// piece of its own.
	decode func(r *bufio.Reader, size int64) (crc uint32, err error)
}

// Sum is what reading a piece came to.
type Sum struct{ spans []spanSum }

type spanSum struct {
	crc     uint32
	problem error
}

// Read reads the piece through a buffer, which is not empty; one of some 100 KiB is fast. It is
// safe for concurrent use.
func (p Piece) Read(r io.ReaderAt, buffer []byte) (Sum, error) {
	in := &window{file: r, next: p.Offset, end: p.Offset + p.Size, buffer: buffer}
	s := Sum{spans: make([]spanSum, len(p.spans))}
	for i, sp := range p.spans {
		var err error
		if sp.decode == nil {
			s.spans[i].crc, err = in.checksum(sp)
		} else {
			s.spans[i].crc, err = sp.decode(bufio.NewReaderSize(io.NewSectionReader(r, sp.offset, sp.size), int(min(sp.size, int64(len(buffer))))), sp.size)
			if errors.As(err, new(*Problem)) {
				s.spans[i].problem, err = err, nil
			}
		}
		if err != nil {
			return Sum{}, fmt.Errorf("read %s: %w", p.File, err)
		}
	}
	return s, nil
}

// window reads a stretch of a file through a buffer.
type window struct {
	file      io.ReaderAt
	next, end int64 // of the file, what was not read yet
	buffer    []byte
	have      []byte // of the buffer, what was read and not used
}

func (w *window) checksum(s span) (uint32, error) {
	if at := w.next - int64(len(w.have)); s.offset > at { // a gap that nothing covers
		skip := min(s.offset-at, int64(len(w.have)))
		w.have = w.have[skip:]
		w.next = max(w.next, s.offset)
	}
	var crc uint32
	for left := s.size; left > 0; {
		if len(w.have) == 0 {
			if err := w.fill(); err != nil {
				return 0, err
			}
		}
		n := min(left, int64(len(w.have)))
		crc = crc32.Update(crc, s.table, w.have[:n])
		w.have = w.have[n:]
		left -= n
	}
	return crc, nil
}

func (w *window) fill() error {
	n, err := w.file.ReadAt(w.buffer[:min(int64(len(w.buffer)), w.end-w.next)], w.next)
	if n == 0 {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF // the file became shorter
		}
		return err
	}
	w.next += int64(n)
	w.have = w.buffer[:n]
	return nil
}

// Judge puts together what reading every piece came to, in the order of Pieces: nil, the first
// Problem, or a Doubt.
func (p *Plan) Judge(sums []Sum) error {
	got := make([]uint32, len(p.regions))
	problems := make([]error, len(p.regions))
	for i, s := range sums {
		for j, part := range s.spans {
			sp := p.Pieces[i].spans[j]
			got[sp.region] = joinCRC(p.regions[sp.region].polynomial, got[sp.region], part.crc, sp.size)
			if part.problem != nil {
				problems[sp.region] = part.problem
			}
		}
	}
	for i, r := range p.regions {
		switch {
		case problems[i] != nil:
			return problemf("%s %v", r.what, problems[i])
		case got[i] != r.want && !r.unchecked:
			return problemf("%s is damaged: its checksum is %08x, should be %08x", r.what, got[i], r.want)
		}
	}
	return p.doubt
}

// planner builds a Plan: regions are given in the order in which they lie in the files.
type planner struct {
	pieceSize int64
	plan      Plan
}

// doubt notes what cannot be judged; the first counts.
func (b *planner) doubt(format string, args ...any) {
	if b.plan.doubt == nil {
		b.plan.doubt = doubtf(format, args...)
	}
}

// add plans a region of a file whose checksum is that of its bytes.
func (b *planner) add(f File, offset, size int64, table *crc32.Table, r region) {
	r.polynomial = polynomialOf(table)
	number := len(b.plan.regions)
	b.plan.regions = append(b.plan.regions, r)
	for size > 0 {
		p := b.piece(f, offset)
		n := min(size, b.pieceSize-p.Size)
		p.spans = append(p.spans, span{region: number, offset: offset, size: n, table: table})
		p.Size = offset + n - p.Offset
		offset, size = offset+n, size-n
	}
}

// addDecoded plans a region whose checksum decode computes.
func (b *planner) addDecoded(f File, offset, size int64, r region, decode func(*bufio.Reader, int64) (uint32, error)) {
	number := len(b.plan.regions)
	b.plan.regions = append(b.plan.regions, r)
	b.plan.Pieces = append(b.plan.Pieces, Piece{File: f.Name, FileSize: f.Size, Offset: offset, Size: size,
		spans: []span{{region: number, offset: offset, size: size, decode: decode}}})
}

// piece is the one that a stretch at offset is added to: the last, or a new one if that is full, or
// elsewhere.
func (b *planner) piece(f File, offset int64) *Piece {
	if n := len(b.plan.Pieces); n > 0 {
		p := &b.plan.Pieces[n-1]
		plain := p.spans[len(p.spans)-1].decode == nil
		if plain && p.File == f.Name && offset >= p.Offset+p.Size && offset-p.Offset < b.pieceSize {
			p.Size = offset - p.Offset
			return p
		}
	}
	b.plan.Pieces = append(b.plan.Pieces, Piece{File: f.Name, FileSize: f.Size, Offset: offset})
	return &b.plan.Pieces[len(b.plan.Pieces)-1]
}
