package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tfos/internal/client/exit"
	"tfos/internal/client/term"
	"tfos/internal/launch"
	"tfos/internal/pause"
	"tfos/internal/yarn"
)

// resubmitPause is the longest pause between tries to submit a job again, to a cluster that may be
// in trouble.
const resubmitPause = 20 * time.Second

// tries are the applications of a job so far.
type tries struct {
	before      []yarn.ApplicationID
	resubmitted int       // after the cluster ended one
	retried     int       // after one failed
	why         string    // the last one ended
	goOn        bool      // the next begins at the newest checkpoint, whatever the options say
	began       time.Time // of the last one; zero: there was none
	pauses      *pause.Pauses
}

// again reports whether a job is to be submitted once more: because the cluster ended it, or
// because it failed and may be tried again. A job that was refused, or that a person ended, is not.
func (t *tries) again(p *Prepared, s *Submitted, o Outcome, ui UI) bool {
	switch {
	case o.Code == exit.Infrastructure && t.resubmitted < s.Job.Recovery.Resubmit:
		t.resubmitted++
		t.goOn = true
		ui.Note(fmt.Sprintf("%s (%s) was ended by the cluster: %s", p.Job.Name, s.ID, firstLine(o.View.Diagnostics)))
		ui.Note(fmt.Sprintf("it is submitted again, %d of %d (recovery.resubmit)", t.resubmitted, s.Job.Recovery.Resubmit))
	case (o.Code == exit.Infrastructure || o.Code == exit.JobFailed) && t.retried < p.Job.Retries:
		t.retried++
		t.goOn = false
		ui.Note(fmt.Sprintf("%s (%s) failed with exit code %d: %s", p.Job.Name, s.ID, o.Code, firstLine(o.View.Diagnostics)))
		ui.Note(fmt.Sprintf("it is run again, %d of %d (retries)", t.retried, p.Job.Retries))
	default:
		return false
	}
	t.before, t.why = append(t.before, s.ID), o.View.Diagnostics
	return true
}

// retryUnsubmitted reports whether a job is to be tried again that could not be submitted, for
// reasons of the cluster's.
func (t *tries) retryUnsubmitted(ctx context.Context, p *Prepared, err error) bool {
	if exit.Of(err) != exit.Infrastructure || t.retried >= p.Job.Retries || ctx.Err() != nil {
		return false
	}
	t.retried++
	if t.pauses == nil {
		t.pauses = pause.Growing(lastPoll, resubmitPause)
	}
	return true
}

// next submits a job, the first time or once more. What is wrong with a cluster that ended the job
// may last a while: that is waited for as when a job is followed.
func (c *Cluster) next(ctx context.Context, p *Prepared, ui UI, o RunOptions, past *tries) (*Submitted, error) {
	if len(past.before) == 0 {
		s, err := c.submitFrom(ctx, p, ui, o, past)
		if err != nil {
			return nil, beforeSubmit(ctx, err)
		}
		return s, nil
	}
	last := past.before[len(past.before)-1]
	began := time.Now()
	for pauses := pause.Growing(lastPoll, resubmitPause); ; {
		s, err := c.submitFrom(ctx, p, ui, o, past)
		switch {
		case err == nil:
			return s, nil
		case errors.Is(context.Cause(ctx), ErrInterrupted):
			return nil, exit.Errorf(exit.Interrupted, "%w before %s was submitted again: it had ended as %s", ErrInterrupted, p.Job.Name, last)
		case exit.Of(err) != exit.Infrastructure || time.Since(began) >= patience:
			return nil, exit.Errorf(exit.Of(err), "%s ended as %s (%s), and could not be submitted again: %w", p.Job.Name, last, firstLine(past.why), err)
		case pauses.Taken() == 0:
			ui.Note(fmt.Sprintf("not submitted, trying again for %v: %v", patience, err))
		}
		_ = pauses.Wait(ctx) // an end of ctx shows at the next try
	}
}

// submitFrom submits a job that begins where it is to.
func (c *Cluster) submitFrom(ctx context.Context, p *Prepared, ui UI, o RunOptions, past *tries) (*Submitted, error) {
	from := func(ctx context.Context, last yarn.ApplicationID) error {
		if len(past.before) > 0 {
			last = past.before[len(past.before)-1]
		}
		return c.startPoint(ctx, p, ui, o, last, past.goOn)
	}
	if p.Job.Once != "" {
		return c.enter(ctx, p, ui, from)
	}
	if err := from(ctx, yarn.ApplicationID{}); err != nil {
		return nil, err
	}
	return c.Submit(ctx, p, ui)
}

// startPoint finds where a job begins: last is the application before of the same work, if there is
// one.
func (c *Cluster) startPoint(ctx context.Context, p *Prepared, ui UI, o RunOptions, last yarn.ApplicationID, goOn bool) error {
	p.Resume = nil
	earlier := o.Earlier
	if !last.IsZero() {
		earlier = &Earlier{ID: last}
	}
	switch {
	case o.Resume == ResumeMust && !goOn:
		return c.Resume(ctx, p, earlier, ui)
	case o.Resume == Fresh && !goOn:
		return nil
	case p.Job.Checkpoint.Dir == "":
		ui.Note("it has no checkpoint.dir, and starts from the beginning")
		return nil
	}
	var none *exit.Error
	err := c.Resume(ctx, p, earlier, ui)
	if errors.As(err, &none) && none.Code == exit.Usage {
		ui.Note("it starts from the beginning: " + none.What)
		return nil
	}
	return err
}

// full names a job with all its applications.
func full(s *Submitted, before []yarn.ApplicationID) string {
	ids := s.ID.String()
	if len(before) > 0 {
		var earlier []string
		for _, id := range before {
			earlier = append(earlier, id.String())
		}
		ids += ", after " + strings.Join(earlier, ", ")
	}
	return fmt.Sprintf("%s (%s)", s.Job.Name, ids)
}

// warn says before a job runs what this cluster does to it.
func (c *Cluster) warn(p *Prepared, ui UI) {
	if c.Masters > 0 && !c.Local {
		ui.Note(term.Masters(c.Masters, launch.MasterWindow, p.Job.Recovery.Resubmit))
	}
	if c.Forgets {
		ui.Note("this cluster ends all containers when its ResourceManager restarts (yarn.resourcemanager.work-preserving-recovery.enabled is false): " +
			"if that or the job's master goes, every task starts anew from the newest checkpoint")
	}
}
