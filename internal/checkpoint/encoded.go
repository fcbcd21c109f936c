package checkpoint

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"

	"tfos/internal/checkpoint/sstable"
)

// stringsCRC reads a string tensor of n elements in size bytes:
//
//	uvarint length of each | masked checksum of the lengths (uint32) | the strings
//
// Lengths are checksummed as uint32, or uint64 if they are larger; the answer goes on over the
// stored checksum and the strings.
func stringsCRC(r *bufio.Reader, size, n int64) (uint32, error) {
	in := &counter{r: r}
	var crc uint32
	var total uint64
	var fixed [8]byte
	for range n {
		length, err := in.uvarint()
		if err != nil {
			return 0, err
		}
		total += length
		if total > uint64(size) {
			return 0, problemf("is damaged: its strings are longer than it is")
		}
		if length <= math.MaxUint32 {
			crc = crc32.Update(crc, castagnoli, binary.LittleEndian.AppendUint32(fixed[:0], uint32(length)))
		} else {
			crc = crc32.Update(crc, castagnoli, binary.LittleEndian.AppendUint64(fixed[:0], length))
		}
	}
	stored, err := in.bytes(4)
	if err != nil {
		return 0, err
	}
	if binary.LittleEndian.Uint32(stored) != sstable.Mask(crc) {
		return 0, problemf("is damaged: the checksum of its lengths is wrong")
	}
	if uint64(in.read)+total != uint64(size) {
		return 0, problemf("is damaged: its strings do not fill it")
	}
	return in.rest(crc32.Update(crc, castagnoli, stored), int64(total))
}

// variantsCRC reads a variant tensor of n elements in size bytes. Each is
//
//	uvarint length | that many bytes | masked checksum of all before it in the tensor
//
// Lengths are checksummed as uint64.
func variantsCRC(r *bufio.Reader, size, n int64) (uint32, error) {
	in := &counter{r: r}
	var crc uint32
	var fixed [8]byte
	for range n {
		length, err := in.uvarint()
		if err != nil {
			return 0, err
		}
		if length > uint64(size-in.read) {
			return 0, problemf("is damaged: an element is longer than what is left of it")
		}
		crc = crc32.Update(crc, castagnoli, binary.LittleEndian.AppendUint64(fixed[:0], length))
		if crc, err = in.rest(crc, int64(length)); err != nil {
			return 0, err
		}
		stored, err := in.bytes(4)
		if err != nil {
			return 0, err
		}
		if binary.LittleEndian.Uint32(stored) != sstable.Mask(crc) {
			return 0, problemf("is damaged: the checksum of an element is wrong")
		}
		crc = crc32.Update(crc, castagnoli, stored)
	}
	if in.read != size {
		return 0, problemf("is damaged: its elements do not fill it")
	}
	return crc, nil
}

// errShort is an encoded tensor that ends before its elements do.
var errShort = &Problem{What: "is damaged: it ends within its elements"}

// counter reads and counts.
type counter struct {
	r    *bufio.Reader
	read int64
}

func (c *counter) uvarint() (uint64, error) {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b, err := c.r.ReadByte()
		if err != nil {
			return 0, short(err)
		}
		c.read++
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, errShort
}

func (c *counter) bytes(n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(c.r, b)
	c.read += int64(n)
	return b, short(err)
}

// rest goes on with a checksum over n bytes.
func (c *counter) rest(crc uint32, n int64) (uint32, error) {
	for n > 0 {
		// What is buffered is looked at where it lies.
		if c.r.Buffered() == 0 {
			if _, err := c.r.Peek(1); err != nil {
				return 0, short(err)
			}
		}
		b, _ := c.r.Peek(int(min(n, int64(c.r.Buffered()))))
		crc = crc32.Update(crc, castagnoli, b)
		_, _ = c.r.Discard(len(b))
		c.read += int64(len(b))
		n -= int64(len(b))
	}
	return crc, nil
}

// short makes an end within a tensor a problem. A file that became shorter looks the same, and is
// caught by its size.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errShort
	}
	return err
}
