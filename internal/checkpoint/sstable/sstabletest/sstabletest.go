// Package sstabletest mends what a fuzzer changed in a table, so that the change gets past the
// table's checksums.
package sstabletest

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"tfos/internal/checkpoint/sstable"
)

// footer is the length of a table's last part, which has no checksum.
const footer = 48

// Reseal writes the right checksum behind each block of a table that can still be found. The rest
// of b stays as it is.
func Reseal(b []byte) {
	if len(b) < footer {
		return
	}
	handles := b[len(b)-footer:]
	for range 2 { // the meta index, and the index
		var h sstable.Handle
		for _, number := range []*int64{&h.Offset, &h.Size} {
			v, n := binary.Uvarint(handles)
			if n <= 0 {
				return
			}
			*number, handles = int64(v), handles[n:]
		}
		seal(b, h)
	}
	t, err := sstable.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return
	}
	for _, h := range t.Blocks() {
		seal(b, h)
	}
}

// seal writes the checksum of one block, if the block lies in b.
func seal(b []byte, h sstable.Handle) {
	most := int64(len(b))
	if h.Offset < 0 || h.Size < 0 || h.Offset > most || h.Size > most || h.End() > most {
		return
	}
	typed := h.Offset + h.Size + 1 // the type of the block is under the checksum too
	sum := crc32.Checksum(b[h.Offset:typed], crc32.MakeTable(crc32.Castagnoli))
	binary.LittleEndian.PutUint32(b[typed:], sstable.Mask(sum))
}
