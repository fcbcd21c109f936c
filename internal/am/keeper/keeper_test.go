package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"tfos/internal/checkpoint"
	"tfos/internal/dfs"
	"tfos/internal/membership"
)

const dir = "/m"

// house is a directory of checkpoints, and what its keeper said of it.
type house struct {
	t  *testing.T
	fs *dfs.Memory
	k  *Keeper

	mu    sync.Mutex
	says  []string      // guarded by mu
	times []time.Time   // guarded by mu: of the checkpoints that were seen
	off   time.Duration // of the filesystem's clock
	fails error         // guarded by mu; of every operation
}

func (h *house) Resolve(_ context.Context, uri string) (dfs.FS, string, error) {
	return h.fs, strings.TrimPrefix(uri, "hdfs://"), nil
}

// keep runs a keeper in a bubble until the end of the test.
func keep(t *testing.T, known ...membership.CheckpointSeen) *house {
	t.Helper()
	return keepSome(t, checkpoint.Policy{}, known...)
}

// keepSome runs one with a policy.
func keepSome(t *testing.T, policy checkpoint.Policy, known ...membership.CheckpointSeen) *house {
	t.Helper()
	return keepAs(t, Options{Keep: policy}, known...)
}

func keepAs(t *testing.T, o Options, known ...membership.CheckpointSeen) *house {
	t.Helper()
	h := &house{t: t}
	h.open()
	h.begin(o, known...)
	return h
}

// open makes the directory.
func (h *house) open() {
	t := h.t
	t.Helper()
	h.fs = dfs.NewMemory(dfs.MemoryOptions{Now: func() time.Time { return time.Now().Add(h.off) }, Refuse: func(string, string) error {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.fails
	}})
	if err := h.fs.Mkdir(t.Context(), dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

// begin runs the keeper.
func (h *house) begin(o Options, known ...membership.CheckpointSeen) {
	t := h.t
	o.Dir, o.Resolver, o.Tell, o.Log = "hdfs://"+dir, h, h.hear, zap.NewNop()
	h.k = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.k.Run(ctx, known)
	}()
	t.Cleanup(func() { cancel(); <-ended })
}

func (h *house) hear(ev membership.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch ev := ev.(type) {
	case membership.CheckpointSeen:
		verdict, _, _ := strings.Cut(ev.Verdict, " in ")
		h.times = append(h.times, ev.Time)
		h.says = append(h.says, fmt.Sprintf("seen %s step=%d bytes=%d: %s", ev.Path, ev.Step, ev.Bytes, verdict))
	case membership.CheckpointGone:
		why, _, _ := strings.Cut(ev.Why, ":")
		h.says = append(h.says, strings.TrimSpace("gone "+ev.Path+" "+why))
	case membership.Inspected:
		h.says = append(h.says, strings.TrimSpace(fmt.Sprintf("look %d: newest %q step=%d %s %s", ev.Number, ev.Newest, ev.Step, ev.Barred, ev.Problem)))
	}
}

// said is what was said since it was asked last.
func (h *house) said() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := strings.Join(h.says, "\n")
	h.says = nil
	return all
}

func (h *house) want(lines ...string) {
	h.t.Helper()
	if got, want := h.said(), strings.Join(lines, "\n"); got != want {
		h.t.Errorf("it said\n%s\nwant\n%s", got, want)
	}
}

// save puts a checkpoint there as TensorFlow wrote it; its last byte may be another.
func (h *house) save(step int, damage byte) {
	h.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("../../client/testdata/checkpoints/ckpt-%d.*", step))
	if err != nil || len(files) != 2 {
		h.t.Fatal(files, err)
	}
	for _, f := range files { // the data, then the index
		b, err := os.ReadFile(f)
		if err != nil {
			h.t.Fatal(err)
		}
		if strings.Contains(f, ".data") {
			b[len(b)-1] ^= damage
		}
		w, err := h.fs.Create(h.t.Context(), path.Join(dir, filepath.Base(f)), dfs.CreateOptions{Overwrite: true})
		if err == nil {
			_, err = w.Write(b)
			err = errors.Join(err, w.Close())
		}
		if err != nil {
			h.t.Fatal(err)
		}
	}
}

