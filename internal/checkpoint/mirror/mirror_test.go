package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tfos/internal/checkpoint"
	"tfos/internal/checkpoint/mirror"
	"tfos/internal/checkpoint/unit"
	"tfos/internal/dfs"
)

const dir = "/models/digits"

var errDown = errors.New("no NameNode answers")

// world is a directory elsewhere, in memory, and mirrors of local directories. It lives in a
// synctest bubble.
type world struct {
	t *testing.T
	*dfs.Memory

	mu     sync.Mutex
	refuse func(op, name string) error // guarded by mu
	said   []string                    // guarded by mu
}

func newWorld(t *testing.T) *world {
	w := &world{t: t}
	w.Memory = dfs.NewMemory(dfs.MemoryOptions{Refuse: func(op, name string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.refuse == nil {
			return nil
		}
		return w.refuse(op, name)
	}})
	return w
}

// fail has operations of the filesystem fail as f says; nil: none does.
func (w *world) fail(f func(op, name string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuse = f
}

// task is a task's container: its local directory, and the mirror of that.
type task struct {
	w      *world
	dir    string
	mirror *mirror.Mirror
	ended  chan unit.Life
	over   chan struct{}
	lost   error // that the last run of mirror ended with; read it after over
	cancel context.CancelFunc
}

func (w *world) task(id string, change ...func(*mirror.Options)) *task {
	k := &task{w: w, dir: filepath.Join(w.t.TempDir(), "checkpoints")}
	o := mirror.Options{
		Local: k.dir, Remote: "hdfs://nn" + dir, ID: id, Fetch: true, Upload: true,
		Use: func(context.Context, string) (dfs.FS, string, func(), error) { return w, dir, func() {}, nil },
		Tell: func(n checkpoint.News) {
			text := strings.TrimSpace(fmt.Sprintf("%s %s %s", id, n.What, n.Checkpoint))
			if n.Step != checkpoint.Unknown {
				text += fmt.Sprintf(" step=%d", n.Step)
			}
			if n.Problem != "" {
				text += ": " + n.Problem
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.said = append(w.said, text)
		},
	}
	for _, f := range change {
		f(&o)
	}
	k.mirror = mirror.New(o)
	return k
}

// expect compares what was said since the last time with what was to be said. A line that ends with
// … may go on.
func (w *world) expect(when string, want ...string) {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	got := slices.Clone(w.said)
	w.said = nil
	w.mu.Unlock()
	for i := range min(len(got), len(want)) {
		if start, ok := strings.CutSuffix(want[i], "…"); ok && strings.HasPrefix(got[i], start) {
			got[i] = want[i]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

// start prepares the directory and has the mirror run, as an agent does.
func (k *task) start() mirror.From {
	k.w.t.Helper()
	from, err := k.mirror.Prepare(k.w.t.Context(), "")
	if err != nil {
		k.w.t.Fatal(err)
	}
	k.run()
	return from
}

func (k *task) run() {
	ctx, cancel := context.WithCancel(k.w.t.Context())
	k.cancel, k.ended, k.over = cancel, make(chan unit.Life, 1), make(chan struct{})
	go func() { defer close(k.over); k.lost = k.mirror.Run(ctx, k.ended) }()
}

// end tells how the program ended, and waits for what is left to be copied.
func (k *task) end(life unit.Life) {
	k.ended <- life
	<-k.over
	k.cancel()
}

// save writes what TensorFlow saved into testdata of package checkpoint: files of a directory there
// whose names begin so.
func (k *task) save(golden, prefix string) {
	k.w.t.Helper()
	root := filepath.Join("../testdata", golden)
	entries, err := os.ReadDir(root)
	if err != nil {
		k.w.t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			b, err := os.ReadFile(filepath.Join(root, e.Name()))
			if err != nil {
				k.w.t.Fatal(err)
			}
			k.write(e.Name(), string(b))
		}
	}
}

// write writes a file, as old as the bubble says.
func (k *task) write(name, content string) {
	k.w.t.Helper()
	name = filepath.Join(k.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o644), os.Chtimes(name, time.Now(), time.Now())); err != nil {
		k.w.t.Fatal(err)
	}
}

func (k *task) read(name string) string {
	b, err := os.ReadFile(filepath.Join(k.dir, name))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// tree lists the files below a directory, by relative name.
func (k *task) tree() []string {
	var names []string
	err := filepath.WalkDir(k.dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(k.dir, name)
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		k.w.t.Error(err)
	}
	return names
}

// there lists the files of the directory elsewhere.
func (w *world) there() []string {
	var names []string
	var visit func(at string)
	visit = func(at string) {
		entries, err := w.List(w.t.Context(), at)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.t.Error(err)
		}
		for _, e := range entries {
			if e.IsDir() {
				visit(e.Name)
			} else {
				names = append(names, strings.TrimPrefix(e.Name, dir+"/"))
			}
		}
	}
	visit(dir)
	return names
}

func (w *world) content(name string) string {
	r, err := w.Open(w.t.Context(), path.Join(dir, name))
	if err != nil {
		return err.Error()
	}
	defer r.Close()
	b := make([]byte, r.Size())
	if _, err := r.ReadAt(b, 0); err != nil && r.Size() > 0 {
		w.t.Error(err)
	}
	return string(b)
}

func (w *world) same(when string, got []string, want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

func bubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newWorld(t)) })
}

