package am

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/job"
)

// TestAllTakeForwardWithACoordinator: one task of a parameter-server job cannot be redirected.
// Under mirrored each reads its own cluster_spec, and it stays alone.
func TestAllTakeForwardWithACoordinator(t *testing.T) {
	for _, c := range []struct {
		strategy job.Strategy
		want     []string
	}{
		{job.StrategyParameterServer, []string{"chief/0", "ps/0", "worker/1"}},
		{job.StrategyV1, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, plan{"chief/0#1": after(time.Minute, 0)}.programs())
			w.bare = job.Task{Role: "worker"}
			v := w.succeeded(t, digits+"strategy: "+string(c.strategy)+"\n")
			slices.Sort(w.forwarded)
			expect(t, "told to take forward", w.forwarded, c.want)
			for _, task := range v.Tasks {
				if all := c.want != nil; all && task.Endpoints != "forward" {
					t.Errorf("%s/%d reaches its peers by %q", task.Role, task.Index, task.Endpoints)
				}
			}
		})
	}
}