// put copies a file of testdata.
func (h *house) put(from, to string) {
	h.t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = h.fs.Mkdir(h.t.Context(), path.Dir(path.Join(dir, to)), 0o755)
	}
	if err == nil {
		err = dfs.WriteFile(h.t.Context(), h.fs, path.Join(dir, to), b, 0)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// TestSeveralSaveTogether: the shards of a checkpoint come one by one, from the tasks that hold
// them, and it counts once its index is there; what the other workers of a mirrored job must write,
// and nobody reads, is none.
func TestSeveralSaveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := keep(t)
		files, err := filepath.Glob("../../checkpoint/testdata/shards/ckpt-1.*")
		if err != nil || len(files) < 3 || !strings.HasSuffix(files[len(files)-1], ".index") {
			t.Fatal(files, err)
		}
		for _, suffix := range []string{"index", "data-00000-of-00001"} {
			h.put("../../client/testdata/checkpoints/ckpt-300."+suffix, "workertemp_1/ckpt-300."+suffix)
		}
		for _, f := range files {
			h.put(f, "ckpt-1_temp/part-00000-of-00002"+strings.TrimPrefix(filepath.Base(f), "ckpt-1"))
		}
		for i, f := range files {
			h.want()
			h.k.Inspect(membership.Inspect{Number: i + 1, Busy: true})
			synctest.Wait()
			h.want(fmt.Sprintf(`look %d: newest "" step=-1`, i+1))
			h.put(f, filepath.Base(f))
			time.Sleep(lastScan)
		}
		if got := h.said(); !strings.HasPrefix(got, "seen hdfs:///m/ckpt-1 step=5 ") || !strings.HasSuffix(got, ": whole") {
			t.Errorf("it said %s", got)
		}
		h.k.Inspect(membership.Inspect{Number: 9})
		synctest.Wait()
		h.want(`look 9: newest "hdfs:///m/ckpt-1" step=5`)
	})
}

func TestFindsNewCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := keep(t)
		time.Sleep(time.Minute)
		h.want()
		h.save(100, 0)
		h.save(200, 1)
		time.Sleep(lastScan)
		h.want(`seen hdfs:///m/ckpt-200 step=200 bytes=580: tensor _CHECKPOINTABLE_OBJECT_GRAPH`, `seen hdfs:///m/ckpt-100 step=100 bytes=580: whole`)
		time.Sleep(10 * time.Minute)
		h.want()

		// Written again, it is another one; what its program removes is gone.
		h.save(200, 0)
		for _, f := range []string{"index", "data-00000-of-00001"} {
			if err := h.fs.Remove(t.Context(), dir+"/ckpt-100."+f, false); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(lastScan)
		h.want("gone hdfs:///m/ckpt-100", "seen hdfs:///m/ckpt-200 step=200 bytes=580: whole")
	})
}

// TestKeepsSoMany: a new whole checkpoint has the oldest deleted, but for the one that a program
// was told to restore. A broken one counts for nothing.
func TestKeepsSoMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := keepSome(t, checkpoint.Policy{Keep: 1})
		h.save(100, 0)
		time.Sleep(time.Second)
		h.k.Inspect(membership.Inspect{Number: 1})
		synctest.Wait()
		h.save(200, 0)
		time.Sleep(lastScan)
		h.want("seen hdfs:///m/ckpt-100 step=100 bytes=580: whole", `look 1: newest "hdfs:///m/ckpt-100" step=100`, "seen hdfs:///m/ckpt-200 step=200 bytes=580: whole")
		h.k.Inspect(membership.Inspect{Number: 2})
		synctest.Wait()
		h.said()
		h.save(300, 1)
		time.Sleep(lastScan)
		h.want("seen hdfs:///m/ckpt-300 step=300 bytes=580: tensor _CHECKPOINTABLE_OBJECT_GRAPH", "gone hdfs:///m/ckpt-100 deleted")
		left, err := h.fs.List(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range left {
			names = append(names, path.Base(f.Name))
		}
		if got, want := strings.Join(names, " "), "checkpoint ckpt-200.data-00000-of-00001 ckpt-200.index ckpt-300.data-00000-of-00001 ckpt-300.index"; got != want {
			t.Errorf("left: %s\nwant: %s", got, want)
		}
	})
}

func TestInspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := keep(t)
		h.k.Inspect(membership.Inspect{Number: 1})
		synctest.Wait()
		h.want(`look 1: newest "" step=-1`)

		h.save(100, 0)
		h.save(200, 0)
		time.Sleep(time.Second)
		h.save(300, 1)
		// A program may be writing what looks broken.
		h.k.Inspect(membership.Inspect{Number: 2, Busy: true})
		synctest.Wait()
		h.want("seen hdfs:///m/ckpt-200 step=200 bytes=580: whole", `look 2: newest "hdfs:///m/ckpt-200" step=200`)
		h.k.Inspect(membership.Inspect{Number: 3})
		synctest.Wait()
		h.want("seen hdfs:///m/ckpt-300 step=300 bytes=580: tensor _CHECKPOINTABLE_OBJECT_GRAPH", "gone hdfs:///m/ckpt-300 set aside",
			`look 3: newest "hdfs:///m/ckpt-200" step=200`)
		if _, err := h.fs.Stat(t.Context(), dir+"/set-aside/ckpt-300/ckpt-300.index"); err != nil {
			t.Error(err)
		}

		h.fail(dfs.ErrSafeMode)
		h.k.Inspect(membership.Inspect{Number: 4})
		synctest.Wait()
		if got := h.said(); !strings.HasPrefix(got, `look 4: newest "" step=-1  `) || !strings.Contains(got, dfs.ErrSafeMode.Error()) {
			t.Errorf("it said %s", got)
		}
	})
}

func (h *house) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fails = err
}

// TestDirectoryThatCannotBeRead is said to bar programs: at once if the job has no right to it, and
// if its filesystem does not answer when that has lasted for minutes.
func TestDirectoryThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := keep(t)
		for i, c := range []struct {
			err    error
			barred string
			after  time.Duration
		}{
			{fs.ErrPermission, "refused", 0},
			{dfs.ErrCredentials, "refused", 0},
			{dfs.ErrNotDirectory, "refused", 0},
			{dfs.ErrUnreachable, "away", inspectTimeout},
			{dfs.ErrCorrupt, "", 0},
		} {
			h.fail(c.err)
			h.k.Inspect(membership.Inspect{Number: i + 1})
			time.Sleep(c.after)
			synctest.Wait()
			if got, want := h.said(), fmt.Sprintf(`look %d: newest "" step=-1 %s `, i+1, c.barred); !strings.HasPrefix(got, want) || !strings.Contains(got, c.err.Error()) {
				t.Errorf("%v: it said %s", c.err, got)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) { // and if it answers again all is well
		h := keep(t)
		h.fail(dfs.ErrUnreachable)
		h.k.Inspect(membership.Inspect{Number: 1})
		time.Sleep(time.Minute)
		h.want()
		h.fail(nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		h.want(`look 1: newest "" step=-1`)
	})
}

// TestOldCheckpoints: what was there before the job is not read but for the newest, and what a
// master before this one found out is not told again.
func TestOldCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := keep(t)
		first.save(100, 1)
		time.Sleep(time.Second)
		first.save(200, 0)
		at, err := first.fs.Stat(t.Context(), dir+"/ckpt-100.index")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		first.said()

		h := &house{t: t, fs: first.fs}
		h.k = New(Options{Dir: "hdfs://" + dir + "/", Resolver: h, Tell: h.hear, Log: zap.NewNop()})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			h.k.Run(ctx, []membership.CheckpointSeen{
				{Path: "hdfs:///m/ckpt-100", Bytes: 580, Time: at.ModTime, Verdict: "damaged"},
				{Path: "hdfs:///m/ckpt-50", Bytes: 580, Time: at.ModTime, Verdict: "whole"},
			})
		}()
		defer func() { cancel(); <-ended }()
		time.Sleep(firstScan)
		synctest.Wait()
		h.want("gone hdfs:///m/ckpt-50", "seen hdfs:///m/ckpt-200 step=200 bytes=580: not verified")
		h.k.Inspect(membership.Inspect{Number: 1})
		synctest.Wait()
		h.want("seen hdfs:///m/ckpt-200 step=200 bytes=580: whole", `look 1: newest "hdfs:///m/ckpt-200" step=200`)
	})
}

