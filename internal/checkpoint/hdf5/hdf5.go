// Package hdf5 checks the structure of the HDF5 files that Keras writes, and lists their datasets. It reads no data.
//
// It knows what libhdf5 writes unless it is asked for something newer: superblock version 0, groups as B-trees of symbol tables with
// their names in local heaps, object headers of version 1. Numbers are little-endian, addresses of 8 bytes. The file says how
// long it is, and everything in it where it lies; that is what can be checked, for these structures have no checksums. Of
// files with a newer superblock only the length is checked.
//
// The format is described in "HDF5 File Format Specification Version 3.0"; section numbers refer to it.
package hdf5

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
)

// CorruptError says what is wrong with a file, and where.
type CorruptError struct {
	Offset int64 // in the file
	What   string
}

func (e *CorruptError) Error() string { return fmt.Sprintf("%s, at byte %d", e.What, e.Offset) }

func corrupt(offset int64, format string, args ...any) error {
	return &CorruptError{Offset: offset, What: fmt.Sprintf(format, args...)}
}

// Dataset is an array in a file.
type Dataset struct {
	Path     string // "layers/dense/vars/0"
	Elements int64
	Size     int64 // bytes of an element
	Offset   int64 // of the data, if Plain
	Plain    bool  // it lies in one piece, as it is in memory
	Integer  bool
}

const (
	undefined  = math.MaxUint64 // an address that is none
	maxObjects = 1 << 20        // groups and datasets of a file
	maxDepth   = 64             // of groups and of B-trees
	maxHeader  = 64 << 20       // bytes of one object header or heap
)

var signature = []byte("\x89HDF\r\n\x1a\n")

// Check reads the structure of a file of size bytes and lists its datasets. The error is a *CorruptError, or the reader's.
func Check(r io.ReaderAt, size int64) ([]Dataset, error) {
	f := &file{r: r, size: size, seen: map[uint64]bool{}}
	b, err := f.read(0, 96, "the superblock")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(b[:8], signature) {
		return nil, corrupt(0, "it does not begin as an HDF5 file")
	}
	var end uint64
	switch version := b[8]; {
	case version == 0 && b[13] == 8 && b[14] == 8: // II.A
		end = binary.LittleEndian.Uint64(b[40:])
	case version == 2 || version == 3: // II.A: base, extension, end, root from byte 12 on
		end = binary.LittleEndian.Uint64(b[28:])
	default:
		return nil, corrupt(8, "its superblock is of version %d, which tfos does not know", version)
	}
	if end != uint64(size) {
		return nil, corrupt(40, "it has %d bytes, says that it has %d", size, end)
	}
	if b[8] != 0 {
		return nil, nil
	}
	err = f.object(binary.LittleEndian.Uint64(b[64:]), "", 0)
	return f.datasets, err
}

// file is a walk through the objects of a file.
type file struct {
	r        io.ReaderAt
	size     int64
	seen     map[uint64]bool // object headers and nodes that were visited: a cycle ends
	datasets []Dataset
	page     []byte // what was read last, for structures lie beside each other
	pageAt   int64
}

const pageSize = 64 << 10

// read reads n bytes of what.
func (f *file) read(address uint64, n int64, what string) ([]byte, error) {
	if n < 0 || n > maxHeader || address > uint64(f.size) || uint64(n) > uint64(f.size)-address {
		return nil, corrupt(int64(min(address, uint64(f.size))), "%s lies beyond the end", what)
	}
	at := int64(address)
	if at < f.pageAt || at+n > f.pageAt+int64(len(f.page)) {
		f.pageAt = at / pageSize * pageSize
		f.page = make([]byte, min(max(at+n-f.pageAt, pageSize), f.size-f.pageAt))
		if got, err := f.r.ReadAt(f.page, f.pageAt); got < len(f.page) {
			f.page = nil
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // it became shorter
			}
			return nil, err
		}
	}
	return f.page[at-f.pageAt:][:n], nil
}

