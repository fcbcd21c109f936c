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
)

// RunOptions says what becomes of a job whose follower leaves.
type RunOptions struct {
	KillOnExit bool   // an interruption stops the job, in order
	LogsAt     string // where its logs lie once it is over; empty: tfos logs shows them
}

// Run submits a job, follows it, and returns how it ended: nil when it succeeded, else an error with the job's exit code.
// Cancelling ctx with ErrInterrupted leaves the job to itself, or stops it first.
func (c *Cluster) Run(ctx context.Context, p *Prepared, ui UI, o RunOptions) error {
	began := time.Now()
	s, err := c.Submit(ctx, p, ui)
	if err != nil {
		return beforeSubmit(ctx, err)
	}
	ui.Note(fmt.Sprintf("%s submitted: %s", s.ID, s.Job.Name))
	if c.Forgets {
		ui.Note("this cluster ends all containers when its ResourceManager restarts (yarn.resourcemanager.work-preserving-recovery.enabled is false): " +
			"if that or the job's master goes, every task starts anew from the newest checkpoint")
	}
	follow := c.Follow
	if o.KillOnExit {
		follow = c.followOrStop
	}
	outcome, err := follow(ctx, s, ui)
	if err != nil {
		return err
	}
	took := duration(outcome.View, time.Since(began))
	if outcome.Code == exit.OK {
		ui.Note(fmt.Sprintf("%s (%s) succeeded in %s", s.Job.Name, s.ID, took))
		return nil
	}
	return c.failure(s, outcome, took, o)
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

func (c *Cluster) failure(s *Submitted, o Outcome, took string, opts RunOptions) error {
	verb := "failed"
	switch o.Code {
	case exit.Killed:
		verb = "was killed"
	case exit.Refused:
		verb = "was refused"
	}
	e := exit.Errorf(o.Code, "%s (%s) %s after %s: %s", s.Job.Name, s.ID, verb, took, cmp.Or(o.View.Diagnostics, "no reason is known"))
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
