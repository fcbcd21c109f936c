package client

import (
	"context"
	"errors"
	"io"

	"tfos/internal/client/exit"
	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// Debug writes a page of the inside of a running job's master, or of a task's agent; without a page
// which there are. A zero task means the master.
func (c *Cluster) Debug(ctx context.Context, id yarn.ApplicationID, task job.Task, page string, w io.Writer) error {
	r, key, err := c.inside(ctx, id)
	if err != nil {
		return err
	}
	process, err := c.process(ctx, r, key, task)
	if err != nil {
		return err
	}
	defer process.Close()
	switch err := process.Debug(ctx, page, w); {
	case errors.Is(err, control.ErrNoPage):
		return exit.Errorf(exit.Usage, "there is no page %q", page).Try("without --page the pages are listed")
	case errors.Is(err, control.ErrUnreachable):
		return exit.Errorf(exit.Infrastructure, "%s: %w", id, err).Try(outOfReach)
	default:
		return err
	}
}

// inside is what is needed to look into a job, which must run.
func (c *Cluster) inside(ctx context.Context, id yarn.ApplicationID) (yarn.Report, control.Identity, error) {
	r, err := c.report(ctx, id)
	if err != nil {
		return r, control.Identity{}, err
	}
	if !c.hasMaster(ctx, r) {
		return r, control.Identity{}, exit.Errorf(exit.Refused, "%s does not run: there is nothing to look into", id).Try("%s shows where it stands", c.command("status "+id.String()))
	}
	key, err := c.key(ctx, id)
	return r, key, err
}

// process is a process of a job that shows its inside.
type process interface {
	Debug(ctx context.Context, page string, w io.Writer) error
	Close() error
}

func (c *Cluster) process(ctx context.Context, r yarn.Report, key control.Identity, task job.Task) (process, error) {
	if task == (job.Task{}) {
		m, err := c.master(ctx, r, key)
		if err != nil {
			return nil, masterSilent(r.ID, err)
		}
		return m, nil
	}
	v, err := c.look(ctx, r)
	if err != nil {
		return nil, masterSilent(r.ID, err)
	}
	agent, err := agentOf(v, task)
	if err != nil {
		return nil, err
	}
	return c.Peers.Agent(agent, key)
}

// agentOf is where the agent of a task is.
func agentOf(v status.View, task job.Task) (string, error) {
	t, ok := v.Find(task)
	if !ok {
		return "", exit.Errorf(exit.Usage, "%s has no task %s", v.ID, task)
	}
	if t.Agent == "" {
		return "", exit.Errorf(exit.Refused, "%s has no agent now: it is %s", task, t.State)
	}
	return t.Agent, nil
}
