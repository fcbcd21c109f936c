// Package predict runs a model over files, as one of the workers of a job: it leases a shard of the
// input, writes the output of the model for each row, and leases the next one.
//
// The output of a shard appears under its name when it is whole, in one step, and a shard whose
// output is there is not read again. So a shard may be begun any number of times, by any worker:
// there is one row of output for each row of input, in the same order.
//
// The package knows files, plans and leases. What a model is, TensorFlow's say, its caller brings.
package predict

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"golang.org/x/sync/errgroup"

	"tfos/internal/dfs"
	"tfos/internal/predict/column"
	"tfos/internal/predict/plan"
	"tfos/internal/predict/sink"
	"tfos/internal/predict/source"
)

// Model is a function of rows, safe for concurrent use: a column for each input of the plan's
// signature in, and one for each output out, with as many rows. An error that has a method Input
// says by it whether the model refused its input.
type Model interface {
	Predict(inputs []column.Column) ([]column.Column, error)
}

// Leases give shards to workers.
type Leases interface {
	// Next gives a shard to this worker; ok is false when all shards are done.
	Next(ctx context.Context) (shard int, ok bool, err error)
	// Done says that the output of the shard that Next gave is there.
	Done(ctx context.Context) error
}

// Options is what a Worker works with.
type Options struct {
	Plan   plan.Plan
	Model  Model
	Leases Leases
	Open   source.Open // the input's files
	Output dfs.FS      // where the output's directory is
	Dir    string      // its name there
	// Parallel is how many batches are under way at once; at least 1.
	Parallel int
	// Progress is told how many rows this worker has written. It must not block for long.
	Progress func(rows int64)
}

// Worker is one worker of a run. Beside the model, it holds in memory at most Parallel+1 batches:
// their input, their columns and tensors, their output.
type Worker struct {
	o     Options
	id    string // of its files among the attempts
	batch source.Size
	rows  int64
	parts int
}

// New makes a Worker.
func New(o Options) (*Worker, error) {
	rows, err := o.Plan.Rows()
	if err != nil {
		return nil, err
	}
	w := &Worker{o: o, id: rand.Text(), batch: source.Size{Rows: rows, Bytes: o.Plan.Bytes}}
	if o.Plan.Fixed() { // a batch that is cut short would be filled up again
		w.batch.Bytes = 0
	}
	return w, nil
}

// Run works until all shards are done. It says how many rows and shards this worker wrote.
func (w *Worker) Run(ctx context.Context) (rows int64, parts int, err error) {
	if err := w.o.Output.Mkdir(ctx, path.Join(w.o.Dir, plan.Attempts), 0o755); err != nil {
		return 0, 0, err
	}
	for {
		shard, ok, err := w.o.Leases.Next(ctx)
		if err == nil && !ok {
			break
		}
		if err == nil {
			err = w.shard(ctx, shard)
		}
		if err == nil {
			err = w.o.Leases.Done(ctx)
		}
		if err != nil {
			return w.rows, w.parts, err
		}
	}
	return w.rows, w.parts, w.finish(ctx)
}

// shard makes the output of a shard, unless it is there.
func (w *Worker) shard(ctx context.Context, shard int) error {
	if shard < 0 || shard >= len(w.o.Plan.Shards) {
		return fmt.Errorf("there is no shard %d in %s: it has %d", shard, plan.File, len(w.o.Plan.Shards))
	}
	name := path.Join(w.o.Dir, w.o.Plan.Part(shard))
	if there, err := w.there(ctx, name); there || err != nil {
		return err
	}
	in, err := source.Shard(ctx, w.o.Open, w.o.Plan, w.o.Plan.Shards[shard])
	if err != nil {
		return err
	}
	err = errors.Join(w.write(ctx, in, name), in.Close())
	if errors.Is(err, fs.ErrNotExist) { // another worker has ended the run, this shard too, and removed the attempts
		if there, err := w.there(ctx, name); there || err != nil {
			return err
		}
	}
	if err == nil {
		w.parts++
	}
	return err
}

