package checkpoint

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"tfos/internal/checkpoint/sstable"
)

// planLegacy plans the verification of the tables that the Saver's first format consists of.
// Tensors are values in their blocks.
func planLegacy(open Opener, c Checkpoint, b *planner) error {
	for _, f := range c.Files {
		if strings.HasSuffix(f.Name, ".meta") {
			continue
		}
		blocks, err := tableBlocks(open, f)
		if err != nil {
			return err
		}
		for _, h := range blocks {
			r := region{what: fmt.Sprintf("the block at byte %d of %s", h.Offset, f.Name)}
			b.addDecoded(f, h.Offset, h.End()-h.Offset, r, blockCRC)
		}
	}
	return nil
}

func tableBlocks(open Opener, f File) ([]sstable.Handle, error) {
	in, err := open(f.Name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	t, err := sstable.Open(in, in.Size())
	var damaged *sstable.CorruptError
	switch {
	case errors.As(err, &damaged):
		return nil, problemf("%s is damaged: %v", f.Name, err)
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", f.Name, err)
	case len(t.Blocks()) == 0:
		return nil, problemf("%s holds nothing", f.Name)
	}
	return t.Blocks(), nil
}

// blockCRC reads a block of a table with its trailer, and answers with 0 if its checksum is right.
func blockCRC(r *bufio.Reader, size int64) (uint32, error) {
	in := &counter{r: r}
	crc, err := in.rest(0, size-4)
	if err != nil {
		return 0, err
	}
	stored, err := in.bytes(4)
	if err != nil {
		return 0, err
	}
	if binary.LittleEndian.Uint32(stored) != sstable.Mask(crc) {
		return 0, problemf("is damaged: its checksum is wrong")
	}
	return 0, nil
}

// ieeeCRC is the checksum of what r holds, which is length bytes.
func ieeeCRC(r io.Reader, length int64) (uint32, error) {
	h := crc32.NewIEEE()
	n, err := io.Copy(h, io.LimitReader(r, length+1))
	if err == nil && n != length {
		err = problemf("is damaged: it is not as long as it says")
	}
	return h.Sum32(), err
}
