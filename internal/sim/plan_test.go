package sim

import (
	"flag"
	"slices"
	"strings"
	"testing"

	"tfos/internal/fault"
	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/yarn"
)

var planSeeds = flag.Int("plan-seeds", 10, "how many seeds to simulate each fault plan with")

// shapes are the jobs that plans happen to: one for each strategy.
var shapes = map[job.Strategy]string{
	job.StrategyParameterServer: "roles: {chief: {}, worker: {instances: 2}, ps: {}, evaluator: {}}",
	job.StrategyMirrored:        "roles: {worker: {instances: 3}}",
	job.StrategyV1:              "strategy: v1\nroles: {chief: {}, worker: {instances: 2}, ps: {instances: 2}}",
	job.StrategyNone:            "strategy: none\nroles: {worker: {instances: 2}}",
}

// elsewhere are the plans that this world cannot carry out: package am and test/e2e do.
var elsewhere = []string{
	"data-node-away", "manager-away", "manager-away-briefly", "manager-fails-over", "master", "master-amid-replacement", "master-node",
	"master-stops", "master-stops-for-long", "name-node-restarts", "node-manager-away", "safe-mode", "worker-amid-no-master", "worker-program-stops",
}

// TestPlans carries out every fault plan, for every strategy that has its tasks, with and without
// stable endpoints.
func TestPlans(t *testing.T) {
	t.Parallel()
	all, err := fault.All()
	if err != nil {
		t.Fatal(err)
	}
	var refused []string
	for _, n := range all {
		if n.Plan.Only("", Kinds...) != nil {
			refused = append(refused, n.Name)
			continue
		}
		t.Run(n.Name, func(t *testing.T) {
			t.Parallel()
			played := 0
			for strategy, text := range shapes {
				j, err := job.Parse("job.yaml", []byte("command: x\nsuccess: all\n"+text), nil)
				if err != nil || j.Strategy != strategy {
					t.Fatalf("%s: %s, %v", strategy, j.Strategy, err)
				}
				if _, err := n.Plan.For(j); err != nil {
					continue // it is about a role that the strategy does not have
				}
				for seed := range uint64(*planSeeds) {
					j.Endpoints = []job.Endpoints{job.EndpointsRedirect, job.EndpointsDirect}[seed%2]
					out, err := RunPlan(seed, n.Plan, j, Options{})
					if err != nil {
						t.Fatal(err)
					}
					if played++; len(out.Violations) > 0 {
						t.Fatalf("%s, %s endpoints, seed %d:\n  %s\n%s", strategy, j.Endpoints, seed, strings.Join(out.Violations, "\n  "), n.Plan)
					}
				}
			}
			if played == 0 {
				t.Error("no job has its tasks")
			}
		})
	}
	if !slices.Equal(refused, elsewhere) {
		t.Errorf("cannot carry out %v, want %v", refused, elsewhere)
	}
}

// TestPlansCatchTheirBugs breaks machines on purpose: a plan notices when a task restarts or moves
// that it did not hit.
func TestPlansCatchTheirBugs(t *testing.T) {
	t.Parallel()
	for _, b := range []struct {
		name, job, plan string
		opts            Options
	}{
		{"expects nobody's aftershock", shapes[job.StrategyMirrored] + "\nrecovery: {user-failures: 1}", "step 120 kill process worker/1", Options{Machine: func(o *membership.Options) { o.AftershockWindow = 1 }}},
		{"has everyone start anew for one that moved", shapes[job.StrategyV1], "step 120 kill agent worker/1", Options{Machine: func(o *membership.Options) { o.StableEndpoints = false }}},
		{"replaces who was gone for a moment", shapes[job.StrategyMirrored], "step 120 kill process worker/1", events(func(ev membership.Event) membership.Event {
			if e, exited := ev.(membership.Exited); exited && e.Signal == "SIGKILL" {
				return membership.Completed{Container: yarn.ContainerID{Attempt: yarn.AttemptID{Application: yarn.ApplicationID{ClusterTimestamp: 1, Sequence: 1}, Attempt: 1}, ID: 3}, Exit: 137}
			}
			return ev
		})},
	} {
		j, err := job.Parse("job.yaml", []byte("command: x\nsuccess: all\n"+b.job), nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := fault.Parse(b.plan)
		if err != nil {
			t.Fatal(err)
		}
		seen := false
		for seed := uint64(0); seed < 50 && !seen; seed++ {
			out, err := RunPlan(seed, p, j, b.opts)
			if err != nil {
				t.Fatal(err)
			}
			seen = slices.ContainsFunc(out.Violations, func(v string) bool { return strings.HasPrefix(v, "plan: ") })
		}
		if !seen {
			t.Errorf("not seen: a machine that %s", b.name)
		}
	}
}

func TestPlanThatCannotBe(t *testing.T) {
	p, err := fault.Parse("step 5 kill master")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := RunPlan(1, p, job.Job{}, Options{}); err == nil || !strings.Contains(err.Error(), "the simulation cannot kill master") {
		t.Errorf("got %v", err)
	}
}
