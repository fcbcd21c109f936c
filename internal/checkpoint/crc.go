package checkpoint

import (
	"hash/crc32"
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	ieee       = crc32.IEEETable
)

// polynomialOf is the polynomial of a table, bits reversed.
func polynomialOf(t *crc32.Table) uint32 {
	if t == ieee {
		return crc32.IEEE
	}
	return crc32.Castagnoli
}

// matrix is a linear map of checksums: the image of each bit.
type matrix [32]uint32

func (m *matrix) apply(v uint32) uint32 {
	var sum uint32
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 != 0 {
			sum ^= m[i]
		}
	}
	return sum
}

func (m *matrix) squared() *matrix {
	var s matrix
	for i, v := range m {
		s[i] = m.apply(v)
	}
	return &s
}

// joinCRC is the checksum of a followed by b, from both and the length of b in bytes. polynomial is
// the table's, bits reversed.
//
// A checksum is linear: appending n zero bytes to a maps its checksum by the n-th power of the map
// of one byte, which squaring reaches in log n steps; adding b's gives the checksum of both.
func joinCRC(polynomial, a, b uint32, length int64) uint32 {
	if length == 0 {
		return a
	}
	if a == 0 { // what every region begins with; every map leaves it 0
		return b
	}
	var bit matrix // appends a zero bit
	bit[0] = polynomial
	for i := 1; i < 32; i++ {
		bit[i] = 1 << (i - 1)
	}
	power := bit.squared().squared().squared() // a byte
	for ; length > 0; length >>= 1 {
		if length&1 != 0 {
			a = power.apply(a)
		}
		power = power.squared()
	}
	return a ^ b
}
