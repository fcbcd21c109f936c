package input

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"tfos/internal/dfs"
	"tfos/internal/dfs/glob"
	"tfos/internal/job"
	"tfos/internal/lease"
)

// memory is one filesystem for every URI.
type memory struct{ dfs.FS }

func (m memory) Resolve(_ context.Context, uri string) (dfs.FS, string, error) {
	if _, rest, ok := strings.Cut(uri, "://"); ok {
		_, name, _ := strings.Cut(rest, "/")
		return m.FS, "/" + name, nil
	}
	return m.FS, uri, nil
}

func newMemory(t *testing.T, names ...string) memory {
	t.Helper()
	m := memory{dfs.NewMemory(dfs.MemoryOptions{User: "ann"})}
	for _, name := range names {
		if err := m.Mkdir(t.Context(), name[:strings.LastIndex(name, "/")], 0o755); err != nil {
			t.Fatal(err)
		}
		if err := create(t.Context(), m.FS, name, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// slow is a filesystem that fails, or waits, when it is told to.
type slow struct {
	dfs.FS
	mu   sync.Mutex
	fail error // guarded by mu
}

func (s *slow) Create(ctx context.Context, name string, o dfs.CreateOptions) (dfs.Writer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	return s.FS.Create(ctx, name, o)
}

func (s *slow) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func start(t *testing.T, m memory, staging dfs.FS, attempt int32) (*Input, func()) {
	t.Helper()
	return startTold(t, m, staging, attempt, func([]lease.View, string) {})
}

func startTold(t *testing.T, m memory, staging dfs.FS, attempt int32, changed func([]lease.View, string)) (*Input, func()) {
	t.Helper()
	i := New(Options{
		Files: glob.Matcher{Resolver: m}, Store: Beside{m, "hdfs:///ckpt"}, Journal: &Journal{staging, "/job", attempt},
		Changed: changed, Log: zaptest.NewLogger(t),
	})
	ctx, cancel := context.WithCancel(t.Context())
	if err := i.Recall(ctx); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); i.Run(ctx) }()
	return i, func() { cancel(); <-ended }
}

var files = lease.Definition{Name: "d", Patterns: []string{"/d/*"}, Kind: lease.Files, Epochs: 1}

// reader is a client of a worker.
type reader struct {
	t      *testing.T
	i      *Input
	holder lease.Holder
	number uint64
}

func worker(t *testing.T, i *Input, index int, incarnation job.Incarnation) *reader {
	return &reader{t, i, lease.Holder{Task: job.Task{Role: "worker", Index: index}, Incarnation: incarnation}, 0}
}

func (r *reader) call(op lease.Op) lease.Answer {
	r.t.Helper()
	r.number++
	return r.again(op)
}

func (r *reader) again(op lease.Op) lease.Answer {
	r.t.Helper()
	a, err := r.i.Lease(r.t.Context(), lease.Call{Holder: r.holder, Client: "c", Number: r.number, Op: op})
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func (r *reader) want(state lease.State, op lease.Op) lease.Answer {
	r.t.Helper()
	a := r.call(op)
	if a.State != state {
		r.t.Fatalf("%+v of %s: answered %+v, want state %d", op, r.holder, a, state)
	}
	return a
}

func done(l lease.Lease) lease.Ack {
	return lease.Ack{Acks: []lease.Consumed{{Lease: l.ID, End: lease.Done}}}
}

func TestAWaitingTaskReadsWhatALostOneHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, "/d/a", "/d/b", "/job/x")
		i, stop := start(t, m, m, 1)
		defer stop()
		a, b := worker(t, i, 0, 1), worker(t, i, 1, 1)
		a.want(lease.Granted, lease.Next{Dataset: files})
		l := b.want(lease.Granted, lease.Next{Dataset: files}).Lease
		b.want(lease.Agreed, done(l))
		began := time.Now()
		if got := b.call(lease.Next{Dataset: files}); got.State != lease.Waiting || time.Since(began) != hold {
			t.Errorf("answered %+v after %v", got, time.Since(began))
		}
		time.AfterFunc(time.Second, func() { i.Lose(a.holder.Task, 1) })
		if got := b.again(lease.Next{Dataset: files}); got.State != lease.Granted || got.Lease.Path != "/d/a" || time.Since(began) != hold+time.Second {
			t.Errorf("answered %+v after %v", got, time.Since(began))
		}
	})
}

func TestProblemsAreToldAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, "/job/x")
		i, stop := start(t, m, m, 1)
		defer stop()
		a := worker(t, i, 0, 1)
		if got := a.want(lease.Refused, lease.Next{Dataset: files}); got.Code != lease.NoFiles || !strings.Contains(got.Reason, "/d/*") {
			t.Errorf("answered %+v", got)
		}
		if err := m.Mkdir(t.Context(), "/d", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := create(t.Context(), m.FS, "/d/a", nil); err != nil {
			t.Fatal(err)
		}
		a.want(lease.Granted, lease.Next{Dataset: files})
	})
}