// enter notes a visit.
func (f *file) enter(address uint64, what string) error {
	if f.seen[address] {
		return corrupt(int64(address), "%s is there twice", what)
	}
	if len(f.seen) >= maxObjects {
		return corrupt(int64(address), "there are more than %d objects", maxObjects)
	}
	f.seen[address] = true
	return nil
}

// Header messages, IV.A.2.
const (
	messageDataspace    = 0x01
	messageDatatype     = 0x03
	messageLayout       = 0x08
	messageContinuation = 0x10
	messageGroup        = 0x11
)

// description is what the messages of an object's header say.
type description struct {
	dataspace, datatype, layout, group []byte
}

// object reads an object's header: that of a group, and then all below it, or of a dataset.
func (f *file) object(address uint64, name string, depth int) error {
	if depth > maxDepth {
		return corrupt(int64(address), "groups are nested deeper than %d", maxDepth)
	}
	if err := f.enter(address, "the object "+label(name)); err != nil {
		return err
	}
	d, err := f.header(address, name)
	if err != nil {
		return err
	}
	switch {
	case d.group != nil:
		return f.group(d.group, name, depth)
	case d.layout != nil:
		return f.dataset(address, d, name)
	}
	return nil // a named datatype, or an empty group
}

// header collects the messages of an object header of version 1, IV.A.1.a:
//
//	version 1, reserved 1, messages 2, references 4, size of the messages 4, padding 4 | messages
//	message: type 2, size 2, flags 1, reserved 3 | content
func (f *file) header(address uint64, name string) (description, error) {
	what := "the header of " + label(name)
	var d description
	b, err := f.read(address, 16, what)
	if err != nil {
		return d, err
	}
	if b[0] != 1 {
		return d, corrupt(int64(address), "%s is of version %d", what, b[0])
	}
	left := int(binary.LittleEndian.Uint16(b[2:]))
	type block struct {
		address uint64
		size    uint64
	}
	blocks := []block{{address + 16, uint64(binary.LittleEndian.Uint32(b[8:]))}}
	for len(blocks) > 0 && left > 0 {
		at := blocks[0]
		blocks = blocks[1:]
		if at.size > maxHeader {
			return d, corrupt(int64(address), "%s says that it is of %d bytes", what, at.size)
		}
		b, err := f.read(at.address, int64(at.size), what)
		if err != nil {
			return d, err
		}
		for len(b) >= 8 && left > 0 {
			kind, size := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
			if size > len(b)-8 {
				return d, corrupt(int64(at.address), "a message in %s is longer than it", what)
			}
			content := bytes.Clone(b[8 : 8+size])
			b = b[8+size:]
			left--
			switch kind {
			case messageDataspace:
				d.dataspace = content
			case messageDatatype:
				d.datatype = content
			case messageLayout:
				d.layout = content
			case messageGroup:
				d.group = content
			case messageContinuation:
				if size < 16 {
					return d, corrupt(int64(at.address), "a continuation in %s is too short", what)
				}
				next := block{binary.LittleEndian.Uint64(content), binary.LittleEndian.Uint64(content[8:])}
				if err := f.enter(next.address, "a continuation of "+what); err != nil {
					return d, err
				}
				blocks = append(blocks, next)
			}
		}
	}
	if left > 0 {
		return d, corrupt(int64(address), "%s lacks %d messages", what, left)
	}
	return d, nil
}

