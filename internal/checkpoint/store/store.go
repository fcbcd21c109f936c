// Package store looks after the checkpoints in a directory of a filesystem: it lists and verifies
// them, and carries out what package checkpoint decides. Verification reads on several goroutines
// through small buffers.
package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"tfos/internal/checkpoint"
	"tfos/internal/dfs"
)

// Options says how much verification does at once.
type Options struct {
	Workers   int   // files and parts of files that are read at once; 0: 4
	PieceSize int64 // bytes of each; 0: checkpoint.DefaultPieceSize
	Depth     int   // directories below the one that is listed; 0: 3
	// Leave names directories, relative to the one that is listed, that are no part of it; nil:
	// none.
	Leave func(dir string) bool
}

// Limits of what is looked at.
const (
	maxFiles   = 200_000 // a directory with more is no directory of checkpoints
	bufferSize = 1 << 20 // bytes, of each worker
)

// Directory is a directory of checkpoints. It remembers verdicts and steps as long as the files
// stay as they were. It is safe for concurrent use.
type Directory struct {
	fs      dfs.FS
	dir     string
	options Options

	mu       sync.Mutex
	verdicts map[string]checkpoint.Verdict // guarded by mu; by identity
	looks    map[string]look               // guarded by mu; by identity
}

// look is what was found out of a checkpoint without verifying it.
type look struct {
	step    int64
	foreign bool // it is none
}

// New makes a Directory of an absolute name in a filesystem. It need not exist yet.
func New(f dfs.FS, dir string, o Options) *Directory {
	o.Workers = cmp.Or(o.Workers, 4)
	o.PieceSize = cmp.Or(o.PieceSize, checkpoint.DefaultPieceSize)
	o.Depth = cmp.Or(o.Depth, 3)
	return &Directory{fs: f, dir: path.Clean(dir), options: o, verdicts: map[string]checkpoint.Verdict{}, looks: map[string]look{}}
}

// List finds the checkpoints in the directory and those below it, the oldest first, with their
// steps. A directory that does not exist holds none.
func (d *Directory) List(ctx context.Context) (checkpoint.Listing, error) {
	files, err := d.walk(ctx)
	if err != nil {
		return checkpoint.Listing{}, err
	}
	l, err := checkpoint.List(files, d.opener(ctx))
	if err != nil {
		return checkpoint.Listing{}, fmt.Errorf("list checkpoints in %s: %w", d.dir, err)
	}
	foreign := map[string]bool{} // by name
	for i, c := range l.Checkpoints {
		k, err := d.look(ctx, c)
		if err != nil {
			return checkpoint.Listing{}, fmt.Errorf("list checkpoints in %s: %w", d.dir, err)
		}
		l.Checkpoints[i].Step, foreign[c.Name] = k.step, k.foreign
	}
	l = l.Without(func(c checkpoint.Checkpoint) bool { return foreign[c.Name] })
	l.Dir = strings.TrimSuffix(d.fs.URI("/"), "/") + d.dir
	for _, s := range l.Elsewhere() {
		l.Problems = append(l.Problems, fmt.Sprintf("%s names %s: TensorFlow looks there, and not in this directory", path.Join(s.Dir, checkpoint.StateFile), s.State.Latest))
	}
	return l, nil
}

// look finds out whether a checkpoint is one, and its step.
func (d *Directory) look(ctx context.Context, c checkpoint.Checkpoint) (look, error) {
	id := identity(c)
	d.mu.Lock()
	k, ok := d.looks[id]
	d.mu.Unlock()
	if ok {
		return k, nil
	}
	var err error
	if k.foreign, err = checkpoint.Foreign(c, d.opener(ctx)); err != nil {
		return look{}, err
	}
	if k.step = c.Step; !k.foreign {
		k.step, err = checkpoint.Step(c, d.opener(ctx))
	}
	switch {
	case err == nil:
	case errors.As(err, new(*checkpoint.Problem)), errors.As(err, new(*checkpoint.Doubt)), errors.Is(err, fs.ErrNotExist):
		k.step = c.Step // it is broken, or just went: not what a listing is about
	default:
		return look{}, err
	}
	d.mu.Lock()
	d.looks[id] = k
	d.mu.Unlock()
	return k, nil
}

// walk lists the files, with names relative to the directory.
func (d *Directory) walk(ctx context.Context) ([]checkpoint.File, error) {
	var files []checkpoint.File
	var visit func(dir string, depth int) error
	visit = func(dir string, depth int) error {
		entries, err := d.fs.List(ctx, path.Join(d.dir, dir))
		if errors.Is(err, fs.ErrNotExist) {
			return nil // not made yet, or gone meanwhile
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			base := path.Base(e.Name)
			name := path.Join(dir, base)
			switch {
			case e.IsDir() && d.options.Leave != nil && d.options.Leave(name):
			case e.IsDir() && depth < d.options.Depth && !checkpoint.Skip(base):
				if err := visit(name, depth+1); err != nil {
					return err
				}
			case !e.IsDir():
				files = append(files, checkpoint.File{Name: name, Size: e.Size, Time: e.ModTime})
			}
			if len(files) > maxFiles {
				return fmt.Errorf("%s holds more than %d files: give the directory that the checkpoints are in", d.dir, maxFiles)
			}
		}
		return nil
	}
	return files, visit("", 0)
}

