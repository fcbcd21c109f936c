package ledger

import (
	"maps"
	"slices"

	"tfos/internal/yarn"
)

// modelRM is a ResourceManager as the ledger needs to know it: it keeps absolute counts by priority
// and id, lowers them itself, answers a repeated response id from memory, and forgets nearly
// everything when it restarts.
type modelRM struct {
	counts     map[modelKey]yarn.Ask
	blacklist  map[string]bool
	registered bool
	responseID int32
	last       yarn.AllocateResponse

	granted   []yarn.Container // not yet delivered
	completed []yarn.ContainerStatus
	live      map[yarn.ContainerID]bool // granted, not completed
	started   map[yarn.ContainerID]bool // known to a NodeManager
	doomed    map[yarn.ContainerID]bool // given back; the NodeManager will end it
	seen      []yarn.ContainerStatus    // delivered completions, which a restart may bring again
	sequence  int64
}

type modelKey struct {
	priority int32
	id       int64
}

func newModelRM() *modelRM {
	return &modelRM{registered: true, counts: map[modelKey]yarn.Ask{}, blacklist: map[string]bool{},
		live: map[yarn.ContainerID]bool{}, started: map[yarn.ContainerID]bool{},
		doomed: map[yarn.ContainerID]bool{}}
}

// allocate is one heartbeat.
func (rm *modelRM) allocate(req yarn.AllocateRequest) (yarn.AllocateResponse, error) {
	switch {
	case !rm.registered:
		return yarn.AllocateResponse{}, yarn.ErrNotRegistered
	case req.ResponseID == rm.responseID-1:
		return rm.last, nil
	case req.ResponseID != rm.responseID:
		return yarn.AllocateResponse{}, yarn.ErrOutOfStep
	}
	for _, ask := range req.Asks {
		key := modelKey{ask.Priority, ask.ID}
		if ask.Count == 0 {
			delete(rm.counts, key)
		} else {
			rm.counts[key] = ask
		}
	}
	for _, id := range req.Releases {
		rm.doomed[id] = rm.live[id]
	}
	for _, h := range req.BlacklistAdd {
		rm.blacklist[h] = true
	}
	for _, h := range req.BlacklistRemove {
		delete(rm.blacklist, h)
	}
	rm.responseID++
	rm.last = yarn.AllocateResponse{ResponseID: rm.responseID, Granted: rm.granted, Completed: rm.completed}
	rm.seen = append(rm.seen, rm.completed...)
	rm.granted, rm.completed = nil, nil
	return rm.last, nil
}

// keys are the open asks in a fixed order.
func (rm *modelRM) keys() []modelKey {
	return slices.SortedFunc(maps.Keys(rm.counts), func(a, b modelKey) int {
		return int(a.priority-b.priority)*100 + int(a.id-b.id)
	})
}

// grant makes a container out of an ask. lower is false for one too many.
func (rm *modelRM) grant(key modelKey, lower bool) {
	ask := rm.counts[key]
	rm.sequence++
	c := yarn.Container{ID: yarn.ContainerID{ID: rm.sequence}, Node: yarn.NodeID{Host: "n", Port: 1},
		Resource: ask.Resource, Priority: ask.Priority, AskID: ask.ID}
	rm.granted = append(rm.granted, c)
	rm.live[c.ID] = true
	if !lower {
		return
	}
	if ask.Count--; ask.Count == 0 {
		delete(rm.counts, key)
	} else {
		rm.counts[key] = ask
	}
}

// reap ends the containers that were given back.
func (rm *modelRM) reap() {
	for _, id := range slices.SortedFunc(maps.Keys(rm.doomed), yarn.ContainerID.Compare) {
		rm.complete(id, yarn.ExitAborted)
	}
	clear(rm.doomed)
}

func (rm *modelRM) complete(id yarn.ContainerID, exit yarn.ExitStatus) {
	if rm.live[id] {
		delete(rm.live, id)
		rm.completed = append(rm.completed, yarn.ContainerStatus{ID: id, State: yarn.ContainerComplete, ExitStatus: exit})
	}
}

// restart forgets asks, exclusions and the containers that no NodeManager started. NodeManagers
// tell it of the others, and of completions that it told already.
func (rm *modelRM) restart() {
	maps.DeleteFunc(rm.live, func(id yarn.ContainerID, _ bool) bool { return !rm.started[id] })
	rm.completed = slices.Concat(rm.completed, rm.seen)
	clear(rm.doomed)
	rm.granted, rm.registered = nil, false
	rm.counts, rm.blacklist = map[modelKey]yarn.Ask{}, map[string]bool{}
}

func (rm *modelRM) register() {
	rm.registered, rm.responseID, rm.last = true, 0, yarn.AllocateResponse{}
}