// there reports whether a shard's output is.
func (w *Worker) there(ctx context.Context, name string) (bool, error) {
	_, err := w.o.Output.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// write writes the output of a shard. Another worker that was taken for lost may still be at it: it
// writes the same to a file of its own.
func (w *Worker) write(ctx context.Context, in source.Reader, name string) error {
	attempt := path.Join(w.o.Dir, plan.Attempts, path.Base(name)+"."+w.id)
	out, err := w.o.Output.Create(ctx, attempt, dfs.CreateOptions{})
	if err != nil {
		return err
	}
	defer out.Abort()
	if err := w.copy(ctx, in, out); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return w.o.Output.Rename(ctx, attempt, name, true)
}

// result is a batch's output, or what went wrong.
type result struct {
	bytes []byte
	rows  int
	err   error
}

// copy runs the model over a shard. Batches are read one after the other, go through the model side
// by side, and are written in the order in which they were read.
func (w *Worker) copy(ctx context.Context, in source.Reader, out io.Writer) error {
	group, ctx := errgroup.WithContext(ctx)
	order := make(chan chan result, max(w.o.Parallel-1, 0)) // with the one that is waited for
	group.Go(func() error {
		defer close(order)
		for {
			b, err := in.Next(ctx, w.batch)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			answer := make(chan result, 1)
			select {
			case order <- answer:
			case <-ctx.Done():
				return ctx.Err()
			}
			group.Go(func() error {
				r := w.run(b)
				answer <- r
				return r.err
			})
		}
	})
	group.Go(func() error {
		if _, err := out.Write(sink.Header(w.o.Plan.Encoding, w.o.Plan.Names())); err != nil {
			return err
		}
		for answer := range order {
			select {
			case r := <-answer:
				if r.err != nil {
					return r.err
				}
				if _, err := out.Write(r.bytes); err != nil {
					return err
				}
				w.rows += int64(r.rows)
				w.o.Progress(w.rows)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return group.Wait()
}

// run runs the model on one batch.
func (w *Worker) run(b source.Batch) result {
	columns, err := b.Decode()
	if err != nil {
		return result{err: err}
	}
	rows := b.Rows()
	inputs, kept := columns[:len(w.o.Plan.Columns)], columns[len(w.o.Plan.Columns):]
	outputs, err := w.predict(inputs)
	if refused(err) {
		err = w.blame(inputs, rows, err)
	}
	if err != nil {
		return result{err: source.Explain(b, err)}
	}
	for i := range outputs {
		outputs[i].Ends = outputs[i].Ends[:rows]
	}
	bytes, err := sink.Append(nil, w.o.Plan.Encoding, append(kept, outputs...))
	return result{bytes: bytes, rows: rows, err: err}
}

// predict calls the model, with as many rows as it wants.
func (w *Worker) predict(inputs []column.Column) ([]column.Column, error) {
	if w.o.Plan.Fixed() {
		for i := range inputs {
			inputs[i].Pad(w.batch.Rows)
		}
	}
	return w.o.Model.Predict(inputs)
}

// refused reports whether the model refused its input: an image that is none, say.
func refused(err error) bool {
	var e interface{ Input() bool }
	return errors.As(err, &e) && e.Input()
}

// blame finds the row for which the model refuses a batch, which it does not name: the first one
// that it refuses by itself.
func (w *Worker) blame(inputs []column.Column, rows int, err error) error {
	for row := range rows {
		one := make([]column.Column, len(inputs))
		for i := range inputs {
			one[i] = inputs[i].Only(row)
		}
		if _, err := w.predict(one); refused(err) {
			return &column.RowError{Row: row, Err: err}
		}
	}
	return err
}

// finish looks that there is an output for every shard, and says so in the directory. Every worker
// does, for each may be the last.
func (w *Worker) finish(ctx context.Context) error {
	list, err := w.o.Output.List(ctx, w.o.Dir)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(list))
	for _, info := range list {
		there[path.Base(info.Name)] = true
	}
	for i := range w.o.Plan.Shards {
		if part := w.o.Plan.Part(i); !there[part] {
			return fmt.Errorf("all shards are done, and %s is not there: was it removed meanwhile? tfos predict with the same arguments makes it", w.o.Plan.In(part))
		}
	}
	// What workers left that were killed while they wrote, and what those still write that were
	// taken for lost, is of no use.
	if err := w.o.Output.Remove(ctx, path.Join(w.o.Dir, plan.Attempts), true); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return dfs.WriteFile(ctx, w.o.Output, path.Join(w.o.Dir, plan.Done), nil, 0o644)
}