// opener opens files of the directory.
func (d *Directory) opener(ctx context.Context) checkpoint.Opener {
	return func(name string) (checkpoint.Content, error) { return d.fs.Open(ctx, path.Join(d.dir, name)) }
}

// identity names a checkpoint with the state of its files: another one means that it was written
// again.
func identity(c checkpoint.Checkpoint) string {
	var b strings.Builder
	b.WriteString(c.Name)
	b.WriteString(c.Unfinished)
	fmt.Fprint(&b, c.Expected)
	for _, f := range c.Files {
		fmt.Fprintf(&b, "\x00%s %d %d", f.Name, f.Size, f.Time.UnixMilli())
	}
	return b.String()
}

// Verify says whether a checkpoint is whole. progress, if not nil, is told bytes as they were read,
// from several goroutines. The error is that it could not be read, or changed meanwhile: it is no
// verdict.
func (d *Directory) Verify(ctx context.Context, c checkpoint.Checkpoint, progress func(bytes int64)) (checkpoint.Verdict, error) {
	id := identity(c)
	d.mu.Lock()
	v, ok := d.verdicts[id]
	d.mu.Unlock()
	if ok {
		return v, nil
	}
	v, err := checkpoint.Judge(d.verify(ctx, c, progress))
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", ErrChanged, err)
	}
	if err != nil {
		return checkpoint.Verdict{}, fmt.Errorf("verify %s: %w", path.Join(d.dir, c.Name), err)
	}
	d.mu.Lock()
	d.verdicts[id] = v
	d.mu.Unlock()
	return v, nil
}

