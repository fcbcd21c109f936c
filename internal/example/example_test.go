package example

import (
	"encoding/hex"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tfos/internal/predict/column"
)

// byTensorFlow is what TensorFlow makes of
//
//	tf.train.Example(features=tf.train.Features(feature={
//	  "x": Feature(float_list=FloatList(value=[1.5, -2.0])), "id": Feature(bytes_list=BytesList(value=[b"a\xff"])),
//	  "n": Feature(int64_list=Int64List(value=[1, -1]))})).SerializeToString(deterministic=True).hex()
const byTensorFlow = "0a370a0c0a02696412060a040a0261ff0a140a016e120f1a0d0a0b01ffffffffffffffffff010a110a0178120c120a0a080000c03f000000c0"

func columns(names ...string) []column.Column {
	c := make([]column.Column, len(names))
	for i, name := range names {
		c[i].Name = name
	}
	return c
}

var want = []column.Column{
	{Name: "id", Kind: column.Bytes, Bytes: [][]byte{[]byte("a\xff")}, Ends: []int{1}},
	{Name: "n", Kind: column.Int, Ints: []int64{1, -1}, Ends: []int{2}},
	{Name: "x", Kind: column.Float, Floats: []float32{1.5, -2}, Ends: []int{2}},
}

func TestRead(t *testing.T) {
	b, err := hex.DecodeString(byTensorFlow)
	if err != nil {
		t.Fatal(err)
	}
	got := columns("id", "n", "x")
	if err := Read([][]byte{b}, got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if written := hex.EncodeToString(Append(nil, want, 0)); written != byTensorFlow {
		t.Errorf("written as\n%s, want\n%s", written, byTensorFlow)
	}
}

func TestReadOddities(t *testing.T) {
	unpacked := "\x0a\x11\x0a\x0f\x0a\x01n\x12\x0a\x1a\x08\x08\x01\x08\x02\x08\x03\x08\x04" // [1, 2, 3, 4], each a field of its own
	got := columns("n", "none")
	if err := Read([][]byte{[]byte(unpacked)}, got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{1, 2, 3, 4}, got[0].Ints); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got[1].Rows() != 1 || got[1].Len() != 0 {
		t.Errorf("a feature that is not there: %+v", got[1])
	}
	if err := Read([][]byte{Append(nil, []column.Column{{Name: "n", Kind: column.Float, Floats: []float32{1}, Ends: []int{1}}}, 0)}, got); err == nil || !strings.Contains(err.Error(), "n holds float32") {
		t.Errorf("a feature of another kind: %v", err)
	}
	for _, damaged := range []string{"x", unpacked[:10], "\x0a\x05\x0a\x0a\x0a\x01n"} {
		if err := Read([][]byte{[]byte(damaged)}, columns("n")); err == nil {
			t.Errorf("%q was read", damaged)
		}
	}
}

// FuzzRead: whatever the bytes are, what was read of them is written and read back the same.
func FuzzRead(f *testing.F) {
	b, err := hex.DecodeString(byTensorFlow)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		got := columns("id", "n", "x")
		if Read([][]byte{b}, got) != nil {
			return
		}
		back := columns("id", "n", "x")
		if err := Read([][]byte{Append(nil, got, 0)}, back); err != nil {
			t.Fatal(err)
		}
		kinds := cmpopts.IgnoreFields(column.Column{}, "Kind") // an empty list has none
		if diff := cmp.Diff(got, back, cmpopts.EquateEmpty(), kinds, cmp.Comparer(func(a, b float32) bool {
			return math.Float32bits(a) == math.Float32bits(b)
		})); diff != "" {
			t.Fatal(diff)
		}
	})
}
