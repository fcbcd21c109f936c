package client

import (
	"context"
	"errors"
	"fmt"
	"path"

	"tfos/internal/client/exit"
	"tfos/internal/client/preflight"
	"tfos/internal/client/stage"
	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// Scale gives a role of a running job another number of tasks, if the cluster can ever hold them.
// It returns when the job's master has taken the wish; note is told what happens then.
func (c *Cluster) Scale(ctx context.Context, id yarn.ApplicationID, wish control.ScaleWish, note func(string)) error {
	r, err := c.report(ctx, id)
	if err != nil {
		return err
	}
	if !c.hasMaster(ctx, r) {
		what := "has not started yet"
		if r.State.Terminal() {
			what = "has ended"
		}
		return exit.Errorf(exit.Refused, "%s %s: only a running job changes its size", id, what)
	}
	v, err := c.look(ctx, r)
	if err != nil {
		return masterSilent(id, err)
	}
	j, err := c.JobOf(ctx, id)
	if err != nil {
		return err
	}
	j, grows := atSize(j, v, wish)
	if grows {
		if wish.VCores, err = c.fitsIn(ctx, j, r.Queue); err != nil {
			return err
		}
	}
	answer, err := c.askToScale(ctx, r, wish)
	switch {
	case err != nil:
		return masterSilent(id, err)
	case answer.Refused != "" && answer.Usage:
		return exit.Errorf(exit.Usage, "%s: %s", id, answer.Refused)
	case answer.Refused != "":
		return exit.Errorf(exit.Refused, "%s: %s", id, answer.Refused)
	}
	if short := preflight.MasterShort(j); short != "" {
		note(short)
	}
	note(scaled(id, j, answer.Was, wish))
	return nil
}

func masterSilent(id yarn.ApplicationID, err error) error {
	var known *exit.Error
	if errors.As(err, &known) {
		return err
	}
	return exit.Errorf(exit.Infrastructure, "%s: its master cannot be asked: %w", id, err).Try(outOfReach)
}

// JobOf reads a job as it was submitted.
func (c *Cluster) JobOf(ctx context.Context, id yarn.ApplicationID) (job.Job, error) {
	name := path.Join(c.jobDir(id), launch.JobFile)
	b, err := c.readFile(ctx, name)
	if err != nil {
		return job.Job{}, stage.Explain(c.FS, "read", name, err)
	}
	return job.Parse(launch.JobFile, b, nil)
}

// atSize is a job, as it was submitted, at the size that is wished for: its other roles have the
// sizes that they have now. What makes no sense is left to the master to say.
func atSize(submitted job.Job, now status.View, wish control.ScaleWish) (j job.Job, grows bool) {
	j = submitted
	for _, r := range now.Roles {
		j = j.Sized(r.Name, r.Instances)
	}
	if r, ok := j.Role(wish.Role); ok {
		grows = wish.Count > r.Instances
	}
	return j.Sized(wish.Role, wish.Count), grows
}

// fitsIn asks the cluster whether it can ever hold a job in a queue. The string is what speaks
// against it if the scheduler counts vcores, as the master knows.
func (c *Cluster) fitsIn(ctx context.Context, j job.Job, queue string) (string, error) {
	app, err := c.newApplication(ctx)
	if err != nil {
		return "", err
	}
	facts, err := c.facts(ctx, app.Max)
	if err != nil {
		return "", err
	}
	if err := c.fits(ctx, j, &facts, queue); err != nil {
		return "", err
	}
	return counting(j, facts), nil
}

func (c *Cluster) askToScale(ctx context.Context, r yarn.Report, wish control.ScaleWish) (control.ScaleAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	key, err := c.key(ctx, r.ID)
	if err != nil {
		return control.ScaleAnswer{}, err
	}
	m, err := c.master(ctx, r, key)
	if err != nil {
		return control.ScaleAnswer{}, err
	}
	defer m.Close()
	return m.Scale(ctx, wish)
}

// scaled says what the wish comes to.
func scaled(id yarn.ApplicationID, j job.Job, was int, wish control.ScaleWish) string {
	if was == wish.Count {
		return fmt.Sprintf("%s has %d of %s already", id, was, wish.Role)
	}
	line := fmt.Sprintf("%s goes from %d to %d of %s", id, was, wish.Count, wish.Role)
	trains := j.Trains(wish.Role)
	switch {
	case trains && j.Strategy == job.StrategyMirrored && wish.Count > was:
		return line + "; once the new ones are there all start again in place, from the newest checkpoint"
	case trains && j.Strategy == job.StrategyMirrored:
		return line + "; the others start again in place, from the newest checkpoint"
	case trains && j.Strategy == job.StrategyV1 && wish.Count > was:
		return line + "; once the new ones are there all start again in place, the parameter servers too, from the newest checkpoint"
	case trains && j.Strategy == job.StrategyParameterServer && wish.Count > was && !wish.RestartCoordinator:
		return line + "; the coordinator uses the new ones when it starts next (--restart-coordinator has it do so at once)"
	}
	return line
}
