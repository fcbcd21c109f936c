package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"tfos/internal/client/exit"
	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// How many agents are asked for stacks at once, and how long one may take: its program's processes
// have a few seconds each.
const (
	stacksAtOnce   = 16
	stacksPatience = time.Minute
)

// Stacks writes where the processes of a running job's tasks are: of one task, or with a zero one
// of all that have an agent.
func (c *Cluster) Stacks(ctx context.Context, id yarn.ApplicationID, task job.Task, w io.Writer) error {
	r, key, err := c.inside(ctx, id)
	if err != nil {
		return err
	}
	v, err := c.look(ctx, r)
	if err != nil {
		return masterSilent(id, err)
	}
	var tasks []status.Task
	for _, t := range v.Tasks {
		if t.Agent != "" && (task == job.Task{} || t.ID() == task) {
			tasks = append(tasks, t)
		}
	}
	if len(tasks) == 0 && task != (job.Task{}) {
		_, err := agentOf(v, task)
		return err
	}
	if len(tasks) == 0 {
		return exit.Errorf(exit.Refused, "%s has no task with an agent now", id).Try("%s shows what it waits for", c.command("status "+id.String()))
	}
	texts, silent := make([]bytes.Buffer, len(tasks)), make([]error, len(tasks))
	var g errgroup.Group
	g.SetLimit(stacksAtOnce)
	for i, t := range tasks {
		g.Go(func() error {
			silent[i] = c.stacks(ctx, t.Agent, key, &texts[i])
			return nil
		})
	}
	_ = g.Wait() // none fails
	for i, t := range tasks {
		if silent[i] != nil {
			fmt.Fprintf(&texts[i], "its agent does not tell: %v\n", silent[i])
			silent[i] = fmt.Errorf("%s: %w", t.ID(), silent[i])
		}
		if _, err := fmt.Fprintf(w, "==> %s#%d on %s, %s, step %d <==\n%s\n", t.ID(), t.Incarnation, t.Node, t.State, t.Step, &texts[i]); err != nil {
			return err
		}
	}
	if err := errors.Join(silent...); err != nil {
		return exit.Errorf(exit.Infrastructure, "%w", err).Try(outOfReach)
	}
	return nil
}

// stacks asks one agent.
func (c *Cluster) stacks(ctx context.Context, agent string, key control.Identity, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, stacksPatience)
	defer cancel()
	a, err := c.Peers.Agent(agent, key)
	if err != nil {
		return err
	}
	defer a.Close()
	return a.Debug(ctx, control.StacksPage, w)
}
