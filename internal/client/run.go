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

// RunOptions says what becomes of a job whose follower leaves.
type RunOptions struct {
	KillOnExit bool   // an interruption stops the job, in order
	LogsAt     string // where its logs lie once it is over; empty: tfos logs shows them
}

// Run submits a job, follows it, and returns how it ended: nil when it succeeded, else an error
// with the job's exit code. One that the cluster ended is submitted again, as often as the job
// wants. Cancelling ctx with ErrInterrupted leaves the job to itself, or stops it first.
func (c *Cluster) Run(ctx context.Context, p *Prepared, ui UI, o RunOptions) error {
	s, err := c.Submit(ctx, p, ui)
	if err != nil {
		return beforeSubmit(ctx, err)
	}
	c.warn(p, ui)
	var before []yarn.ApplicationID // of this job, which the cluster ended
	for {
		began := time.Now()
		outcome, err := c.runOne(ctx, s, ui, o)
		if err != nil {
			return err
		}
		if !again(s, outcome, before) {
			took := duration(outcome.View, time.Since(began))
			if outcome.Code == exit.OK {
				ui.Note(fmt.Sprintf("%s succeeded in %s", full(s, before), took))
				return nil
			}
			return c.failure(s, before, outcome, took, o)
		}
		before = append(before, s.ID)
		if s, err = c.resubmit(ctx, p, before, outcome.View.Diagnostics, ui); err != nil {
			return err
		}
	}
}

// runOne follows one application of a job to its end.
func (c *Cluster) runOne(ctx context.Context, s *Submitted, ui UI, o RunOptions) (Outcome, error) {
	ui.Note(fmt.Sprintf("%s submitted: %s", s.ID, s.Job.Name))
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

// SubmitOnly submits a job.
func (c *Cluster) SubmitOnly(ctx context.Context, p *Prepared, ui UI) (*Submitted, error) {
	s, err := c.Submit(ctx, p, ui)
	if err != nil {
		return nil, beforeSubmit(ctx, err)
	}
	c.warn(p, ui)
	if p.Job.Recovery.Resubmit > 0 {
		ui.Note("nobody follows it: recovery.resubmit is for tfos run")
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
	case exit.Refused:
		verb = "was refused"
	}
	e := exit.Errorf(o.Code, "%s %s after %s: %s", full(s, before), verb, took, cmp.Or(o.View.Diagnostics, "no reason is known"))
	if opts.LogsAt != "" {
		return e.Try("its logs are in %s", filepath.Join(opts.LogsAt, s.ID.String()))
	}
	which := ""
	if len(o.View.Tasks) == 0 {
		which = " " + masterName // no task ever was, so it is the master that knows
	}
	return e.Try("%s shows every task's output", c.command("logs "+s.ID.String()+which))
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