// TestHalfPublished: an agent died after it had copied a checkpoint whole, and before that was in
// its place. It is found, unless a program that writes goes on.
func TestHalfPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := keepAs(t, Options{Local: true})
		h.save(100, 0)
		h.save(200, 0)
		ready := path.Join(dir, checkpoint.Staging, "ready-x")
		if err := h.fs.Mkdir(t.Context(), path.Join(ready, "files"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"ckpt-200.data-00000-of-00001", "ckpt-200.index"} {
			if err := h.fs.Rename(t.Context(), path.Join(dir, f), path.Join(ready, "files", f), false); err != nil {
				t.Fatal(err)
			}
		}
		plan := []byte(`{"files":["ckpt-200.data-00000-of-00001","ckpt-200.index"]}`)
		if err := dfs.WriteFile(t.Context(), h.fs, path.Join(ready, "plan.json"), plan, 0); err != nil {
			t.Fatal(err)
		}
		for _, busy := range []bool{true, false} {
			h.k.Inspect(membership.Inspect{Number: 1, Busy: busy})
			synctest.Wait()
			want := "hdfs:///m/ckpt-200"
			if busy {
				want = "hdfs:///m/ckpt-100"
			}
			if said := h.said(); !strings.Contains(said, fmt.Sprintf("newest %q", want)) {
				t.Errorf("busy %v: %s", busy, said)
			}
		}
	})
}

// The state file of a directory that was copied here names the checkpoints by where they were.
// Before a program starts it names them here.
func TestMovedDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := keep(t)
		h.save(100, 0)
		moved := checkpoint.State{Latest: "/home/someone/ckpt-100", All: []string{"/home/someone/ckpt-100"}}
		name := path.Join(dir, checkpoint.StateFile)
		if err := dfs.WriteFile(t.Context(), h.fs, name, moved.Marshal(), 0); err != nil {
			t.Fatal(err)
		}
		h.k.Inspect(membership.Inspect{Number: 1})
		synctest.Wait()
		h.want(`seen hdfs:///m/ckpt-100 step=100 bytes=580: whole`, `look 1: newest "hdfs:///m/ckpt-100" step=100`)
		b, err := dfs.ReadFile(t.Context(), h.fs, name, 1<<20)
		if err != nil || !strings.HasPrefix(string(b), `model_checkpoint_path: "ckpt-100"`) {
			t.Errorf("the state file says %s, %v", b, err)
		}
	})
}

// TestTheFilesystemHasAnotherClock: what was there before the job and what is new since is told by
// what was there, and not by a clock that is an hour away from the master's.
func TestTheFilesystemHasAnotherClock(t *testing.T) {
	for name, off := range map[string]time.Duration{"ahead": time.Hour, "behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &house{t: t, off: off}
				h.open()
				h.save(100, 0)
				time.Sleep(time.Minute)
				began := time.Now()
				h.begin(Options{})
				h.k.Inspect(membership.Inspect{Number: 1})
				time.Sleep(10 * time.Second)
				h.save(200, 0)
				time.Sleep(10 * time.Minute)
				h.want("seen hdfs:///m/ckpt-100 step=100 bytes=580: whole", `look 1: newest "hdfs:///m/ckpt-100" step=100`, "seen hdfs:///m/ckpt-200 step=200 bytes=580: whole")
				if len(h.times) != 2 || !h.times[0].Before(began) || !h.times[1].After(began) {
					t.Errorf("the job began at %s, its checkpoints are of %s", began, h.times)
				}
			})
		})
	}
}
