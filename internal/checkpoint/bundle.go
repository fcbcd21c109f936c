package checkpoint

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tfos/internal/checkpoint/sstable"
	"tfos/internal/hadoop/wire"
)

// The types of tensors that are not stored as plain memory (DataType in types.proto).
const (
	typeString  = 7
	typeVariant = 21
)

// entry is a BundleEntryProto: a tensor, a slice of one, or a tensor that is stored in slices.
type entry struct {
	key      string
	dtype    uint64
	elements int64 // the product of the shape
	shard    int64
	offset   int64
	size     int64 // bytes
	crc      uint32
	slices   []slice
}

// bundle is an index.
type bundle struct {
	shards  int64
	entries []entry // by key
}

// readBundle reads an index file.
func readBundle(open Opener, name string) (*bundle, error) {
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := &bundle{shards: -1}
	t, err := sstable.Open(f, f.Size())
	if err == nil {
		err = t.Entries(func(key, value []byte) error {
			if b.shards < 0 {
				return b.header(key, value)
			}
			e, err := parseEntry(string(key), value)
			if err != nil {
				return problemf("the entry %s: %v", display(string(key)), err)
			}
			b.entries = append(b.entries, e)
			return nil
		})
	}
	if err == nil && b.shards < 0 {
		err = problemf("the table is empty")
	}
	var damaged *sstable.CorruptError
	var problem *Problem
	switch {
	case err == nil:
		return b, nil
	case errors.As(err, &damaged), errors.As(err, &problem):
		return nil, problemf("%s is damaged: %v", name, err)
	case errors.As(err, new(*Doubt)):
		return nil, doubtf("%s: %v", name, err)
	}
	return nil, fmt.Errorf("read %s: %w", name, err)
}

// header reads the first entry, a BundleHeaderProto.
func (b *bundle) header(key, value []byte) error {
	if len(key) != 0 {
		return problemf("the table has no header")
	}
	b.shards = 0
	for len(value) > 0 {
		f, rest, err := wire.CutField(value)
		if err != nil {
			return problemf("the header: %v", err)
		}
		value = rest
		switch {
		case f.Number == 1 && int64(f.Varint) >= 0 && f.Varint <= maxShards:
			b.shards = int64(f.Varint)
		case f.Number == 1:
			return problemf("the header speaks of %d shards", f.Varint)
		case f.Number == 2 && f.Varint != 0: // its checksums are fine, its numbers are not
			return doubtf("it was written big-endian, which tfos does not read")
		}
	}
	return nil
}

// maxShards is what the five digits of a shard's name hold.
const maxShards = 99999

func parseEntry(key string, b []byte) (entry, error) {
	e := entry{key: key, elements: 1}
	for len(b) > 0 {
		f, rest, err := wire.CutField(b)
		if err != nil {
			return entry{}, err
		}
		b = rest
		switch f.Number {
		case 1:
			e.dtype = f.Varint
		case 2:
			if e.elements, err = elements(f.Bytes); err != nil {
				return entry{}, err
			}
		case 3:
			e.shard = int64(f.Varint)
		case 4:
			e.offset = int64(f.Varint)
		case 5:
			e.size = int64(f.Varint)
		case 6:
			e.crc = sstable.Unmask(uint32(f.Fixed))
		case 7:
			s, err := parseSlice(f.Bytes)
			if err != nil {
				return entry{}, err
			}
			e.slices = append(e.slices, s)
		}
	}
	if e.offset < 0 || e.size < 0 || e.offset+e.size < 0 {
		return entry{}, fmt.Errorf("%d bytes at %d", e.size, e.offset)
	}
	return e, nil
}

// elements is the number of elements of a TensorShapeProto. One beyond any file's size is an error.
func elements(shape []byte) (int64, error) {
	n := int64(1)
	for len(shape) > 0 {
		f, rest, err := wire.CutField(shape)
		if err != nil {
			return 0, err
		}
		shape = rest
		if f.Number != 2 {
			continue
		}
		var size int64
		for dim := f.Bytes; len(dim) > 0; {
			d, rest, err := wire.CutField(dim)
			if err != nil {
				return 0, err
			}
			if dim = rest; d.Number == 1 {
				size = int64(d.Varint)
			}
		}
		if size < 0 || size > 0 && n > maxElements/size {
			return 0, fmt.Errorf("a dimension of %d", size)
		}
		n *= size
	}
	return n, nil
}

const maxElements = 1 << 50

