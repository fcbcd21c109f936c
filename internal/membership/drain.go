package membership

import (
	"slices"
	"time"

	"tfos/internal/yarn"
)

// drains are the nodes that are being decommissioned, in the order in which YARN said so first.
type drains []draining

// draining is one of them.
type draining struct {
	Node     yarn.NodeID   `json:"node,omitzero"`
	Timeout  time.Duration `json:"timeout"` // as it was told
	Deadline time.Time     `json:"deadline"`
}

// begin takes note of a node, and returns when its containers end. News is false for what was told
// before.
func (d *drains) begin(now time.Time, ev Draining) (deadline time.Time, news bool) {
	i := slices.IndexFunc(*d, func(x draining) bool { return x.Node == ev.Node })
	if i < 0 {
		i = len(*d)
		*d = append(*d, draining{Node: ev.Node})
	} else if (*d)[i].Timeout == ev.Timeout {
		return (*d)[i].Deadline, false
	}
	it := &(*d)[i]
	it.Timeout, it.Deadline = ev.Timeout, now.Add(ev.Timeout)
	return it.Deadline, true
}

// end forgets a node. It is false for one that is not drained.
func (d *drains) end(n yarn.NodeID) bool {
	before := len(*d)
	*d = slices.DeleteFunc(*d, func(x draining) bool { return x.Node == n })
	return len(*d) < before
}
