package tfile

import (
	"fmt"
	"io"
)

// readVLong reads a number as TFile writes it (org.apache.hadoop.io.file.tfile.Utils), which is not
// how Hadoop's Writables do. The first byte, signed:
//
//	-32 … 127    the number itself
//	-72 … -33    upper bits of 2 bytes, plus -52
//	-104 … -73   upper bits of 3 bytes, plus -88
//	-120 … -105  upper bits of 4 bytes, plus -112
//	-128 … -121  4 to 8 bytes follow; how many is the byte plus 129, and -128 stands for no number
func readVLong(r io.ByteReader) (int64, error) {
	c, err := r.ReadByte()
	if err != nil {
		return 0, err
	}
	first := int64(int8(c))
	var v int64
	more := 0
	switch {
	case first >= -32:
		return first, nil
	case first >= -72:
		v, more = first+52, 1
	case first >= -104:
		v, more = first+88, 2
	case first >= -120:
		v, more = first+112, 3
	default:
		if more = int(first) + 129; more < 4 {
			return 0, fmt.Errorf("%w: number of %d bytes", ErrFormat, more)
		}
	}
	for i := range more {
		c, err := r.ReadByte()
		if err != nil {
			return 0, noEOF(err)
		}
		if i == 0 && first < -120 {
			v = int64(int8(c)) // carries the sign
			continue
		}
		v = v<<8 | int64(c)
	}
	return v, nil
}

// decoder reads an index off a byte slice. The first error sticks.
type decoder struct {
	b   []byte
	err error
}

// ReadByte lets readVLong read from it.
func (d *decoder) ReadByte() (byte, error) {
	if len(d.b) == 0 {
		return 0, io.EOF
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c, nil
}

func (d *decoder) vlong() int64 {
	if d.err != nil {
		return 0
	}
	v, err := readVLong(d)
	if err != nil {
		d.err = noEOF(err)
	}
	return v
}

// count reads how many items follow, of a byte each at least.
func (d *decoder) count() int64 {
	n := d.vlong()
	if d.err == nil && (n < 0 || n > int64(len(d.b))) {
		d.err = fmt.Errorf("%w: %d items in %d bytes", ErrFormat, n, len(d.b))
	}
	if d.err != nil {
		return 0
	}
	return n
}

func (d *decoder) string() string {
	n := d.count()
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) region() region {
	return region{offset: d.vlong(), stored: d.vlong(), raw: d.vlong()}
}

// valueReader reads a record's value, which comes in chunks: each behind its length, that of the
// last as it is and that of the others negated.
type valueReader struct {
	block *blockReader
	left  int64 // of the chunk at hand, bytes
	last  bool
}

// Read reads from the value, io.EOF at its end.
func (v *valueReader) Read(p []byte) (int, error) {
	if err := v.chunk(); err != nil {
		return 0, err
	}
	n, err := v.block.Read(p[:min(int64(len(p)), v.left)])
	v.left -= int64(n)
	if err != nil {
		return n, noEOF(err)
	}
	return n, nil
}

// chunk goes to a chunk with bytes left, io.EOF if there is none.
func (v *valueReader) chunk() error {
	for v.left == 0 {
		if v.last {
			return io.EOF
		}
		n, err := readVLong(v.block)
		if err != nil {
			return noEOF(err)
		}
		if v.last = n >= 0; !v.last {
			n = -n
		}
		if n < 0 || n > v.block.left {
			return fmt.Errorf("%w: chunk of %d bytes where %d are left", ErrFormat, n, v.block.left)
		}
		v.left = n
	}
	return nil
}

// discard passes over n bytes.
func (v *valueReader) discard(n int64) error {
	for n > 0 {
		if err := v.chunk(); err != nil {
			return noEOF(err)
		}
		step := min(n, v.left)
		if err := v.block.discard(step); err != nil {
			return err
		}
		v.left -= step
		n -= step
	}
	return nil
}

// discardAll passes over the rest.
func (v *valueReader) discardAll() error {
	for {
		switch err := v.chunk(); err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
		if err := v.discard(v.left); err != nil {
			return err
		}
	}
}
