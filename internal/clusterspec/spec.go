package clusterspec

import (
	"hash/fnv"
	"io"
	"slices"

	"tfos/internal/job"
)

// Spec is a cluster_spec: where each task listens, in one generation. With stable endpoints a task
// that is lost stays in it, without an incarnation and an address, until it is back.
type Spec struct {
	Generation job.Generation `json:"generation"`
	Members    []Member       `json:"members"` // ordered by the job's roles, then index
}

// Member is one task of a Spec.
type Member struct {
	Task        job.Task        `json:"task"`
	Incarnation job.Incarnation `json:"incarnation"`
	Address     string          `json:"address"`           // host:port; empty: nowhere now
	Witness     int             `json:"witness,omitempty"` // port of that host where the agent proves that it keeps Address
}

// Digest tells whether two cluster_specs have the same addresses of the tasks that know each other.
func (s Spec) Digest() uint64 {
	h := fnv.New64a()
	for _, m := range s.Members {
		if !job.Apart(m.Task.Role) {
			_, _ = io.WriteString(h, m.Task.String()+" "+m.Address+"\n")
		}
	}
	return h.Sum64()
}

// Clone is a copy that shares no member with s.
func (s Spec) Clone() Spec {
	s.Members = slices.Clone(s.Members)
	return s
}

// Address is where a task listens; false: nowhere.
func (s Spec) Address(t job.Task) (string, bool) {
	i := slices.IndexFunc(s.Members, func(m Member) bool { return m.Task == t })
	if i < 0 || s.Members[i].Address == "" {
		return "", false
	}
	return s.Members[i].Address, true
}

// Counters are what happened to the connections of a task's processes to one peer. They only grow
// while the task reaches its peers in the same way.
type Counters struct {
	Task        job.Task // the peer
	Connections uint64   // begun, to a target
	Refused     uint64   // there was no target, it did not prove who it is, or, under forward, it could not be reached
	Resets      uint64   // because the peer moved
	Sent        int64    // bytes that the processes sent; -1: not known, they do not pass through the agent
	Received    int64    // bytes that the peer sent; -1: not known
}
