package store

import (
	"context"

	"tfos/internal/checkpoint"
)

// Pruning is what retention wants of a directory.
type Pruning struct {
	Gone    []checkpoint.Checkpoint
	Actions []checkpoint.Action // for Do
}

// PlanPrune decides what a policy lets go. Of each series that would lose something it verifies from the newest down until one is
// whole; that one stays in any case. pinned, which may be nil, names more that must stay: those that a task restores from, say. A
// checkpoint that a state file names as the newest stays without that.
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
		pruning.Gone = append(pruning.Gone, p.Superfluous(series, verdicts, stays)...)
	}
	pruning.Actions = checkpoint.Delete(l, pruning.Gone)
	return pruning, nil
}
