// Package sink writes rows as lines of JSON, as CSV or as TFRecords.
//
// It turns columns into bytes and knows nothing of files: the bytes of batches, put one after the
// other behind those of Header, are a file.
package sink

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"tfos/internal/example"
	"tfos/internal/predict/column"
	"tfos/internal/predict/plan"
	"tfos/internal/tfrecord"
)

// Header is what a file begins with.
func Header(e plan.Encoding, names []string) []byte {
	if e != plan.CSVRows {
		return nil
	}
	var b []byte
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendCell(b, name)
	}
	return append(b, '\n')
}

// Append writes rows of the columns, which have as many each.
func Append(b []byte, e plan.Encoding, columns []column.Column) ([]byte, error) {
	if len(columns) == 0 {
		return b, nil
	}
	rows := columns[0].Rows()
	for _, c := range columns {
		if c.Rows() != rows {
			return b, fmt.Errorf("%s has %d rows, and %s %d", c.Name, c.Rows(), columns[0].Name, rows)
		}
	}
	write := writer(e, columns)
	for row := range rows {
		from := len(b)
		b = write(b, row)
		if row == 0 { // the others have about the same size
			b = slices.Grow(b, (len(b)-from)*rows*9/8)
		}
	}
	return b, nil
}

// writer gives the function that appends a row.
func writer(e plan.Encoding, columns []column.Column) func(b []byte, row int) []byte {
	switch e {
	case plan.TFRecordRows:
		var record []byte
		return func(b []byte, row int) []byte {
			record = example.Append(record[:0], columns, row)
			return tfrecord.Append(b, record)
		}
	case plan.CSVRows:
		return func(b []byte, row int) []byte {
			for i := range columns {
				if i > 0 {
					b = append(b, ',')
				}
				b = appendCell(b, text(&columns[i], row))
			}
			return append(b, '\n')
		}
	}
	keys := make([][]byte, len(columns))
	for i, c := range columns {
		keys[i] = append(appendString(nil, []byte(c.Name)), ':')
	}
	return func(b []byte, row int) []byte {
		b = append(b, '{')
		for i := range columns {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, keys[i]...)
			b = appendRow(b, &columns[i], row)
		}
		return append(b, '}', '\n')
	}
}

// text is the cell of a row: a single value as it is, several as JSON.
func text(c *column.Column, row int) string {
	from, to := c.Row(row)
	if c.Shape == nil && from == to {
		return ""
	}
	if c.Kind == column.Bytes && single(c, from, to) {
		return string(c.Bytes[from])
	}
	s := string(appendRow(nil, c, row))
	if single(c, from, to) {
		s = strings.Trim(s, `"`) // NaN has no quotes in a cell
	}
	return s
}

// single reports whether a row's values are one value, and no list. A column of which that is not
// known is taken for one wherever there is one.
func single(c *column.Column, from, to int) bool {
	if c.Shape == nil {
		return to-from == 1
	}
	return len(c.Shape) == 0
}

// appendRow writes a row's values as JSON.
func appendRow(b []byte, c *column.Column, row int) []byte {
	from, to := c.Row(row)
	switch {
	case single(c, from, to):
		return appendValue(b, c, from)
	case c.Shape == nil && from == to:
		return append(b, "null"...)
	case len(c.Shape) > 1:
		b, _ = appendNested(b, c, c.Shape, from)
		return b
	}
	b = append(b, '[')
	for i := from; i < to; i++ {
		if i > from {
			b = append(b, ',')
		}
		b = appendValue(b, c, i)
	}
	return append(b, ']')
}

// appendNested writes the values from at on as arrays of a shape, and says where they end.
func appendNested(b []byte, c *column.Column, shape []int64, at int) ([]byte, int) {
	if len(shape) == 0 {
		return appendValue(b, c, at), at + 1
	}
	b = append(b, '[')
	for i := range shape[0] {
		if i > 0 {
			b = append(b, ',')
		}
		b, at = appendNested(b, c, shape[1:], at)
	}
	return append(b, ']'), at
}

func appendValue(b []byte, c *column.Column, i int) []byte {
	switch c.Kind {
	case column.Bytes:
		return appendString(b, c.Bytes[i])
	case column.Float:
		return appendFloat(b, float64(c.Floats[i]), 32)
	case column.Double:
		return appendFloat(b, c.Doubles[i], 64)
	}
	return strconv.AppendInt(b, c.Ints[i], 10)
}

// appendFloat writes the shortest number that reads back as the same. JSON has no NaN and no
// infinity: these are strings.
func appendFloat(b []byte, v float64, bits int) []byte {
	switch {
	case math.IsNaN(v):
		return append(b, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(b, `"-Infinity"`...)
	}
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, v, format, -1, bits)
}

// appendString writes text as a JSON string, and bytes that are none as TensorFlow Serving does:
// {"b64": "…"}.
func appendString(b []byte, s []byte) []byte {
	if !utf8.Valid(s) {
		b = append(b, `{"b64":"`...)
		b = base64.StdEncoding.AppendEncode(b, s)
		return append(b, `"}`...)
	}
	plain := true
	for _, c := range s {
		plain = plain && c >= ' ' && c != '"' && c != '\\' && c != 0x7f
	}
	if plain {
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"')
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(string(s)); err != nil {
		panic("sink: a string cannot be written: " + err.Error())
	}
	return append(b, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
}

// appendCell quotes what RFC 4180 wants quoted.
func appendCell(b []byte, s string) []byte {
	if s != "" && !strings.ContainsAny(s, "\",\r\n") && s[0] != ' ' {
		return append(b, s...)
	}
	if s == "" { // alone in a row, it would make a blank line, which is no row
		return append(b, `""`...)
	}
	return append(append(append(b, '"'), strings.ReplaceAll(s, `"`, `""`)...), '"')
}
