// Package column holds rows as columns of values: what is read from files, what a model takes and
// gives, and what is written.
//
// It converts between columns and the memory of tensors, and refuses what would lose a value. It
// reads no file and runs no model.
package column

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"tfos/internal/savedmodel"
)

// Kind is what a column's values are.
type Kind uint8

// The kinds.
const (
	None   Kind = iota // no value yet
	Bytes              // strings, of any bytes
	Float              // of 32 bits
	Double             // of 64 bits
	Int
)

// String names the kind as a person does.
func (k Kind) String() string {
	return [...]string{"nothing", "strings", "float32 numbers", "float64 numbers", "whole numbers"}[k]
}

// Column is one column of a batch of rows. A row has any number of values, all of one kind.
type Column struct {
	Name string
	Kind Kind
	// The values of all rows, one after the other; those of Kind are used.
	Bytes   [][]byte
	Floats  []float32
	Doubles []float64
	Ints    []int64
	// Ends has, for each row, where its values end: they begin where those of the row before end.
	Ends []int
	// Shape is how the values of each row are arranged, where that is known: nil is not known, and
	// an empty one is a single value.
	Shape []int64
}

// Reset forgets the rows and keeps the memory.
func (c *Column) Reset() {
	c.Kind, c.Shape = None, nil
	c.Bytes, c.Floats, c.Doubles, c.Ints, c.Ends = c.Bytes[:0], c.Floats[:0], c.Doubles[:0], c.Ints[:0], c.Ends[:0]
}

// Of makes the values that follow those of a kind.
func (c *Column) Of(k Kind) error {
	if c.Kind != None && c.Kind != k {
		return fmt.Errorf("%s holds %s here and %s before", c.Name, k, c.Kind)
	}
	c.Kind = k
	return nil
}

// Len is the number of values.
func (c *Column) Len() int {
	switch c.Kind {
	case Bytes:
		return len(c.Bytes)
	case Float:
		return len(c.Floats)
	case Double:
		return len(c.Doubles)
	case Int:
		return len(c.Ints)
	}
	return 0
}

// Reserve makes room for so many rows in all, each like those that there are.
func (c *Column) Reserve(rows int) {
	more := rows - c.Rows()
	if more <= 0 || c.Rows() == 0 {
		return
	}
	values := c.Len() / c.Rows() * more
	c.Ends = slices.Grow(c.Ends, more)
	switch c.Kind {
	case Bytes:
		c.Bytes = slices.Grow(c.Bytes, values)
	case Float:
		c.Floats = slices.Grow(c.Floats, values)
	case Double:
		c.Doubles = slices.Grow(c.Doubles, values)
	case Int:
		c.Ints = slices.Grow(c.Ints, values)
	}
}

// EndRow ends a row with the values that were added since the row before.
func (c *Column) EndRow() { c.Ends = append(c.Ends, c.Len()) }

// Rows is the number of rows.
func (c *Column) Rows() int { return len(c.Ends) }

// Row says where the values of a row are.
func (c *Column) Row(i int) (from, to int) {
	if i > 0 {
		from = c.Ends[i-1]
	}
	return from, c.Ends[i]
}

// Only is a column of one of the rows. It shares the values.
func (c *Column) Only(row int) Column {
	from, to := c.Row(row)
	one := Column{Name: c.Name, Kind: c.Kind, Shape: c.Shape, Ends: []int{to - from}}
	switch c.Kind {
	case Bytes:
		one.Bytes = c.Bytes[from:to:to]
	case Float:
		one.Floats = c.Floats[from:to:to]
	case Double:
		one.Doubles = c.Doubles[from:to:to]
	case Int:
		one.Ints = c.Ints[from:to:to]
	}
	return one
}

// Pad repeats the last row until there are so many rows: for a model that takes batches of one
// size only.
func (c *Column) Pad(rows int) {
	from, to := c.Row(c.Rows() - 1)
	for c.Rows() < rows {
		switch c.Kind {
		case Bytes:
			c.Bytes = append(c.Bytes, c.Bytes[from:to]...)
		case Float:
			c.Floats = append(c.Floats, c.Floats[from:to]...)
		case Double:
			c.Doubles = append(c.Doubles, c.Doubles[from:to]...)
		case Int:
			c.Ints = append(c.Ints, c.Ints[from:to]...)
		}
		c.EndRow()
	}
}

