package miniyarn

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"tfos/internal/miniyarn/container"
	"tfos/internal/yarn"
)

// What goes wrong with clusters, for tests. Each function returns when it has happened.

// StopNode shuts a NodeManager down in order: its containers are stopped, and the ResourceManager
// counts it as shut down.
func (c *Cluster) StopNode(id yarn.NodeID) error {
	return c.takeDown(id, yarn.NodeShutdown, &container.Stop{Status: yarn.ExitAborted, Diagnostics: "the NodeManager was stopped"})
}

// DropNode lets a machine vanish: its containers are gone without a signal that they could catch,
// its port is closed, and the ResourceManager counts it as lost without waiting for its silence to
// grow long.
func (c *Cluster) DropNode(id yarn.NodeID) error {
	return c.takeDown(id, yarn.NodeLost, &container.Stop{Status: yarn.ExitAborted, Diagnostics: "the node was lost", AtOnce: true})
}

func (c *Cluster) takeDown(id yarn.NodeID, as yarn.NodeState, why *container.Stop) error {
	c.mu.Lock()
	s := c.slot(id)
	if s == nil || s.node == nil {
		c.mu.Unlock()
		return fmt.Errorf("node %s is not up", id)
	}
	n := s.node
	s.node = nil
	c.mu.Unlock()
	c.rm.dropNode(id, as) // before the containers end, so that this is what they ended of
	return n.halt(why)
}

// DrainNode decommissions a node gracefully: masters are told, it gets no new containers, and it is
// shut down when the applications that had some there are over, or after the timeout.
func (c *Cluster) DrainNode(id yarn.NodeID, timeout time.Duration) { c.rm.drainNode(id, timeout) }

// RecommissionNode takes a DrainNode back, if the node is still there.
func (c *Cluster) RecommissionNode(id yarn.NodeID) { c.rm.recommissionNode(id) }

// Preempt announces to a container's master that it is taken back after wait, and takes it back
// then. A master's own container is left alone.
func (c *Cluster) Preempt(id yarn.ContainerID, wait time.Duration) { c.rm.preempt(id, wait) }

// shut takes a node down that was decommissioned, and does not wait for it.
func (c *Cluster) shut(id yarn.NodeID) {
	c.wg.Go(func() {
		why := &container.Stop{Status: yarn.ExitAborted, Diagnostics: "the NodeManager was decommissioned"}
		if err := c.takeDown(id, yarn.NodeDecommissioned, why); err != nil { // stopped meanwhile
			c.log.Warn("a decommissioned node did not stop", zap.Stringer("node", id), zap.Error(err))
		}
	})
}

// StartNode brings a node up again that was stopped, dropped or decommissioned, at its old address
// and without its containers.
func (c *Cluster) StartNode(id yarn.NodeID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.slot(id)
	if s == nil || s.node != nil || c.cancel == nil || c.closed {
		return fmt.Errorf("node %s cannot be started", id)
	}
	l, err := c.listen(id.Host, int(id.Port))
	if err != nil {
		return fmt.Errorf("start node %s: %w", id, err)
	}
	c.start(s, l)
	return nil
}

// RestartResourceManager lets the ResourceManager forget what a restarted one does not know: who is
// registered, what was asked for, what was granted but not started. Running containers live on.
func (c *Cluster) RestartResourceManager() { c.rm.restart() }
