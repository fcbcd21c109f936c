package tensorflow

import (
	"fmt"
	"math"
	"unsafe"

	"tfos/internal/savedmodel"
)

// stringBytes is sizeof(TF_TString).
const stringBytes = 24

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
	clear(made.data)
	if made.strings {
		for i := range made.Len() {
			l.stringInit(made.at(i))
		}
	}
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

// at is the string with the index i.
func (t *Tensor) at(i int) unsafe.Pointer { return unsafe.Pointer(&t.data[i*stringBytes]) }

// SetString copies a string into a tensor that NewTensor made.
func (t *Tensor) SetString(i int, s []byte) {
	t.l.stringCopy(t.at(i), unsafe.Pointer(unsafe.SliceData(s)), uintptr(len(s)))
}

// String is a copy of a string.
func (t *Tensor) String(i int) []byte {
	n := t.l.stringSize(t.at(i))
	s := make([]byte, n)
	if n > 0 {
		copy(s, unsafe.Slice((*byte)(t.l.stringData(t.at(i))), n))
	}
	return s
}

// Close frees the tensor. Closing it again does nothing.
func (t *Tensor) Close() {
	if t.tensor == nil {
		return
	}
	if t.strings {
		for i := range t.Len() {
			t.l.stringDealloc(t.at(i))
		}
	}
	t.l.deleteTensor(t.tensor)
	t.tensor, t.data = nil, nil
}
