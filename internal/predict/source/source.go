// Package source reads the rows of a shard of input: TFRecords, CSV, Parquet, or whole files.
//
// Reading and decoding are apart: a Reader gives batches one after the other, and batches are
// decoded in any order and by several goroutines. Every row of the input is in exactly one shard,
// and in exactly one batch of it.
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"tfos/internal/dfs"
	"tfos/internal/predict/column"
	"tfos/internal/predict/plan"
	"tfos/internal/savedmodel"
)

// Wanted is a column that is to be read.
type Wanted struct {
	Name string
	Type savedmodel.DType // what it becomes; 0: it is kept as it is
}

// WantedBy are the columns of a plan: those of the model's inputs, then those that are kept.
func WantedBy(s plan.Settings) []Wanted {
	var all []Wanted
	for i, t := range s.Signature.Inputs {
		all = append(all, Wanted{s.Columns[i], t.Type})
	}
	for _, name := range s.Keep {
		all = append(all, Wanted{Name: name})
	}
	return all
}

// Batch is some rows that follow each other in the input.
type Batch interface {
	// Rows is how many.
	Rows() int
	// Decode gives a column for each one that is wanted. An error about one row is a
	// *column.RowError. Bytes in the columns may be those of the batch.
	Decode() ([]column.Column, error)
}

// Reader reads a shard.
type Reader interface {
	// Next gives the next rows, as many as fit; io.EOF after the last one.
	Next(ctx context.Context, most Size) (Batch, error)
	Close() error
}

// Size says when a batch is full.
type Size struct {
	Rows  int
	Bytes int // of the input, after which no further row is added; 0: however many
}

// reached reports whether no row is added to these.
func (s Size) reached(rows, bytes int) bool {
	return rows >= s.Rows || s.Bytes > 0 && bytes >= s.Bytes
}

// Open opens a file of the input by its path in the plan.
type Open func(ctx context.Context, path string) (dfs.File, error)

// Shard opens a shard. A file whose size is not what the plan says has changed, and is refused.
func Shard(ctx context.Context, open Open, p plan.Plan, shard plan.Shard) (Reader, error) {
	wanted := WantedBy(p.Settings)
	if p.Format == plan.Images {
		return &files{open: open, left: p.Inputs[shard.File : shard.File+shard.Files], wanted: wanted}, nil
	}
	in := p.Inputs[shard.File]
	f, err := openInput(ctx, open, in)
	if err != nil {
		return nil, err
	}
	of := &named{path: in.Path, from: shard.From, file: f}
	switch p.Format {
	case plan.TFRecord:
		of.Reader, err = newTFRecords(f, shard, wanted)
	case plan.CSV:
		of.Reader, err = newCSV(f, shard, wanted)
	case plan.Parquet:
		of.Reader, err = newParquet(f, shard, wanted)
	default:
		err = fmt.Errorf("%q is no format that tfos reads", p.Format)
	}
	if err != nil {
		return nil, errors.Join(of.wrong(err), f.Close())
	}
	return of, nil
}

// Damaged is what is wrong with the content of the input: another attempt would end alike.
type Damaged struct{ Err error }

func (d *Damaged) Error() string { return d.Err.Error() }

// Unwrap gives the cause.
func (d *Damaged) Unwrap() error { return d.Err }

// file notes whether it could be read. What else is wrong with a file is wrong with its content.
type file struct {
	dfs.File
	failed atomic.Bool
}

func (f *file) Read(b []byte) (int, error) {
	n, err := f.File.Read(b)
	return n, f.note(err)
}

func (f *file) ReadAt(b []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(b, at)
	return n, f.note(err)
}

func (f *file) note(err error) error {
	if err != nil && err != io.EOF {
		f.failed.Store(true)
	}
	return err
}

// openInput opens a file and holds its size against the plan's.
func openInput(ctx context.Context, open Open, in plan.Input) (*file, error) {
	f, err := open(ctx, in.Path)
	if err != nil {
		return nil, err
	}
	if f.Size() != in.Size {
		return nil, errors.Join(&Damaged{fmt.Errorf("%s has %d bytes, and had %d when the run began: the input has changed", in.Path, f.Size(), in.Size)}, f.Close())
	}
	return &file{File: f}, nil
}

// named says in errors which file and row they are about.
type named struct {
	Reader
	path string
	from int64
	file *file
	rows int // that were read before
}

// wrong says of an error which file it is about, and whether the file's content is to blame.
func (n *named) wrong(err error) error {
	err = fmt.Errorf("%s: %w", n.path, err)
	if n.file.failed.Load() {
		return err
	}
	return &Damaged{err}
}

func (n *named) Next(ctx context.Context, most Size) (Batch, error) {
	b, err := n.Reader.Next(ctx, most)
	if err != nil {
		if err != io.EOF {
			err = n.wrong(err)
		}
		return nil, err
	}
	nb := namedBatch{b, n, n.rows}
	n.rows += b.Rows()
	return nb, nil
}

type namedBatch struct {
	Batch
	of    *named
	first int
}

func (b namedBatch) Decode() ([]column.Column, error) {
	columns, err := b.Batch.Decode()
	if err != nil {
		return nil, &Damaged{b.Explain(err)} // it was read already
	}
	return columns, nil
}

// Explain says which row of which file an error is about, if it is about one of the batch.
func (b namedBatch) Explain(err error) error {
	var row *column.RowError
	if !errors.As(err, &row) {
		if err != nil {
			return fmt.Errorf("%s: %w", b.of.path, err)
		}
		return nil
	}
	where := fmt.Sprintf("row %d", b.first+row.Row+1)
	if b.of.from > 0 {
		where += fmt.Sprintf(" of those from byte %d on", b.of.from)
	}
	return &Damaged{fmt.Errorf("%s, %s: %w", b.of.path, where, row.Err)}
}

// Explain says which row of which file an error of what follows decoding is about.
func Explain(b Batch, err error) error {
	if e, ok := b.(interface{ Explain(error) error }); ok {
		return e.Explain(err)
	}
	return err
}
