// Package input is the application master's owner of the job's input: one goroutine holds the lease
// machine and answers the calls of all processes.
//
// It lists what patterns match, stores what is to be kept beside a checkpoint and loads it again,
// all of that outside of the goroutine that owns the machine. What a call, a loss or a file means,
// package lease decides.
package input

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/job"
	"tfos/internal/lease"
)

// Options are what an Input needs.
type Options struct {
	Files Files
	Store Store
	// Journal keeps the state for the next attempt of the master; nil: nothing does.
	Journal *Journal
	// Changed is told of a new state, and of what keeps programs from their input, a few times a
	// second at most. The slice is not changed afterwards. It must not wait: whoever is told may be
	// waiting for Lose.
	Changed func(views []lease.View, problem string)
	Log     *zap.Logger
}

// Files finds files.
type Files interface {
	// Match lists the files that a pattern matches. A pattern that matches nothing is no error.
	Match(ctx context.Context, pattern string) ([]lease.File, error)
}

// Store keeps the state of the input by step.
type Store interface {
	Save(ctx context.Context, s lease.Saved) error
	// Load returns nil if nothing was saved for the step.
	Load(ctx context.Context, step int64) (*lease.Saved, error)
}

const (
	// hold is how long a call waits for something to say. An agent asks again.
	hold = 10 * time.Second
	// glance is how long a call waits that wants to know now: as long as the journal may take.
	glance = time.Second
	// listing bounds how long the files of a dataset may take to be found, storing how long one
	// state takes.
	listing = 10 * time.Minute
	storing = time.Minute
	// changed is the least time between two words of the state.
	changed = 500 * time.Millisecond
	// mailbox is how many messages may wait for the owner, which only computes. Senders block
	// beyond it.
	mailbox = 256
)

// ErrEnded says that the job's input is not shared any more: the job is over.
var ErrEnded = errors.New("the job is ending")

// Input shares the input of one job.
type Input struct {
	o       Options
	machine *lease.Machine // Run's
	mail    chan any
	done    chan struct{} // closed when Run has ended
}

// New makes an Input. It starts nothing.
func New(o Options) *Input {
	return &Input{o: o, machine: lease.New(), mail: make(chan any, mailbox), done: make(chan struct{})}
}

// Recall goes on where the attempt of the master before this one was. It is called before Run, by a
// master that takes over the processes of that attempt.
func (i *Input) Recall(ctx context.Context) error {
	if i.o.Journal == nil {
		return nil
	}
	machine, err := i.o.Journal.recall(ctx)
	if err != nil {
		return fmt.Errorf("take over the job's input: %w", err)
	}
	i.machine = machine
	return nil
}

// What the mailbox carries.
type (
	call struct {
		lease.Call
		answer chan lease.Answer // capacity 1
	}
	// gaveUp is a call whose caller does not wait any more.
	gaveUp struct{ answer chan lease.Answer }
	lost   struct {
		task job.Task
		upTo job.Incarnation
	}
	listed struct {
		def     lease.Definition
		files   []lease.File
		problem string
	}
	stored struct {
		saved   lease.Saved
		problem string
	}
	loaded struct {
		step    int64
		saved   *lease.Saved
		problem string
	}
)

// Lease answers a call, after a while with lease.Waiting if there is nothing to say.
func (i *Input) Lease(ctx context.Context, c lease.Call) (lease.Answer, error) {
	answer := make(chan lease.Answer, 1)
	if !i.post(call{c, answer}) {
		return lease.Answer{}, ErrEnded
	}
	wait := hold
	if next, ok := c.Op.(lease.Next); ok && next.Now {
		wait = glance
	}
	patience := time.NewTimer(wait)
	defer patience.Stop()
	select {
	case a := <-answer:
		return a, nil
	case <-patience.C:
	case <-ctx.Done():
	case <-i.done:
		return lease.Answer{}, ErrEnded
	}
	// The owner may be answering at this moment: what it gives is remembered for when the caller
	// asks again.
	i.post(gaveUp{answer})
	if ctx.Err() != nil {
		return lease.Answer{}, ctx.Err()
	}
	return lease.Answer{State: lease.Waiting}, nil
}

// Lose takes from a task's incarnations, up to the given one, what they hold.
func (i *Input) Lose(t job.Task, upTo job.Incarnation) { i.post(lost{t, upTo}) }

// post hands a message to the owner. It is false once that has ended.
func (i *Input) post(m any) bool {
	select {
	case i.mail <- m:
		return true
	case <-i.done:
		return false
	}
}

// owner is what Run's goroutine holds.
type owner struct {
	*Input
	waiting []call // in the order they came
	keeping keeping
	listing map[string]bool
	storing bool
	loading bool
	work    sync.WaitGroup
}