// A program saves, its container is lost, and the next one goes on from what was saved there.
func TestTheNextContainerGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.task("a")
		if from := a.start(); from.Checkpoint != "" || from.Step != checkpoint.Unknown {
			t.Errorf("it starts from %+v", from)
		}
		a.save("v2", "ckpt-3")
		time.Sleep(5 * time.Second)
		w.expect("one is there", "a uploaded ckpt-3 step=300")
		a.save("v2", "ckpt-4")
		a.save("v2", "checkpoint")
		a.write("notes.pkl", "n")
		time.Sleep(5 * time.Second)
		w.expect("another", "a uploaded ckpt-4 step=400", "a uploaded notes.pkl")
		time.Sleep(time.Minute)
		w.expect("nothing changes")
		a.cancel() // the node is lost
		<-a.over

		w.same("what is kept", w.there(), "checkpoint", "ckpt-3.data-00000-of-00001", "ckpt-3.index", "ckpt-4.data-00000-of-00001", "ckpt-4.index", "notes.pkl")
		b := w.task("b")
		if from := b.start(); from.Checkpoint != "ckpt-4" || from.Step != 400 {
			t.Errorf("it goes on from %+v", from)
		}
		w.expect("fetched", "b fetched ckpt-4 step=400", "b fetched notes.pkl")
		w.same("what is fetched", b.tree(), "checkpoint", "ckpt-4.data-00000-of-00001", "ckpt-4.index", "notes.pkl")
		if s, err := checkpoint.ParseState([]byte(b.read("checkpoint"))); err != nil || s.Latest != "ckpt-4" || !slices.Equal(s.All, []string{"ckpt-4"}) {
			t.Errorf("the state file is %+v, %v", s, err)
		}
		time.Sleep(time.Minute)
		b.end(unit.Ended)
		w.expect("what was fetched is not copied back")
	})
}

// The state file is never ahead of the checkpoints, and its absolute paths mean nothing elsewhere.
func TestStateFileFollows(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.task("a")
		a.start()
		a.save("v2", "ckpt-3")
		a.write("checkpoint", fmt.Sprintf("model_checkpoint_path: %q\nall_model_checkpoint_paths: %q\nall_model_checkpoint_paths: %q\n", a.dir+"/ckpt-4", a.dir+"/ckpt-3", a.dir+"/ckpt-4"))
		time.Sleep(5 * time.Second)
		w.expect("one of two", "a uploaded ckpt-3 step=300")
		if got, want := w.content("checkpoint"), "model_checkpoint_path: \"ckpt-3\"\nall_model_checkpoint_paths: \"ckpt-3\"\n"; got != want {
			t.Errorf("the state file is %q, want %q", got, want)
		}
		a.save("v2", "ckpt-4")
		time.Sleep(5 * time.Second)
		if got := w.content("checkpoint"); !strings.HasPrefix(got, `model_checkpoint_path: "ckpt-4"`) {
			t.Errorf("the state file is %q", got)
		}
		a.end(unit.Ended)
	})
}