func (d *Directory) verify(ctx context.Context, c checkpoint.Checkpoint, progress func(int64)) error {
	plan, err := checkpoint.NewPlan(c, d.opener(ctx), d.options.PieceSize)
	if err != nil {
		return err
	}
	sums := make([]checkpoint.Sum, len(plan.Pieces))
	next := make(chan int) // unbuffered: a piece is handed over when a worker is free
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(next)
		for i := range plan.Pieces {
			select {
			case next <- i:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range min(d.options.Workers, len(plan.Pieces)) {
		g.Go(func() error {
			w := worker{open: d.opener(ctx), buffer: make([]byte, bufferSize)}
			defer w.close()
			for i := range next {
				var err error
				if sums[i], err = w.read(ctx, plan.Pieces[i]); err != nil {
					return err
				}
				if progress != nil {
					progress(plan.Pieces[i].Size)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return plan.Judge(sums)
}

// worker reads pieces. It keeps the file open that it read from last: the next piece is likely to
// lie in it.
type worker struct {
	open   checkpoint.Opener
	buffer []byte
	name   string
	file   checkpoint.Content
}

func (w *worker) read(ctx context.Context, p checkpoint.Piece) (checkpoint.Sum, error) {
	if w.file == nil || w.name != p.File {
		w.close()
		f, err := w.open(p.File)
		if err != nil {
			return checkpoint.Sum{}, err
		}
		w.file, w.name = f, p.File
	}
	if w.file.Size() != p.FileSize {
		return checkpoint.Sum{}, fmt.Errorf("%s has %d bytes, had %d before: %w", p.File, w.file.Size(), p.FileSize, ErrChanged)
	}
	return p.Read(contextReader{ctx, w.file}, w.buffer)
}

func (w *worker) close() {
	if w.file != nil {
		_ = w.file.Close() // nothing was written
		w.file = nil
	}
}

// ErrChanged is a checkpoint that was written while it was read: look again.
var ErrChanged = errors.New("it changed while it was verified")

// contextReader gives up between reads.
type contextReader struct {
	ctx  context.Context
	file checkpoint.Content
}

func (r contextReader) ReadAt(b []byte, offset int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.file.ReadAt(b, offset)
}

// Sweep removes what writers left behind who died, in the directory and those below it, and answers
// with the names.
func (d *Directory) Sweep(ctx context.Context) ([]string, error) {
	var gone []string
	var visit func(dir string, depth int) error
	visit = func(dir string, depth int) error {
		removed, err := d.fs.Sweep(ctx, dir)
		gone = append(gone, removed...)
		if err != nil || depth == d.options.Depth {
			return unlessGone(err)
		}
		entries, err := d.fs.List(ctx, dir)
		if err != nil {
			return unlessGone(err)
		}
		for _, e := range entries {
			if e.IsDir() {
				if err := visit(e.Name, depth+1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	err := visit(d.dir, 0)
	return gone, err
}

// unlessGone drops the error of a directory that is not there, or no longer.
func unlessGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Found is the newest checkpoint that is not broken, and what was looked at on the way to it.
type Found struct {
	Listing checkpoint.Listing
	Newest  *checkpoint.Checkpoint // nil: there is none
	Verdict checkpoint.Verdict     // on Newest: whole, or it cannot be judged
	Broken  []Broken               // newer than Newest, the newest first
}

// Broken is a checkpoint that is not whole.
type Broken struct {
	Checkpoint checkpoint.Checkpoint
	Problem    string // a sentence without its full stop
}

// looks is how often Newest looks at a directory that changes meanwhile.
const looks = 3

// Newest verifies checkpoints from the newest down until one is not broken: what cannot be judged
// may be what its program restores. Those that leaveOut names are passed over; nil names none. It
// looks again if a program writes or deletes one that it is about to verify, a few times.
func (d *Directory) Newest(ctx context.Context, leaveOut func(checkpoint.Checkpoint) bool) (Found, error) {
	for look := 1; ; look++ {
		found, err := d.newest(ctx, leaveOut)
		if look == looks || !errors.Is(err, ErrChanged) {
			return found, err
		}
	}
}

func (d *Directory) newest(ctx context.Context, leaveOut func(checkpoint.Checkpoint) bool) (Found, error) {
	l, err := d.List(ctx)
	if err != nil {
		return Found{}, err
	}
	found := Found{Listing: l}
	for i := len(l.Checkpoints) - 1; i >= 0; i-- {
		c := l.Checkpoints[i]
		if leaveOut != nil && leaveOut(c) {
			continue
		}
		v, err := d.Verify(ctx, c, nil)
		if err != nil {
			return Found{}, err
		}
		if !v.Broken() {
			found.Newest, found.Verdict = &c, v
			return found, nil
		}
		found.Broken = append(found.Broken, Broken{Checkpoint: c, Problem: v.Problem})
	}
	return found, nil
}

// Recover sets aside what is broken and makes the state file name the newest of the others, so that
// a program that starts now restores it. It answers with what it did. No program may be writing
// checkpoints meanwhile.
//
// Where nothing is broken, and the directory may not be written, it is an *Unstated if that leads
// TensorFlow elsewhere.
func (d *Directory) Recover(ctx context.Context, found Found) ([]checkpoint.Action, error) {
	var lookup error
	taken := func(name string) bool {
		_, err := d.fs.Stat(ctx, path.Join(d.dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			lookup = cmp.Or(lookup, err)
			return false
		}
		return err == nil
	}
	broken := make([]checkpoint.Checkpoint, len(found.Broken))
	for i, b := range found.Broken {
		broken[i] = b.Checkpoint
	}
	actions := checkpoint.Recover(found.Listing, found.Newest, broken, taken)
	if lookup != nil {
		return nil, fmt.Errorf("set broken checkpoints aside in %s: %w", d.dir, lookup)
	}
	err := d.Do(ctx, actions)
	if errors.Is(err, fs.ErrPermission) && len(broken) == 0 {
		return nil, unstated(found)
	}
	return actions, err
}

// Unstated is a state file that names a checkpoint in another place, and that may not be written:
// programs that go by it begin at step 0, or where that place leads them.
type Unstated struct{ What string }

func (u *Unstated) Error() string { return u.What }

func unstated(found Found) error {
	if moved := found.Listing.Elsewhere(); len(moved) > 0 {
		name := path.Join(moved[0].Dir, checkpoint.StateFile)
		return &Unstated{fmt.Sprintf("%s names %s, and may not be written: a program that asks TensorFlow for the latest checkpoint does not find %s",
			name, moved[0].State.Latest, path.Base(moved[0].State.Latest))}
	}
	return nil
}

// Do carries actions out, in order, until one fails.
func (d *Directory) Do(ctx context.Context, actions []checkpoint.Action) error {
	for _, a := range actions {
		if err := d.do(ctx, a); err != nil {
			return fmt.Errorf("%s in %s: %w", a, d.dir, err)
		}
	}
	return nil
}

func (d *Directory) do(ctx context.Context, a checkpoint.Action) error {
	name := path.Join(d.dir, a.Name)
	var err error
	switch a.Op {
	case checkpoint.Mkdir:
		return d.fs.Mkdir(ctx, name, 0o755)
	case checkpoint.Rename:
		err = d.fs.Rename(ctx, name, path.Join(d.dir, a.To), false)
	case checkpoint.Remove:
		err = d.fs.Remove(ctx, name, false)
	case checkpoint.Write:
		return dfs.WriteFile(ctx, d.fs, name, a.Content, 0)
	default:
		return fmt.Errorf("no such action")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the program, which keeps its own number of checkpoints, was faster
	}
	return err
}
