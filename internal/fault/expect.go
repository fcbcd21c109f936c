package fault

import (
	"maps"
	"slices"
	"time"

	"tfos/internal/job"
)

// How long a silent agent is waited for (docs/job-file.md): longer where its node answers. Whoever
// is silent for clearly longer is replaced. Of silence for about as long nothing can be expected.
const (
	patience     = 5 * time.Second
	nodePatience = 30 * time.Second
)

// Expectation is what a plan may cost a job: everyone else's process and container is the same
// afterwards.
type Expectation struct {
	Moves    map[job.Task]bool // get a new container
	Restarts map[job.Task]bool // get a new process, those that move included
}

// Expect tells what the plan costs. It is written from docs/job-file.md, apart from the code that
// decides (package membership), to be held against it. Neighbours are the tasks on the node that a
// task is on, itself included. Stable says that peers find a task that moves by themselves; else
// all of them start anew.
func (p Plan) Expect(j job.Job, stable bool, neighbours func(job.Task) []job.Task) Expectation {
	e := Expectation{Moves: make(map[job.Task]bool), Restarts: make(map[job.Task]bool)}
	for _, f := range p {
		switch f.Kind {
		case KillProcess:
			e.Restarts[f.Task] = true
		case KillAgent:
			e.Moves[f.Task] = true
		case StopAgent, MuteAgent, CutAgent:
			if f.For > f.patience() {
				e.Moves[f.Task] = true
			}
		case KillNode, StopNode, CutNode:
			for _, t := range neighbours(f.Task) {
				if f.Kind == KillNode || f.For > f.patience() {
					e.Moves[t] = true
				}
			}
		}
	}
	maps.Copy(e.Restarts, e.Moves)
	hit := slices.SortedFunc(maps.Keys(e.Restarts), job.Task.Compare)
	for _, t := range j.Tasks() {
		follows := func(lost job.Task) bool { return follows(j, t, lost) || !stable && e.Moves[lost] && meet(t, lost) }
		if slices.ContainsFunc(hit, follows) {
			e.Restarts[t] = true
		}
	}
	return e
}

// patience is how long an agent is waited for that is silent by this fault. Where processes stand
// still, their node's system goes on.
func (f Fault) patience() time.Duration {
	if f.Kind == StopAgent || f.Kind == StopNode {
		return nodePatience
	}
	return patience
}

// follows reports whether t's process starts anew because lost's was lost.
func follows(j job.Job, t, lost job.Task) bool {
	switch j.Strategy {
	case job.StrategyParameterServer:
		return t == j.Leader() && j.Part(lost.Role) == job.PartServes
	case job.StrategyMirrored:
		return j.Trains(t.Role) && j.Trains(lost.Role)
	}
	return false
}

// meet reports whether a task's address is in the other's cluster_spec.
func meet(t, u job.Task) bool { return !job.Apart(t.Role) && !job.Apart(u.Role) }