// The writer is killed between data and index: what it left is no checkpoint, and nobody is given
// it.
func TestWriterKilledBetweenDataAndIndex(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.task("a")
		a.start()
		a.save("v2", "ckpt-3")
		a.save("v2", "ckpt-4.data")
		a.write("state.pkl", "half")
		a.end(unit.CutOff)
		w.expect("the end", "a uploaded ckpt-3 step=300", "a broken state.pkl: the program may have been cut off while it wrote this: it is not copied",
			"a broken ckpt-4 step=4: ckpt-4.index is missing: its writer has not finished: it is not copied")
		w.same("what is kept", w.there(), "ckpt-3.data-00000-of-00001", "ckpt-3.index")
		if from := a.start(); from.Checkpoint != "ckpt-3" {
			t.Errorf("in place it goes on from %+v", from)
		}
		a.end(unit.Ended)
		w.expect("nothing is fetched: all is here, and the program that ended well meant what it left", "a broken ckpt-4 …", "a uploaded state.pkl")
	})
}

// What is broken here is not copied; what is broken there is not fetched. Both are said.
func TestBrokenCheckpoints(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.task("a")
		a.start()
		a.save("v2", "ckpt-3")
		a.end(unit.Ended)
		a.run()
		a.save("v2", "ckpt-4")
		a.write("ckpt-4.data-00000-of-00001", strings.Repeat("x", 3069))
		time.Sleep(5 * time.Second)
		w.expect("a broken one", "a uploaded ckpt-3 step=300", "a broken ckpt-4 …")
		a.end(unit.Ended)
		w.same("what is kept", w.there(), "ckpt-3.data-00000-of-00001", "ckpt-3.index")
		if from := a.start(); from.Checkpoint != "ckpt-3" {
			t.Errorf("in place it goes on from %+v", from)
		}
		w.expect("it is set aside", "a broken ckpt-4 …")
		a.save("v2", "ckpt-4")
		a.end(unit.Ended)
		w.expect("a whole one", "a uploaded ckpt-4 step=400")

		if err := dfs.WriteFile(t.Context(), w, dir+"/ckpt-4.data-00000-of-00001", make([]byte, 3069), 0); err != nil {
			t.Fatal(err)
		}
		b := w.task("b")
		if from := b.start(); from.Checkpoint != "ckpt-3" {
			t.Errorf("it goes on from %+v", from)
		}
		b.end(unit.Ended)
		w.expect("the one before", "b broken ckpt-4 …", "b fetched ckpt-3 step=300")
	})
}

// The other filesystem fails in the middle of a copy, at every operation in turn: the copy is made
// when it works again, and nothing half is ever seen.
func TestOutageInTheMiddle(t *testing.T) {
	done := false
	for at := 0; !done; at++ {
		bubble(t, func(t *testing.T, w *world) {
			a := w.task("a")
			a.start()
			a.save("v2", "ckpt-3")
			time.Sleep(5 * time.Second)
			w.expect("the first", "a uploaded ckpt-3 step=300")
			ops := 0
			w.fail(func(op, name string) error {
				if ops++; ops > at {
					return errDown
				}
				return nil
			})
			a.save("v2", "ckpt-4")
			a.save("v2", "checkpoint")
			time.Sleep(5 * time.Minute)
			w.fail(nil)
			if done = ops <= at; done { // that many operations there are not
				a.end(unit.Ended)
				return
			}
			time.Sleep(time.Minute)
			w.mu.Lock()
			said := strings.Join(w.said, "\n")
			w.said = nil
			w.mu.Unlock()
			if strings.Count(said, "a failing") != 1 || strings.Count(said, "a works again") != 1 || !strings.Contains(said, "a uploaded ckpt-4 step=400") {
				t.Errorf("after %d operations it was said:\n%s", at, said)
			}
			a.end(unit.Ended)
			w.same("what is kept", w.there(), "checkpoint", "ckpt-3.data-00000-of-00001", "ckpt-3.index", "ckpt-4.data-00000-of-00001", "ckpt-4.index")
		})
	}
}

