package once

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tfos/internal/dfs"
	"tfos/internal/status"
)

var (
	seeds = flag.Int("seeds", 2000, "how many seeds TestManySubmitters plays")
	seed  = flag.Int("seed", -1, "play this seed of TestManySubmitters alone")
)

// world is YARN and the staging directories, shared by actors of whom one moves at a time.
type world struct {
	fs      *dfs.Memory
	tickets map[string]bool   // applications that are staged, and not known to be YARN's
	apps    map[string]string // what YARN knows: running, or how it ended
	results map[string]string // how applications ended, in their staging directories
	order   []string          // in which they started
	next    int
	broken  []string // invariants
	refuse  int      // how many of the next submissions YARN refuses
}

func newWorld(t *testing.T) *world {
	w := &world{fs: dfs.NewMemory(dfs.MemoryOptions{}), tickets: map[string]bool{}, apps: map[string]string{}, results: map[string]string{}}
	if err := w.fs.Mkdir(t.Context(), "/once", 0o700); err != nil {
		t.Fatal(err)
	}
	return w
}

// submit is YARN's: it knows an application that it was given before.
func (w *world) submit(id string) error {
	if _, known := w.apps[id]; known {
		return nil
	}
	if w.refuse > 0 {
		w.refuse--
		w.apps[id] = "refused"
		return &Refused{errors.New("queue is full")}
	}
	if how, ended := w.results[id]; ended { // its master sees that it comes too late
		w.apps[id] = how
		return nil
	}
	for other, state := range w.apps {
		if state == "running" || state == "succeeded" {
			w.broken = append(w.broken, fmt.Sprintf("%s starts while %s is %s", id, other, state))
		}
	}
	w.apps[id] = "running"
	w.order = append(w.order, id)
	return nil
}

// end is the environment's: whatever runs ends. What YARN kills leaves no result.
func (w *world) end(how string) {
	for id, state := range w.apps {
		if state == "running" {
			w.apps[id] = how
			if how != "killed" {
				w.results[id] = how
			}
		}
	}
}

// forget has YARN forget what has ended, as it does in time.
func (w *world) forget() {
	for id, state := range w.apps {
		if state == "failed" || state == "killed" { // of one that succeeded it is checked that nothing starts after it
			delete(w.apps, id)
		}
	}
}

// actor is a submitter. It takes a step each time the test says so, until it is done or dies.
type actor struct {
	w     *world
	pause func() // returns when the actor may go on, or never
}

func (a *actor) Stage(context.Context, Try) (Try, error) {
	a.pause()
	a.w.next++
	id := fmt.Sprintf("application_1_%04d", a.w.next)
	a.w.tickets[id] = true
	return Try{Application: id, Cluster: "rm:8032"}, nil
}

func (a *actor) Discard(_ context.Context, t Try) {
	a.pause()
	delete(a.w.tickets, t.Application)
}

func (a *actor) Ask(_ context.Context, t Try) (Standing, error) {
	a.pause()
	switch state, known := a.w.apps[t.Application]; {
	case known && state == "running":
		return Standing{Known: true}, nil
	case known:
		return Standing{Known: true, Ended: over(state)}, nil
	}
	return Standing{}, nil
}

func (a *actor) Result(_ context.Context, t Try) (*Outcome, error) {
	a.pause()
	if how, left := a.w.results[t.Application]; left {
		return over(how), nil
	}
	return nil, nil
}

func (a *actor) Leave(_ context.Context, t Try, o Outcome) error {
	a.pause()
	if _, left := a.w.results[t.Application]; !left {
		a.w.results[t.Application] = string(o.State)
	}
	return nil
}

func (a *actor) Staged(_ context.Context, t Try) (bool, error) {
	a.pause()
	return a.w.tickets[t.Application], nil
}

func over(how string) *Outcome {
	if how == string(status.Succeeded) {
		return &Outcome{State: status.Succeeded}
	}
	return &Outcome{State: status.Failed}
}

func (a *actor) HandIn(_ context.Context, t Try) error {
	a.pause()
	if err := a.w.submit(t.Application); err != nil {
		return err
	}
	a.pause()
	delete(a.w.tickets, t.Application)
	return nil
}

// files is the filesystem as an actor uses it: a step for each call that others can tell.
type files struct {
	dfs.FS
	pause func()
}

func (f files) List(ctx context.Context, dir string) ([]dfs.Info, error) {
	f.pause()
	return f.FS.List(ctx, dir)
}

func (f files) Open(ctx context.Context, name string) (dfs.File, error) {
	f.pause()
	return f.FS.Open(ctx, name)
}

func (f files) Create(ctx context.Context, name string, o dfs.CreateOptions) (dfs.Writer, error) {
	w, err := f.FS.Create(ctx, name, o)
	return writer{w, f.pause}, err
}

type writer struct {
	dfs.Writer
	pause func()
}

func (w writer) Close() error {
	w.pause()
	return w.Writer.Close()
}