// group visits the members of a group: a message with the addresses of its B-tree and its heap of names.
func (f *file) group(message []byte, name string, depth int) error {
	if len(message) < 16 {
		return corrupt(0, "the group %s has no table", label(name))
	}
	heapAt := binary.LittleEndian.Uint64(message[8:])
	what := "the names in " + label(name)
	b, err := f.read(heapAt, 32, what) // III.D: signature, version and padding, size, free list, address
	if err != nil {
		return err
	}
	if string(b[:4]) != "HEAP" {
		return corrupt(int64(heapAt), "%s are no heap", what)
	}
	size := binary.LittleEndian.Uint64(b[8:])
	if size > maxHeader {
		return corrupt(int64(heapAt), "%s are said to be of %d bytes", what, size)
	}
	heap, err := f.read(binary.LittleEndian.Uint64(b[24:]), int64(size), what)
	if err != nil {
		return err
	}
	return f.groupNode(binary.LittleEndian.Uint64(message), bytes.Clone(heap), name, depth, 0)
}

// The types of B-tree.
const (
	ofGroup  = 0
	ofChunks = 1
)

// node reads a node of a B-tree, III.A.1: whether its children are leaves, how many there are, and keys and children in turn.
//
//	"TREE", type 1, level 1, entries 2, left 8, right 8 | key, child 8, key, child 8 ... key
func (f *file) node(address uint64, kind byte, key int64, name string, level int) (leaf bool, entries int64, list []byte, err error) {
	what := "the index of " + label(name)
	if level > maxDepth {
		return false, 0, nil, corrupt(int64(address), "%s is too deep", what)
	}
	if err := f.enter(address, what); err != nil {
		return false, 0, nil, err
	}
	b, err := f.read(address, 24, what)
	if err != nil {
		return false, 0, nil, err
	}
	if string(b[:4]) != "TREE" || b[4] != kind {
		of := "a group"
		if kind == ofChunks {
			of = "chunks"
		}
		return false, 0, nil, corrupt(int64(address), "%s is no B-tree of %s", what, of)
	}
	leaf, entries = b[5] == 0, int64(binary.LittleEndian.Uint16(b[6:]))
	list, err = f.read(address+24, entries*(key+8)+key, what)
	return leaf, entries, bytes.Clone(list), err // the next read takes the buffer
}

