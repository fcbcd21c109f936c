package source

import (
	"context"
	"errors"
	"fmt"
	"io"

	"tfos/internal/predict/column"
	"tfos/internal/predict/plan"
)

// files reads whole files, each a row.
type files struct {
	open   Open
	left   []plan.Input
	wanted []Wanted
}

func (f *files) Next(ctx context.Context, most Size) (Batch, error) {
	b := images{wanted: f.wanted}
	for bytes := 0; !most.reached(len(b.all), bytes) && len(f.left) > 0; {
		in := f.left[0]
		content, err := readWhole(ctx, f.open, in)
		if err != nil {
			return nil, err
		}
		b.all, b.paths = append(b.all, content), append(b.paths, []byte(in.Path))
		f.left = f.left[1:]
		bytes += len(content)
	}
	if len(b.all) == 0 {
		return nil, io.EOF
	}
	return b, nil
}

func readWhole(ctx context.Context, open Open, in plan.Input) (_ []byte, err error) {
	r, err := openInput(ctx, open, in)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b := make([]byte, in.Size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("read %s: %w", in.Path, err)
	}
	return b, nil
}

func (f *files) Close() error { return nil }

// images are the bytes of files.
type images struct {
	all, paths [][]byte
	wanted     []Wanted
}

func (b images) Rows() int { return len(b.all) }

func (b images) Decode() ([]column.Column, error) {
	columns := make([]column.Column, len(b.wanted))
	for i, w := range b.wanted {
		columns[i].Name = w.Name
		rows := b.all
		if w.Name == plan.PathColumn {
			rows = b.paths
		}
		wholeRows(&columns[i], rows)
	}
	return columns, nil
}

// Explain names the file that an error is about.
func (b images) Explain(err error) error {
	var row *column.RowError
	if errors.As(err, &row) {
		return &Damaged{fmt.Errorf("%s: %w", b.paths[row.Row], row.Err)}
	}
	return err
}