// The agent dies in the middle of a copy, at every operation in turn. What it had copied whole is
// finished by the next, and the rest removed.
func TestAgentDiesInTheMiddle(t *testing.T) {
	finished := 0
	done := false
	for at := 0; !done; at++ {
		bubble(t, func(t *testing.T, w *world) {
			a := w.task("a")
			a.start()
			a.save("v2", "ckpt-3")
			a.save("v2", "checkpoint")
			time.Sleep(5 * time.Second)
			ops := 0
			w.fail(func(op, name string) error {
				if ops++; ops > at {
					return errDown
				}
				return nil
			})
			a.save("v2", "ckpt-4")
			time.Sleep(5 * time.Second)
			a.cancel()
			<-a.over
			w.fail(nil)
			done = ops <= at
			b := w.task("b")
			from := b.start()
			b.end(unit.Ended)
			switch from.Checkpoint {
			case "ckpt-3":
			case "ckpt-4":
				finished++
			default:
				t.Errorf("after %d operations it goes on from %+v", at, from)
			}
			for _, name := range w.there() {
				if strings.HasPrefix(name, checkpoint.Staging) {
					t.Errorf("after %d operations %s is left", at, name)
				}
			}
		})
	}
	if finished <= 1 { // the last was not interrupted
		t.Error("no copy was finished by the next agent")
	}
}

// No time is left at the end: which checkpoint is lost is said, and the program in place goes on
// from it all the same.
func TestLost(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.task("a")
		a.start()
		w.fail(func(string, string) error { return errDown })
		a.save("v2", "ckpt-4")
		a.ended <- unit.Ended
		time.Sleep(10 * time.Second)
		a.cancel()
		<-a.over
		w.expect("the end", "a failing: …", "a lost ckpt-4 step=400: it could not be copied to hdfs://nn/models/digits in time: …")
		if a.lost == nil || !strings.HasPrefix(a.lost.Error(), "ckpt-4 is lost: it could not be copied to hdfs://nn/models/digits in time: ") {
			t.Errorf("it ended with %v", a.lost)
		}
		w.fail(nil)
		if from := a.start(); from.Checkpoint != "ckpt-4" {
			t.Errorf("in place it goes on from %+v", from)
		}
		time.Sleep(5 * time.Second)
		w.expect("it is copied now", "a works again", "a uploaded ckpt-4 step=400")
		a.end(unit.Ended)
	})
}

// A token that is refused once stays refused: the program goes on, but at its end nobody waits, and
// nobody waits before a start.
func TestRefusedToken(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.task("a", func(o *mirror.Options) { o.Explain = func(err error) string { return "resume it: " + err.Error() } })
		a.start()
		w.fail(func(string, string) error { return fmt.Errorf("stat: %w", dfs.ErrCredentials) })
		a.save("v2", "ckpt-4")
		time.Sleep(10 * time.Minute)
		w.expect("while it runs", "a failing: resume it: …")
		began := time.Now()
		a.end(unit.Ended)
		w.expect("the end", "a lost ckpt-4 step=400: it could not be copied to hdfs://nn/models/digits in time: resume it: …")
		if _, err := a.mirror.Prepare(t.Context(), ""); !errors.Is(err, dfs.ErrCredentials) || a.lost == nil {
			t.Errorf("it ended with %v, and the next start with %v", a.lost, err)
		}
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("somebody waited %v", waited)
		}
	})
}

// Tasks that go on from the same all get what is there: what one of them has and could not copy
// would have it train another model.
func TestSharedTasksGoOnFromTheSame(t *testing.T) {
	shared := func(o *mirror.Options) { o.Shared = true }
	reads := func(o *mirror.Options) { o.Shared, o.Upload = true, false }
	bubble(t, func(t *testing.T, w *world) {
		a, b := w.task("a", shared), w.task("b", reads)
		a.start()
		b.start()
		a.save("v2", "ckpt-3")
		b.save("v2", "ckpt-3")
		time.Sleep(5 * time.Second)
		w.expect("one writes", "a uploaded ckpt-3 step=300")
		w.fail(func(string, string) error { return errDown })
		a.save("v2", "ckpt-4")
		b.save("v2", "ckpt-4")
		b.end(unit.CutOff)
		a.ended <- unit.CutOff
		time.Sleep(10 * time.Second)
		a.cancel()
		<-a.over
		w.fail(nil)
		w.expect("the end", "a failing: …", "a lost ckpt-4 …")
		for _, k := range []*task{a, b} {
			if from := k.start(); from.Checkpoint != "ckpt-3" {
				t.Errorf("it goes on from %+v", from)
			}
			k.end(unit.Ended)
		}
		w.expect("the start", "a fetched ckpt-3 step=300", "a works again", "b fetched ckpt-3 step=300")
	})
}

