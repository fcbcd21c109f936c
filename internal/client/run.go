package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"tfos/internal/client/exit"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// Resume says where a job begins that has checkpoints.
type Resume int

// The ways.
const (
	Fresh       Resume = iota // as its program likes
	ResumeIfAny               // at the newest whole checkpoint, or from the beginning if there is none
	ResumeMust                // at the newest whole checkpoint, or not at all
)

// RunOptions says how a job begins, and what becomes of one whose follower leaves.
type RunOptions struct {
	KillOnExit bool     // an interruption stops the job, in order
	LogsAt     string   // where its logs lie once it is over; empty: tfos logs shows them
	Resume     Resume   // where it begins
	Earlier    *Earlier // with ResumeMust: what is resumed; nil: not known
}

// Run submits a job, follows it, and returns how it ended: nil when it succeeded, else an error
// with the job's exit code. One that the cluster ended is submitted again, as often as the job
// wants. One with a key is submitted only if nobody does its work, or has done it; else that
// application is followed. Cancelling ctx with ErrInterrupted leaves the job to itself, or stops it
// first.
func (c *Cluster) Run(ctx context.Context, p *Prepared, ui UI, o RunOptions) error {
	var past tries
	for {
		s, err := c.next(ctx, p, ui, o, &past)
		if err != nil {
			if past.retryUnsubmitted(ctx, p, err) {
				ui.Note(fmt.Sprintf("not submitted: %v", err))
				ui.Note(fmt.Sprintf("it is tried again, %d of %d (retries)", past.retried, p.Job.Retries))
				_ = past.pauses.Wait(ctx) // an end of ctx shows at the next try
				continue
			}
			return err
		}
		if past.began.IsZero() {
			c.warn(p, ui)
		}
		past.began = time.Now()
		if s.try.Outcome != nil {
			ui.Note(c.done(s))
			return nil
		}
		outcome, err := c.runOne(ctx, s, ui, o)
		if err != nil {
			return err
		}
		c.settle(ctx, s, outcome)
		if past.again(p, s, outcome, ui) {
			continue
		}
		return c.conclude(s, past.before, outcome, time.Since(past.began), ui, o)
	}
}

// conclude says how a job ended for good.
func (c *Cluster) conclude(s *Submitted, before []yarn.ApplicationID, outcome Outcome, otherwise time.Duration, ui UI, o RunOptions) error {
	took := duration(outcome.View, otherwise)
	if outcome.Code == exit.OK {
		ui.Note(fmt.Sprintf("%s succeeded in %s", full(s, before), took))
		return nil
	}
	return c.failure(s, before, outcome, took, o)
}

// done says that a key's work needs nobody any more.
func (c *Cluster) done(s *Submitted) string {
	when := ""
	if f := s.try.Outcome.Finished; !f.IsZero() {
		when = " at " + f.UTC().Format(time.DateTime+" MST")
	}
	return fmt.Sprintf("%s succeeded%s with the work of %q: nothing was submitted", s.ID, when, s.try.Key)
}

// Attach follows an application that was submitted before, and returns how it ended, as Run does.
func (c *Cluster) Attach(ctx context.Context, id yarn.ApplicationID, ui UI, o RunOptions) error {
	r, err := c.report(ctx, id)
	var unknown bool
	if unknown = errors.Is(err, yarn.ErrUnknownApplication); err != nil && !unknown {
		return err
	}
	if unknown {
		if v, left := c.result(ctx, id); left != nil || v.ExitCode == nil {
			return err
		}
	} else if r.User != c.User {
		return exit.Errorf(exit.Refused, "%s (%s) is %s's: only who submitted a job can follow it", id, r.Name, r.User).
			Try("%s shows how it stands", c.command("status "+id.String()))
	}
	s, err := c.taken(ctx, id)
	if err != nil {
		return err
	}
	began := time.Now()
	outcome, err := c.followed(ctx, s, ui, o)
	if err != nil {
		return err
	}
	return c.conclude(s, nil, outcome, time.Since(began), ui, o)
}

// runOne follows one application of a job to its end.
func (c *Cluster) runOne(ctx context.Context, s *Submitted, ui UI, o RunOptions) (Outcome, error) {
	if !s.found {
		ui.Note(fmt.Sprintf("%s submitted: %s", s.ID, s.Job.Name))
	}
	return c.followed(ctx, s, ui, o)
}