// RowError is what is wrong with one row of a batch.
type RowError struct {
	Row int // from 0, in the batch
	Err error
}

func (e *RowError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *RowError) Unwrap() error { return e.Err }

// Dims are the dimensions of the tensor that a signature's input becomes with the column's rows.
// The first one counts rows. Each row must have as many values as the others say; one dimension
// that the signature does not know is found from the number of values, the same for all rows.
func (c *Column) Dims(t savedmodel.Tensor) ([]int64, error) {
	first, last := 0, 0
	for i := range c.Ends {
		from, to := c.Row(i)
		if i == 0 {
			first, last = 0, to-from
		}
		if to-from != last-first {
			return nil, &RowError{i, fmt.Errorf("%s has %d values, and %d in the row before: rows of one batch must have the same number (--batch 1 runs each row alone)", c.Name, to-from, last-first)}
		}
	}
	each := int64(last - first)
	if t.Shape.Unknown {
		if each == 1 {
			return []int64{int64(c.Rows())}, nil
		}
		return []int64{int64(c.Rows()), each}, nil
	}
	dims := append([]int64{int64(c.Rows())}, t.Shape.Dims[1:]...)
	known, open := int64(1), -1
	for i, d := range dims[1:] {
		switch {
		case d >= 0:
			if d > 0 && known > math.MaxInt32/d {
				return nil, fmt.Errorf("%s is too large", t)
			}
			known *= d
		case open >= 0:
			return nil, fmt.Errorf("%s has more than one dimension of unknown size besides the rows: tfos cannot tell how the values are arranged", t)
		default:
			open = i + 1
		}
	}
	if open >= 0 && known > 0 && each%known == 0 {
		dims[open] = each / known
		return dims, nil
	}
	if open >= 0 || each != known {
		return nil, &RowError{0, fmt.Errorf("%s has %d values, and the model's input is %s", c.Name, each, t)}
	}
	return dims, nil
}

// Fits reports whether a column of a kind can become a tensor of a type.
func Fits(k Kind, t savedmodel.DType) bool {
	switch t {
	case savedmodel.String:
		return k == Bytes
	case savedmodel.Float, savedmodel.Double, savedmodel.Half, savedmodel.BFloat16:
		return k == Float || k == Double || k == Int
	}
	return k == Int && t.Known()
}

// Write fills the memory of a tensor of a type that is not String. Numbers become floats as Go and
// NumPy convert them; whole numbers that the type cannot hold are refused.
func (c *Column) Write(dst []byte, t savedmodel.DType) error {
	size, ok := t.Size()
	if !ok || !Fits(c.Kind, t) {
		return fmt.Errorf("%s holds %s, and the model takes %s", c.Name, c.Kind, t)
	}
	if len(dst) != c.Len()*size {
		return fmt.Errorf("%s has %d values, and the tensor %d", c.Name, c.Len(), len(dst)/size)
	}
	switch t {
	case savedmodel.Float, savedmodel.Double, savedmodel.Half, savedmodel.BFloat16:
		c.writeFloats(dst, t)
		return nil
	}
	return c.writeInts(dst, t, size)
}

func (c *Column) writeFloats(dst []byte, t savedmodel.DType) {
	if c.Kind == Float && t == savedmodel.Float { // what most models take, and most files hold
		for i, v := range c.Floats {
			binary.NativeEndian.PutUint32(dst[4*i:], math.Float32bits(v))
		}
		return
	}
	for i := range c.Len() {
		var v float64
		switch c.Kind {
		case Float:
			v = float64(c.Floats[i])
		case Double:
			v = c.Doubles[i]
		default:
			v = float64(c.Ints[i])
		}
		switch t {
		case savedmodel.Float:
			binary.NativeEndian.PutUint32(dst[4*i:], math.Float32bits(float32(v)))
		case savedmodel.Double:
			binary.NativeEndian.PutUint64(dst[8*i:], math.Float64bits(v))
		case savedmodel.Half:
			binary.NativeEndian.PutUint16(dst[2*i:], halfOf(float32(v)))
		case savedmodel.BFloat16:
			binary.NativeEndian.PutUint16(dst[2*i:], bfloatOf(float32(v)))
		}
	}
}

