package am

import (
	"tfos/internal/am/keeper"
	"tfos/internal/checkpoint"
	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/membership"
)

func (m *Master) newKeeper() *keeper.Keeper {
	c := m.o.Job.Checkpoint
	return keeper.New(keeper.Options{
		Dir: c.Dir, Keep: checkpoint.Policy{Keep: c.Keep, KeepEvery: c.KeepEvery}, Local: c.Local, Resolver: m.o.Files,
		Tell: func(ev membership.Event) { m.post(ev) },
		Log:  m.log.Named("checkpoints"),
	})
}

// training is how far the programs say that they are, to be told to the machine before it matters.
// It is part of the owner.
type training struct {
	told     membership.Progressed
	unsteady bool
	fresh    bool             // a step has changed since the machine was told
	starts   int              // of processes so far
	reported map[job.Task]int // how many there were at a task's last report
}

// report takes a task's step in. A counted one that goes back while nothing was started counts
// something else than training: after a start it is a program that restored.
func (t *training) report(task job.Task, was, is control.Progress) {
	if is.Counted == 0 {
		return
	}
	if t.reported == nil {
		t.reported = make(map[job.Task]int)
	}
	if was.Incarnation == is.Incarnation && is.Counted < was.Counted && t.reported[task] == t.starts {
		t.unsteady = true
	}
	t.reported[task] = t.starts
}

// tellSteps tells the machine how far the job is, before an event that may be a loss, and before a
// process is there, which has no part in the steps before it. Steps are no events themselves: the
// event log would hold little else.
func (o *owner) tellSteps(ev membership.Event) {
	switch ev.(type) {
	case membership.Exited, membership.Completed, membership.Left, membership.LaunchFailed, membership.Started, membership.Stalled:
	default:
		return
	}
	t := &o.training
	if !t.fresh {
		return
	}
	t.fresh = false
	is := membership.Progressed{Unsteady: t.unsteady}
	for _, p := range o.progress {
		is.Step, is.Guess = max(is.Step, p.Counted), max(is.Guess, p.Step)
	}
	if is == t.told {
		return
	}
	t.told = is
	o.turn(is)
}

// startPoint is where a process that starts now goes on; nil: that is not known.
func (o *owner) startPoint() *launch.StartPoint {
	path, step, ok := o.machine.Restores()
	first := o.m.o.Manifest.Resume
	if !ok {
		return first
	}
	r := launch.StartPoint{Checkpoint: path, Step: step}
	if step < 0 {
		r.Step = checkpoint.Unknown
	}
	if first != nil {
		r.From = first.From
	}
	return &r
}
