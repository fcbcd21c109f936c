package savedmodel

import "fmt"

// DType is a type of tensors' elements, by TensorFlow's numbers (types.proto).
type DType int32

// The types that tfos knows.
const (
	Float    DType = 1
	Double   DType = 2
	Int32    DType = 3
	Uint8    DType = 4
	Int16    DType = 5
	Int8     DType = 6
	String   DType = 7
	Int64    DType = 9
	Bool     DType = 10
	BFloat16 DType = 14
	Uint16   DType = 17
	Half     DType = 19
	Uint32   DType = 22
	Uint64   DType = 23
)

// types names them as Python does, with the bytes of an element; a String has none of its own.
var types = map[DType]struct {
	name string
	size int
}{
	Float: {"float32", 4}, Double: {"float64", 8}, Int32: {"int32", 4}, Uint8: {"uint8", 1}, Int16: {"int16", 2}, Int8: {"int8", 1}, String: {"string", 0},
	Int64: {"int64", 8}, Bool: {"bool", 1}, BFloat16: {"bfloat16", 2}, Uint16: {"uint16", 2}, Half: {"float16", 2}, Uint32: {"uint32", 4}, Uint64: {"uint64", 8},
}

// String is the name that Python knows the type by.
func (d DType) String() string {
	if t, ok := types[d]; ok {
		return t.name
	}
	return fmt.Sprintf("type %d", int32(d))
}

// Size is the bytes of an element; ok is false for a type that tfos does not know, and for String,
// whose elements have different lengths.
func (d DType) Size() (size int, ok bool) {
	t := types[d]
	return t.size, t.size > 0
}

// Known reports whether tfos can fill and read tensors of the type.
func (d DType) Known() bool { return types[d].name != "" }
