// Package example reads and writes tf.train.Example, the message that TFRecord files hold as a
// rule: named lists of strings, floats or whole numbers.
//
// It reads bytes and returns values, and knows nothing of files.
package example

import (
	"encoding/binary"
	"fmt"
	"math"

	"tfos/internal/hadoop/wire"
	"tfos/internal/predict/column"
)

// The fields of Feature, which has one of them.
const (
	bytesList = 1
	floatList = 2
	int64List = 3
)

// Read adds the features with the columns' names to them, as one row, and leaves out the others. A
// column for which there is no feature, or an empty one, gets a row without values. A feature may
// come twice: then the last one counts, as in any map of protobuf.
func Read(b []byte, columns []column.Column) (err error) {
	found := make([][]byte, len(columns))
	for len(b) > 0 {
		var f wire.Field
		if f, b, err = wire.CutField(b); err != nil {
			return notExample(err)
		}
		if f.Number != 1 { // Example.features
			continue
		}
		if err := features(f.Bytes, columns, found); err != nil {
			return notExample(err)
		}
	}
	for i := range columns {
		if err := feature(found[i], &columns[i]); err != nil {
			return err
		}
		columns[i].EndRow()
	}
	return nil
}

func notExample(err error) error { return fmt.Errorf("it is no tf.train.Example: %w", err) }

// features finds those that are wanted in a Features message.
func features(b []byte, columns []column.Column, found [][]byte) error {
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
		for i := range columns {
			if columns[i].Name == string(name) {
				found[i] = value
			}
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
	var features []byte
	for i := range columns {
		c := &columns[i]
		entry := wire.AppendBytesField(nil, 1, []byte(c.Name))
		features = wire.AppendBytesField(features, 1, wire.AppendBytesField(entry, 2, appendFeature(nil, c, row)))
	}
	return wire.AppendBytesField(b, 1, features)
}

func appendFeature(b []byte, c *column.Column, row int) []byte {
	from, to := c.Row(row)
	var list, packed []byte
	field := uint64(floatList)
	switch c.Kind {
	case column.Bytes:
		field = bytesList
		for _, s := range c.Bytes[from:to] {
			list = wire.AppendBytesField(list, 1, s)
		}
		return wire.AppendBytesField(b, field, list)
	case column.Float:
		for _, v := range c.Floats[from:to] {
			packed = binary.LittleEndian.AppendUint32(packed, math.Float32bits(v))
		}
	case column.Double:
		for _, v := range c.Doubles[from:to] {
			packed = binary.LittleEndian.AppendUint32(packed, math.Float32bits(float32(v)))
		}
	case column.Int:
		field = int64List
		for _, v := range c.Ints[from:to] {
			packed = binary.AppendUvarint(packed, uint64(v))
		}
	}
	return wire.AppendBytesField(b, field, wire.AppendBytesField(list, 1, packed))
}
