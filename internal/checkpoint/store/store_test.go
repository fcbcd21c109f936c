package store_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tfos/internal/checkpoint"
	"tfos/internal/checkpoint/store"
	"tfos/internal/dfs"
)

const where = "/models"

// copyIn fills a filesystem in memory with a directory of golden checkpoints.
func copyIn(t *testing.T, f dfs.FS, name string) {
	t.Helper()
	root := filepath.Join("../testdata", name)
	err := fs.WalkDir(os.DirFS(root), ".", func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return err
		}
		write(t, f, path.Join(where, file), content)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, f dfs.FS, name string, content []byte) {
	t.Helper()
	if err := f.Mkdir(t.Context(), path.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	w, err := f.Create(t.Context(), name, dfs.CreateOptions{Overwrite: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// world is a filesystem whose clock ticks with each look at it, and which counts or refuses what is
// opened.
type world struct {
	*dfs.Memory
	opened atomic.Int64
	refuse atomic.Pointer[string] // a name that cannot be opened
}

var errRefused = errors.New("the disk does not answer")

func newWorld(t *testing.T, golden string) *world {
	w := &world{}
	var clock atomic.Int64
	w.Memory = dfs.NewMemory(dfs.MemoryOptions{
		Now: func() time.Time { return time.Unix(clock.Add(1), 0) },
		Refuse: func(op, name string) error {
			if op != "open" {
				return nil
			}
			w.opened.Add(1)
			if refused := w.refuse.Load(); refused != nil && path.Base(name) == *refused {
				return errRefused
			}
			return nil
		},
	})
	copyIn(t, w, golden)
	return w
}

func TestNewest(t *testing.T) {
	w := newWorld(t, "v2")
	d := store.New(w, where, store.Options{Workers: 3, PieceSize: 100})
	var read atomic.Int64
	l, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if v, err := d.Verify(t.Context(), l.Checkpoints[2], func(n int64) { read.Add(n) }); !v.Whole || err != nil || read.Load() != 3069 {
		t.Errorf("%v, %v after %d bytes", v, err, read.Load())
	}
	found, err := d.Newest(t.Context(), nil)
	if err != nil || found.Newest == nil || found.Newest.Name != "ckpt-4" || found.Newest.Step != 400 || len(found.Broken) > 0 {
		t.Fatalf("%+v, %v", found, err)
	}

	write(t, w, where+"/ckpt-4.data-00000-of-00001", make([]byte, 3069))
	found, err = d.Newest(t.Context(), nil)
	if err != nil || found.Newest == nil || found.Newest.Name != "ckpt-3" || len(found.Broken) != 1 || !strings.Contains(found.Broken[0].Problem, "ckpt-4.data-00000-of-00001") {
		t.Fatalf("after a fault: %+v, %v", found, err)
	}
	done, err := d.Recover(t.Context(), found)
	if err != nil || len(done) == 0 {
		t.Fatalf("did %v, %v", done, err)
	}
	found, err = d.Newest(t.Context(), nil)
	if err != nil || found.Newest == nil || found.Newest.Name != "ckpt-3" || len(found.Broken) > 0 || len(found.Listing.Problems) > 0 {
		t.Errorf("after it was set aside: %+v, %v", found, err)
	}
	if info, err := w.Stat(t.Context(), where+"/set-aside/ckpt-4/ckpt-4.index"); err != nil {
		t.Errorf("%v, %v", info, err)
	}
	if found, err = d.Newest(t.Context(), func(c checkpoint.Checkpoint) bool { return c.Name == "ckpt-3" }); err != nil || found.Newest.Name != "ckpt-2" {
		t.Errorf("without ckpt-3: %+v, %v", found, err)
	}
}

// What was looked at is not read again, until it changes.
func TestVerdictsAreRemembered(t *testing.T) {
	w := newWorld(t, "shards")
	d := store.New(w, where, store.Options{})
	if _, err := d.Newest(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	before := w.opened.Load()
	if _, err := d.Newest(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if again := w.opened.Load() - before; again != 1 { // the state file
		t.Errorf("%d files were opened a second time", again)
	}
}

// A file that cannot be read is an error, and breaks nothing: the next attempt finds it whole.
func TestUnreadable(t *testing.T) {
	for _, name := range []string{"ckpt-4.index", "ckpt-4.data-00000-of-00001", "checkpoint"} {
		w := newWorld(t, "v2")
		d := store.New(w, where, store.Options{})
		w.refuse.Store(&name)
		if found, err := d.Newest(t.Context(), nil); !errors.Is(err, errRefused) {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
		w.refuse.Store(nil)
		if found, err := d.Newest(t.Context(), nil); err != nil || found.Newest == nil || found.Newest.Name != "ckpt-4" {
			t.Errorf("%s, readable again: %+v, %v", name, found, err)
		}
	}
}

func TestChangedMeanwhile(t *testing.T) {
	w := newWorld(t, "v2")
	d := store.New(w, where, store.Options{})
	l, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write(t, w, where+"/ckpt-4.data-00000-of-00001", make([]byte, 10))
	if v, err := d.Verify(t.Context(), l.Checkpoints[2], nil); !errors.Is(err, store.ErrChanged) {
		t.Errorf("%v, %v", v, err)
	}
	if err := w.Remove(t.Context(), where+"/ckpt-3.index", false); err != nil {
		t.Fatal(err)
	}
	if v, err := d.Verify(t.Context(), l.Checkpoints[1], nil); !errors.Is(err, store.ErrChanged) {
		t.Errorf("one that went: %v, %v", v, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v, err := d.Verify(ctx, l.Checkpoints[0], nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v, %v", v, err)
	}
}

func TestNoDirectory(t *testing.T) {
	d := store.New(dfs.NewMemory(dfs.MemoryOptions{}), "/nowhere", store.Options{})
	if found, err := d.Newest(t.Context(), nil); err != nil || found.Newest != nil {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestPrune(t *testing.T) {
	w := newWorld(t, "v2")
	write(t, w, where+"/ckpt-4.index", []byte("broken"))
	d := store.New(w, where, store.Options{})
	for _, c := range []struct {
		keep   int
		pinned string
		gone   []string
	}{
		{2, "", nil}, // ckpt-4 counts for nothing
		{1, "ckpt-2", nil},
		{1, "", []string{"ckpt-2"}},
	} {
		p, err := d.PlanPrune(t.Context(), checkpoint.Policy{Keep: c.keep}, func(name string) bool { return name == c.pinned })
		var gone []string
		for _, ck := range p.Gone {
			gone = append(gone, ck.Name)
		}
		if err != nil || !slices.Equal(gone, c.gone) {
			t.Errorf("keep %d, pinned %q: %q go, %v; want %q", c.keep, c.pinned, gone, err, c.gone)
		}
		if err := d.Do(t.Context(), p.Actions); err != nil {
			t.Error(err)
		}
	}
	left, err := w.List(t.Context(), where)
	if err != nil || len(left) != 5 {
		t.Errorf("%d files are left, want ckpt-3's, ckpt-4's and the state file: %v, %v", len(left), left, err)
	}
}

// other is a file of testdata that is no checkpoint as Keras writes it: tfos cannot judge it.
func other(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile("../hdf5/testdata/latest.h5")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What cannot be judged is what a program restores, is not set aside, and is never deleted.
func TestWhatCannotBeJudgedIsKept(t *testing.T) {
	w := newWorld(t, "keras")
	whole, err := os.ReadFile("../testdata/keras/whole.h5")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"1", "3"} {
		write(t, w, where+"/w-"+n+".h5", whole)
		write(t, w, where+"/m-"+n+".h5", other(t))
	}
	write(t, w, path.Join(where, "m-2.h5"), []byte("\x89HDF and no more"))
	write(t, w, path.Join(where, "m-4.h5"), other(t))
	write(t, w, path.Join(where, "notes.index"), []byte("of another library"))
	d := store.New(w, where, store.Options{})
	found, err := d.Newest(t.Context(), nil)
	if err != nil || found.Newest == nil || found.Newest.Name != "m-4.h5" || !found.Verdict.Unjudged || len(found.Broken) > 0 {
		t.Errorf("%+v, %v", found, err)
	}
	if n := len(found.Listing.Others); n != 1 {
		t.Errorf("%d files are others: %v", n, found.Listing.Others)
	}
	if did, err := d.Recover(t.Context(), found); err != nil || len(did) > 0 {
		t.Errorf("%v, %v", did, err)
	}
	p, err := d.PlanPrune(t.Context(), checkpoint.Policy{Keep: 1}, nil)
	if err != nil || len(p.Gone) != 1 || p.Gone[0].Name != "w-1.h5" {
		t.Errorf("%v go, %v: w-3.h5 is newer than w-1.h5, and of m- none is known to be whole", p.Gone, err)
	}
	write(t, w, path.Join(where, "m-5.h5"), whole)
	p, err = d.PlanPrune(t.Context(), checkpoint.Policy{Keep: 1}, nil)
	if err != nil || len(p.Gone) != 2 || p.Gone[1].Name != "m-2.h5" {
		t.Errorf("%v go, %v: of those before m-5.h5 only m-2.h5 is known to be broken", p.Gone, err)
	}
}

// A directory that was moved: its state file is made to name it. Where it may not be written that
// is said, and is no failure.
func TestMovedDirectory(t *testing.T) {
	w := newWorld(t, "v2")
	state := checkpoint.State{Latest: "/home/someone/ckpt-4", All: []string{"/home/someone/ckpt-4"}}
	write(t, w, where+"/checkpoint", state.Marshal())
	d := store.New(w, where, store.Options{})
	found, err := d.Newest(t.Context(), nil)
	if err != nil || found.Newest == nil || found.Newest.Name != "ckpt-4" || len(found.Listing.Problems) != 1 ||
		found.Listing.Problems[0] != "checkpoint names /home/someone/ckpt-4: TensorFlow looks there, and not in this directory" {
		t.Fatalf("%+v, %v", found, err)
	}
	var unstated *store.Unstated
	if _, err := store.New(readOnly{w}, where, store.Options{}).Recover(t.Context(), found); !errors.As(err, &unstated) || !strings.Contains(err.Error(), "does not find ckpt-4") {
		t.Errorf("where it may not be written: %v", err)
	}
	if _, err := d.Recover(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	l, err := d.List(t.Context())
	if err != nil || len(l.Problems) > 0 || l.States[0].State.Latest != "ckpt-4" {
		t.Errorf("%+v, %v", l, err)
	}
}

// readOnly may not be written.
type readOnly struct{ dfs.FS }

func (readOnly) Create(context.Context, string, dfs.CreateOptions) (dfs.Writer, error) {
	return nil, fs.ErrPermission
}
