package membership

import (
	"cmp"
	"slices"
	"time"
)

// nodes is what is held against the nodes of the cluster, and which ones are kept from new
// containers for it: never more than a third of them.
type nodes struct {
	Known []node `json:"known,omitempty"` // sorted by host
	Size  int    `json:"size,omitempty"`  // how many the cluster has; 0: not known
}

// node is what is held against one.
type node struct {
	Host   string      `json:"host"`
	Faults []time.Time `json:"faults,omitempty"`
	Until  time.Time   `json:"until,omitzero"` // excluded until then; zero: it is not
}

// tolerance says how much a node may do wrong.
type tolerance struct {
	faults     int           // with so many
	memory     time.Duration // within so long
	excludeFor time.Duration // a node is excluded for so long
}

// sameFault is how close faults may be to be one: a node that is lost takes several tasks with it.
const sameFault = 15 * time.Second

// fault holds a failure against a node, and reports whether the node is to be excluded for it.
func (n *nodes) fault(now time.Time, host string, t tolerance) (exclude bool) {
	i, known := slices.BinarySearchFunc(n.Known, host, func(n node, host string) int { return cmp.Compare(n.Host, host) })
	if !known {
		n.Known = slices.Insert(n.Known, i, node{Host: host})
	}
	it := &n.Known[i]
	if last := len(it.Faults) - 1; last >= 0 && now.Sub(it.Faults[last]) < sameFault {
		return false
	}
	it.Faults = slices.DeleteFunc(it.Faults, func(at time.Time) bool { return now.Sub(at) >= t.memory })
	it.Faults = append(it.Faults, now)
	if len(it.Faults) < t.faults || !it.Until.IsZero() || (len(n.excluded())+1)*3 > n.Size {
		return false
	}
	it.Until = now.Add(t.excludeFor)
	return true
}

// excluded are the nodes that are, the one first that comes back first.
func (n *nodes) excluded() []*node {
	var out []*node
	for i := range n.Known {
		if !n.Known[i].Until.IsZero() {
			out = append(out, &n.Known[i])
		}
	}
	slices.SortStableFunc(out, func(a, b *node) int { return a.Until.Compare(b.Until) })
	return out
}

// readmit ends the exclusions whose time is over, and returns their hosts. The nodes start over.
func (n *nodes) readmit(now time.Time) []string {
	return n.free(func(i int, it *node) bool { return !now.Before(it.Until) })
}

// resize says how many nodes the cluster has now, and returns the hosts that are readmitted because
// it is smaller.
func (n *nodes) resize(size int) []string {
	n.Size = size
	surplus := len(n.excluded()) - size/3
	return n.free(func(i int, _ *node) bool { return i < surplus })
}

// free ends the exclusions that a function names, by their place among the excluded.
func (n *nodes) free(ends func(int, *node) bool) []string {
	var hosts []string
	for i, it := range n.excluded() {
		if ends(i, it) {
			it.Until, it.Faults = time.Time{}, nil
			hosts = append(hosts, it.Host)
		}
	}
	return hosts
}

// next is when the first exclusion ends; zero: there is none.
func (n *nodes) next() time.Time {
	if out := n.excluded(); len(out) > 0 {
		return out[0].Until
	}
	return time.Time{}
}
