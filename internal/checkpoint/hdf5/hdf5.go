// Package hdf5 checks the structure of HDF5 files, and lists their datasets. It reads no data.
//
// It knows what libhdf5 writes unless it is asked for something newer, and thus what Keras writes:
// superblock version 0, groups as B-trees of symbol tables with their names in local heaps, object
// headers of version 1. Numbers are little-endian, addresses of 8 bytes. The file says how long it
// is, and everything in it where it lies; that is what can be checked, for these structures have no
// checksums. What else the format allows is passed over, and named as a doubt: a file with a doubt
// is not broken for that, and whether it is whole only libhdf5 can tell.
//
// The format is described in "HDF5 File Format Specification Version 3.0"; section numbers refer to
// it.
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

// Signature is how a superblock begins.
var Signature = []byte("\x89HDF\r\n\x1a\n")

// firstUserBlock is the smallest user block, in bytes: each larger one is twice as large (II.A).
const firstUserBlock = 512

// Find tells where the superblock of a file of size bytes begins: at 0, or after a user block of
// 512 bytes, or 1024, or twice that and so on. False: nowhere, and libhdf5 does not take it for an
// HDF5 file.
func Find(r io.ReaderAt, size int64) (at int64, found bool, err error) {
	b := make([]byte, len(Signature))
	for at <= size-int64(len(b)) {
		if n, err := r.ReadAt(b, at); n < len(b) {
			return 0, false, shorter(err)
		}
		if bytes.Equal(b, Signature) {
			return at, true, nil
		}
		at = max(2*at, firstUserBlock)
	}
	return 0, false, nil
}

// Contents is what a file holds.
type Contents struct {
	Datasets []Dataset
	Doubt    string // what of it is made in a way that this package does not know; empty: nothing
}

// Check reads the structure of a file of size bytes. The error is a *CorruptError, or the reader's.
func Check(r io.ReaderAt, size int64) (Contents, error) {
	base, found, err := Find(r, size)
	if err != nil {
		return Contents{}, err
	}
	if !found {
		return Contents{}, corrupt(0, "it does not begin as an HDF5 file")
	}
	// Addresses count from the superblock, wherever that says that it lies: libhdf5 takes no notice
	// of that either.
	f := &file{r: io.NewSectionReader(r, base, size-base), size: size - base, seen: map[uint64]bool{}}
	err = f.superblock()
	var c *CorruptError
	if errors.As(err, &c) {
		c.Offset += base
	}
	for i := range f.contents.Datasets {
		f.contents.Datasets[i].Offset += base
	}
	return f.contents, err
}

// superblock reads the superblock and everything that it leads to, II.A.
func (f *file) superblock() error {
	b, err := f.read(0, 48, "the superblock")
	if err != nil {
		return err
	}
	var base, end, root uint64
	rooted := true // tfos knows the objects below the root
	switch version := b[8]; {
	case version < 2 && (b[13] != 8 || b[14] != 8), version > 3:
		f.doubt("its superblock is of version %d, with addresses of %d bytes", version, b[13])
		return nil
	case version < 2: // base, free space, end, driver, root entry: from byte 24 on, in version 1 from 28
		at := 24 + 4*int64(version)
		if b, err = f.read(uint64(at), 48, "the superblock"); err != nil {
			return err
		}
		base, end, root = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[40:])
	case b[9] != 8:
		f.doubt("its superblock is of version %d, with addresses of %d bytes", version, b[9])
		return nil
	default: // base, extension, end, root: from byte 12 on
		base, end, rooted = binary.LittleEndian.Uint64(b[12:]), binary.LittleEndian.Uint64(b[28:]), false
		f.doubt("its superblock is of version %d: of such files tfos checks the length only", version)
	}
	switch length := end - base; {
	case end < base || length > uint64(f.size):
		return corrupt(40, "it has %d bytes, says that it has %d", f.size, length)
	case length < uint64(f.size):
		f.doubt("it has %d bytes, says that it has %d: it was not closed, or something was written behind it", f.size, length)
	}
	if !rooted {
		return nil
	}
	return f.object(root, "", 0)
}

// doubt notes what this package does not know; the first counts.
func (f *file) doubt(format string, args ...any) {
	if f.contents.Doubt == "" {
		f.contents.Doubt = fmt.Sprintf(format, args...)
	}
}

