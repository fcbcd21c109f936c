package checkpoint

import (
	"hash/crc32"
	"testing"

	"tfos/internal/checkpoint/sstable"

	"pgregory.net/rapid"
)

func TestJoinedChecksumsAreThoseOfTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		at := rapid.IntRange(0, len(b)).Draw(t, "at")
		for _, table := range []*crc32.Table{castagnoli, ieee} {
			got := joinCRC(polynomialOf(table), crc32.Checksum(b[:at], table), crc32.Checksum(b[at:], table), int64(len(b)-at))
			if want := crc32.Checksum(b, table); got != want {
				t.Errorf("%08x, want %08x", got, want)
			}
		}
		crc := rapid.Uint32().Draw(t, "checksum")
		if sstable.Unmask(sstable.Mask(crc)) != crc {
			t.Errorf("unmask does not undo mask of %08x", crc)
		}
	})
}
