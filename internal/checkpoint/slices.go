package checkpoint

import (
	"encoding/binary"
	"math/bits"
	"strings"

	"tfos/internal/hadoop/wire"
)

// slice is a TensorSliceProto: a range of each dimension.
type slice []extent

// extent is a range of a dimension; a length of fullExtent stands for all of it.
type extent struct{ start, length int64 }

const fullExtent = -1

func parseSlice(b []byte) (slice, error) {
	var s slice
	for len(b) > 0 {
		f, rest, err := wire.CutField(b)
		if err != nil {
			return nil, err
		}
		if b = rest; f.Number != 1 {
			continue
		}
		e := extent{length: fullExtent}
		for in := f.Bytes; len(in) > 0; {
			g, rest, err := wire.CutField(in)
			if err != nil {
				return nil, err
			}
			in = rest
			switch g.Number {
			case 1:
				e.start = int64(g.Varint)
			case 2:
				e.length = int64(g.Varint)
			}
		}
		s = append(s, e)
	}
	return s, nil
}

// sliceKey is the key of a slice of a tensor in an index, in the order-preserving code of
// TensorFlow's EncodeTensorNameSlice: the number 0, the name, the number of dimensions, and start
// and length of each.
func sliceKey(name string, s slice) string {
	key := appendNumber(nil, 0)
	key = appendName(key, name)
	key = appendNumber(key, uint64(len(s)))
	for _, e := range s {
		key = appendSigned(key, e.start)
		key = appendSigned(key, e.length)
	}
	return string(key)
}

// slicedName is the name in a slice's key.
func slicedName(key string) (string, bool) {
	rest, ok := strings.CutPrefix(key, "\x00")
	if !ok {
		return "", false
	}
	name, _, ok := strings.Cut(rest, "\x00\x01")
	return strings.NewReplacer("\x00\xff", "\x00", "\xff\x00", "\xff").Replace(name), ok
}

// appendNumber appends a number: the count of its bytes, then they, the highest first.
func appendNumber(b []byte, v uint64) []byte {
	n := (bits.Len64(v) + 7) / 8
	b = append(b, byte(n))
	return append(b, binary.BigEndian.AppendUint64(nil, v)[8-n:]...)
}

// appendName appends a string: its bytes, with 0x00 and 0xff escaped, and a mark of its end.
func appendName(b []byte, s string) []byte {
	s = strings.NewReplacer("\x00", "\x00\xff", "\xff", "\xff\x00").Replace(s)
	return append(append(b, s...), 0, 1)
}

// appendSigned appends a signed number in as many bytes n as it needs at 7 bits each, sign
// included. Its two's complement has the first n bits flipped, so that more leading ones mean a
// longer, larger number: 10vvvvvv, 110vvvvv vvvvvvvv... for those that are not negative, and the
// complement for those that are.
func appendSigned(b []byte, v int64) []byte {
	magnitude := uint64(v)
	if v < 0 {
		magnitude = ^magnitude
	}
	n := max(1, (bits.Len64(magnitude)+1+6)/7)
	var wide [10]byte // sign-extended to 80 bits
	if v < 0 {
		wide[0], wide[1] = 0xff, 0xff
	}
	binary.BigEndian.PutUint64(wide[2:], uint64(v))
	number := wide[10-n:]
	for i := range n {
		number[i/8] ^= 0x80 >> (i % 8)
	}
	return append(b, number...)
}