// dtypeSize is the size in bytes of an element, by DataType; 0 for types that are not stored as
// plain memory, or unknown.
var dtypeSize = [...]int64{
	1: 4, 2: 8, 3: 4, 4: 1, 5: 2, 6: 1, // float32, float64, int32, uint8, int16, int8
	8: 8, 9: 8, 10: 1, 11: 1, 12: 1, 13: 4, 14: 2, // complex64, int64, bool, qint8, quint8, qint32, bfloat16
	15: 2, 16: 2, 17: 2, 18: 16, 19: 2, 22: 4, 23: 8, // qint16, quint16, uint16, complex128, float16, uint32, uint64
	24: 1, 25: 1, // float8_e5m2, float8_e4m3fn
}

// planBundle plans the verification of a bundle whose files share a prefix.
func planBundle(open Opener, prefix string, files []File, b *planner) error {
	index, err := readBundle(open, prefix+".index")
	if err != nil {
		return err
	}
	sizes := map[string]File{}
	for _, f := range files {
		sizes[f.Name] = f
	}
	if err := index.check(); err != nil {
		return problemf("%s.index is damaged: %v", prefix, err)
	}
	stored := slices.DeleteFunc(slices.Clone(index.entries), func(e entry) bool { return len(e.slices) > 0 })
	slices.SortFunc(stored, func(x, y entry) int {
		return cmp.Or(cmp.Compare(x.shard, y.shard), cmp.Compare(x.offset, y.offset), cmp.Compare(x.size, y.size))
	})
	for len(stored) > 0 {
		shard := stored[0].shard
		n := slices.IndexFunc(stored, func(e entry) bool { return e.shard != shard })
		if n < 0 {
			n = len(stored)
		}
		name := shardName(prefix, shard, index.shards)
		f, ok := sizes[name]
		if !ok {
			return problemf("%s is missing", name)
		}
		if err := planShard(f, stored[:n], b); err != nil {
			return err
		}
		stored = stored[n:]
	}
	return nil
}

// check looks at what entries say of themselves and of each other.
func (b *bundle) check() error {
	keys := map[string]bool{}
	for _, e := range b.entries {
		keys[e.key] = true
	}
	for _, e := range b.entries {
		if e.shard < 0 || e.shard >= b.shards {
			return problemf("tensor %s lies in shard %d of %d", display(e.key), e.shard, b.shards)
		}
		if e.dtype < uint64(len(dtypeSize)) && dtypeSize[e.dtype] > 0 && len(e.slices) == 0 && e.size != e.elements*dtypeSize[e.dtype] {
			return problemf("tensor %s has %d elements in %d bytes", display(e.key), e.elements, e.size)
		}
		for _, s := range e.slices {
			if !keys[sliceKey(e.key, s)] {
				return problemf("a slice of tensor %s is missing", display(e.key))
			}
		}
	}
	return nil
}

// planShard plans the tensors of one shard, which are sorted by offset.
func planShard(f File, stored []entry, b *planner) error {
	var end int64
	for _, e := range stored {
		if e.offset < end { // TensorFlow reads each where it lies
			return doubtf("tensor %s overlaps another in %s", display(e.key), f.Name)
		}
		end = e.offset + e.size
	}
	switch {
	case f.Size < end:
		return problemf("%s has %d bytes, should have %d", f.Name, f.Size, end)
	case f.Size > end: // TensorFlow takes no notice
		b.doubt("%s has %d bytes, should have %d", f.Name, f.Size, end)
	}
	for _, e := range stored {
		r := region{what: fmt.Sprintf("tensor %s in %s", display(e.key), f.Name), want: e.crc}
		switch e.dtype {
		case typeString:
			b.addDecoded(f, e.offset, e.size, r, func(in *bufio.Reader, size int64) (uint32, error) { return stringsCRC(in, size, e.elements) })
		case typeVariant:
			b.addDecoded(f, e.offset, e.size, r, func(in *bufio.Reader, size int64) (uint32, error) { return variantsCRC(in, size, e.elements) })
		default:
			b.add(f, e.offset, e.size, castagnoli, r)
		}
	}
	return nil
}

func shardName(prefix string, shard, shards int64) string {
	return fmt.Sprintf("%s.data-%05d-of-%05d", prefix, shard, shards)
}

// display is a tensor's key as a person reads it: a slice's holds bytes of its own.
func display(key string) string {
	if name, ok := slicedName(key); ok {
		return "a slice of " + name
	}
	return strings.ToValidUTF8(key, "?")
}
