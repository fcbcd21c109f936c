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

// again reports whether a job is to be submitted once more: the cluster ended it, and neither its
// program nor a person did.
func again(s *Submitted, o Outcome, before []yarn.ApplicationID) bool {
	return o.Code == exit.Infrastructure && len(before) < s.Job.Recovery.Resubmit
}

// resubmit submits a job once more, which goes on at its newest whole checkpoint. before are its
// applications so far. What is wrong with the cluster may last a while: that is waited for as when
// a job is followed.
func (c *Cluster) resubmit(ctx context.Context, p *Prepared, before []yarn.ApplicationID, why string, ui UI) (*Submitted, error) {
	last := before[len(before)-1]
	ui.Note(fmt.Sprintf("%s (%s) was ended by the cluster: %s", p.Job.Name, last, firstLine(why)))
	ui.Note(fmt.Sprintf("it is submitted again, %d of %d (recovery.resubmit)", len(before), p.Job.Recovery.Resubmit))
	began := time.Now()
	for pauses := pause.Growing(lastPoll, resubmitPause); ; {
		s, err := c.submitFrom(ctx, p, last, ui)
		switch {
		case err == nil:
			return s, nil
		case errors.Is(context.Cause(ctx), ErrInterrupted):
			return nil, exit.Errorf(exit.Interrupted, "%w before %s was submitted again: it had been ended by the cluster as %s", ErrInterrupted, p.Job.Name, last)
		case exit.Of(err) != exit.Infrastructure || time.Since(began) >= patience:
			return nil, exit.Errorf(exit.Of(err), "%s was ended by the cluster as %s (%s), and could not be submitted again: %w", p.Job.Name, last, firstLine(why), err)
		case pauses.Taken() == 0:
			ui.Note(fmt.Sprintf("not submitted, trying again for %v: %v", patience, err))
		}
		_ = pauses.Wait(ctx) // an end of ctx shows at the next try
	}
}

// submitFrom submits a job that goes on where an application of it ended, or starts over if there
// is no checkpoint.
func (c *Cluster) submitFrom(ctx context.Context, p *Prepared, last yarn.ApplicationID, ui UI) (*Submitted, error) {
	p.Resume = nil
	if p.Job.Checkpoint.Dir == "" {
		ui.Note("it has no checkpoint.dir, and starts from the beginning")
		return c.Submit(ctx, p, ui)
	}
	var none *exit.Error
	switch err := c.Resume(ctx, p, &Earlier{ID: last}, ui); {
	case errors.As(err, &none) && none.Code == exit.Usage:
		ui.Note("it starts from the beginning: " + none.What)
	case err != nil:
		return nil, err
	}
	return c.Submit(ctx, p, ui)
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
