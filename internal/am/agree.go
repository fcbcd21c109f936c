package am

import (
	"fmt"

	"go.uber.org/zap"

	"tfos/internal/control"
	"tfos/internal/job"
)

// agree sees to it that the tasks of a job understand each other's addresses. A coordinator of
// parameter servers hands its own cluster_spec to all others, who then connect to what it says: the
// virtual addresses of redirect mean nothing to a process that cannot be redirected. So when one
// task has taken forward, all do.
//
// Where each process reads its own cluster_spec, some may be redirected and others not.
func (o *owner) agree(t job.Task, p control.Peers) {
	j := o.m.o.Job
	if o.forward != "" || p.Endpoints != job.EndpointsForward || j.Endpoints != job.EndpointsRedirect ||
		j.Strategy != job.StrategyParameterServer || t.Role == job.Evaluator {
		return
	}
	o.forward = fmt.Sprintf("%s cannot be redirected, and the coordinator's addresses have to hold for all: %s", t, p.Reason)
	o.log.Warn("all tasks take forward", zap.Stringer("task", t), zap.String("reason", p.Reason))
	for container, a := range o.agents {
		if o.peers[container].Endpoints != job.EndpointsForward {
			a.session.Forward(o.forward)
		}
	}
}
