package am

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"tfos/internal/control"
	"tfos/internal/hadoop/conf"
	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/yarn"
)

// warnings is what YARN has said of containers that it is about to take away: the deadlines that
// the machine was told. YARN repeats itself with every heartbeat, and the event log need not.
type warnings map[yarn.ContainerID]time.Time

// Defaults of Hadoop's.
const (
	preemptionWait = 15 * time.Second // yarn.resourcemanager.monitor.capacity.preemption.max_wait_before_kill
	drainingWait   = time.Hour        // yarn.resourcemanager.nodemanager-graceful-decommission-timeout-secs
)

// preemptionPatience is how long after its notice YARN takes a container. The ResourceManager does
// not say: it is in its own configuration, of which the client's is a copy on most clusters.
func preemptionPatience(c *conf.Conf) (time.Duration, error) {
	return c.Duration("yarn.resourcemanager.monitor.capacity.preemption.max_wait_before_kill", time.Millisecond, preemptionWait)
}

// warn tells the machine what a heartbeat said of containers and nodes that will be taken away.
func (o *owner) warn(r yarn.AllocateResponse) {
	now := o.clock.now()
	for _, c := range slices.Concat(r.Preempt.Strict, r.Preempt.Wish) {
		if deadline, told := o.warnings[c]; told && now.Before(deadline) {
			continue
		}
		if _, ours := o.containers[c]; !ours {
			continue
		}
		deadline := now.Add(o.m.o.PreemptionPatience)
		o.warnings[c] = deadline
		o.log.Warn("container will be preempted", zap.Stringer("container", c), zap.Time("deadline", deadline))
		o.turn(membership.Warned{Container: c, Cause: membership.CausePreempted, Deadline: deadline})
	}
	for _, n := range r.Nodes {
		switch n.State {
		case yarn.NodeDecommissioning:
			wait := n.DecommissionAfter
			if wait <= 0 {
				wait = drainingWait
			}
			o.log.Warn("node is being drained", zap.Stringer("node", n.ID), zap.Duration("for", wait))
			o.turn(membership.Draining{Node: n.ID, Timeout: wait})
		case yarn.NodeRunning:
			o.turn(membership.Drained{Node: n.ID})
		case yarn.NodeDecommissioned, yarn.NodeLost, yarn.NodeRebooted, yarn.NodeShutdown:
			o.turn(membership.Drained{Node: n.ID, Gone: true})
		}
	}
	for c := range o.warnings {
		if _, ours := o.containers[c]; !ours {
			delete(o.warnings, c)
		}
	}
}

// notify tells an agent. One that is not connected hears it when it joins again: the machine sees
// to that.
func (o *owner) notify(a membership.Notify) {
	g, ok := o.agents[a.Container]
	if !ok {
		return
	}
	n := control.Notice{Reason: string(a.Cause), Left: o.clock.until(a.Deadline)}
	if s := o.m.o.Job.Notice.Signal; s != job.NoSignal {
		n.Signal = s
	}
	g.session.Notice(n)
}