// intRange is what a type can hold.
var intRange = map[savedmodel.DType][2]int64{
	savedmodel.Int8: {math.MinInt8, math.MaxInt8}, savedmodel.Int16: {math.MinInt16, math.MaxInt16}, savedmodel.Int32: {math.MinInt32, math.MaxInt32},
	savedmodel.Int64: {math.MinInt64, math.MaxInt64}, savedmodel.Uint8: {0, math.MaxUint8}, savedmodel.Uint16: {0, math.MaxUint16},
	savedmodel.Uint32: {0, math.MaxUint32}, savedmodel.Uint64: {0, math.MaxInt64}, savedmodel.Bool: {0, 1},
}

func (c *Column) writeInts(dst []byte, t savedmodel.DType, size int) error {
	bounds := intRange[t]
	for i, v := range c.Ints {
		if v < bounds[0] || v > bounds[1] {
			return &RowError{c.rowOf(i), fmt.Errorf("%s is %d, which %s cannot hold", c.Name, v, t)}
		}
		switch size {
		case 1:
			dst[i] = byte(v)
		case 2:
			binary.NativeEndian.PutUint16(dst[2*i:], uint16(v))
		case 4:
			binary.NativeEndian.PutUint32(dst[4*i:], uint32(v))
		default:
			binary.NativeEndian.PutUint64(dst[8*i:], uint64(v))
		}
	}
	return nil
}

// rowOf is the row of a value.
func (c *Column) rowOf(value int) int {
	row := 0
	for row < len(c.Ends)-1 && value >= c.Ends[row] {
		row++
	}
	return row
}

// Read makes a column of the memory of a tensor whose first dimension counts rows: data for
// numbers, and strings for strings, which become the column's.
func Read(name string, t savedmodel.DType, dims []int64, data []byte, strings [][]byte) (Column, error) {
	c := Column{Name: name, Shape: dims[1:]}
	each := 1
	for _, d := range c.Shape {
		each *= int(d)
	}
	n := each * int(dims[0])
	size, ok := t.Size()
	if t == savedmodel.String && len(strings) != n || t != savedmodel.String && (!ok || len(data) != n*size) {
		return c, fmt.Errorf("the model gave %s as %s of %d bytes, which tfos does not know", name, t, len(data))
	}
	switch t {
	case savedmodel.String:
		c.Kind, c.Bytes = Bytes, strings
	case savedmodel.Float, savedmodel.Half, savedmodel.BFloat16:
		c.Kind, c.Floats = Float, make([]float32, n)
		for i := range c.Floats {
			switch t {
			case savedmodel.Float:
				c.Floats[i] = math.Float32frombits(binary.NativeEndian.Uint32(data[4*i:]))
			case savedmodel.Half:
				c.Floats[i] = ofHalf(binary.NativeEndian.Uint16(data[2*i:]))
			default:
				c.Floats[i] = math.Float32frombits(uint32(binary.NativeEndian.Uint16(data[2*i:])) << 16)
			}
		}
	case savedmodel.Double:
		c.Kind, c.Doubles = Double, make([]float64, n)
		for i := range c.Doubles {
			c.Doubles[i] = math.Float64frombits(binary.NativeEndian.Uint64(data[8*i:]))
		}
	default:
		c.Kind, c.Ints = Int, make([]int64, n)
		for i := range c.Ints {
			v, err := readInt(data[i*size:], t)
			if err != nil {
				return c, fmt.Errorf("%s: %w", name, err)
			}
			c.Ints[i] = v
		}
	}
	c.Ends = make([]int, dims[0])
	for i := range c.Ends {
		c.Ends[i] = (i + 1) * each
	}
	return c, nil
}

func readInt(b []byte, t savedmodel.DType) (int64, error) {
	switch t {
	case savedmodel.Int8:
		return int64(int8(b[0])), nil
	case savedmodel.Uint8, savedmodel.Bool:
		return int64(b[0]), nil
	case savedmodel.Int16:
		return int64(int16(binary.NativeEndian.Uint16(b))), nil
	case savedmodel.Uint16:
		return int64(binary.NativeEndian.Uint16(b)), nil
	case savedmodel.Int32:
		return int64(int32(binary.NativeEndian.Uint32(b))), nil
	case savedmodel.Uint32:
		return int64(binary.NativeEndian.Uint32(b)), nil
	}
	v := binary.NativeEndian.Uint64(b)
	if t == savedmodel.Uint64 && v > math.MaxInt64 {
		return 0, fmt.Errorf("the model gave %d, which is more than tfos writes", v)
	}
	return int64(v), nil
}
