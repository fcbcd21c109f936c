package membership

import (
	"slices"
	"time"
)

// node is what the machine holds against a host.
type node struct {
	Host   string      `json:"host"`
	Faults []time.Time `json:"faults,omitempty"`
	Until  time.Time   `json:"until,omitzero"` // excluded until then; zero: it is not
}

// nodeFault reports whether a cause lies with the node: what another one would have done better.
func (c Cause) nodeFault() bool {
	switch c {
	case CauseNodeLost, CauseDisk, CauseLocalization, CauseLaunch, CauseSilent:
		return true
	}
	return false
}

// sameFault is how close faults may be to be one: a node that is lost takes several tasks with it.
const sameFault = 15 * time.Second

// blame holds a loss against the node it happened on, and excludes the node if it is not the first of late.
func (m *Machine) blame(t *task, c Cause) {
	if !c.nodeFault() || t.Node.Host == "" {
		return
	}
	i, known := slices.BinarySearchFunc(m.s.Nodes, t.Node.Host, func(n node, host string) int {
		switch {
		case n.Host < host:
			return -1
		case n.Host > host:
			return 1
		}
		return 0
	})
	if !known {
		m.s.Nodes = slices.Insert(m.s.Nodes, i, node{Host: t.Node.Host})
	}
	n := &m.s.Nodes[i]
	if last := len(n.Faults) - 1; last >= 0 && m.now.Sub(n.Faults[last]) < sameFault {
		return
	}
	n.Faults = slices.DeleteFunc(n.Faults, func(at time.Time) bool { return m.now.Sub(at) >= m.opts.NodeMemory })
	n.Faults = append(n.Faults, m.now)
	if len(n.Faults) >= m.opts.NodeFaults && n.Until.IsZero() && (m.excluded()+1)*3 <= m.s.ClusterNodes {
		n.Until = m.now.Add(m.opts.ExcludeFor)
		m.do(Exclude{n.Host})
	}
}

func (m *Machine) excluded() int {
	count := 0
	for _, n := range m.s.Nodes {
		if !n.Until.IsZero() {
			count++
		}
	}
	return count
}

// readmit ends an exclusion. The node starts over.
func (m *Machine) readmit(n *node) {
	n.Until, n.Faults = time.Time{}, nil
	m.do(Readmit{n.Host})
}

// resized is a new size of the cluster. Never more than a third of it stays excluded: those go first that have least to wait.
func (m *Machine) resized(nodes int) {
	m.s.ClusterNodes = nodes
	for m.excluded()*3 > nodes && m.excluded() > 0 {
		var first *node
		for i := range m.s.Nodes {
			if n := &m.s.Nodes[i]; !n.Until.IsZero() && (first == nil || n.Until.Before(first.Until)) {
				first = n
			}
		}
		m.readmit(first)
	}
}
