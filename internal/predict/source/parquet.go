package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"tfos/internal/dfs"
	"tfos/internal/predict/column"
	"tfos/internal/predict/plan"
)

// parquetReader reads the row groups that begin in a shard.
type parquetReader struct {
	f      dfs.File
	groups []parquet.RowGroup // that are left
	wanted []Wanted
	leaves []leaf
	open   []cursor // of the first of groups; nil: it is not begun
	rows   int64    // of it, that are left
}

// leaf is a column of the file.
type leaf struct {
	name     string
	index    int
	unsigned bool
}

func newParquet(f dfs.File, shard plan.Shard, wanted []Wanted) (*parquetReader, error) {
	file, err := parquet.OpenFile(f, f.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(int(min(readAhead, f.Size()))))
	if err != nil {
		return nil, fmt.Errorf("it is damaged, or no Parquet file: %w", err)
	}
	p := &parquetReader{f: f, wanted: wanted}
	for _, w := range wanted {
		l, err := findLeaf(file.Schema(), w.Name)
		if err != nil {
			return nil, err
		}
		p.leaves = append(p.leaves, l)
	}
	for i, g := range file.RowGroups() {
		if at := beginning(file.Metadata().RowGroups[i]); at >= shard.From && at < shard.To {
			p.groups = append(p.groups, g)
		}
	}
	return p, nil
}

// beginning is the first byte of a row group, which its metadata say for each column only.
func beginning(g format.RowGroup) int64 {
	first := int64(-1)
	for _, c := range g.Columns {
		at := c.MetaData.DataPageOffset
		if d := c.MetaData.DictionaryPageOffset; d > 0 && d < at {
			at = d
		}
		if first < 0 || at < first {
			first = at
		}
	}
	return max(first, 0)
}

// findLeaf finds a column of values by its path with dots, or by the name of the field that holds
// it, if that holds no other.
func findLeaf(s *parquet.Schema, name string) (leaf, error) {
	var found [][]string
	var fields []string
	for _, path := range s.Columns() {
		if strings.Join(path, ".") == name {
			found = [][]string{path}
			break
		}
		if path[0] == name {
			found = append(found, path)
		}
		if !slices.Contains(fields, path[0]) {
			fields = append(fields, path[0])
		}
	}
	switch len(found) {
	case 0:
		return leaf{}, missing(name, fields)
	case 1:
	default:
		return leaf{}, fmt.Errorf("its column %s has several columns of values: say which, as in %s", name, strings.Join(found[0], "."))
	}
	c, ok := s.Lookup(found[0]...)
	if !ok {
		return leaf{}, fmt.Errorf("its column %s has no values", name)
	}
	t := c.Node.Type()
	l := leaf{name: name, index: c.ColumnIndex}
	decimal, converted := false, t.ConvertedType()
	if converted != nil {
		decimal = *converted == deprecated.Decimal
		l.unsigned = *converted >= deprecated.Uint8 && *converted <= deprecated.Uint64
	}
	if logical := t.LogicalType(); logical != nil {
		switch v := logical.Value.(type) {
		case *format.DecimalType:
			decimal = true
		case *format.IntType:
			l.unsigned = !v.IsSigned
		}
	}
	if decimal || t.Kind() == parquet.Int96 {
		return leaf{}, fmt.Errorf("its column %s has values of type %s, which tfos does not read", name, t)
	}
	return l, nil
}

// cursor reads the values of one column of a row group.
type cursor struct {
	pages  parquet.Pages
	values parquet.ValueReader // of a page; nil: none is open
	buffer [512]parquet.Value
	have   []parquet.Value
}

// peek is the next value; io.EOF after the last.
func (c *cursor) peek() (parquet.Value, error) {
	for len(c.have) == 0 {
		if c.values == nil {
			page, err := c.pages.ReadPage()
			if err != nil {
				return parquet.Value{}, err
			}
			c.values = page.Values()
		}
		n, err := c.values.ReadValues(c.buffer[:])
		c.have = c.buffer[:n]
		if err == io.EOF {
			c.values = nil
		} else if err != nil {
			return parquet.Value{}, err
		}
	}
	return c.have[0], nil
}

