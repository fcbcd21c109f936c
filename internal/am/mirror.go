package am

import (
	"fmt"
	"strings"

	"go.uber.org/zap"

	"tfos/internal/checkpoint"
	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/status"
)

// mirrorOf is how a task's local checkpoints are kept; nil: it has none. A job has the size that it
// has now, and may have been submitted with another.
//
// One task copies to a directory. Tasks that train each on its own (job.StrategyNone) have a
// directory each, below the job's; of the others the leader's checkpoints are the job's, and what
// the others write is theirs alone. Where a job of that strategy was submitted with one task, that
// has the job's directory and keeps it, whatever the job's size is later.
func mirrorOf(submitted, now job.Job, t job.Task) *control.Mirror {
	if !now.Checkpoint.Local || t.Role == job.TensorBoard {
		return nil
	}
	alone := now.Strategy == job.StrategyNone && now.Trains(t.Role)
	together := now.Strategy == job.StrategyMirrored && now.Trains(t.Role)
	leads := t == now.Leader()
	m := &control.Mirror{
		URI:    launch.CheckpointURI(now.Checkpoint.Dir),
		Fetch:  leads || alone || together || t.Role == job.Evaluator,
		Upload: leads || alone,
		Shared: together && now.Trainers() > 1,
		Follow: t.Role == job.Evaluator,
	}
	switch {
	case !alone:
	case submitted.Trainers() == 1 && t.Index == 0:
		m.Others = t.Role
	default:
		m.URI = fmt.Sprintf("%s/%s-%d", strings.TrimRight(m.URI, "/"), t.Role, t.Index)
	}
	return m
}

// mirrored takes in what an agent says of its task's checkpoints.
func (o *owner) mirrored(s *control.Session, n control.MirrorNews) {
	m := o.mirrors[s.Container()]
	done := &status.Copied{Checkpoint: n.Checkpoint, Step: n.Step, Bytes: n.Bytes, Seconds: n.Took.Seconds(), At: o.clock.now()}
	switch n.What {
	case checkpoint.Fetched:
		m.Fetched = done
	case checkpoint.Uploaded:
		m.Uploaded, m.Problem = done, ""
		m.Uploads++
	case checkpoint.Recovers:
		m.Problem = ""
	case checkpoint.Broken, checkpoint.Lost:
		m.Problem = fmt.Sprintf("%s is %s: %s", n.Checkpoint, n.What, n.Problem)
	case checkpoint.Failing:
		m.Problem = n.Problem
	default:
		return // of another version
	}
	o.mirrors[s.Container()] = m
	if n.Problem != "" {
		o.log.Warn("checkpoint "+string(n.What), zap.Stringer("task", s.Task()), zap.Int("incarnation", int(n.Incarnation)),
			zap.String("checkpoint", n.Checkpoint), zap.Int64("step", n.Step), zap.String("problem", n.Problem))
	}
	o.dirty = true
}