func (c *Cluster) followed(ctx context.Context, s *Submitted, ui UI, o RunOptions) (Outcome, error) {
	follow := c.Follow
	if o.KillOnExit {
		follow = c.followOrStop
	}
	return follow(ctx, s, ui)
}

// beforeSubmit tells an interruption from what it made fail.
func beforeSubmit(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), ErrInterrupted) {
		return exit.Errorf(exit.Interrupted, "interrupted before the job was submitted; nothing of it is left: %w", ErrInterrupted)
	}
	return err
}

// SubmitOnly submits a job, unless it has a key whose work another application does, or has done:
// the answer is that one then.
func (c *Cluster) SubmitOnly(ctx context.Context, p *Prepared, ui UI, o RunOptions) (*Submitted, error) {
	s, err := c.next(ctx, p, ui, o, &tries{})
	if err != nil {
		return nil, err
	}
	if s.try.Outcome != nil {
		ui.Note(c.done(s))
		return s, nil
	}
	c.warn(p, ui)
	if p.Job.Recovery.Resubmit > 0 {
		ui.Note("nobody follows it: recovery.resubmit is for tfos run")
	}
	if p.Job.Retries > 0 {
		ui.Note("nobody follows it: retries is for tfos run")
	}
	return s, nil
}

// followOrStop is Follow, but an interruption stops the job, whose last words are still shown.
func (c *Cluster) followOrStop(ctx context.Context, s *Submitted, ui UI) (Outcome, error) {
	within, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stopped := make(chan error, 1)
	release := context.AfterFunc(ctx, func() {
		if !errors.Is(context.Cause(ctx), ErrInterrupted) { // the cluster itself is gone
			cancel(context.Cause(ctx))
			stopped <- nil
			return
		}
		ui.Note("interrupted: stopping the job; once more returns at once")
		err := c.Kill(within, s.ID, "interrupted by "+c.User, ui.Note)
		if err != nil {
			cancel(err)
		}
		stopped <- err
	})
	outcome, err := c.Follow(within, s, ui)
	if release() {
		return outcome, err // nobody interrupted
	}
	switch stopErr := <-stopped; {
	case !errors.Is(context.Cause(ctx), ErrInterrupted):
		return outcome, err
	case stopErr != nil:
		return outcome, exit.Errorf(exit.Interrupted, "%w, and %s could not be stopped: %w", ErrInterrupted, s.ID, stopErr)
	}
	return outcome, exit.Errorf(exit.Interrupted, "%w: %s was stopped", ErrInterrupted, s.ID)
}

func (c *Cluster) failure(s *Submitted, before []yarn.ApplicationID, o Outcome, took string, opts RunOptions) error {
	verb := "failed"
	switch o.Code {
	case exit.Killed:
		verb = "was killed"
	case exit.TimedOut:
		verb = "was stopped"
	case exit.Refused:
		verb = "was refused"
	}
	e := exit.Errorf(o.Code, "%s %s after %s: %s", full(s, before), verb, took, cmp.Or(o.View.Diagnostics, "no reason is known"))
	return e.Try("%s", c.whereLogs(s, o, opts.LogsAt))
}

// whereLogs says where a person finds what an ended job printed: in a directory of this machine's,
// if there is one, else by tfos logs.
func (c *Cluster) whereLogs(s *Submitted, o Outcome, dir string) string {
	if dir != "" {
		return "its logs are in " + filepath.Join(dir, s.ID.String())
	}
	which := ""
	if len(o.View.Tasks) == 0 {
		which = " " + masterName // no task ever was, so it is the master that knows
	}
	return c.command("logs "+s.ID.String()+which) + " shows every task's output"
}

// duration is how long a job took, by its own clock if it had one.
func duration(v status.View, otherwise time.Duration) string {
	if !v.Started.IsZero() && v.Finished != nil && v.Finished.After(v.Started) {
		otherwise = v.Finished.Sub(v.Started)
	}
	if otherwise < time.Minute {
		return fmt.Sprintf("%.1f s", otherwise.Seconds())
	}
	return otherwise.Round(time.Second).String()
}
