package control

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"tfos/internal/clusterspec"
	"tfos/internal/control/controlpb"
	"tfos/internal/job"
)

// encodedSpec is a ToAgent with a cluster_spec, as the wire has it: see codec.
type encodedSpec struct {
	base  job.Generation // what it is to be laid over; 0: it is whole
	bytes []byte
}

// recentSpecs is how many cluster_specs are kept for agents to be told what is new since.
const recentSpecs = 4

// specCache has the newest cluster_spec as the wire has it. A generation goes to every agent: to
// those that have a recent one only what is new.
type specCache struct {
	mu     sync.Mutex
	recent []clusterspec.Spec              // guarded by mu; the newest last
	made   map[job.Generation]*encodedSpec // guarded by mu: of the newest, by what the agent has; never changed
}

// encode makes a cluster_spec into what an agent is sent that has the one of a generation. It is
// whole if that one is forgotten, or if most is new.
func (c *specCache) encode(base job.Generation, s clusterspec.Spec) (*encodedSpec, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.recent); n == 0 || c.recent[n-1].Generation != s.Generation {
		c.recent = append(c.recent[max(0, n-recentSpecs+1):n:n], s.Clone())
		c.made = make(map[job.Generation]*encodedSpec)
	}
	return c.encoded(base, s)
}

// encoded is encode of the newest. c.mu is held.
func (c *specCache) encoded(base job.Generation, s clusterspec.Spec) (*encodedSpec, error) {
	if c.made[base] != nil {
		return c.made[base], nil
	}
	p := c.patch(base, s)
	if p == nil && base != 0 {
		whole, err := c.encoded(0, s)
		c.made[base] = whole
		return whole, err
	}
	if p == nil {
		p = specToPB(s)
	}
	b, err := proto.Marshal(&controlpb.ToAgent{Message: &controlpb.ToAgent_Spec{Spec: p}})
	if err != nil {
		return nil, err
	}
	c.made[base] = &encodedSpec{base, b}
	return c.made[base], nil
}

// patch is what is new in a cluster_spec since a generation; nil: that is forgotten, or most is
// new.
func (c *specCache) patch(base job.Generation, s clusterspec.Spec) *controlpb.Spec {
	i := slices.IndexFunc(c.recent, func(r clusterspec.Spec) bool { return r.Generation == base })
	if i < 0 {
		return nil
	}
	places := news(c.recent[i].Members, s.Members)
	if 2*len(places) > len(s.Members) {
		return nil
	}
	p := &controlpb.Spec{Generation: int64(s.Generation), Base: int64(base), Count: int32(len(s.Members))}
	for _, i := range places {
		p.Places = append(p.Places, int32(i))
		p.Members = append(p.Members, memberToPB(s.Members[i]))
	}
	return p
}

// news are the places at which the members are new, or others than before.
func news(before, now []clusterspec.Member) []int {
	var places []int
	for i, m := range now {
		if i >= len(before) || before[i] != m {
			places = append(places, i)
		}
	}
	return places
}

// received is the cluster_spec that a message makes of the one before it.
func received(before clusterspec.Spec, p *controlpb.Spec) (clusterspec.Spec, error) {
	if p.GetBase() == 0 {
		return specFromPB(p)
	}
	have := len(before.Members)
	switch {
	case job.Generation(p.GetBase()) != before.Generation:
		return clusterspec.Spec{}, fmt.Errorf("cluster_spec: it is laid over generation %d, and the newest is %d", p.GetBase(), before.Generation)
	case len(p.GetPlaces()) != len(p.GetMembers()) || p.GetCount() < 0 || int(p.GetCount()) > have+len(p.GetPlaces()):
		return clusterspec.Spec{}, fmt.Errorf("cluster_spec: %d members at %d places make %d of %d", len(p.GetMembers()), len(p.GetPlaces()), p.GetCount(), have)
	}
	s := clusterspec.Spec{Generation: job.Generation(p.GetGeneration()), Members: make([]clusterspec.Member, p.GetCount())}
	copy(s.Members, before.Members)
	for i, place := range p.GetPlaces() {
		if place < 0 || int(place) >= len(s.Members) {
			return clusterspec.Spec{}, fmt.Errorf("cluster_spec: there is no place %d", place)
		}
		m, err := memberFromPB(p.GetMembers()[i])
		if err != nil {
			return clusterspec.Spec{}, err
		}
		s.Members[place] = m
	}
	if slices.ContainsFunc(s.Members[min(have, len(s.Members)):], func(m clusterspec.Member) bool { return m == clusterspec.Member{} }) {
		return clusterspec.Spec{}, errors.New("cluster_spec: a place is empty")
	}
	return s, nil
}