// TestTheNextAttemptGoesOn: whatever was answered, the next attempt of the master knows.
func TestTheNextAttemptGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var names []string
		for n := range 20 {
			names = append(names, fmt.Sprintf("/d/%02d", n))
		}
		m := newMemory(t, append(names, "/job/x")...)
		read := make(map[string]int)
		var held lease.Lease
		for attempt := int32(1); ; attempt++ {
			i, stop := start(t, m, m, attempt)
			a, b := worker(t, i, 0, 1), worker(t, i, 1, 1)
			a.number, b.number = uint64(attempt)*100, uint64(attempt)*100
			if held.ID != 0 {
				a.want(lease.Agreed, done(held))
				read[held.Path]++
			}
			var got lease.Answer
			for range 3 {
				if got = b.call(lease.Next{Dataset: files}); got.State == lease.Granted {
					b.want(lease.Agreed, done(got.Lease))
					read[got.Lease.Path]++
				}
			}
			if got.State == lease.Over {
				stop()
				break
			}
			held = a.want(lease.Granted, lease.Next{Dataset: files}).Lease
			stop()
		}
		for _, name := range names {
			if read[name] != 1 {
				t.Errorf("%s was read %d times", name, read[name])
			}
		}
	})
}

// TestNothingIsAnsweredThatTheJournalDoesNotHave: a filesystem that fails holds answers up, and no
// longer.
func TestNothingIsAnsweredThatTheJournalDoesNotHave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, "/d/a", "/job/x")
		staging := &slow{FS: m.FS}
		told := make(chan string, 1000)
		i, stop := startTold(t, m, staging, 1, func(_ []lease.View, problem string) { told <- problem })
		defer stop()
		a := worker(t, i, 0, 1)
		staging.set(errors.New("safe mode"))
		if got := a.call(lease.Next{Dataset: files}); got.State != lease.Waiting {
			t.Errorf("answered %+v without a journal", got)
		}
		newest := func() (problem string) {
			time.Sleep(time.Minute) // of the bubble
			for len(told) > 0 {
				problem = <-told
			}
			return problem
		}
		if got := newest(); !strings.Contains(got, "programs wait for their input: ") || !strings.Contains(got, "safe mode") {
			t.Errorf("told %q", got)
		}
		staging.set(nil)
		if got := a.again(lease.Next{Dataset: files}); got.State != lease.Granted {
			t.Errorf("answered %+v", got)
		}
		if got := newest(); got != "" {
			t.Errorf("told %q when it is over", got)
		}
	})
}

func TestSaveAndRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, "/d/a", "/d/b", "/d/c", "/job/x")
		i, stop := start(t, m, m, 1)
		a := worker(t, i, 0, 1)
		a.want(lease.Agreed, done(a.want(lease.Granted, lease.Next{Dataset: files}).Lease))
		a.want(lease.Agreed, lease.Save{Step: 40})
		a.want(lease.Agreed, done(a.want(lease.Granted, lease.Next{Dataset: files}).Lease))
		stop()

		// Another job, with the same checkpoints.
		i, stop = start(t, m, newMemory(t, "/job/x").FS, 1)
		defer stop()
		b := worker(t, i, 0, 1)
		b.want(lease.Fresh, lease.Restore{Step: 41})
		b.want(lease.Agreed, lease.Restore{Step: 40})
		for _, name := range []string{"/d/b", "/d/c"} {
			l := b.want(lease.Granted, lease.Next{Dataset: files}).Lease
			if l.Path != name {
				t.Errorf("leased %s, want %s", l.Path, name)
			}
			b.want(lease.Agreed, done(l))
		}
		b.want(lease.Over, lease.Next{Dataset: files})
	})
}

func TestOldStatesAreRemoved(t *testing.T) {
	m := newMemory(t, "/ckpt/x")
	store := Beside{m, "/ckpt"}
	for step := range int64(keptStates + 10) {
		if err := store.Save(t.Context(), lease.Saved{Version: 1, Step: step}); err != nil {
			t.Fatal(err)
		}
	}
	for step, want := range map[int64]bool{9: false, 10: true, keptStates + 9: true} {
		s, err := store.Load(t.Context(), step)
		if err != nil || (s != nil) != want {
			t.Errorf("step %d: %v, %v", step, s, err)
		}
	}
	if err := create(t.Context(), m.FS, "/ckpt/.tfos/input-50.json", []byte(`{"version": 1, "step": 50, "datasets": [{}]}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Load(t.Context(), 50); err == nil {
		t.Error("nonsense was loaded")
	}
}