// process is an actor on its way.
type process struct {
	next    func() (struct{}, bool)
	kill    func()
	done    bool
	err     error
	entered Try
	began   bool
}

// killed is what ends an actor that dies.
type killed struct{}

// start makes a process, which stands before its first step.
func start(w *world, run func(a *actor, b Book, p *process)) *process {
	p := &process{}
	p.next, p.kill = iter.Pull(func(yield func(struct{}) bool) {
		defer func() {
			if end := recover(); end != nil && end != (killed{}) {
				panic(end)
			}
		}()
		pause := func() {
			if !yield(struct{}{}) {
				panic(killed{}) // SIGKILL
			}
		}
		run(&actor{w, pause}, Open(files{w.fs, pause}, "/once", "nightly-2026-11-30"), p)
	})
	p.step(false)
	return p
}

// step lets the process go on to its next pause, or die.
func (p *process) step(die bool) {
	if die {
		p.kill()
		p.done = true
		return
	}
	_, going := p.next()
	p.done = !going
}

func enter(a *actor, b Book, p *process) {
	p.entered, p.began, p.err = b.Enter(context.Background(), a)
}

// TestEveryInterleavingOfTwoSubmitters plays all orders of the steps of two submitters, and in each
// the death of one of them at each of its steps: exactly one application starts.
func TestEveryInterleavingOfTwoSubmitters(t *testing.T) {
	played, deaths := 0, 0
	// A choice is which process moves, or, plus two, dies.
	var explore func(prefix []int)
	explore = func(prefix []int) {
		choices := slices.Clone(prefix)
		w := newWorld(t)
		ps := []*process{start(w, enter), start(w, enter)}
		died := false
		for at := 0; !ps[0].done || !ps[1].done; at++ {
			if at == len(choices) { // the first that can move, from here on
				choices = append(choices, slices.IndexFunc(ps, func(p *process) bool { return !p.done }))
			}
			died = died || choices[at] >= 2
			ps[choices[at]%2].step(choices[at] >= 2)
		}
		played++
		if died {
			deaths++
		}
		// Whoever comes afterwards finds the one application, or starts it.
		last := start(w, enter)
		for !last.done {
			last.step(false)
		}
		if len(w.order) != 1 || len(w.broken) > 0 || last.err != nil || last.entered.Application != w.order[0] {
			t.Fatalf("choices %v: started %v, %v; the last found %+v, %v", choices, w.order, w.broken, last.entered, last.err)
		}
		for i, p := range ps {
			if p.err != nil || p.entered.Number > 0 && p.entered.Application != w.order[0] {
				t.Fatalf("choices %v: submitter %d entered %+v, %v", choices, i, p.entered, p.err)
			}
		}
		// The others of each choice after the prefix, replayed to see who could move.
		for at := len(prefix); at < len(choices); at++ {
			for _, other := range alternatives(t, choices[:at], died && slices.ContainsFunc(choices[:at], func(c int) bool { return c >= 2 })) {
				if other != choices[at] {
					explore(append(slices.Clone(choices[:at]), other))
				}
			}
		}
	}
	explore(nil)
	t.Logf("%d orders, with a death in %d", played, deaths)
}

// alternatives are the choices that there are after some.
func alternatives(t *testing.T, choices []int, died bool) []int {
	w := newWorld(t)
	ps := []*process{start(w, enter), start(w, enter)}
	for _, c := range choices {
		ps[c%2].step(c >= 2)
	}
	var all []int
	for i, p := range ps {
		if !p.done {
			all = append(all, i)
			if !died {
				all = append(all, i+2)
			}
		}
	}
	for _, p := range ps {
		if !p.done {
			p.step(true)
		}
	}
	return all
}

// TestManySubmitters plays submitters who retry, at random, while applications fail, succeed, are
// refused and are forgotten.
func TestManySubmitters(t *testing.T) {
	from, to := 0, *seeds
	if *seed >= 0 {
		from, to = *seed, *seed+1
	}
	succeeded, tries := 0, 0
	for seed := from; seed < to; seed++ {
		r := rand.New(rand.NewPCG(uint64(seed), 14))
		w := newWorld(t)
		persistent := func(a *actor, b Book, p *process) {
			for range 3 {
				enter(a, b, p)
				a.pause()
			}
		}
		var ps []*process
		for range 2 + r.IntN(3) {
			ps = append(ps, start(w, persistent))
		}
		for slices.ContainsFunc(ps, func(p *process) bool { return !p.done }) {
			switch p := ps[r.IntN(len(ps))]; r.IntN(12) {
			case 0:
				w.end([]string{"failed", "killed", "succeeded"}[r.IntN(3)])
			case 1:
				w.forget()
			case 2:
				w.refuse = r.IntN(2)
			case 3:
				if !p.done && r.IntN(3) == 0 {
					p.step(true)
				}
			default:
				if !p.done {
					p.step(false)
				}
			}
		}
		for _, state := range w.apps {
			if state == "succeeded" {
				succeeded++
			}
		}
		tries += len(w.order)
		if len(w.broken) > 0 {
			t.Fatalf("seed %d: %s\ngo test ./internal/client/once -run TestManySubmitters -seed %d", seed, strings.Join(w.broken, "; "), seed)
		}
	}
	t.Logf("%d tries started, %d keys succeeded", tries, succeeded)
	if *seed < 0 && (succeeded == 0 || tries <= to) {
		t.Errorf("%d tries, %d successes: the seeds try too little", tries, succeeded)
	}
}

