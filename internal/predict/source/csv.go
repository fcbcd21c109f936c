package source

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"tfos/internal/dfs"
	"tfos/internal/predict/column"
	"tfos/internal/predict/plan"
	"tfos/internal/savedmodel"
)

// csvReader reads a CSV file with a header (RFC 4180).
type csvReader struct {
	f      dfs.File
	shard  plan.Shard
	r      *csv.Reader // nil: no row begins in the shard
	at     int64       // where r's first byte is in the file
	packed bool
	cells  []cells
	width  int // cells of a row
	ended  bool
}

// cells are those that a wanted column is made of.
type cells struct {
	Wanted
	at []int
}

func newCSV(f dfs.File, shard plan.Shard, wanted []Wanted) (_ *csvReader, err error) {
	c := &csvReader{f: f, shard: shard}
	if c.packed, err = gzipped(f); err != nil {
		return nil, err
	}
	var in io.Reader = from(f, 0)
	if c.packed {
		if in, err = whole(f, shard); in == nil {
			return c, err
		}
	}
	first := csv.NewReader(in)
	header, err := first.Read()
	if err == io.EOF {
		return nil, errors.New("it has no header: the first line names the columns")
	}
	if err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff") // what some programs begin UTF-8 with
	c.width = len(header)
	if c.cells, err = find(header, wanted); err != nil {
		return nil, err
	}
	if shard.From == 0 {
		c.r = first
		return c, nil
	}
	// The row that begins before is another shard's, unless it ends there.
	skip := from(f, shard.From-1)
	n, err := discardLine(skip)
	if err != nil && err != io.EOF {
		return nil, err
	}
	c.at = max(shard.From-1+n, first.InputOffset()) // not the header again, if that is longer than the shard
	if c.at < shard.To {
		c.r = csv.NewReader(from(f, c.at))
	}
	return c, nil
}

// discardLine passes over a line, and says how many bytes it had.
func discardLine(r *bufio.Reader) (n int64, err error) {
	for {
		part, err := r.ReadSlice('\n')
		n += int64(len(part))
		if err != bufio.ErrBufferFull {
			return n, err
		}
	}
}

// find finds the cells of the wanted columns: one of that name, or several, NAME_0 and so on.
func find(header []string, wanted []Wanted) ([]cells, error) {
	found := make([]cells, len(wanted))
	for i, w := range wanted {
		found[i].Wanted = w
		if at := slices.Index(header, w.Name); at >= 0 {
			found[i].at = []int{at}
			continue
		}
		for n := 0; ; n++ {
			at := slices.Index(header, w.Name+"_"+strconv.Itoa(n))
			if at < 0 {
				break
			}
			found[i].at = append(found[i].at, at)
		}
		if found[i].at == nil {
			return nil, missing(w.Name, header)
		}
	}
	return found, nil
}

// missing says which columns there are instead.
func missing(name string, there []string) error {
	const most = 20
	shown, more := there, ""
	if len(there) > most {
		shown, more = there[:most], fmt.Sprintf(" and %d more", len(there)-most)
	}
	return fmt.Errorf("it has no column %s: it has %s%s", name, strings.Join(shown, ", "), more)
}

func (c *csvReader) Next(_ context.Context, most Size) (Batch, error) {
	b := lines{cells: c.cells}
	if c.r == nil {
		return nil, io.EOF
	}
	first := c.r.InputOffset()
	for !c.ended && !most.reached(len(b.all), int(c.r.InputOffset()-first)) {
		if !c.packed && c.at+c.r.InputOffset() >= c.shard.To {
			break
		}
		begin := c.at + c.r.InputOffset()
		row, err := c.r.Read()
		if err == io.EOF {
			c.ended = true
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the row after byte %d: %w", begin, err)
		}
		// Blank lines before a row may lead into the next shard, which begins with it.
		if !c.packed && c.at+c.r.InputOffset() > c.shard.To && c.blankUntil(begin) >= c.shard.To {
			c.ended = true
			break
		}
		b.all = append(b.all, row)
	}
	if len(b.all) == 0 {
		return nil, io.EOF
	}
	return b, nil
}

// blankUntil is where the first line that is not blank begins, from a line's beginning on.
func (c *csvReader) blankUntil(at int64) int64 {
	buffer := make([]byte, 512)
	for {
		n, err := c.f.ReadAt(buffer, at)
		rest := bytes.TrimLeft(buffer[:n], "\r\n")
		at += int64(n - len(rest))
		if len(rest) > 0 || err != nil || n == 0 {
			return at
		}
	}
}

