package source

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"

	"tfos/internal/dfs"
	"tfos/internal/example"
	"tfos/internal/predict/column"
	"tfos/internal/predict/plan"
	"tfos/internal/tfrecord"
)

// readAhead is how many bytes of a file are read at once.
const readAhead = 1 << 20

// from reads a file from a byte on.
func from(f dfs.File, at int64) *bufio.Reader {
	left := f.Size() - at
	return bufio.NewReaderSize(io.NewSectionReader(f, at, left), int(min(readAhead, left+16)))
}

// gzipped reports whether a file is compressed by gzip: it begins so, which neither a TFRecord file
// nor text does.
func gzipped(f dfs.File) (bool, error) {
	head := make([]byte, 3)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return false, err
	}
	return bytes.Equal(head[:n], []byte{0x1f, 0x8b, 8}), nil
}

// whole opens all of a compressed file for the shard that begins with it. For the others there is
// nothing: r is nil.
func whole(f dfs.File, shard plan.Shard) (r io.Reader, err error) {
	if shard.From > 0 {
		return nil, nil
	}
	z, err := gzip.NewReader(from(f, 0))
	if err != nil {
		return nil, fmt.Errorf("it begins as a gzip file, and is none: %w", err)
	}
	return bufio.NewReaderSize(unpacked{z}, readAhead), nil
}

// unpacked is what a compressed file holds. Its errors do not pass for those of the content.
type unpacked struct{ z *gzip.Reader }

func (u unpacked) Read(b []byte) (int, error) {
	n, err := u.z.Read(b)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("the compressed file is cut off")
	case err != nil && err != io.EOF:
		err = fmt.Errorf("unpack the file: %w", err)
	}
	return n, err
}

// tfrecords reads a TFRecord file.
type tfrecords struct {
	f      dfs.File
	shard  plan.Shard
	r      *tfrecord.Reader // nil: no record begins in the shard
	packed bool
	wanted []Wanted
	room   int // bytes that the batch before had
}

func newTFRecords(f dfs.File, shard plan.Shard, wanted []Wanted) (*tfrecords, error) {
	t := &tfrecords{f: f, shard: shard, wanted: wanted}
	var err error
	if t.packed, err = gzipped(f); err != nil {
		return nil, err
	}
	if t.packed {
		r, err := whole(f, shard)
		if r != nil {
			t.r = tfrecord.NewReader(r, 0)
		}
		return t, err
	}
	at, ok, err := tfrecord.Find(f, shard.From, shard.To, f.Size())
	if ok {
		t.r = tfrecord.NewReader(from(f, at), at)
	}
	return t, err
}

func (t *tfrecords) Next(_ context.Context, most Size) (Batch, error) {
	all := make([]byte, 0, t.room+t.room/8)
	var ends []int
	for t.r != nil && !most.reached(len(ends), len(all)) && (t.packed || t.r.At() < t.shard.To) {
		var err error
		if all, err = t.r.Append(all); err == io.EOF {
			break
		}
		if err != nil {
			if t.packed {
				err = fmt.Errorf("unpacked: %w", err)
			}
			return nil, err
		}
		ends = append(ends, len(all))
	}
	if len(ends) > 0 {
		t.room = len(all)
		b := records{all: make([][]byte, len(ends)), wanted: t.wanted}
		for i, from := 0, 0; i < len(ends); i++ {
			b.all[i] = all[from:ends[i]:ends[i]]
			from = ends[i]
		}
		return b, nil
	}
	if t.r != nil && !t.packed {
		problem, err := tfrecord.Break(t.f, t.r.At(), t.f.Size())
		if err == nil {
			err = problem
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, io.EOF
}

func (t *tfrecords) Close() error { return t.f.Close() }

// records are serialized Examples, or whatever else the model takes as a whole.
type records struct {
	all    [][]byte
	wanted []Wanted
}

func (b records) Rows() int { return len(b.all) }

func (b records) Decode() ([]column.Column, error) {
	columns := make([]column.Column, len(b.wanted))
	var features []column.Column // those that are not the whole record
	for i, w := range b.wanted {
		columns[i].Name = w.Name
		if w.Name != plan.Whole {
			features = append(features, columns[i])
		}
	}
	if len(features) > 0 {
		if err := example.Read(b.all, features); err != nil {
			return nil, err
		}
	}
	for i := range columns {
		if c := &columns[i]; c.Name == plan.Whole {
			wholeRows(c, b.all)
		} else {
			*c, features = features[0], features[1:]
		}
	}
	return columns, required(columns, b.wanted)
}

// required refuses rows without a value for an input of the model. A column that is kept may have
// none.
func required(columns []column.Column, wanted []Wanted) error {
	for i := range columns {
		c := &columns[i]
		for row := 0; row < c.Rows() && wanted[i].Type != 0; row++ {
			if from, to := c.Row(row); from == to {
				return &column.RowError{Row: row, Err: fmt.Errorf("it has no value of %s, which the model takes", c.Name)}
			}
		}
	}
	return nil
}

// wholeRows makes a column of rows that are not taken apart.
func wholeRows(c *column.Column, rows [][]byte) {
	c.Kind, c.Bytes, c.Shape, c.Ends = column.Bytes, rows, []int64{}, make([]int, len(rows))
	for i := range c.Ends {
		c.Ends[i] = i + 1
	}
}
