package column

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"tfos/internal/savedmodel"
)

func ints(rows int, values ...int64) *Column {
	c := &Column{Name: "x", Kind: Int, Ints: values}
	for i := range rows {
		c.Ends = append(c.Ends, (i+1)*len(values)/rows)
	}
	return c
}

// TestWhatIsWrittenReadsBack goes through every type of number, at its limits.
func TestWhatIsWrittenReadsBack(t *testing.T) {
	for dtype, bounds := range intRange {
		size, _ := dtype.Size()
		c := ints(2, bounds[0], bounds[1])
		b := make([]byte, 2*size)
		if err := c.Write(b, dtype); err != nil {
			t.Errorf("%s: %v", dtype, err)
		}
		back, err := Read("x", dtype, []int64{2}, b, nil)
		if err != nil || !slices.Equal(back.Ints, c.Ints) || !slices.Equal(back.Ends, []int{1, 2}) {
			t.Errorf("%s: %v reads back as %v, %v", dtype, c.Ints, back, err)
		}
		for _, beyond := range []int64{bounds[0] - 1, bounds[1] + 1} {
			if dtype.String() == "int64" || beyond == math.MinInt64 { // there is none beyond
				continue
			}
			var row *RowError
			if err := ints(2, 0, beyond).Write(b, dtype); !errors.As(err, &row) || row.Row != 1 {
				t.Errorf("%s holds %d: %v", dtype, beyond, err)
			}
		}
	}
	floats := &Column{Name: "x", Kind: Float, Floats: []float32{0, -1.5, 65504, float32(math.Inf(1))}, Ends: []int{2, 4}}
	for _, dtype := range []savedmodel.DType{savedmodel.Float, savedmodel.Double, savedmodel.Half} {
		size, _ := dtype.Size()
		b := make([]byte, 4*size)
		if err := floats.Write(b, dtype); err != nil {
			t.Fatal(err)
		}
		back, err := Read("x", dtype, []int64{2, 2}, b, nil)
		if err != nil || !slices.Equal(back.Ends, floats.Ends) {
			t.Fatal(back, err)
		}
		for i, v := range floats.Floats {
			if dtype == savedmodel.Double && back.Doubles[i] != float64(v) || dtype != savedmodel.Double && back.Floats[i] != v {
				t.Errorf("%s: %v reads back as %v", dtype, v, back)
			}
		}
	}
}

// TestHalf holds our float16 and bfloat16 against the rule: the nearest one, and of two that are as
// near the even one.
func TestHalf(t *testing.T) {
	for h := range 1 << 16 {
		f := ofHalf(uint16(h))
		if f == f && halfOf(f) != uint16(h) {
			t.Fatalf("float16 %#04x is %v, which is %#04x", h, f, halfOf(f))
		}
		if h&0x7fff >= 0x7bff || h >= 0x8000 {
			continue
		}
		next := ofHalf(uint16(h + 1))
		middle, even := (f+next)/2, uint16(h+h&1)
		for v, want := range map[float32]uint16{middle: even, math.Nextafter32(middle, 0): uint16(h), math.Nextafter32(middle, next): uint16(h + 1)} {
			if got := halfOf(v); got != want {
				t.Fatalf("%v between float16 %#04x and the next becomes %#04x, want %#04x", v, h, got, want)
			}
		}
	}
	for f, want := range map[float32]uint16{65519.99: 0x7bff, 65520: 0x7c00, -1e9: 0xfc00} {
		if got := halfOf(f); got != want {
			t.Errorf("%v becomes %#04x, want %#04x", f, got, want)
		}
	}
	for f, want := range map[float32]uint16{1: 0x3f80, math.Float32frombits(0x3f808000): 0x3f80, math.Float32frombits(0x3f818000): 0x3f82, math.Float32frombits(0x3f808001): 0x3f81} {
		if got := bfloatOf(f); got != want {
			t.Errorf("%v becomes bfloat16 %#04x, want %#04x", f, got, want)
		}
	}
}

func TestNoKindBecomesAnother(t *testing.T) {
	b := make([]byte, 8)
	for _, c := range []struct {
		kind  Kind
		dtype savedmodel.DType
	}{{Float, savedmodel.Int32}, {Bytes, savedmodel.Float}, {Int, savedmodel.String}, {Double, savedmodel.Bool}, {None, savedmodel.Float}} {
		if Fits(c.kind, c.dtype) {
			t.Errorf("%s fit %s", c.kind, c.dtype)
		}
		if err := (&Column{Kind: c.kind}).Write(b[:0], c.dtype); err == nil {
			t.Errorf("%s were written as %s", c.kind, c.dtype)
		}
	}
	c := &Column{Name: "x"}
	if c.Of(Int) != nil || c.Of(Float) == nil {
		t.Error("a column changes its kind")
	}
}

func TestDims(t *testing.T) {
	shape := func(dims ...int64) savedmodel.Tensor {
		return savedmodel.Tensor{Name: "x", Type: savedmodel.Int64, Shape: savedmodel.Shape{Dims: dims}}
	}
	unknown := savedmodel.Tensor{Name: "x", Shape: savedmodel.Shape{Unknown: true}}
	uneven := ints(2, 1, 2, 3)
	for _, c := range []struct {
		column *Column
		tensor savedmodel.Tensor
		want   []int64
		says   string
	}{
		{ints(2, 1, 2), shape(-1), []int64{2}, ""},
		{ints(2, 1, 2, 3, 4, 5, 6), shape(-1, 3), []int64{2, 3}, ""},
		{ints(2, 1, 2, 3, 4, 5, 6, 7, 8), shape(-1, 2, 2), []int64{2, 2, 2}, ""},
		{ints(2, 1, 2, 3, 4, 5, 6, 7, 8), shape(-1, -1, 2), []int64{2, 2, 2}, ""},
		{ints(2, 1, 2, 3, 4), unknown, []int64{2, 2}, ""},
		{ints(2, 1, 2), unknown, []int64{2}, ""},
		{ints(2, 1, 2, 3, 4), shape(-1, 3), nil, "x has 2 values, and the model's input is x int64[?,3]"},
		{ints(1, 1, 2, 3), shape(-1, -1, 2), nil, "x has 3 values"},
		{ints(1, 1, 2, 3), shape(-1, -1, -1), nil, "more than one dimension of unknown size"},
		{uneven, shape(-1, -1), nil, "--batch 1"},
	} {
		got, err := c.column.Dims(c.tensor)
		if !slices.Equal(got, c.want) || (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v as %s: %v, %v", c.column.Ints, c.tensor, got, err)
		}
	}
}

func TestPad(t *testing.T) {
	c := ints(2, 1, 2, 3, 4)
	c.Pad(4)
	if !slices.Equal(c.Ints, []int64{1, 2, 3, 4, 3, 4, 3, 4}) || !slices.Equal(c.Ends, []int{2, 4, 6, 8}) {
		t.Errorf("%+v", c)
	}
}

func TestReadRefusesWhatItDoesNotKnow(t *testing.T) {
	b := binary.NativeEndian.AppendUint64(nil, math.MaxUint64)
	if _, err := Read("x", savedmodel.Uint64, []int64{1}, b, nil); err == nil {
		t.Error("a number beyond int64 was read")
	}
	if _, err := Read("x", 8, []int64{1}, b, nil); err == nil {
		t.Error("a complex number was read")
	}
	if _, err := Read("x", savedmodel.Float, []int64{3}, b, nil); err == nil {
		t.Error("three numbers were read out of the bytes of two")
	}
}
