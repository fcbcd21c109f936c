// Package sstable reads the immutable sorted tables that TensorFlow keeps its indexes in: leveldb's
// format, checksums verified.
//
// A table is blocks of sorted entries, an index block that lists them, and a footer:
//
//	block    entries, restart offsets (uint32 each), their count (uint32) | type: 0 plain, 1 snappy | masked CRC-32C of all before it
//	entry    uvarint shared with the key before, uvarint unshared, uvarint size of the value | rest of the key | value
//	footer   handle of the meta index, handle of the index (uvarint offset, uvarint size each), zeros, magic: the last 48 bytes
//
// It reads through an io.ReaderAt, holds one block at a time, and never allocates more than the
// file is long, or MaxBlock for a compressed block. What does not follow the format is a
// *CorruptError; every other error comes from the reader.
package sstable

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/golang/snappy"
)

// MaxBlock is how large a block may become when it is decompressed. TensorFlow's are of 256 KiB.
const MaxBlock = 64 << 20

const (
	footerSize  = 48
	magic       = 0xdb4775248b80fb57
	trailerSize = 5 // type and checksum, after each block

	plain      = 0
	compressed = 1 // with snappy
)

// CorruptError says what is wrong with a table, and where.
type CorruptError struct {
	Offset int64 // in the file, of the block or footer
	What   string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("table is damaged at byte %d: %s", e.Offset, e.What)
}

func corrupt(offset int64, format string, args ...any) error {
	return &CorruptError{Offset: offset, What: fmt.Sprintf(format, args...)}
}

// Handle is where a block lies: its content, which the trailer follows.
type Handle struct{ Offset, Size int64 }

// End is the offset behind the block's trailer.
func (h Handle) End() int64 { return h.Offset + h.Size + trailerSize }

// Table is an open table. It is safe for concurrent use if the reader is.
type Table struct {
	r      io.ReaderAt
	size   int64
	blocks []Handle
}

// Is reports whether a file of size bytes ends as a table does.
func Is(r io.ReaderAt, size int64) (bool, error) {
	if size < footerSize {
		return false, nil
	}
	b := make([]byte, 8)
	if err := readFull(r, b, size-8); err != nil {
		return false, err
	}
	return binary.LittleEndian.Uint64(b) == magic, nil
}

// Open reads the footer and the index of a table of size bytes.
func Open(r io.ReaderAt, size int64) (*Table, error) {
	if size < footerSize {
		return nil, corrupt(0, "%d bytes are too few for a footer", size)
	}
	at := size - footerSize
	footer := make([]byte, footerSize)
	if err := readFull(r, footer, at); err != nil {
		return nil, err
	}
	if got := binary.LittleEndian.Uint64(footer[footerSize-8:]); got != magic {
		return nil, corrupt(at, "it ends in %#x, not in a table's magic number", got)
	}
	t := &Table{r: r, size: at}
	meta, rest, ok := cutHandle(footer)
	index, rest, ok2 := cutHandle(rest)
	if !ok || !ok2 || len(bytes.Trim(rest[:len(rest)-8], "\x00")) > 0 {
		return nil, corrupt(at, "the footer points nowhere")
	}
	if _, err := t.Block(meta); err != nil { // TensorFlow leaves it empty; to be read it must be right
		return nil, err
	}
	content, err := t.Block(index)
	if err != nil {
		return nil, err
	}
	err = entries(content, func(_, value []byte) error {
		h, _, ok := cutHandle(value)
		if !ok {
			return corrupt(index.Offset, "the index points nowhere")
		}
		if n := len(t.blocks); n > 0 && h.Offset < t.blocks[n-1].End() || h.Offset < 0 {
			return corrupt(index.Offset, "blocks overlap")
		}
		t.blocks = append(t.blocks, h)
		return nil
	})
	return t, inBlock(err, index.Offset)
}

// Blocks lists the data blocks, by offset.
func (t *Table) Blocks() []Handle { return t.blocks }