func (c *csvReader) Close() error { return c.f.Close() }

// lines are rows of CSV.
type lines struct {
	all   [][]string
	cells []cells
}

func (b lines) Rows() int { return len(b.all) }

func (b lines) Decode() ([]column.Column, error) {
	columns := make([]column.Column, len(b.cells))
	for i, w := range b.cells {
		c := &columns[i]
		c.Name, c.Kind = w.Name, kindOf(w.Type)
		if len(w.at) == 1 && w.Type == 0 {
			c.Shape = []int64{}
		}
		for row, line := range b.all {
			for _, at := range w.at {
				if err := cell(c, w, line[at]); err != nil {
					return nil, &column.RowError{Row: row, Err: err}
				}
			}
			c.EndRow()
		}
	}
	return columns, nil
}

// kindOf is what a cell is read as that becomes a tensor of a type.
func kindOf(t savedmodel.DType) column.Kind {
	switch t {
	case 0, savedmodel.String:
		return column.Bytes
	case savedmodel.Float, savedmodel.Half, savedmodel.BFloat16:
		return column.Float
	case savedmodel.Double:
		return column.Double
	}
	return column.Int
}

// cell adds the values of a cell: one, or those of a JSON array.
func cell(c *column.Column, w cells, text string) error {
	if text = strings.TrimSpace(text); c.Kind != column.Bytes && strings.HasPrefix(text, "[") {
		return array(c, w, text)
	}
	if err := value(c, w.Type, text); err != nil {
		return fmt.Errorf("%s is %q: %w", w.Name, text, err)
	}
	return nil
}

// array adds the numbers of a JSON array, whatever arrays are in it.
func array(c *column.Column, w cells, text string) error {
	if inner, ok := plain(text); ok {
		for number := range strings.SplitSeq(inner, ",") {
			if err := value(c, w.Type, strings.TrimSpace(number)); err != nil {
				return fmt.Errorf("%s is %q: %w", w.Name, text, err)
			}
		}
		return nil
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	for depth := 0; ; {
		token, err := d.Token()
		switch v := token.(type) {
		case json.Delim:
			if v == '{' {
				return fmt.Errorf("%s is %q: want numbers", w.Name, text)
			}
			if v == '[' {
				depth++
			} else if depth--; depth == 0 {
				if _, err := d.Token(); err != io.EOF {
					return fmt.Errorf("%s is %q: something follows the array", w.Name, text)
				}
				return nil
			}
			continue
		case json.Number:
			err = value(c, w.Type, v.String())
		case string: // NaN, say
			err = value(c, w.Type, v)
		case bool:
			err = value(c, w.Type, strconv.FormatBool(v))
		default:
			if err == nil {
				err = errors.New("want numbers")
			}
		}
		if err != nil {
			return fmt.Errorf("%s is %q: %w", w.Name, text, err)
		}
	}
}

// plain is what is between the brackets of an array that holds numbers and nothing else, as most
// do: these are read six times as fast as by a decoder of JSON.
func plain(text string) (inner string, ok bool) {
	inner, ok = strings.CutSuffix(text[1:], "]")
	return inner, ok && strings.TrimSpace(inner) != "" && strings.Trim(inner, "0123456789+-.eE, ") == ""
}

// value adds one value.
func value(c *column.Column, t savedmodel.DType, text string) error {
	switch c.Kind {
	case column.Bytes:
		c.Bytes = append(c.Bytes, []byte(text))
	case column.Float:
		v, err := strconv.ParseFloat(text, 32)
		if err != nil && !errors.Is(err, strconv.ErrRange) { // too large is infinite
			return errors.New("want a number")
		}
		c.Floats = append(c.Floats, float32(v))
	case column.Double:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return errors.New("want a number")
		}
		c.Doubles = append(c.Doubles, v)
	default:
		if t == savedmodel.Bool {
			v, err := strconv.ParseBool(text)
			if err != nil {
				return errors.New("want true or false")
			}
			text = map[bool]string{false: "0", true: "1"}[v]
		}
		v, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return errors.New("want a whole number")
		}
		c.Ints = append(c.Ints, v)
	}
	return nil
}
