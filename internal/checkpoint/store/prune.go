package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"tfos/internal/checkpoint"
)

// Pruning is what retention wants of a directory.
type Pruning struct {
	Gone    []checkpoint.Checkpoint
	Actions []checkpoint.Action // for Do
}

// PlanPrune decides what a policy lets go. Of each series that would lose something it verifies
// from the newest down until one is whole; that one stays in any case, and so does what cannot be
// judged, as far as the indexes tell. pinned, which may be nil, names more that must stay: those
// that a task restores from, say. A checkpoint that a state file names as the newest stays without
// that.
func (d *Directory) PlanPrune(ctx context.Context, p checkpoint.Policy, pinned func(name string) bool) (Pruning, error) {
	l, err := d.List(ctx)
	if err != nil {
		return Pruning{}, err
	}
	stays := func(name string) bool { return checkpoint.Pinned(l, name) || pinned != nil && pinned(name) }
	var pruning Pruning
	for _, series := range checkpoint.Series(l) {
		if p.Keep == 0 || len(series) <= p.Keep {
			continue
		}
		verdicts := map[string]checkpoint.Verdict{}
		for i := len(series) - 1; i >= 0; i-- {
			v, err := d.Verify(ctx, series[i], nil)
			if err != nil {
				return Pruning{}, err
			}
			if verdicts[series[i].Name] = v; v.Whole {
				break
			}
		}
		for _, c := range p.Superfluous(series, verdicts, stays) {
			doubtful, err := d.doubtful(ctx, c)
			if err != nil {
				return Pruning{}, err
			}
			if !doubtful {
				pruning.Gone = append(pruning.Gone, c)
			}
		}
	}
	pruning.Actions = checkpoint.Delete(l, pruning.Gone)
	return pruning, nil
}

// doubtful reports whether a checkpoint cannot be judged, without reading all of it.
func (d *Directory) doubtful(ctx context.Context, c checkpoint.Checkpoint) (bool, error) {
	plan, err := checkpoint.NewPlan(c, d.opener(ctx), d.options.PieceSize)
	switch {
	case errors.As(err, new(*checkpoint.Problem)), errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.As(err, new(*checkpoint.Doubt)):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("look at %s: %w", path.Join(d.dir, c.Name), err)
	}
	return plan.Doubtful(), nil
}
