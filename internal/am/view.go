package am

import (
	"encoding/json"
	"fmt"

	"go.uber.org/zap"

	"tfos/internal/job"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// view is the job as the machine sees it, with what only the master knows.
func (o *owner) view() status.View {
	v := o.machine.View()
	v.ID = o.m.o.Container.Attempt.Application.String()
	v.User = o.m.o.Manifest.User
	v.Progress = o.fraction(v.Tasks)
	v.Inputs = o.inputs.view()
	if r := o.m.o.Manifest.Resume; r != nil {
		v.ResumedFrom = r.From
	}
	if !o.m.o.Submitted.IsZero() {
		v.Started = o.m.o.Submitted
	}
	for i := range v.Tasks {
		p := o.progress[job.Task{Role: v.Tasks[i].Role, Index: v.Tasks[i].Index}]
		v.Tasks[i].Step, v.Tasks[i].Steps = p.Step, p.Steps
	}
	return v
}

// publish makes a new status document, for watchers and for the result file.
func (o *owner) publish() {
	b, err := json.Marshal(o.view())
	if err != nil {
		o.log.Error("status document not made", zap.Error(err))
		return
	}
	o.document, o.dirty = b, false
	o.server.Publish(b)
}

// formed is the part of the progress that a complete gang stands for; the rest is that of the program.
const formed = 0.1

// fraction is how far the job is, from 0 to 1: while the gang forms the part of the agents that joined, afterwards the most
// that a program said of its steps, or else the part of the tasks whose end decides that have ended well.
func (o *owner) fraction(tasks []status.Task) float64 {
	total, decide, done, joined := 0, 0, 0, 0
	best := 0.0
	for _, t := range tasks {
		total++
		if t.Address != "" {
			joined++
		}
		if o.m.o.Job.Decides(t.Role) {
			decide++
			if t.State == status.Succeeded {
				done++
			}
		}
		if p := o.progress[job.Task{Role: t.Role, Index: t.Index}]; p.Steps > 0 {
			best = max(best, min(1, float64(p.Step)/float64(p.Steps)))
		}
	}
	switch {
	case o.spec.Generation == 0:
		return formed * float64(joined) / float64(total)
	case done == decide:
		return 1
	}
	return formed + (1-formed)*max(best, float64(done)/float64(decide))
}

// fits reports what of the job the cluster can never hold, by what the ResourceManager says of its largest container and of
// the resources it counts. The client looked at it before; a queue may still have limits of its own.
func (o *owner) fits(r yarn.Registered) error {
	if r.Max.MemoryMiB == 0 {
		return nil // it was not told
	}
	for _, role := range o.m.o.Job.Roles {
		want := role.YARN()
		if !want.Fits(r.Max) {
			return fmt.Errorf("%s wants %s, and the largest container of queue %s is %s: lower the role's resources", role.Name, want, r.Queue, r.Max)
		}
		if len(r.ResourceTypes) > 0 { // Hadoop 2 does not tell
			if err := yarn.CheckResource(r.ResourceTypes, want); err != nil {
				return fmt.Errorf("%s: %w", role.Name, err)
			}
		}
	}
	return nil
}
