package tensorflow

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"tfos/internal/savedmodel"
)

// Tensor is a tensor in TensorFlow's memory. Close it. It is not safe for concurrent use.
type Tensor struct {
	Type savedmodel.DType
	Dims []int64

	l       *Library
	tensor  unsafe.Pointer
	data    []byte // in TensorFlow's memory
	strings bool   // made by NewTensor: its strings are ours to free
}

// NewTensor makes a tensor of zeros, or of empty strings.
func (l *Library) NewTensor(t savedmodel.DType, dims []int64) (*Tensor, error) {
	size, ok := t.Size()
	if t == savedmodel.String {
		size, ok = stringBytes, true
	}
	if !ok {
		return nil, fmt.Errorf("make a tensor: tfos does not know %s", t)
	}
	n := int64(size)
	for _, d := range dims {
		if d < 0 || d > 0 && n > math.MaxInt64/d {
			return nil, fmt.Errorf("make a tensor: no tensor has the dimensions %v", dims)
		}
		n *= d
	}
	var first *int64
	if len(dims) > 0 {
		first = &dims[0]
	}
	tensor := l.allocateTensor(int32(t), first, int32(len(dims)), uintptr(n))
	if tensor == nil {
		return nil, fmt.Errorf("make a tensor: TensorFlow has no memory for %d bytes", n)
	}
	made := &Tensor{Type: t, Dims: dims, l: l, tensor: tensor, data: l.bytes(tensor), strings: t == savedmodel.String}
	clear(made.data) // which makes strings empty ones
	return made, nil
}

// bytes is the memory of a tensor.
func (l *Library) bytes(tensor unsafe.Pointer) []byte {
	n := l.tensorByteSize(tensor)
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(l.tensorData(tensor)), n)
}

// received makes a Tensor of one that TensorFlow gave out.
func (l *Library) received(tensor unsafe.Pointer) *Tensor {
	t := &Tensor{Type: savedmodel.DType(l.tensorType(tensor)), l: l, tensor: tensor, data: l.bytes(tensor)}
	t.Dims = make([]int64, l.numDims(tensor))
	for i := range t.Dims {
		t.Dims[i] = l.dim(tensor, int32(i))
	}
	return t
}

// Len is the number of elements.
func (t *Tensor) Len() int {
	n := int64(1)
	for _, d := range t.Dims {
		n *= d
	}
	return int(n)
}

// Bytes is the memory of the elements, one after the other in this machine's byte order, until
// Close. Strings have none.
func (t *Tensor) Bytes() []byte {
	if t.Type == savedmodel.String {
		return nil
	}
	return t.data
}

// A string is an element of 24 bytes, a TF_TString of ctstring_internal.h. That layout is part of
// TensorFlow's binary interface, for custom operations have it compiled in. The two low bits of the
// first byte say which one of these it is:
//
//	small   | length<<2, 1 byte | bytes, at most 22 | 0 |
//	large   | length<<2 + 1, 8 bytes | capacity, 8 | address, 8 |
//	offset  | length<<2 + 2, 4 bytes | bytes from here to the string, 4 | … |
//	view    | length<<2 + 3, 8 bytes | address, 8 | … |
//
// tfos writes small strings and reads all of them without a call: one costs as much as the rest of
// what is done to a short string. Large ones are TensorFlow's to make and to free.
const (
	stringBytes = 24
	small       = 0
	large       = 1
	offset      = 2
	view        = 3
	smallMost   = 22
)

// str is the element of a string.
type str []byte

func (t *Tensor) at(i int) str { return t.data[i*stringBytes:][:stringBytes] }

func (s str) kind() byte { return s[0] & 3 }

// bytes is the string itself, in TensorFlow's memory.
func (s str) bytes() []byte {
	pointer := func(at int) *byte { return *(**byte)(unsafe.Pointer(&s[at])) }
	switch s.kind() {
	case small:
		return s[1 : 1+s[0]>>2]
	case large:
		return unsafe.Slice(pointer(16), binary.LittleEndian.Uint64(s)>>2)
	case offset:
		from := unsafe.Add(unsafe.Pointer(&s[0]), binary.LittleEndian.Uint32(s[4:]))
		return unsafe.Slice((*byte)(from), binary.LittleEndian.Uint32(s)>>2)
	}
	return unsafe.Slice(pointer(8), binary.LittleEndian.Uint64(s)>>2)
}

// SetString copies a string into a tensor that NewTensor made, where there is none yet.
func (t *Tensor) SetString(i int, text []byte) {
	s := t.at(i)
	if len(text) <= smallMost {
		s[0] = byte(len(text) << 2)
		copy(s[1:], text)
		return
	}
	t.l.stringCopy(unsafe.Pointer(&s[0]), unsafe.Pointer(unsafe.SliceData(text)), uintptr(len(text)))
}

// Strings are copies of the strings, all in one piece of memory; nil for numbers.
func (t *Tensor) Strings() [][]byte {
	if t.Type != savedmodel.String {
		return nil
	}
	all, size := make([][]byte, t.Len()), 0
	for i := range all {
		all[i] = t.at(i).bytes()
		size += len(all[i])
	}
	memory := make([]byte, 0, size)
	for i, s := range all {
		from := len(memory)
		memory = append(memory, s...)
		all[i] = memory[from:len(memory):len(memory)]
	}
	return all
}

// Close frees the tensor. Closing it again does nothing.
func (t *Tensor) Close() {
	if t.tensor == nil {
		return
	}
	if t.strings {
		for i := range t.Len() {
			if s := t.at(i); s.kind() == large {
				t.l.stringDealloc(unsafe.Pointer(&s[0]))
			}
		}
	}
	t.l.deleteTensor(t.tensor)
	t.tensor, t.data = nil, nil
}
