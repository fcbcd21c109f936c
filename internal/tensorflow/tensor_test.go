package tensorflow

import (
	"encoding/binary"
	"strings"
	"testing"
	"unsafe"

	"tfos/internal/savedmodel"
)

// TestStrings reads the elements of a string tensor in each of their layouts: what TF_StringCopy of
// TensorFlow 2.21 makes of a short and of a long string, and the two that only operations make.
func TestStrings(t *testing.T) {
	long := []byte(strings.Repeat("long", 10))
	element := func(head uint64, words ...uint64) []byte {
		b := binary.LittleEndian.AppendUint64(nil, head)
		for _, w := range words {
			b = binary.LittleEndian.AppendUint64(b, w)
		}
		return append(b, make([]byte, stringBytes-len(b))...)
	}
	address := uint64(uintptr(unsafe.Pointer(&long[0])))
	tensor := Tensor{Type: savedmodel.String, Dims: []int64{5}}
	tensor.data = append(tensor.data, make([]byte, 2*stringBytes)...)
	tensor.data = append(tensor.data, element(40<<2|large, 48, address)...)
	tensor.data = append(tensor.data, element(5<<2|offset|2*stringBytes<<32)...)
	tensor.data = append(tensor.data, element(4<<2|view, address)...)
	tensor.data = append(tensor.data, "hello"...)
	most := []byte("twenty-two bytes of it")
	tensor.SetString(1, most)
	for i, want := range []string{"", string(most), string(long), "hello", "long"} {
		if got := tensor.Strings()[i]; string(got) != want {
			t.Errorf("%d is %q, want %q", i, got, want)
		}
	}
	if tensor.data[stringBytes] != 22<<2 || tensor.data[2*stringBytes-1] != 0 {
		t.Errorf("a short string is %v", tensor.data[stringBytes:2*stringBytes])
	}
}
