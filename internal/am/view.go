package am

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"tfos/internal/control"
	"tfos/internal/launch"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// view is the job as the machine sees it, with what only the master knows.
func (o *owner) view() status.View {
	v := o.machine.View()
	v.ID = o.m.o.Container.Attempt.Application.String()
	v.User = o.m.o.Manifest.User
	v.Queue = cmp.Or(o.queue, v.Queue)
	v.Progress = o.fraction(v.Tasks)
	v.Inputs = o.inputs.view()
	v.Recovery.Masters, v.Recovery.MasterWindow, v.Recovery.Resubmit = o.m.o.Masters, launch.MasterWindow.Seconds(), o.m.o.Job.Recovery.Resubmit
	for _, p := range append([]string{o.silence, o.waiting.problem, o.journal.problem, o.inputs.problem, o.overdue()}, o.standing(v.ID)...) {
		if p != "" {
			v.Problems = append(v.Problems, p)
		}
	}
	v.TensorBoard = o.m.boardURL()
	if r := o.m.o.Manifest.Resume; r != nil {
		v.ResumedFrom = r.From
	}
	if !o.m.o.Submitted.IsZero() {
		v.Started = o.m.o.Submitted
	}
	for i := range v.Tasks {
		task := v.Tasks[i].ID()
		p, lives := o.progress[task], o.machine.Container(task)
		v.Tasks[i].Step, v.Tasks[i].Steps = p.Step, p.Steps
		if p.Loss.Known {
			loss := p.Loss.Value
			v.Tasks[i].Loss = &loss
		}
		v.Tasks[i].MemoryBytes, v.Tasks[i].CPU = p.Memory, p.CPU
		v.Tasks[i].StepRate = o.meters[task].rate(o.clock.now())
		v.Tasks[i].LogURL = o.logURL(o.containers[lives])
		o.viewPeers(&v.Tasks[i], o.peers[lives])
		if m, ok := o.mirrors[lives]; ok {
			v.Tasks[i].Mirror = &m
		}
	}
	return v
}

// maxPeers is how many tasks a job may have for each to show each: beyond it the document would
// grow with their square.
const maxPeers = 64

// viewPeers shows how a task reaches the others.
func (o *owner) viewPeers(t *status.Task, p control.Peers) {
	t.Endpoints, t.EndpointsReason, t.Peers = string(p.Endpoints), p.Reason, []status.Peer{}
	all := status.Peer{}
	for _, c := range p.Counters {
		one := status.Peer{Task: c.Task.String(), Connections: c.Connections, Refused: c.Refused, Resets: c.Resets, Sent: c.Sent, Received: c.Received}
		if len(o.spec.Members) <= maxPeers {
			t.Peers = append(t.Peers, one)
			continue
		}
		all = all.Plus(one)
	}
	if all != (status.Peer{}) {
		t.Peers = append(t.Peers, all)
	}
}

// document is the status document of the end.
func (o *owner) document(v status.View) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		o.log.Error("status document not made", zap.Error(err))
	}
	return b
}

// progressEvery is how old the progress may be that YARN is told: it is a look at every task, for
// people to see.
const progressEvery = time.Second

// share is fraction, at most progressEvery old.
func (o *owner) share() float64 {
	if now := o.clock.now(); now.Sub(o.said.at) >= progressEvery {
		o.said.at, o.said.is = now, o.fraction(o.machine.View().Tasks)
	}
	return o.said.is
}

// formed is the part of the progress that a complete gang stands for; the rest is that of the
// program.
const formed = 0.1

// fraction is how far the job is, from 0 to 1: while the gang forms the part of the agents that
// joined, afterwards the most that a program said of its steps, or else the part of the tasks whose
// end decides that have ended well.
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
		if p := o.progress[t.ID()]; p.Steps > 0 {
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

// fits reports what of the job the cluster can never hold, by what the ResourceManager says of its
// largest container and of the resources it counts. The client looked at it before; a queue may
// still have limits of its own.
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
	if r.CountsVCores && o.m.o.Manifest.VCores != "" {
		return errors.New(o.m.o.Manifest.VCores)
	}
	return nil
}
