package am

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/stall"
)

// interrupt tells the watch over the steps of processes that were lost.
func (o *owner) interrupt(ev membership.Event) {
	switch ev := ev.(type) {
	case membership.Exited:
		o.steps.Interrupt(ev.Task)
	case membership.Left:
		o.steps.Interrupt(ev.Task)
	}
}

// standStill says that the training takes no steps, and has the stacks of its processes written
// into their logs. If it is still so a while later, they are started again, if the job wants that.
func (o *owner) standStill() {
	for _, s := range o.steps.Check(o.clock.now()) {
		if _, over := o.machine.Result(); over {
			return
		}
		ev := event(s)
		if !s.Again {
			o.log.Warn("the training stands still", zap.Stringer("task", s.Task), zap.Int64("step", s.Step), zap.Duration("silent", s.Silent), zap.Duration("usual", s.Usual))
			o.askForStacks(s.Task, ev.Says())
			o.turn(ev)
			o.tell(job.EventStall, "takes no steps: "+ev.Says())
		} else if ev.Restart = o.m.o.Job.Stall.Restart; ev.Restart {
			o.turn(ev)
		}
	}
}

func event(s stall.Stall) membership.Stalled {
	return membership.Stalled{Task: s.Task, Step: s.Step, Silent: s.Silent, Usual: s.Usual}
}

// askForStacks asks the agent of a task, or all agents: who of those that step together holds up
// the others is what the stacks are to show.
func (o *owner) askForStacks(task job.Task, why string) {
	for _, g := range o.agents {
		if task == (job.Task{}) || task == g.session.Task() {
			g.session.Stacks(why)
		}
	}
}

// standing says what stands still now.
func (o *owner) standing(application string) []string {
	if _, over := o.machine.Result(); over {
		return nil
	}
	var all []string
	for _, s := range o.steps.Standing(o.clock.now()) {
		// The sentence stays as long as the stall does: whoever follows the job is told of each new
		// one.
		says := fmt.Sprintf("no step since %s, where %v is usual (at step %d): the stacks of its processes are in their logs, and tfos stacks %s shows them now",
			s.Since.Format(time.TimeOnly+" MST"), s.Usual.Round(10*time.Millisecond), s.Step, application)
		if s.Task != (job.Task{}) {
			says = s.Task.String() + ": " + says
		}
		all = append(all, says)
	}
	return all
}