// Run owns the machine until ctx ends.
func (i *Input) Run(ctx context.Context) {
	o := &owner{Input: i, listing: make(map[string]bool)}
	if i.o.Journal != nil {
		o.keeping.scribe = newScribe(*i.o.Journal)
	}
	defer o.work.Wait()
	defer close(i.done)
	tell := time.NewTimer(changed)
	defer tell.Stop()
	fresh := false // there is something to tell
	for {
		var due <-chan time.Time
		if fresh {
			due = tell.C
		}
		select {
		case <-ctx.Done():
			return
		case <-due:
			fresh = false
			i.o.Changed(o.machine.View(), o.keeping.problem)
			tell.Reset(changed)
		case m := <-i.mail:
			fresh = o.receive(m) || fresh
			o.errands(ctx)
			o.keep(ctx)
		}
	}
}

// receive handles one message. It reports whether the state may have changed.
func (o *owner) receive(m any) bool {
	switch m := m.(type) {
	case wrote:
		before := o.keeping.problem
		o.wrote(m.err)
		return o.keeping.problem != before
	case gaveUp:
		gone := func(c chan lease.Answer) bool { return c == m.answer }
		o.waiting = slices.DeleteFunc(o.waiting, func(c call) bool { return gone(c.answer) })
		o.keeping.book.Forget(func(d debt) bool { return gone(d.to) })
		return false
	}
	o.keeping.book.Step()
	switch m := m.(type) {
	case call:
		a := o.machine.Call(m.Call)
		if a.State == lease.Waiting {
			o.waiting = append(o.waiting, m)
			return false
		}
		o.give(m, a)
		if !concerns(m.Call) {
			return true
		}
	case lost:
		o.machine.Lose(m.task, m.upTo)
	case listed:
		delete(o.listing, m.def.Name)
		o.machine.List(m.def, m.files, m.problem)
	case stored:
		o.storing = false
		o.machine.Stored(m.saved, m.problem)
	case loaded:
		o.loading = false
		o.machine.Loaded(m.step, m.saved, m.problem)
	}
	o.again()
	o.machine.Forget() // whoever waited has been told
	return true
}

// concerns reports whether others may have something to be told after a call. Those that do not are
// many.
func concerns(c lease.Call) bool {
	switch op := c.Op.(type) {
	case lease.Next:
		return false
	case lease.Ack:
		return slices.ContainsFunc(op.Acks, func(a lease.Consumed) bool { return a.End != lease.Open })
	}
	return true
}

// again answers those who wait, as far as there is something to say now.
func (o *owner) again() {
	left := o.waiting[:0]
	for _, c := range o.waiting {
		if a := o.machine.Call(c.Call); a.State == lease.Waiting {
			left = append(left, c)
		} else {
			o.give(c, a)
		}
	}
	clear(o.waiting[len(left):])
	o.waiting = left
}

// errands starts what the machine waits for.
func (o *owner) errands(ctx context.Context) {
	for _, def := range o.machine.Unlisted() {
		if !o.listing[def.Name] {
			o.listing[def.Name] = true
			o.work.Go(func() { o.list(ctx, def) })
		}
	}
	if s, ok := o.machine.Storable(); ok && !o.storing {
		o.storing = true
		o.work.Go(func() { o.store(ctx, s) })
	}
	if step, ok := o.machine.Wanted(); ok && !o.loading {
		o.loading = true
		o.work.Go(func() { o.load(ctx, step) })
	}
}

func (o *owner) list(ctx context.Context, def lease.Definition) {
	ctx, cancel := context.WithTimeout(ctx, listing)
	defer cancel()
	began := time.Now()
	var all []lease.File
	for _, pattern := range def.Patterns {
		files, err := o.o.Files.Match(ctx, pattern)
		if err != nil {
			o.post(listed{def: def, problem: fmt.Sprintf("dataset %s: list %s: %v", def.Name, pattern, err)})
			return
		}
		all = append(all, files...)
	}
	if len(all) == 0 {
		o.post(listed{def: def, problem: fmt.Sprintf("dataset %s: no file matches %q, as the application master sees it", def.Name, def.Patterns)})
		return
	}
	o.o.Log.Info("input listed", zap.String("dataset", def.Name), zap.Int("files", len(all)), zap.Duration("took", time.Since(began)))
	o.post(listed{def: def, files: all})
}

func (o *owner) store(ctx context.Context, s lease.Saved) {
	ctx, cancel := context.WithTimeout(ctx, storing)
	defer cancel()
	m := stored{saved: s}
	if err := o.o.Store.Save(ctx, s); err != nil {
		o.o.Log.Warn("the state of the input was not saved", zap.Int64("step", s.Step), zap.Error(err))
		m.problem = err.Error()
	}
	o.post(m)
}

func (o *owner) load(ctx context.Context, step int64) {
	ctx, cancel := context.WithTimeout(ctx, storing)
	defer cancel()
	m := loaded{step: step}
	var err error
	if m.saved, err = o.o.Store.Load(ctx, step); err != nil {
		m.problem = err.Error()
	}
	o.o.Log.Info("the input goes back", zap.Int64("step", step), zap.Bool("saved", m.saved != nil), zap.Error(err))
	o.post(m)
}
