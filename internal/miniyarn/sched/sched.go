// Package sched decides for the embedded ResourceManager: which application gets which container on
// which node, and what becomes of applications when containers, masters and nodes end.
//
// It is a value that its owner feeds: every method takes what happened and the time at which it
// did, and returns what is to be done about it as a list of actions, in order. It starts nothing,
// talks to no one, reads no clock and is not safe for concurrent use. Where it answers a client or
// a master, it answers as a real ResourceManager does, refusals included, save that tokens are left
// to the owner.
//
// There is one queue, served first come first served: an application gets every container it asks
// for and that fits somewhere before a later one gets any. What does not fit does not hold up what
// comes after it, so a large ask can wait behind small ones; a real queue without reservations does
// the same.
package sched

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"tfos/internal/yarn"
)

// Queue is the name of the only queue.
const Queue = "default"

// Config is what the scheduler is told once. Zero fields mean the defaults that their comments
// name.
type Config struct {
	ClusterTimestamp int64               // of application ids, ms since the epoch
	MinMemoryMiB     int64               // memory is rounded up to a multiple of it; 128
	Max              yarn.Resource       // no container is larger; zero fields: as large as the largest node
	CustomResources  []yarn.ResourceType // counted besides memory and vcores; others are dropped without a word
	MaxAttempts      int32               // of an application's master, whatever its submission says; 2
	MasterExpiry     time.Duration       // a master silent for so long has failed; 60 s
	GrantExpiry      time.Duration       // a container that nobody started for so long is taken back; 10 min
	OnHeartbeat      bool                // grant only when a node's heartbeat comes, as a real one; else at once
}

// The defaults of Config.
const (
	defaultMinMemoryMiB = 128
	defaultMaxAttempts  = 2
	defaultMasterExpiry = time.Minute
	defaultGrantExpiry  = 10 * time.Minute
)

// Scheduler is the state of the embedded ResourceManager.
type Scheduler struct {
	cfg     Config
	lastApp int32
	nodes   []*node                     // in the order in which they came; lost ones too
	apps    []*app                      // in the order of submission, ended ones too
	byID    map[yarn.ApplicationID]*app // the same
	turn    int                         // of the node that got the last container
	actions []Action                    // decided in the call at hand
}

// New makes a scheduler that knows no node and no application.
func New(cfg Config) *Scheduler {
	cfg.MinMemoryMiB = cmp.Or(cfg.MinMemoryMiB, defaultMinMemoryMiB)
	cfg.MaxAttempts = cmp.Or(cfg.MaxAttempts, defaultMaxAttempts)
	cfg.MasterExpiry = cmp.Or(cfg.MasterExpiry, defaultMasterExpiry)
	cfg.GrantExpiry = cmp.Or(cfg.GrantExpiry, defaultGrantExpiry)
	return &Scheduler{cfg: cfg, byID: make(map[yarn.ApplicationID]*app)}
}

// Action is something the owner must do: StartMaster, StopContainer, EndApplication or StopNode.
type Action interface{ action() }

// StartMaster asks for an application's master to be started in a container just granted for it.
type StartMaster struct {
	Attempt   yarn.AttemptID
	User      string
	Submitted time.Time
	Container yarn.Container // without its token
	Launch    yarn.LaunchContext
}

// StopContainer asks a node to stop a container that the scheduler no longer counts, and to refuse
// to start it if it has not been started.
type StopContainer struct {
	Node        yarn.NodeID
	ID          yarn.ContainerID
	Exit        yarn.ExitStatus // what the container ends with
	Diagnostics string
}

// EndApplication asks all nodes to stop what is left of an application, and to remove its
// directories.
type EndApplication struct{ ID yarn.ApplicationID }

// StopNode asks for a node to be shut down that was decommissioned. Its containers are not counted
// any more.
type StopNode struct{ Node yarn.NodeID }

func (StartMaster) action()    {}
func (StopContainer) action()  {}
func (EndApplication) action() {}
func (StopNode) action()       {}

// do notes an action.
func (s *Scheduler) do(a Action) { s.actions = append(s.actions, a) }

// settle grants what can be granted and hands out what was decided.
func (s *Scheduler) settle(now time.Time) []Action {
	if !s.cfg.OnHeartbeat {
		s.grant(now, s.nodes)
	}
	out := s.actions
	s.actions = nil
	return out
}

// ResourceTypes are the kinds of resources that are counted.
func (s *Scheduler) ResourceTypes() []yarn.ResourceType {
	return append([]yarn.ResourceType{{Name: yarn.MemoryName, Units: "Mi"}, {Name: yarn.VCoresName}}, s.cfg.CustomResources...)
}

// Max is the largest container that can be granted: the configured maximum, and no more than the
// largest node has.
func (s *Scheduler) Max() yarn.Resource {
	limit := func(name string) int64 {
		if l := s.cfg.Max.Amount(name); l > 0 {
			return min(l, s.largest(name))
		}
		return s.largest(name)
	}
	most := yarn.Resource{MemoryMiB: limit(yarn.MemoryName), VCores: int32(limit(yarn.VCoresName))}
	for _, t := range s.cfg.CustomResources {
		if most.Custom == nil {
			most.Custom = make(map[string]int64)
		}
		most.Custom[t.Name] = limit(t.Name)
	}
	return most
}

// largest is the most of one resource that any usable node has in all. While no node is usable the
// lost ones count: what was asked for may wait for them to come back.
func (s *Scheduler) largest(name string) int64 {
	var most int64
	none := s.usableNodes() == 0
	for _, n := range s.nodes {
		if none || n.state.Usable() {
			most = max(most, n.capacity.Amount(name))
		}
	}
	return most
}

// normalize is what the ResourceManager makes of an asked resource: memory rounded up, at least one
// vcore, and nothing that it does not count. An error says that it can never be granted.
func (s *Scheduler) normalize(r yarn.Resource) (yarn.Resource, error) {
	known := func(name string) bool {
		return slices.ContainsFunc(s.cfg.CustomResources, func(t yarn.ResourceType) bool { return t.Name == name })
	}
	out := yarn.Resource{VCores: max(r.VCores, 1)}
	for name, n := range r.Custom { // any order: each name has its own place
		if known(name) && n != 0 {
			if out.Custom == nil {
				out.Custom = make(map[string]int64)
			}
			out.Custom[name] = n
		}
	}
	limit := s.Max()
	tooMuch := func(name string) error {
		return fmt.Errorf("%w: %s of %s is less than none or more than the largest container, %s", yarn.ErrInvalidResource, name, r, limit)
	}
	if r.MemoryMiB < 0 || r.MemoryMiB > limit.MemoryMiB {
		return yarn.Resource{}, tooMuch(yarn.MemoryName)
	}
	if r.VCores < 0 || out.VCores > limit.VCores {
		return yarn.Resource{}, tooMuch(yarn.VCoresName)
	}
	for _, t := range s.cfg.CustomResources {
		if n := out.Custom[t.Name]; n < 0 || n > limit.Custom[t.Name] {
			return yarn.Resource{}, tooMuch(t.Name)
		}
	}
	step := s.cfg.MinMemoryMiB
	out.MemoryMiB = min(max((r.MemoryMiB+step-1)/step*step, step), limit.MemoryMiB)
	return out, nil
}