// alone is an actor without others.
func alone(w *world) *actor { return &actor{w: w, pause: func() {}} }

func TestWhatATryFollows(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	b := Open(w.fs, "/once", "k")
	try := func(wantNumber int, wantBegan bool) Try {
		t.Helper()
		got, began, err := b.Enter(ctx, alone(w))
		if err != nil || got.Number != wantNumber || began != wantBegan {
			t.Fatalf("entered %+v, began %v, %v; want try %d, %v", got, began, err, wantNumber, wantBegan)
		}
		return got
	}
	first := try(1, true)
	if again := try(1, false); again.Application != first.Application {
		t.Errorf("another application: %+v", again)
	}
	w.end("failed")
	try(2, true)
	w.end("succeeded")
	w.fs.Remove(ctx, "/staging", true)
	if done := try(2, false); done.Outcome == nil || !done.Outcome.Succeeded() {
		t.Errorf("a succeeded key says %+v", done)
	}
	w.apps, w.results = map[string]string{}, map[string]string{} // nobody else remembers
	try(2, false)

	if other, _, err := Open(w.fs, "/once", "k/").Enter(ctx, alone(w)); err != nil || other.Application == first.Application {
		t.Errorf("another key entered %+v, %v", other, err)
	}
}

// TestALostAnswer: the file was created, and the answer to that never came.
func TestALostAnswer(t *testing.T) {
	lost := errors.New("connection reset")
	for _, created := range []bool{true, false} {
		w := newWorld(t)
		b := Open(losing{w.fs, lost, created}, "/once", "k")
		got, began, err := b.Enter(t.Context(), alone(w))
		switch {
		case created && (err != nil || !began || got.Number != 1 || len(w.order) != 1):
			t.Errorf("created: entered %+v, %v, %v", got, began, err)
		case !created && (!errors.Is(err, lost) || len(w.order) != 0 || len(w.tickets) != 0):
			t.Errorf("not created: %+v, %v; staged %v", got, err, w.tickets)
		}
	}
}

// losing loses the answer to the end of a file.
type losing struct {
	dfs.FS
	err     error
	created bool
}

func (l losing) Create(ctx context.Context, name string, o dfs.CreateOptions) (dfs.Writer, error) {
	w, err := l.FS.Create(ctx, name, o)
	return losingWriter{w, l}, err
}

type losingWriter struct {
	io.Writer
	l losing
}

func (w losingWriter) inner() dfs.Writer { return w.Writer.(dfs.Writer) }
func (w losingWriter) Sync() error       { return w.inner().Sync() }
func (w losingWriter) Abort()            { w.inner().Abort() }
func (w losingWriter) Close() error {
	if w.l.created {
		if err := w.inner().Close(); err != nil {
			return err
		}
	} else {
		w.inner().Abort()
	}
	return w.l.err
}

func TestARefusedTryIsSettled(t *testing.T) {
	w := newWorld(t)
	w.refuse = 1
	b := Open(w.fs, "/once", "k")
	if _, _, err := b.Enter(t.Context(), alone(w)); err == nil || !strings.Contains(err.Error(), "queue is full") {
		t.Fatalf("refused: %v", err)
	}
	if last, err := b.Last(t.Context()); err != nil || last.Outcome == nil || last.Outcome.Succeeded() {
		t.Errorf("the refused try stands as %+v, %v", last, err)
	}
	if got, began, err := b.Enter(t.Context(), alone(w)); err != nil || !began || got.Number != 2 {
		t.Errorf("afterwards: %+v, %v, %v", got, began, err)
	}
}

// TestInterrupted: who is interrupted before a try begins leaves nothing, and afterwards hands it
// in.
func TestInterrupted(t *testing.T) {
	for _, begun := range []bool{false, true} {
		w := newWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		a := &actor{w: w, pause: func() {
			if begun == (w.left() > 0) {
				cancel()
			}
		}}
		_, _, err := Open(w.fs, "/once", "k").Enter(ctx, a)
		if begun && (err != nil || len(w.order) != 1) || !begun && (!errors.Is(err, context.Canceled) || len(w.tickets) > 0 || w.left() > 0) {
			t.Errorf("begun %v: %v; started %v, staged %v", begun, err, w.order, w.tickets)
		}
	}
}

// left counts the keys that have a directory.
func (w *world) left() int {
	list, _ := w.fs.List(context.Background(), "/once")
	return len(list)
}