// Entries calls yield with each entry, in the order of the keys, until it returns an error, which
// is handed on. Key and value are valid during the call only.
func (t *Table) Entries(yield func(key, value []byte) error) error {
	for _, h := range t.blocks {
		content, err := t.Block(h)
		if err == nil {
			err = inBlock(entries(content, yield), h.Offset)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Block reads a block, verifies its checksum and decompresses it.
func (t *Table) Block(h Handle) ([]byte, error) {
	if h.Offset < 0 || h.Size < 0 || h.Size > t.size || h.Offset > t.size-h.Size-trailerSize {
		return nil, corrupt(h.Offset, "a block of %d bytes would reach beyond the end", h.Size)
	}
	b := make([]byte, h.Size+trailerSize)
	if err := readFull(t.r, b, h.Offset); err != nil {
		return nil, err
	}
	content, kind := b[:h.Size], b[h.Size]
	if Mask(crc32.Checksum(b[:h.Size+1], castagnoli)) != binary.LittleEndian.Uint32(b[h.Size+1:]) {
		return nil, corrupt(h.Offset, "the checksum of a block is wrong")
	}
	switch kind {
	case plain:
		return content, nil
	case compressed:
		n, err := snappy.DecodedLen(content)
		if err != nil || n > MaxBlock {
			return nil, corrupt(h.Offset, "a compressed block says that it is of %d bytes", n)
		}
		if content, err = snappy.Decode(nil, content); err != nil {
			return nil, corrupt(h.Offset, "a compressed block: %v", err)
		}
		return content, nil
	}
	return nil, corrupt(h.Offset, "a block is of the unknown type %d", kind)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Mask is how a CRC-32C is stored, so that the checksum of bytes which hold checksums stays
// meaningful.
func Mask(crc uint32) uint32 { return (crc>>15 | crc<<17) + maskDelta }

// Unmask undoes Mask.
func Unmask(stored uint32) uint32 {
	rotated := stored - maskDelta
	return rotated>>17 | rotated<<15
}

const maskDelta = 0xa282ead8

// errBlock is a block that is no list of entries.
var errBlock = errors.New("a block's entries are not what the format says")

// entries takes a block apart.
func entries(block []byte, yield func(key, value []byte) error) error {
	if len(block) < 4 {
		return errBlock
	}
	restarts := int64(binary.LittleEndian.Uint32(block[len(block)-4:]))
	end := int64(len(block)) - 4 - 4*restarts
	if end < 0 {
		return errBlock
	}
	var key []byte
	for b := block[:end]; len(b) > 0; {
		var numbers [3]uint64 // shared, unshared, value
		for i := range numbers {
			v, n := binary.Uvarint(b)
			if n <= 0 {
				return errBlock
			}
			numbers[i], b = v, b[n:]
		}
		shared, unshared, value := numbers[0], numbers[1], numbers[2]
		if shared > uint64(len(key)) || unshared > uint64(len(b)) || value > uint64(len(b))-unshared {
			return errBlock
		}
		key = append(key[:shared], b[:unshared]...)
		if err := yield(key, b[unshared:unshared+value]); err != nil {
			return err
		}
		b = b[unshared+value:]
	}
	return nil
}

// inBlock says in which block the entries are not what they should be.
func inBlock(err error, offset int64) error {
	if err == errBlock {
		return corrupt(offset, "%v", errBlock)
	}
	return err
}

func cutHandle(b []byte) (h Handle, rest []byte, ok bool) {
	offset, n := binary.Uvarint(b)
	if n <= 0 {
		return Handle{}, nil, false
	}
	size, m := binary.Uvarint(b[n:])
	if m <= 0 || int64(offset) < 0 || int64(size) < 0 {
		return Handle{}, nil, false
	}
	return Handle{Offset: int64(offset), Size: int64(size)}, b[n+m:], true
}

// readFull fills b. A file that ends within it has become shorter since its size was asked.
func readFull(r io.ReaderAt, b []byte, offset int64) error {
	n, err := r.ReadAt(b, offset)
	switch {
	case n == len(b):
		return nil
	case err == nil || err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}