// groupNode visits a node of a group's B-tree. Its keys are 8 bytes long.
func (f *file) groupNode(address uint64, heap []byte, name string, depth, level int) error {
	leaf, entries, children, err := f.node(address, ofGroup, 8, name, level)
	if err != nil {
		return err
	}
	for i := range entries {
		child := binary.LittleEndian.Uint64(children[i*16+8:])
		if leaf {
			err = f.symbols(child, heap, name, depth)
		} else {
			err = f.groupNode(child, heap, name, depth, level+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// symbols visits the members that a symbol table node names, III.B:
//
//	"SNOD", version 1, reserved 1, entries 2 | offset of the name 8, object header 8, cache 24 ...
func (f *file) symbols(address uint64, heap []byte, name string, depth int) error {
	what := "the list of " + label(name)
	if err := f.enter(address, what); err != nil {
		return err
	}
	b, err := f.read(address, 8, what)
	if err != nil {
		return err
	}
	if string(b[:4]) != "SNOD" {
		return corrupt(int64(address), "%s is no list", what)
	}
	entries := int64(binary.LittleEndian.Uint16(b[6:]))
	list, err := f.read(address+8, entries*40, what)
	if err != nil {
		return err
	}
	list = bytes.Clone(list)
	for ; len(list) > 0; list = list[40:] {
		offset := binary.LittleEndian.Uint64(list)
		if offset >= uint64(len(heap)) {
			return corrupt(int64(address), "%s has a name beyond its names", what)
		}
		member, _, ended := bytes.Cut(heap[offset:], []byte{0})
		if !ended || len(member) == 0 {
			return corrupt(int64(address), "%s has a name without an end", what)
		}
		if err := f.object(binary.LittleEndian.Uint64(list[8:]), path.Join(name, string(member)), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// dataset checks that its data lie in the file and are as many as its shape says.
func (f *file) dataset(address uint64, d description, name string) error {
	damaged := func(what string) error {
		return corrupt(int64(address), "the dataset %s: %s", label(name), what)
	}
	if len(d.datatype) < 8 { // IV.A.2.d: class and version 1, bits 3, size 4
		return damaged("it has no type")
	}
	set := Dataset{Path: name, Elements: 1, Size: int64(binary.LittleEndian.Uint32(d.datatype[4:])), Integer: d.datatype[0]&0x0f == 0}
	dims, ok := dimensions(d.dataspace)
	if !ok {
		return damaged("it has no shape")
	}
	for _, dim := range dims {
		if dim > 0 && set.Elements > (1<<50)/int64(min(dim, 1<<50)) {
			return damaged("its shape is larger than any file")
		}
		set.Elements *= int64(dim)
	}
	bytes := uint64(set.Elements * set.Size)
	if set.Size > 1<<12 && set.Elements > 0 && bytes/uint64(set.Elements) != uint64(set.Size) {
		return damaged("its shape is larger than any file")
	}
	if len(d.layout) < 2 || d.layout[0] != 3 { // IV.A.2.i: version 3, class
		return damaged("its layout is of an unknown version")
	}
	switch class := d.layout[1]; {
	case class == 0: // in the header
		if len(d.layout) < 4 || uint64(binary.LittleEndian.Uint16(d.layout[2:])) != bytes {
			return damaged("its data are not as many as its shape says")
		}
	case class == 1 && len(d.layout) >= 18: // in one piece: address, size
		at, size := binary.LittleEndian.Uint64(d.layout[2:]), binary.LittleEndian.Uint64(d.layout[10:])
		switch {
		case size != bytes:
			return damaged(fmt.Sprintf("it has %d bytes of data, its shape wants %d", size, bytes))
		case at == undefined && bytes > 0:
			return damaged("it was never written")
		case at != undefined && (at > uint64(f.size) || size > uint64(f.size)-at):
			return damaged("its data lie beyond the end")
		}
		set.Plain, set.Offset = at != undefined, int64(at)
	case class == 2 && len(d.layout) >= 11: // in chunks: dimensions and one 1, B-tree 8, sizes
		if at := binary.LittleEndian.Uint64(d.layout[3:]); at != undefined {
			if err := f.chunks(at, int64(d.layout[2]), name, 0); err != nil {
				return err
			}
		}
	default:
		return damaged("its layout is of an unknown kind")
	}
	f.datasets = append(f.datasets, set)
	return nil
}

// dimensions reads a shape, IV.A.2.b: version 1, rank 1, flags 1; in version 1 then 5 reserved, in 2 a type 1; a size each.
func dimensions(b []byte) ([]uint64, bool) {
	if len(b) < 4 || b[0] != 1 && b[0] != 2 {
		return nil, false
	}
	rank, begin := int(b[1]), 4
	if b[0] == 1 {
		begin = 8
	}
	if len(b) < begin+8*rank {
		return nil, false
	}
	dims := make([]uint64, rank)
	for i := range dims {
		dims[i] = binary.LittleEndian.Uint64(b[begin+8*i:])
	}
	if b[0] == 2 && b[3] == 2 { // a null dataspace
		dims = append(dims, 0)
	}
	return dims, true
}

// chunks visits a node of a dataset's B-tree: keys of chunk size 4, filters 4, an offset in each dimension.
func (f *file) chunks(address uint64, dimensions int64, name string, level int) error {
	key := 8 + 8*dimensions
	leaf, entries, list, err := f.node(address, ofChunks, key, name, level)
	if err != nil {
		return err
	}
	for i := range entries {
		at := list[i*(key+8):]
		size, child := uint64(binary.LittleEndian.Uint32(at)), binary.LittleEndian.Uint64(at[key:])
		switch {
		case !leaf:
			err = f.chunks(child, dimensions, name, level+1)
		case child > uint64(f.size) || size > uint64(f.size)-child:
			err = corrupt(int64(address), "a chunk of %s lies beyond the end", label(name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func label(name string) string { return "/" + name }