// The job goes on from the one that the master names, though a newer one has come since.
func TestPinned(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.task("a")
		a.start()
		for _, name := range []string{"ckpt-3", "ckpt-4"} {
			a.save("v2", name)
			time.Sleep(5 * time.Second)
		}
		b := w.task("b", func(o *mirror.Options) { o.Shared, o.Upload = true, false })
		from, err := b.mirror.Prepare(t.Context(), "hdfs://nn"+dir+"/ckpt-3")
		if err != nil || from.Checkpoint != "ckpt-3" || from.Step != 300 {
			t.Errorf("%+v, %v", from, err)
		}
		a.end(unit.Ended)
	})
}

// An evaluator gets what is new while it runs, and not more than it needs.
func TestFollow(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, e := w.task("a"), w.task("e", func(o *mirror.Options) { o.Upload, o.Follow = false, true })
		a.start()
		e.start()
		for _, name := range []string{"ckpt-2", "ckpt-3", "ckpt-4"} {
			a.save("v2", name)
			a.write("checkpoint", fmt.Sprintf("model_checkpoint_path: %q\n", name))
			time.Sleep(time.Minute)
		}
		w.expect("one after the other", "a uploaded ckpt-2 step=200", "e fetched ckpt-2 step=200", "a uploaded ckpt-3 step=300", "e fetched ckpt-3 step=300",
			"a uploaded ckpt-4 step=400", "e fetched ckpt-4 step=400")
		w.same("what it has", e.tree(), "checkpoint", "ckpt-3.data-00000-of-00001", "ckpt-3.index", "ckpt-4.data-00000-of-00001", "ckpt-4.index")
		a.end(unit.Ended)
		e.end(unit.Ended)
	})
}

// A file that somebody has open is not copied, however long it rests.
func TestOpenFilesWait(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.task("a")
		a.start()
		f, err := os.Create(filepath.Join(a.dir, "state.pkl"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("half"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w.expect("open")
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		w.expect("closed", "a uploaded state.pkl")
		if err := os.Remove(filepath.Join(a.dir, "state.pkl")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		w.same("what the program deletes goes", w.there())
		if err := os.RemoveAll(a.dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		a.end(unit.Ended)
	})
}

// What is written more often than it is looked at is copied all the same, now and then.
func TestRestlessFile(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.task("a")
		a.start()
		for i := range 60 {
			a.write("state.pkl", fmt.Sprint(i))
			time.Sleep(500*time.Millisecond - time.Duration(i%2)*time.Microsecond)
		}
		synctest.Wait()
		w.mu.Lock()
		n := len(w.said)
		w.said = nil
		w.mu.Unlock()
		if n < 3 {
			t.Errorf("it was copied %d times in half a minute", n)
		}
		a.end(unit.Ended)
		if got := w.content("state.pkl"); got != "59" {
			t.Errorf("what is kept in the end is %q", got)
		}
	})
}

// Before its end is near the directory is looked at once a second.
func TestHurry(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.task("a")
		a.start()
		a.mirror.Hurry()
		synctest.Wait()
		a.write("state.pkl", "s")
		time.Sleep(500 * time.Millisecond)
		w.expect("soon", "a uploaded state.pkl")
		a.end(unit.CutOff)
	})
}

// While the other filesystem does not answer no program starts: it would begin anew.
func TestPrepareWaits(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.task("a")
		a.start()
		a.save("v2", "ckpt-3")
		a.end(unit.Ended)
		w.expect("saved", "a uploaded ckpt-3 step=300")
		w.fail(func(string, string) error { return errDown })
		b := w.task("b")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if from, err := b.mirror.Prepare(ctx, ""); !errors.Is(err, errDown) {
			t.Errorf("%+v, %v", from, err)
		}
		time.AfterFunc(5*time.Minute, func() { w.fail(nil) })
		if from, err := b.mirror.Prepare(t.Context(), ""); err != nil || from.Checkpoint != "ckpt-3" {
			t.Errorf("%+v, %v", from, err)
		}
		w.expect("it waits", "b failing: …", "b fetched ckpt-3 step=300", "b works again")
	})
}

