// Package tfrecord reads and writes TFRecord files, TensorFlow's framing of records.
//
// A record is its length (8 bytes, little endian), the masked CRC-32C of these (4), the data, and
// the masked CRC-32C of the data (4). Both are verified. The package knows nothing of what records
// hold.
package tfrecord

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"slices"

	"tfos/internal/checkpoint/sstable"
)

const (
	headerBytes = 12
	footerBytes = 4
	// chain is how many records in a row make a found boundary certain.
	chain = 16
	// window is how many bytes of a file are searched at once.
	window = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is the CRC-32C of b as TensorFlow stores it.
func masked(b []byte) uint32 {
	return sstable.Mask(crc32.Checksum(b, castagnoli))
}

// length reads a header; ok is false if it is none.
func length(header []byte) (n uint64, ok bool) {
	if len(header) < headerBytes {
		return 0, false
	}
	return binary.LittleEndian.Uint64(header), masked(header[:8]) == binary.LittleEndian.Uint32(header[8:])
}

// Damage is what is wrong with a file.
type Damage struct {
	At   int64 // the byte at which a record begins, or should
	What string
}

func (d *Damage) Error() string { return fmt.Sprintf("%s at byte %d", d.What, d.At) }

func nothing(at int64) error {
	return &Damage{at, "the file is damaged, or no TFRecord file: no record begins"}
}

func cutOff(at int64) error {
	return &Damage{at, "the file is cut off in the record"}
}

// Reader reads records one after the other.
type Reader struct {
	r      io.Reader
	at     int64 // where the next record begins
	header [headerBytes]byte
}

// NewReader reads from r, in which a record begins at the byte at of its file.
func NewReader(r io.Reader, at int64) *Reader { return &Reader{r: r, at: at} }

// At is where the next record begins.
func (r *Reader) At() int64 { return r.at }

// Append appends the next record to b, without what frames it; io.EOF after the last one.
func (r *Reader) Append(b []byte) ([]byte, error) {
	switch _, err := io.ReadFull(r.r, r.header[:]); {
	case err == io.EOF:
		return b, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return b, nothing(r.at)
	case err != nil:
		return b, err
	}
	n, ok := length(r.header[:])
	if !ok {
		return b, nothing(r.at)
	}
	from := len(b)
	b, err := read(b, r.r, n)
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF {
			err = cutOff(r.at)
		}
		return b[:from], err
	}
	end := len(b) - footerBytes
	if masked(b[from:end]) != binary.LittleEndian.Uint32(b[end:]) {
		return b[:from], &Damage{r.at, fmt.Sprintf("the file is damaged: the %d bytes are not what their checksum says, of the record", end-from)}
	}
	r.at += headerBytes + int64(n) + footerBytes
	return b[:end], nil
}

// read appends n bytes and a footer. A length that nothing follows takes no memory.
func read(b []byte, r io.Reader, n uint64) ([]byte, error) {
	const atOnce = 1 << 20
	if n > 1<<62 {
		return b, io.ErrUnexpectedEOF
	}
	all := int(n) + footerBytes
	if all <= atOnce {
		from := len(b)
		b = slices.Grow(b, all)[:from+all]
		_, err := io.ReadFull(r, b[from:])
		return b, err
	}
	grown := bytes.NewBuffer(b)
	_, err := io.CopyN(grown, r, int64(all))
	return grown.Bytes(), err
}

// empty is the header of a record without a byte.
var empty = func() []byte {
	h := make([]byte, headerBytes)
	binary.LittleEndian.PutUint32(h[8:], masked(h[:8]))
	return h
}()

// Find finds the first record that begins in [from, to) of a file; ok is false where none does.
// What looks like a record must be followed by others.
func Find(f io.ReaderAt, from, to, size int64) (at int64, ok bool, err error) {
	if from == 0 {
		return 0, size > 0, nil
	}
	// The high bytes of a length that fits into the file are zero, which most data is not.
	zeros := 8 - max(1, (bits.Len64(uint64(size))+7)/8)
	run := make([]byte, zeros)
	buffer := make([]byte, min(window, size-from))
	for at = from; at < to; {
		n, err := f.ReadAt(buffer, at)
		if err != nil && err != io.EOF {
			return 0, false, err
		}
		if n < headerBytes {
			return 0, false, nil
		}
		b := buffer[:n]
		last := int(min(int64(n-headerBytes), to-1-at)) // where a header may begin in this window
		for i := 0; i <= last; i++ {
			k := bytes.Index(b[i+8-zeros:], run)
			if k < 0 || i+k > last {
				break
			}
			i += k
			header := b[i : i+headerBytes]
			if bytes.Equal(header[:8], empty[:8]) && !bytes.Equal(header, empty) { // amid zeros
				for i < last && b[i+8] == 0 {
					i++
				}
				header = b[i : i+headerBytes]
			}
			if _, ok := length(header); !ok {
				continue
			}
			switch problem, err := Break(f, at+int64(i), size); {
			case err != nil:
				return 0, false, err
			case problem == nil:
				return at + int64(i), true, nil
			}
		}
		at += int64(last) + 1
	}
	return 0, false, nil
}

// Break says where records cease to follow each other from at on; nil: they go on to the end of the
// file, or for long enough. Whoever has read a piece of a file asks it at its end: who reads on
// from there would not find a damaged record, and pass over it.
func Break(f io.ReaderAt, at, size int64) (problem, err error) {
	header := make([]byte, headerBytes)
	for range chain {
		if at == size {
			return nil, nil
		}
		k, err := f.ReadAt(header, at)
		if err != nil && err != io.EOF {
			return nil, err
		}
		n, ok := length(header[:k])
		if !ok {
			return nothing(at), nil
		}
		if n > uint64(size-at-headerBytes) || int64(n) > size-at-headerBytes-footerBytes {
			return cutOff(at), nil
		}
		at += headerBytes + int64(n) + footerBytes
	}
	return nil, nil
}

// Append frames a record.
func Append(b, data []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, masked(b[start:]))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, masked(data))
}
