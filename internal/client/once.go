package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"go.uber.org/zap"

	"tfos/internal/client/exit"
	"tfos/internal/client/once"
	"tfos/internal/client/stage"
	"tfos/internal/dfs"
	"tfos/internal/hadoop/token"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// onceKept is how long it is known of a key that its work is done.
const onceKept = 400 * 24 * time.Hour

// book is what is known of a job's key.
func (c *Cluster) book(key string) once.Book { return once.Open(c.FS, launch.OnceDir(c.Home), key) }

// entrant does for package once what a submitter has to do.
type entrant struct {
	c      *Cluster
	p      *Prepared
	ui     UI
	from   func(ctx context.Context, last yarn.ApplicationID) error // finds where the job begins; last is zero for the first try
	staged *waitingJob                                              // by this process, newest
}

// enter submits the job of a key, or finds the application that does its work, or has done it.
func (c *Cluster) enter(ctx context.Context, p *Prepared, ui UI, from func(context.Context, yarn.ApplicationID) error) (*Submitted, error) {
	book := c.book(p.Job.Once)
	e := &entrant{c: c, p: p, ui: ui, from: from}
	t, began, err := book.Enter(ctx, e)
	if err != nil {
		return nil, c.onceError(p.Job.Once, t, err)
	}
	id, err := yarn.ParseApplicationID(t.Application)
	if err != nil {
		return nil, exit.Errorf(exit.Infrastructure, "what is known of %q: %w", p.Job.Once, err)
	}
	if began {
		s := e.staged.Submitted
		s.try = t
		return &s, nil
	}
	if t.Outcome != nil {
		return &Submitted{ID: id, Job: p.Job, try: t}, nil
	}
	s, err := c.taken(ctx, id)
	if err != nil {
		return nil, err
	}
	ui.Note(fmt.Sprintf("%s does the work of %q already: nothing was submitted", id, p.Job.Once))
	s.try, s.found = t, true
	return s, nil
}

// onceError says what became of a key's try that could not be begun or handed in.
func (c *Cluster) onceError(key string, t once.Try, err error) error {
	var known *exit.Error
	switch {
	case errors.Is(err, ErrInterrupted):
		return err
	case errors.As(err, &known):
		return err
	case t.Number > 0:
		return exit.Errorf(exit.Infrastructure, "%q: %s: %w", key, t.Application, err)
	}
	return stage.Explain(c.FS, "look up the key "+key+" in", launch.OnceDir(c.Home), err)
}

// taken is an application that somebody submitted, ready to be followed.
func (c *Cluster) taken(ctx context.Context, id yarn.ApplicationID) (*Submitted, error) {
	key, err := c.key(ctx, id)
	if err != nil {
		return nil, err
	}
	b, err := c.keptFile(ctx, id, launch.JobFile)
	if err != nil {
		return nil, err
	}
	j, err := job.Parse(launch.JobFile, b, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", id, err)
	}
	return &Submitted{ID: id, Job: j, Queue: j.Queue, key: key}, nil
}

// settle records how the work of a key went. The next who asks finds out anew if it fails.
func (c *Cluster) settle(ctx context.Context, s *Submitted, o Outcome) {
	if s.try.Number == 0 {
		return
	}
	t := s.try
	t.Outcome = ending(o.View)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if err := c.book(s.try.Key).Settle(ctx, t); err != nil {
		c.Log.Debug("the end of a key's try is not recorded", zap.String("key", s.try.Key), zap.Error(err))
	}
}

// ending is how a job ended, by its last document; nil: it has not.
func ending(v status.View) *once.Outcome {
	if v.ExitCode == nil {
		return nil
	}
	o := &once.Outcome{State: v.State, ExitCode: *v.ExitCode, Diagnostics: v.Diagnostics}
	if v.Finished != nil {
		o.Finished = *v.Finished
	}
	return o
}

// Stage implements once.Submitter.
func (e *entrant) Stage(ctx context.Context, last once.Try) (once.Try, error) {
	var before yarn.ApplicationID
	if last.Number > 0 {
		e.ui.Note(fmt.Sprintf("%q: try %d, %s, ended with exit code %d: it is run again", last.Key, last.Number, last.Application, last.Outcome.ExitCode))
		var err error
		if before, err = yarn.ParseApplicationID(last.Application); err != nil {
			return once.Try{}, err
		}
	}
	if err := e.from(ctx, before); err != nil {
		return once.Try{}, err
	}
	w, err := e.c.stage(ctx, e.p, e.ui)
	if err != nil {
		return once.Try{}, err
	}
	e.staged = w
	t := once.Try{Application: w.ID.String(), Cluster: e.c.Where}
	ticket, err := json.MarshalIndent(w.submission, "", "  ")
	if err == nil {
		name := path.Join(e.c.jobDir(w.ID), launch.TicketFile)
		if err = dfs.WriteFile(ctx, e.c.FS, name, ticket, 0o600); err != nil {
			err = stage.Explain(e.c.FS, "write", name, err)
		}
	}
	if err != nil {
		e.Discard(ctx, t)
		return once.Try{}, err
	}
	return t, nil
}

// Discard implements once.Submitter.
func (e *entrant) Discard(ctx context.Context, t once.Try) {
	if id, err := yarn.ParseApplicationID(t.Application); err == nil {
		e.c.removeJobDir(ctx, id)
	}
}