// Files of libraries that tfos does not know are copied whatever their names, however deep they
// lie, and fetched again.
func TestNamesThatMakeNoCheckpoint(t *testing.T) {
	names := []string{
		".metadata", "5/_CHECKPOINT_METADATA", "5/default/.zarray", "5/default/ocdbt.process_0/d/e/f/0a1b", "checkpoint", "items.index", "items.pkl", "notes.h5", "notes.keras",
		"x.data-00000-of-00001",
	}
	bubble(t, func(t *testing.T, w *world) {
		a := w.task("a")
		a.start()
		for _, name := range names {
			a.write(name, "of another library: "+name)
		}
		time.Sleep(10 * time.Second)
		w.same("while it runs", w.there(), names...)
		a.end(unit.Ended)
		b := w.task("b")
		b.start()
		w.same("elsewhere", b.tree(), names...)
		b.end(unit.Ended)
		w.mu.Lock()
		defer w.mu.Unlock()
		if text := strings.Join(w.said, "\n"); strings.Contains(text, "broken") {
			t.Errorf("it said\n%s", text)
		}
	})
}

// Keras' sharded weights are one checkpoint: all of them are copied, and all of them fetched.
func TestShardedWeights(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.task("a")
		a.start()
		a.save("keras-shards", "")
		time.Sleep(5 * time.Second)
		all := []string{"model-02.weights.json", "model-02_00000.weights.h5", "model-02_00001.weights.h5"}
		w.expect("one", "a uploaded model-02.weights.json step=8")
		w.same("there", w.there(), all...)
		b := w.task("b")
		if from := b.start(); from.Checkpoint != all[0] || from.Step != 8 {
			t.Errorf("it goes on from %+v", from)
		}
		w.same("here", b.tree(), all...)
		a.end(unit.Ended)
		b.end(unit.Ended)
	})
}

// What cannot be judged is copied and fetched, and it is said.
func TestWhatCannotBeJudged(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		content, err := os.ReadFile("../hdf5/testdata/latest.h5")
		if err != nil {
			t.Fatal(err)
		}
		a := w.task("a")
		a.start()
		a.write("a-1.h5", string(content))
		a.end(unit.Ended)
		b := w.task("b")
		if from := b.start(); from.Checkpoint != "a-1.h5" {
			t.Errorf("it goes on from %+v", from)
		}
		b.end(unit.Ended)
		w.expect("both", "a uploaded a-1.h5 step=1: a-1.h5: its superblock is of version 3…", "b fetched a-1.h5 step=1: a-1.h5: its superblock is of version 3…")
	})
}

// A task whose peers have directories within its own does not go on from theirs, and finds nothing
// of them.
func TestDirectoriesOfOtherTasks(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.task("a", func(o *mirror.Options) { o.Others = "worker" })
		a.start()
		a.save("v2", "ckpt-3")
		a.write("worker-x/notes", "mine")
		a.end(unit.Ended)
		for _, name := range []string{"worker-1/ckpt-4.index", "worker-1/ckpt-4.data-00000-of-00001", "worker-2/a.pkl"} {
			name = path.Join(dir, name)
			if err := errors.Join(w.Mkdir(t.Context(), path.Dir(name), 0o755), dfs.WriteFile(t.Context(), w, name, []byte("another's"), 0)); err != nil {
				t.Fatal(err)
			}
		}
		c := w.task("c", func(o *mirror.Options) { o.Others = "worker" })
		if from := c.start(); from.Checkpoint != "ckpt-3" {
			t.Errorf("it goes on from %+v", from)
		}
		w.same("here", c.tree(), "ckpt-3.data-00000-of-00001", "ckpt-3.index", "worker-x/notes")
		c.end(unit.Ended)
	})
}

// A task that trained alone, and now has peers, starts with what all have.
func TestShare(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.task("a")
		a.start()
		a.save("v2", "ckpt-3")
		a.end(unit.Ended)
		a.save("v2", "ckpt-4") // by a process that outlived it: nobody else has this
		a.mirror.Share(true)
		if from, err := a.mirror.Prepare(t.Context(), "hdfs://nn"+dir+"/ckpt-3"); err != nil || from.Checkpoint != "ckpt-3" {
			t.Errorf("it goes on from %+v, %v", from, err)
		}
		w.same("here", a.tree(), "ckpt-3.data-00000-of-00001", "ckpt-3.index")
	})
}
