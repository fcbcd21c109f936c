// Package example reads and writes tf.train.Example, the message that TFRecord files hold as a
// rule: named lists of strings, floats or whole numbers.
//
// It reads bytes and returns values, and knows nothing of files.
package example

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"tfos/internal/hadoop/wire"
	"tfos/internal/predict/column"
)

// The fields of Feature, which has one of them.
const (
	bytesList = 1
	floatList = 2
	int64List = 3
)

// Read adds the features with the columns' names to them, a row for each record, and leaves out the
// others. A column for which there is no feature, or an empty one, gets a row without values. A
// feature may come twice: then the last one counts, as in any map of protobuf. An error is a
// *column.RowError.
func Read(records [][]byte, columns []column.Column) error {
	r := reader{columns: columns, index: make(map[string][]int, len(columns)), found: make([][]byte, len(columns))}
	for i, c := range columns {
		r.index[c.Name] = append(r.index[c.Name], i)
	}
	for row, record := range records {
		if err := r.row(record); err != nil {
			return &column.RowError{Row: row, Err: err}
		}
		if row > 0 {
			continue
		}
		for i := range columns {
			columns[i].Reserve(len(records))
		}
	}
	return nil
}

// reader reads records into columns.
type reader struct {
	columns []column.Column
	index   map[string][]int // of the columns with a name
	found   [][]byte         // the Feature messages of the record that is read, for each column
}

func (r *reader) row(b []byte) (err error) {
	clear(r.found)
	for len(b) > 0 {
		var f wire.Field
		if f, b, err = wire.CutField(b); err != nil {
			return notExample(err)
		}
		if f.Number != 1 { // Example.features
			continue
		}
		if err := r.features(f.Bytes); err != nil {
			return notExample(err)
		}
	}
	for i := range r.columns {
		if err := feature(r.found[i], &r.columns[i]); err != nil {
			return err
		}
		r.columns[i].EndRow()
	}
	return nil
}

func notExample(err error) error { return fmt.Errorf("it is no tf.train.Example: %w", err) }

// features finds those that are wanted in a Features message.
func (r *reader) features(b []byte) error {
	for len(b) > 0 {
		f, rest, err := wire.CutField(b)
		if err != nil {
			return err
		}
		b = rest
		if f.Number != 1 { // Features.feature, an entry of a map
			continue
		}
		var name, value []byte
		for entry := f.Bytes; len(entry) > 0; {
			if f, entry, err = wire.CutField(entry); err != nil {
				return err
			}
			switch f.Number {
			case 1:
				name = f.Bytes
			case 2:
				value = f.Bytes
			}
		}
		for _, i := range r.index[string(name)] {
			r.found[i] = value
		}
	}
	return nil
}

// feature adds the values of a Feature message.
func feature(b []byte, c *column.Column) error {
	for len(b) > 0 {
		f, rest, err := wire.CutField(b)
		if err != nil {
			return notExample(err)
		}
		b = rest
		kind := column.None
		switch f.Number {
		case bytesList:
			kind = column.Bytes
		case floatList:
			kind = column.Float
		case int64List:
			kind = column.Int
		}
		if kind == column.None || len(f.Bytes) == 0 {
			continue
		}
		if err := c.Of(kind); err != nil {
			return err
		}
		if err := values(f.Bytes, c); err != nil {
			return notExample(err)
		}
	}
	return nil
}

// values adds those of a BytesList, FloatList or Int64List message. Numbers are packed as a rule,
// and need not be.
func values(b []byte, c *column.Column) error {
	for len(b) > 0 {
		f, rest, err := wire.CutField(b)
		if err != nil {
			return err
		}
		b = rest
		if f.Number != 1 {
			continue
		}
		switch packed := f.Bytes; {
		case c.Kind == column.Bytes:
			c.Bytes = append(c.Bytes, f.Bytes)
		case c.Kind == column.Float && packed == nil:
			c.Floats = append(c.Floats, math.Float32frombits(uint32(f.Fixed)))
		case c.Kind == column.Float:
			if len(packed)%4 != 0 {
				return fmt.Errorf("%s: a list of floats has %d bytes: %w", c.Name, len(packed), wire.ErrMalformed)
			}
			for ; len(packed) > 0; packed = packed[4:] {
				c.Floats = append(c.Floats, math.Float32frombits(binary.LittleEndian.Uint32(packed)))
			}
		case packed == nil:
			c.Ints = append(c.Ints, int64(f.Varint))
		default:
			for len(packed) > 0 {
				var v uint64
				if v, packed, err = wire.CutUvarint(packed); err != nil {
					return err
				}
				c.Ints = append(c.Ints, int64(v))
			}
		}
	}
	return nil
}

// Append writes one row of columns as an Example. Numbers of 64 bits become floats of 32, for an
// Example has no others.
func Append(b []byte, columns []column.Column, row int) []byte {
	var few [16]sizes
	all, features := few[:0], 0
	for i := range columns {
		s := measure(&columns[i], row)
		all = append(all, s)
		features += field(s.entry)
	}
	b = wire.AppendHeader(b, 1, features) // Example.features
	for i := range columns {
		c, s := &columns[i], all[i]
		b = wire.AppendHeader(b, 1, s.entry) // Features.feature, an entry of a map
		b = wire.AppendHeader(b, 1, len(c.Name))
		b = append(b, c.Name...)
		b = wire.AppendHeader(b, 2, s.feature)
		b = wire.AppendHeader(b, s.kind, s.list)
		b = appendList(b, c, row, s.packed)
	}
	return b
}

// sizes are the bytes of the messages, one within the other, that a row of a column becomes.
type sizes struct {
	kind                         uint64 // field of Feature
	entry, feature, list, packed int
}

// field is the bytes of a field, one that has a length and a small number.
func field(length int) int { return 1 + uvarint(uint64(length)) + length }

// uvarint is the bytes of a number.
func uvarint(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func measure(c *column.Column, row int) (s sizes) {
	from, to := c.Row(row)
	s.kind = floatList
	switch c.Kind {
	case column.Bytes:
		s.kind = bytesList
		for _, v := range c.Bytes[from:to] {
			s.list += field(len(v))
		}
	case column.Int:
		s.kind = int64List
		for _, v := range c.Ints[from:to] {
			s.packed += uvarint(uint64(v))
		}
	default:
		s.packed = 4 * (to - from)
	}
	if s.kind != bytesList {
		s.list = field(s.packed)
	}
	s.feature = field(s.list)
	s.entry = field(len(c.Name)) + field(s.feature)
	return s
}

// appendList writes the values of a row.
func appendList(b []byte, c *column.Column, row, packed int) []byte {
	from, to := c.Row(row)
	if c.Kind == column.Bytes {
		for _, v := range c.Bytes[from:to] {
			b = wire.AppendBytesField(b, 1, v)
		}
		return b
	}
	b = wire.AppendHeader(b, 1, packed)
	switch c.Kind {
	case column.Float:
		for _, v := range c.Floats[from:to] {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	case column.Double:
		for _, v := range c.Doubles[from:to] {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
		}
	case column.Int:
		for _, v := range c.Ints[from:to] {
			b = binary.AppendUvarint(b, uint64(v))
		}
	}
	return b
}