// HandIn implements once.Submitter. The ResourceManager knows an application that it was given
// before by its id, and starts it once (ClientRMService.submitApplication).
func (e *entrant) HandIn(ctx context.Context, t once.Try) error {
	id, err := yarn.ParseApplicationID(t.Application)
	if err != nil {
		return err
	}
	mine := e.staged != nil && e.staged.ID == id
	s, err := e.ticket(ctx, id, mine)
	if errors.Is(err, fs.ErrNotExist) { // somebody else has handed it in
		return nil
	}
	if err != nil {
		return err
	}
	r, err := e.c.hand(ctx, s)
	if err != nil {
		// Two who hand it in at the same instant: one is told that there can be no duplicate.
		if _, unknown := e.c.RM.Report(ctx, id); unknown == nil {
			r, err = e.c.verdict(ctx, s)
		}
	}
	if err == nil && mine {
		if err = e.c.fits(ctx, e.p.Job, &e.staged.facts, r.Queue); exit.Of(err) == exit.Refused {
			err = e.c.giveBack(ctx, id, err)
		} else {
			err = nil // the queue cannot be asked: the job's master will be
		}
	}
	if exit.Of(err) == exit.Refused {
		return &once.Refused{Err: err}
	}
	if err != nil {
		return exit.Errorf(exit.Infrastructure, "%w", err).Try("nothing is lost: the next tfos run --once %q goes on with %s", e.p.Job.Once, id)
	}
	e.c.removeTicket(ctx, id)
	return nil
}

// ticket is the submission of a staged application, with tokens that are fresh.
func (e *entrant) ticket(ctx context.Context, id yarn.ApplicationID, mine bool) (yarn.Submission, error) {
	if mine {
		return e.staged.submission, nil
	}
	var s yarn.Submission
	b, err := e.c.readFile(ctx, path.Join(e.c.jobDir(id), launch.TicketFile))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("read the submission of %s: %w", id, err)
	}
	creds, err := token.Decode(s.Launch.Tokens)
	if err != nil {
		return s, fmt.Errorf("read the submission of %s: %w", id, err)
	}
	if err := e.c.addToken(ctx, creds); err != nil {
		return s, err
	}
	s.Launch.Tokens = creds.Encode()
	return s, nil
}

// removeTicket is best effort: a ticket that stays is of no use to anybody, and does no harm.
func (c *Cluster) removeTicket(ctx context.Context, id yarn.ApplicationID) {
	name := path.Join(c.jobDir(id), launch.TicketFile)
	if err := c.FS.Remove(ctx, name, false); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.Log.Debug("a ticket stays", zap.String("file", name), zap.Error(err))
	}
}

// Ask implements once.Submitter.
func (e *entrant) Ask(ctx context.Context, t once.Try) (once.Standing, error) {
	id, err := yarn.ParseApplicationID(t.Application)
	if err != nil {
		return once.Standing{}, err
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := e.c.RM.Report(call, id)
	switch {
	case err == nil && r.State.Terminal():
		return once.Standing{Known: true, Ended: ending(merge(status.View{}, r))}, nil
	case err == nil:
		return once.Standing{Known: true}, nil
	case !errors.Is(err, yarn.ErrUnknownApplication):
		return once.Standing{}, e.c.unreachable("ask for "+id.String(), err)
	}
	if left, err := e.Result(ctx, t); err != nil || left != nil {
		return once.Standing{}, err
	}
	if t.Cluster != e.c.Where {
		return once.Standing{}, exit.Errorf(exit.Refused, "%q: %s was submitted to the ResourceManager at %s, and the one at %s does not know how it stands", t.Key, id, t.Cluster, e.c.Where).
			Try("ask there, or use another key")
	}
	if e.c.hasMaster(ctx, yarn.Report{ID: id, Attempt: yarn.AttemptID{Attempt: 1}}) {
		if v, err := e.c.look(ctx, yarn.Report{ID: id}); err == nil && v.ExitCode == nil {
			return once.Standing{}, exit.Errorf(exit.Infrastructure, "%q: the ResourceManager has forgotten %s, whose master still answers", t.Key, id).
				Try("its nodes end it within a minute: try again then")
		}
	}
	return once.Standing{}, nil
}

// Result implements once.Submitter.
func (e *entrant) Result(ctx context.Context, t once.Try) (*once.Outcome, error) {
	id, err := yarn.ParseApplicationID(t.Application)
	if err != nil {
		return nil, err
	}
	v, err := e.c.result(ctx, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return ending(v), err
}

// Leave implements once.Submitter.
func (e *entrant) Leave(ctx context.Context, t once.Try, o once.Outcome) error {
	id, err := yarn.ParseApplicationID(t.Application)
	if err != nil {
		return err
	}
	v := status.View{ID: id.String(), Name: e.p.Job.Name, User: e.c.User, State: o.State, ExitCode: &o.ExitCode, Diagnostics: o.Diagnostics, Finished: &o.Finished}
	return e.c.leave(ctx, id, v)
}

// leave puts a result into a job's staging directory, unless there is one.
func (c *Cluster) leave(ctx context.Context, id yarn.ApplicationID, v status.View) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := c.FS.Mkdir(ctx, c.jobDir(id), 0o700); err != nil { // it may have been swept
		return err
	}
	return once.Create(ctx, c.FS, path.Join(c.jobDir(id), launch.ResultFile), b)
}

// Staged implements once.Submitter. A master that was there shows that it was handed in.
func (e *entrant) Staged(ctx context.Context, t once.Try) (bool, error) {
	id, err := yarn.ParseApplicationID(t.Application)
	if err != nil {
		return false, err
	}
	there := func(file string) (bool, error) {
		_, err := e.c.FS.Stat(ctx, path.Join(e.c.jobDir(id), file))
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return err == nil, err
	}
	if ran, err := there(launch.MasterFile); ran || err != nil {
		return false, err
	}
	return there(launch.TicketFile)
}
