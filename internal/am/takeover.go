package am

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"time"

	"go.uber.org/zap"

	"tfos/internal/launch"
	"tfos/internal/membership"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// machine is the job's: that of the attempt before, if there is one and it left a journal, as it
// stood then; else a new one.
func (m *Master) machine(ctx context.Context) (machine *membership.Machine, then time.Time) {
	fresh := membership.New(m.o.Job, m.o.Seed, membership.Options{StableEndpoints: m.o.Job.Endpoints.Stable(), Inspect: m.o.Job.Checkpoint.Dir != ""})
	if m.o.Container.Attempt.Attempt <= 1 {
		return fresh, time.Time{}
	}
	machine, then, err := m.recall(ctx)
	switch {
	case errors.Is(err, errNoJournal):
		m.log.Warn("the job starts over: " + errNoJournal.Error())
		return fresh, time.Time{}
	case err != nil:
		m.log.Error("the job starts over: the journal of the attempt before cannot be read", zap.Error(err))
		return fresh, time.Time{}
	}
	m.log.Info("the job goes on where the attempt before stopped", zap.Int("generation", int(machine.Spec().Generation)))
	return machine, then
}

// outlived is how the job has ended already, although this is its first attempt. YARN had forgotten
// its application, and a submitter that slept for that long has handed it in again; by now another
// application may do the work of its key. See docs/decisions/0016-once.md.
func (m *Master) outlived(ctx context.Context) (membership.Result, bool) {
	if m.o.Job.Once == "" || m.o.Container.Attempt.Attempt > 1 {
		return membership.Result{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, stageTimeout)
	defer cancel()
	b, err := readFile(ctx, m.o.FS, path.Join(m.o.Manifest.Staging, launch.ResultFile))
	var v status.View
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.log.Warn("cannot look whether the job has ended already", zap.Error(err))
	}
	if err != nil || v.ExitCode == nil {
		return membership.Result{}, false
	}
	return membership.Result{ExitCode: *v.ExitCode, Diagnostics: v.Diagnostics}, true
}

// replaced reports whether a later attempt has announced itself in the staging directory.
func (m *Master) replaced(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, stageTimeout)
	defer cancel()
	b, err := readFile(ctx, m.o.FS, path.Join(m.o.Manifest.Staging, launch.MasterFile))
	var current launch.Master
	if err == nil {
		current, err = launch.ParseMaster(b)
	}
	if err != nil {
		m.log.Warn("cannot look whether another master has taken over", zap.Error(err))
	}
	return current.Attempt > m.o.Container.Attempt.Attempt
}

// keepJournal replaces this attempt's journal.
func (m *Master) keepJournal(ctx context.Context, content []byte) error {
	return m.stage(ctx, launch.JournalFile(m.o.Container.Attempt.Attempt), content)
}

// begin is the machine's first turn in this attempt, with the containers that YARN kept.
func (o *owner) begin(r yarn.Registered) {
	o.countsVCores, o.queue = r.CountsVCores, r.Queue
	attempt := o.m.o.Container.Attempt.Attempt
	switch result, decided := o.machine.Result(); {
	case o.machine.Finished() && decided: // YARN alone has not heard of it
		o.result = &result
		return
	case o.machine.Began():
		if i, ok := o.machine.Inspecting(); ok { // of the attempt before, which cannot answer any more
			o.m.keeper.Inspect(i)
		}
		o.turn(membership.TakeoverBegan{Attempt: attempt, Ended: o.m.o.Manifest.Forgets})
	default:
		o.turn(membership.Began{Attempt: attempt})
		if err := o.fits(r); err != nil {
			o.turn(membership.Unfit{Reason: err.Error()})
		}
	}
	o.keep(r.Kept)
}

// keep takes note of containers that an attempt before started. A ResourceManager that restarted
// names this attempt's own too.
func (o *owner) keep(kept []yarn.Container) {
	for _, c := range kept {
		o.containers[c.ID] = c
		o.ledger.Adopt(c.ID)
		o.turn(membership.Kept{Container: c.ID, Node: c.Node})
	}
}

// wake is when the owner has something to do even if nothing happens; zero: never.
func (o *owner) wake() time.Time {
	at := o.machine.Wake()
	spec := o.published.at
	if !o.m.mail.empty() {
		spec = time.Time{} // the next letter is reason enough to look
	}
	for _, w := range []time.Time{o.journal.outbox.Wake(), spec, o.steps.Next()} {
		if !w.IsZero() && (at.IsZero() || w.Before(at)) {
			at = w
		}
	}
	return at
}

// remember writes the journal if there is news for it, and does what waited for it.
func (o *owner) remember() error {
	book := &o.journal.book
	for _, a := range o.journal.outbox.Take(o.clock.now(), book.Safe(), book.Failures() > 0) {
		o.perform(a)
	}
	for _, tell := range book.Kept(book.Failures() > 0) {
		tell()
	}
	if book.Due() && o.m.mail.empty() && o.result == nil {
		return o.journal.write(o.m.o.Container.Attempt.Attempt, o.clock.now(), o.machine)
	}
	return nil
}