func (p *parquetReader) Next(_ context.Context, most Size) (Batch, error) {
	for p.rows == 0 {
		if len(p.groups) == 0 {
			return nil, io.EOF
		}
		if p.open == nil {
			p.begin()
			continue
		}
		if err := p.end(); err != nil {
			return nil, err
		}
		p.groups = p.groups[1:]
	}
	b := valuesOf{columns: make([]column.Column, len(p.leaves)), wanted: p.wanted}
	for i, l := range p.leaves {
		b.columns[i].Name = l.name
	}
	for bytes := 0; p.rows > 0 && !most.reached(b.rows, bytes); p.rows-- {
		for i, l := range p.leaves {
			c := &b.columns[i]
			if err := p.open[i].row(c, l); err != nil {
				return nil, fmt.Errorf("read the column %s: %w", l.name, err)
			}
			bytes += sizeOf(c, b.rows)
		}
		b.rows++
	}
	return b, nil
}

// sizeOf is the bytes of a row's values.
func sizeOf(c *column.Column, row int) (n int) {
	from, to := c.Row(row)
	if c.Kind != column.Bytes {
		return 8 * (to - from)
	}
	for _, v := range c.Bytes[from:to] {
		n += len(v)
	}
	return n
}

// begin opens the columns of a row group.
func (p *parquetReader) begin() {
	chunks := p.groups[0].ColumnChunks()
	p.open = make([]cursor, len(p.leaves))
	for i, l := range p.leaves {
		p.open[i].pages = chunks[l.index].Pages()
	}
	p.rows = p.groups[0].NumRows()
	if p.rows == 0 {
		p.end()
		p.groups = p.groups[1:]
	}
}

// end closes them.
func (p *parquetReader) end() error {
	var errs []error
	for i := range p.open {
		errs = append(errs, p.open[i].pages.Close())
	}
	p.open = nil
	return errors.Join(errs...)
}

// row adds the values of the next row: a first one, and those that repeat.
func (c *cursor) row(into *column.Column, l leaf) error {
	for first := true; ; first = false {
		v, err := c.peek()
		switch {
		case err == io.EOF && !first, err == nil && !first && v.RepetitionLevel() == 0:
			into.EndRow()
			return nil
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
		c.have = c.have[1:]
		if err := add(into, v, l); err != nil {
			return err
		}
	}
}

// add adds a value.
func add(c *column.Column, v parquet.Value, l leaf) error {
	if v.IsNull() {
		return nil
	}
	switch v.Kind() {
	case parquet.Float:
		c.Floats = append(c.Floats, v.Float())
		return c.Of(column.Float)
	case parquet.Double:
		c.Doubles = append(c.Doubles, v.Double())
		return c.Of(column.Double)
	case parquet.ByteArray, parquet.FixedLenByteArray:
		c.Bytes = append(c.Bytes, bytes.Clone(v.ByteArray())) // the page's memory is used again
		return c.Of(column.Bytes)
	}
	n := int64(0)
	switch {
	case v.Kind() == parquet.Boolean && v.Boolean():
		n = 1
	case v.Kind() == parquet.Int32 && l.unsigned:
		n = int64(v.Uint32())
	case v.Kind() == parquet.Int32:
		n = int64(v.Int32())
	case v.Kind() == parquet.Int64:
		if n = v.Int64(); n < 0 && l.unsigned {
			return fmt.Errorf("%d is more than tfos reads", v.Uint64())
		}
	}
	c.Ints = append(c.Ints, n)
	return c.Of(column.Int)
}

func (p *parquetReader) Close() error {
	return errors.Join(p.end(), p.f.Close())
}

// valuesOf are rows whose values are read already.
type valuesOf struct {
	columns []column.Column
	rows    int
	wanted  []Wanted
}

func (b valuesOf) Rows() int { return b.rows }

func (b valuesOf) Decode() ([]column.Column, error) { return b.columns, required(b.columns, b.wanted) }
