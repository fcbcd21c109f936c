package am

import (
	"tfos/internal/am/input"
	"tfos/internal/job"
	"tfos/internal/lease"
	"tfos/internal/membership"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

func (m *Master) newInput() *input.Input {
	return input.New(input.Options{
		Files:   input.Globs{Resolver: m.o.Files},
		Store:   input.Beside{Resolver: m.o.Files, Dir: m.o.Job.Checkpoint.Dir},
		Journal: &input.Journal{FS: m.o.FS, Dir: m.o.Manifest.Staging, Attempt: m.o.Container.Attempt.Attempt},
		Changed: func(v []lease.View, problem string) { m.post(shared{v, problem}) },
		Log:     m.log.Named("input"),
	})
}

// shared is a word of the input's owner: how far it is, and what is in its way.
type shared struct {
	views   []lease.View
	problem string
}

// inputs is what the owner knows of the job's input: how far it is, and where the processes live that read it, so that those
// that are lost lose what they hold. It is part of the owner.
type inputs struct {
	lose  func(job.Task, job.Incarnation)
	lives map[job.Task]life
	tasks map[yarn.ContainerID]job.Task // whose container it is, or was
	shared
}

// life is where a task lives, and its newest incarnation.
type life struct {
	container   yarn.ContainerID
	incarnation job.Incarnation
}

func newInputs(lose func(job.Task, job.Incarnation)) inputs {
	return inputs{lose: lose, lives: make(map[job.Task]life), tasks: make(map[yarn.ContainerID]job.Task)}
}

// turn tells the input's owner of processes that are lost by an event, or by what membership does about it. Whatever is started
// then finds their leases free.
func (i *inputs) turn(ev membership.Event, actions []membership.Action) {
	switch ev := ev.(type) {
	case membership.Exited:
		i.lose(ev.Task, ev.Incarnation)
	case membership.Completed:
		i.leave(ev.Container)
	case membership.Joined:
		if ev.Incarnation > i.lives[ev.Task].incarnation { // this master did not start it
			i.enter(ev.Task, ev.Container, ev.Incarnation)
		}
	}
	for _, a := range actions {
		switch a := a.(type) {
		case membership.Launch:
			i.enter(a.Task, a.Container, a.Incarnation)
		case membership.StartProcess:
			i.enter(a.Task, i.lives[a.Task].container, a.Incarnation)
		case membership.Release:
			i.leave(a.Container)
		}
	}
}

// enter notes a new incarnation; those before it are lost.
func (i *inputs) enter(t job.Task, c yarn.ContainerID, n job.Incarnation) {
	i.lives[t], i.tasks[c] = life{c, n}, t
	i.lose(t, n-1)
}

// leave takes everything from the processes of a container that is gone, or given back.
func (i *inputs) leave(c yarn.ContainerID) {
	t, ok := i.tasks[c]
	if l := i.lives[t]; ok && l.container == c {
		i.lose(t, l.incarnation)
	}
	delete(i.tasks, c)
}

// view is the input as the status document has it.
func (i *inputs) view() []status.Input {
	all := make([]status.Input, 0, len(i.views))
	for _, v := range i.views {
		all = append(all, status.Input{Name: v.Name, Role: v.Role, Epoch: v.Epoch, Epochs: v.Epochs, Done: v.Done, Total: v.Total, Leased: v.Leased})
	}
	return all
}
