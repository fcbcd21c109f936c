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

// warnings is what YARN has said of containers and nodes that it is about to take away.
type warnings struct {
	containers map[yarn.ContainerID]time.Time // preempted: the deadlines that were told
	nodes      map[yarn.NodeID]time.Time      // draining: their deadlines
}

// Defaults of Hadoop's.
const (
	preemptionWait = 15 * time.Second // yarn.resourcemanager.monitor.capacity.preemption.max_wait_before_kill
	drainingWait   = time.Hour        // yarn.resourcemanager.nodemanager-graceful-decommission-timeout-secs
)

// preemptionPatience is how long after its notice YARN takes a container. The ResourceManager does not say: it is in its own
// configuration, of which the client's is a copy on most clusters.
func preemptionPatience(c *conf.Conf) (time.Duration, error) {
	return c.Duration("yarn.resourcemanager.monitor.capacity.preemption.max_wait_before_kill", time.Millisecond, preemptionWait)
}

// warn tells the machine what a heartbeat said of containers that will be taken away. The ResourceManager repeats itself.
func (o *owner) warn(r yarn.AllocateResponse) {
	now := time.Now()
	for _, c := range slices.Concat(r.Preempt.Strict, r.Preempt.Wish) {
		if deadline, told := o.warnings.containers[c]; told && now.Before(deadline) {
			continue
		}
		if _, ours := o.containers[c]; !ours {
			continue
		}
		deadline := now.Add(o.m.o.PreemptionPatience)
		o.warnings.containers[c] = deadline
		o.log.Warn("container will be preempted", zap.Stringer("container", c), zap.Time("deadline", deadline))
		o.turn(membership.Warned{Container: c, Cause: membership.CausePreempted, Deadline: deadline})
	}
	for _, n := range r.Nodes {
		_, draining := o.warnings.nodes[n.ID]
		switch {
		case n.State == yarn.NodeDecommissioning && !draining:
			wait := n.DecommissionAfter
			if wait <= 0 {
				wait = drainingWait
			}
			o.warnings.nodes[n.ID] = now.Add(wait)
			o.log.Warn("node is being drained", zap.Stringer("node", n.ID), zap.Duration("for", wait))
			for _, c := range o.on(n.ID) {
				o.turn(membership.Warned{Container: c, Cause: membership.CauseDraining, Deadline: now.Add(wait)})
			}
		case n.State == yarn.NodeRunning && draining:
			delete(o.warnings.nodes, n.ID)
			o.log.Info("node is not drained any more", zap.Stringer("node", n.ID))
			for _, c := range o.on(n.ID) {
				o.turn(membership.Spared{Container: c})
			}
		}
	}
	for c := range o.warnings.containers {
		if _, ours := o.containers[c]; !ours {
			delete(o.warnings.containers, c)
		}
	}
}

// on are the job's containers on a node, oldest first.
func (o *owner) on(n yarn.NodeID) []yarn.ContainerID {
	var ids []yarn.ContainerID
	for id, c := range o.containers {
		if c.Node == n {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, yarn.ContainerID.Compare)
	return ids
}

// notify tells an agent. One that is not connected hears it when it joins again: the machine sees to that.
func (o *owner) notify(a membership.Notify) {
	g, ok := o.agents[a.Container]
	if !ok {
		return
	}
	n := control.Notice{Reason: string(a.Cause), Deadline: a.Deadline}
	if s := o.m.o.Job.Notice.Signal; s != job.NoSignal {
		n.Signal = s
	}
	g.session.Notice(n)
}
