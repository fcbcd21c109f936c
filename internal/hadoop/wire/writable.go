package wire

import (
	"fmt"
	"math"
	"math/bits"
	"unicode/utf8"
)

// AppendVLong appends v as Hadoop's Writables do (org.apache.hadoop.io.WritableUtils): -112 to 127
// is one byte. Else the first byte says sign and size, -113 to -120 for one to eight bytes, -121 to
// -128 for those of a negative number, of which the complement follows; big-endian, without leading
// zeros.
func AppendVLong(b []byte, v int64) []byte {
	if v >= -112 && v <= math.MaxInt8 {
		return append(b, byte(v))
	}
	base := -112
	if v < 0 {
		v, base = ^v, -120
	}
	n := (bits.Len64(uint64(v)) + 7) / 8
	b = append(b, byte(base-n))
	for i := n - 1; i >= 0; i-- {
		b = append(b, byte(v>>(8*i)))
	}
	return b
}

// AppendBytes appends p behind its length as a VInt.
func AppendBytes(b, p []byte) []byte {
	return append(AppendVLong(b, int64(len(p))), p...)
}

// AppendText appends s as Hadoop's Text: UTF-8 behind its length in bytes.
func AppendText(b []byte, s string) []byte {
	return append(AppendVLong(b, int64(len(s))), s...)
}

// Decoder reads Writables off a byte slice. After the first error every method returns a zero
// value; Err tells.
type Decoder struct {
	b   []byte
	err error
}

// NewDecoder returns a Decoder that reads b.
func NewDecoder(b []byte) *Decoder { return &Decoder{b: b} }

// Err is the first error, nil if there was none.
func (d *Decoder) Err() error { return d.err }

// Rest is what was not read yet.
func (d *Decoder) Rest() []byte { return d.b }

// Byte reads one byte.
func (d *Decoder) Byte() byte {
	p := d.take(1)
	if p == nil {
		return 0
	}
	return p[0]
}

// VLong reads what AppendVLong wrote.
func (d *Decoder) VLong() int64 {
	first := int8(d.Byte())
	if first >= -112 {
		return int64(first)
	}
	n, flip := -112-int(first), int64(0)
	if first < -120 {
		n, flip = -120-int(first), -1
	}
	v := int64(0)
	for _, c := range d.take(n) {
		v = v<<8 | int64(c)
	}
	if d.err != nil {
		return 0
	}
	return v ^ flip
}

// VInt reads a VLong that must fit 32 bits.
func (d *Decoder) VInt() int32 {
	v := d.VLong()
	if v < math.MinInt32 || v > math.MaxInt32 {
		d.fail(fmt.Errorf("vint %d: %w", v, ErrMalformed))
		return 0
	}
	return int32(v)
}

// Bytes reads a VInt and as many bytes. They are not a copy.
func (d *Decoder) Bytes() []byte { return d.take(int(d.VInt())) }

// Text reads what AppendText wrote.
func (d *Decoder) Text() string {
	p := d.Bytes()
	if !utf8.Valid(p) {
		d.fail(fmt.Errorf("text is not UTF-8: %w", ErrMalformed))
		return ""
	}
	return string(p)
}

// Count reads a VInt that says how many items follow, of at least size bytes each.
func (d *Decoder) Count(size int) int {
	n := int(d.VInt())
	if n < 0 || n > len(d.b)/size {
		d.fail(fmt.Errorf("%d items where %d bytes are left: %w", n, len(d.b), ErrMalformed))
		return 0
	}
	return n
}

func (d *Decoder) take(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n < 0 || n > len(d.b) {
		d.fail(fmt.Errorf("%d bytes where %d are left: %w", n, len(d.b), ErrMalformed))
		return nil
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}

func (d *Decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}