// shorter is the error of a file that became shorter while it was read.
func shorter(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// file is a walk through the objects of a file.
type file struct {
	r        io.ReaderAt // from the superblock on
	size     int64
	seen     map[uint64]bool // object headers and nodes that were visited: a cycle ends
	contents Contents
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
			return nil, shorter(err)
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
	messageLinks        = 0x02 // of a group without a B-tree
	messageDatatype     = 0x03
	messageExternal     = 0x07 // data in other files
	messageLayout       = 0x08
	messageContinuation = 0x10
	messageGroup        = 0x11
)

// description is what the messages of an object's header say.
type description struct {
	dataspace, datatype, layout, group []byte
	// partial: some of it lies elsewhere, or is of a kind that this package does not know.
	partial bool
}

const sharedMessage = 1 << 1 // in a message's flags: it says where the content lies

// object reads an object's header: that of a group, and then all below it, or of a dataset.
func (f *file) object(address uint64, name string, depth int) error {
	switch {
	case f.seen[address]:
		return nil // it has several names
	case depth > maxDepth || len(f.seen) >= maxObjects:
		f.doubt("it has more than %d objects, or groups that are nested deeper than %d", maxObjects, maxDepth)
		return nil
	}
	f.seen[address] = true
	d, err := f.header(address, name)
	if err != nil || d.partial {
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
	if string(b[:4]) == "OHDR" { // IV.A.1.b
		f.doubt("%s is of version %d", what, b[4])
		d.partial = true
		return d, nil
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
			flags, content := b[4], bytes.Clone(b[8:8+size])
			b = b[8+size:]
			left--
			if flags&sharedMessage != 0 && (kind == messageDataspace || kind == messageDatatype) || kind == messageExternal || kind == messageLinks {
				f.doubt("of %s something lies elsewhere, or in a newer kind of list", label(name))
				d.partial = true
				continue
			}
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

// group visits the members of a group: a message with the addresses of its B-tree and its heap of
// names.
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

// node reads a node of a B-tree, III.A.1: whether its children are leaves, how many there are, and
// keys and children in turn.
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

// symbolicLink is the kind of cache of a member that is one, III.C.
const symbolicLink = 2

// symbols visits the members that a symbol table node names, III.B:
//
//	"SNOD", version 1, reserved 1, entries 2 | offset of the name 8, object header 8, kind of cache 4, reserved 4, cache 16 ...
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
		if kind := binary.LittleEndian.Uint32(list[16:]); kind == symbolicLink {
			continue // it names another member, here or nowhere
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
	if len(d.dataspace) > 0 && d.dataspace[0] > 2 || len(d.layout) > 0 && d.layout[0] != 3 {
		f.doubt("the dataset %s is of a version that tfos does not know", label(name))
		return nil
	}
	dims, ok := dimensions(d.dataspace)
	if !ok {
		return damaged("it has no shape")
	}
	if len(d.layout) < 2 { // IV.A.2.i: version 3, class
		return damaged("it has no layout")
	}
	if set.Elements, ok = product(dims); !ok || set.Elements > 0 && set.Size > math.MaxInt64/set.Elements {
		if d.layout[1] != inChunks {
			return damaged("its shape is larger than any file")
		}
		f.doubt("the dataset %s has a shape that is larger than any file", label(name)) // few of its chunks may have been written
		return nil
	}
	bytes := uint64(set.Elements * set.Size)
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
		case at != undefined && (at > uint64(f.size) || size > uint64(f.size)-at):
			return damaged("its data lie beyond the end")
		}
		set.Plain, set.Offset = at != undefined, int64(at)
	case class == inChunks && len(d.layout) >= 11: // in chunks: dimensions and one 1, B-tree 8, sizes
		if at := binary.LittleEndian.Uint64(d.layout[3:]); at != undefined {
			if err := f.chunks(at, int64(d.layout[2]), name, 0); err != nil {
				return err
			}
		}
	default:
		return damaged("its layout is of an unknown kind")
	}
	f.contents.Datasets = append(f.contents.Datasets, set)
	return nil
}

// inChunks is the class of a layout.
const inChunks = 2

// product is the number of elements of a shape; false: it is beyond any file's.
func product(dims []uint64) (int64, bool) {
	n := int64(1)
	for _, dim := range dims {
		if dim > 0 && n > (1<<50)/int64(min(dim, 1<<50)) {
			return 0, false
		}
		n *= int64(dim)
	}
	return n, true
}

// dimensions reads a shape, IV.A.2.b: version 1, rank 1, flags 1; in version 1 then 5 reserved, in
// 2 a type 1; a size each.
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

// chunks visits a node of a dataset's B-tree: keys of chunk size 4, filters 4, an offset in each
// dimension.
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
