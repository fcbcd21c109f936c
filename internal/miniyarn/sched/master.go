package sched

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"tfos/internal/yarn"
)

// ErrInvalidRelease refuses to release a container of another application or attempt.
var ErrInvalidRelease = errors.New("container belongs to another attempt")

// Alive reports whether an attempt may still talk to the ResourceManager: its token is good as long
// as that.
func (s *Scheduler) Alive(id yarn.AttemptID) bool { return s.attempt(id) != nil }

// User is who submitted an application; empty if there is none of that id.
func (s *Scheduler) User(id yarn.ApplicationID) string {
	if a := s.byID[id]; a != nil {
		return a.user
	}
	return ""
}

// attempt finds an attempt that has not ended.
func (s *Scheduler) attempt(id yarn.AttemptID) *app {
	a := s.byID[id.Application]
	if a == nil || a.attempt == nil || a.attempt.id != id || a.attempt.stage == ended {
		return nil
	}
	return a
}

// Register lets a master in. The tokens of the answer's containers and nodes are left to the
// caller.
func (s *Scheduler) Register(now time.Time, id yarn.AttemptID, r yarn.Registration) (yarn.Registered, []Action, error) {
	a := s.attempt(id)
	if a == nil {
		return yarn.Registered{}, nil, fmt.Errorf("%w: %s is over or unknown", yarn.ErrOutOfStep, id)
	}
	t := a.attempt
	t.lastHeard = now
	if t.stage == registered || t.stage == unregistered {
		return yarn.Registered{}, nil, fmt.Errorf("%w: %s is registered already", yarn.ErrOutOfStep, id)
	}
	t.stage, t.state = registered, yarn.AttemptRunning
	t.host, t.port, t.trackingURL = r.Host, r.Port, r.TrackingURL
	t.last = yarn.AllocateResponse{}
	a.state = yarn.StateRunning
	reg := yarn.Registered{Max: s.Max(), Queue: a.sub.Queue, ResourceTypes: s.ResourceTypes(), CountsVCores: true}
	for _, c := range a.containers {
		if !c.master {
			reg.Kept = append(reg.Kept, c.grant)
			if t.needsToken(c.node.id) {
				reg.NMTokens = append(reg.NMTokens, yarn.NMToken{Node: c.node.id})
			}
		}
	}
	return reg, s.settle(now), nil
}

// needsToken reports whether a node's token was not told yet, and takes it as told.
func (t *attempt) needsToken(id yarn.NodeID) bool {
	if slices.Contains(t.tokenNodes, id) {
		return false
	}
	t.tokenNodes = append(t.tokenNodes, id)
	return true
}

// Allocate takes a master's heartbeat. Response ids run as in Hadoop's ApplicationMasterService:
// one that is one step old gets the previous answer again and its request is not read; any other
// than the last one is refused. The tokens of the answer's containers and nodes are left to the
// caller, who must make the same ones again for an answer given again.
func (s *Scheduler) Allocate(now time.Time, id yarn.AttemptID, req yarn.AllocateRequest) (yarn.AllocateResponse, []Action, error) {
	a := s.attempt(id)
	if a == nil {
		return yarn.AllocateResponse{}, nil, fmt.Errorf("%w: %s", yarn.ErrAttemptGone, id)
	}
	t := a.attempt
	t.lastHeard = now
	if t.stage < registered {
		return yarn.AllocateResponse{}, nil, fmt.Errorf("%w: %s has not registered, or the ResourceManager restarted since",
			yarn.ErrNotRegistered, id)
	}
	switch {
	case req.ResponseID >= 0 && nextResponse(req.ResponseID) == t.last.ResponseID:
		return t.last, nil, nil
	case req.ResponseID != t.last.ResponseID:
		return yarn.AllocateResponse{}, nil, fmt.Errorf("%w: response id of %s, want %d, got %d",
			yarn.ErrOutOfStep, id, t.last.ResponseID, req.ResponseID)
	}
	if t.stage == unregistered { // its asks come too late, and are no error
		t.last = yarn.AllocateResponse{ResponseID: nextResponse(req.ResponseID), ClusterNodes: s.usableNodes()}
		return t.last, nil, nil
	}
	asks, err := s.checkAsks(req.Asks)
	if err != nil {
		return yarn.AllocateResponse{}, nil, err
	}
	if err := checkReleases(a, req.Releases); err != nil {
		return yarn.AllocateResponse{}, nil, err
	}
	t.progress = req.Progress
	if req.TrackingURL != "" {
		t.trackingURL = req.TrackingURL
	}
	s.blacklist(t, req)
	for _, w := range asks {
		t.want(w)
	}
	for _, r := range req.Releases {
		if c := s.container(r); c != nil && !c.master {
			s.do(StopContainer{Node: c.node.id, ID: r, Exit: yarn.ExitKilledByRM, Diagnostics: releasedDiagnostics})
			s.complete(now, c, yarn.ExitAborted, releasedDiagnostics)
		}
	}
	// What is granted over these asks is told with the next heartbeat, as a real scheduler does,
	// which grants in between.
	t.last = s.answer(a, nextResponse(req.ResponseID))
	return t.last, s.settle(now), nil
}

// nextResponse is the id after id; they stay positive for ever.
func nextResponse(id int32) int32 { return (id + 1) & math.MaxInt32 }

// checkAsks refuses all if one can never be granted: then nothing of the request counts.
func (s *Scheduler) checkAsks(in []yarn.Ask) ([]ask, error) {
	out := make([]ask, 0, len(in))
	for _, w := range in {
		if w.NodeLabel != "" {
			return nil, labelError(w.NodeLabel)
		}
		if w.Count < 0 {
			return nil, fmt.Errorf("%w: %d containers were asked for", yarn.ErrInvalidResource, w.Count)
		}
		r, err := s.normalize(w.Resource)
		if err != nil {
			return nil, err
		}
		out = append(out, ask{priority: w.Priority, id: w.ID, resource: r, count: w.Count})
	}
	return out, nil
}

func checkReleases(a *app, ids []yarn.ContainerID) error {
	for _, id := range ids {
		if id.Attempt.Application != a.sub.ID || id.Attempt != a.attempt.id && !a.sub.KeepContainers {
			return fmt.Errorf("release %s: %w than %s", id, ErrInvalidRelease, a.attempt.id)
		}
	}
	return nil
}

func (s *Scheduler) blacklist(t *attempt, req yarn.AllocateRequest) {
	for _, host := range req.BlacklistAdd {
		if !slices.Contains(t.blacklist, host) {
			t.blacklist = append(t.blacklist, host)
		}
	}
	t.blacklist = slices.DeleteFunc(t.blacklist, func(host string) bool { return slices.Contains(req.BlacklistRemove, host) })
}

// answer tells a master what it has not been told yet.
func (s *Scheduler) answer(a *app, response int32) yarn.AllocateResponse {
	t := a.attempt
	out := yarn.AllocateResponse{ResponseID: response, Completed: t.completed, Limit: s.headroom(t), ClusterNodes: s.usableNodes()}
	for _, c := range t.fresh {
		out.Granted = append(out.Granted, c.grant)
		if t.needsToken(c.node.id) {
			out.NMTokens = append(out.NMTokens, yarn.NMToken{Node: c.node.id})
		}
	}
	for _, id := range a.nodes {
		out.Nodes = append(out.Nodes, s.node(id).report())
	}
	for _, c := range a.containers {
		if !c.preempt.IsZero() {
			out.Preempt.Wish = append(out.Preempt.Wish, c.grant.ID)
		}
	}
	t.fresh, t.completed, a.nodes = nil, nil, nil
	return out
}

// headroom is what the application could still get, all nodes taken together.
func (s *Scheduler) headroom(t *attempt) yarn.Resource {
	var free yarn.Resource
	for _, n := range s.nodes {
		if n.state.Usable() && !slices.Contains(t.blacklist, n.id.Host) {
			free = free.Add(n.free())
		}
	}
	return free
}

// Finish takes a master's last word. It reports whether that was known before: a master repeats the
// call until it was. The application counts as finished from here on; its containers end when the
// master's process does.
func (s *Scheduler) Finish(now time.Time, id yarn.AttemptID, final yarn.FinalStatus, diagnostics, trackingURL string) (bool, []Action, error) {
	a := s.attempt(id)
	if a == nil {
		return false, nil, fmt.Errorf("%w: %s is over or unknown", yarn.ErrOutOfStep, id)
	}
	t := a.attempt
	t.lastHeard = now
	switch t.stage {
	case unregistered:
		return true, nil, nil
	case registered:
	default:
		return false, nil, fmt.Errorf("%w: %s unregisters before it registered", yarn.ErrNotRegistered, id)
	}
	t.stage, t.state, t.diagnostics, t.asks = unregistered, yarn.AttemptFinishing, diagnostics, nil
	a.state, a.final, a.diagnostics, a.finished = yarn.StateFinished, final, diagnostics, now
	if trackingURL != "" {
		t.trackingURL = trackingURL
	}
	return false, s.settle(now), nil
}

// Restart makes the scheduler forget what a restarted ResourceManager does not know: who is
// registered, what was asked for, what was granted but not started. Running containers and masters
// live on, and masters must register again.
func (s *Scheduler) Restart(now time.Time) []Action {
	for _, a := range s.apps {
		if a.state.Terminal() || a.attempt.stage != registered {
			continue
		}
		t := a.attempt
		a.state = yarn.StateAccepted
		t.stage, t.state, t.lastHeard = launching, yarn.AttemptLaunched, now
		t.asks, t.blacklist, t.fresh, t.tokenNodes, a.nodes = nil, nil, nil, nil, nil
		for _, c := range slices.Clone(a.containers) {
			if !c.master && !c.started {
				s.stop(c, yarn.ExitKilledByRM, "granted by an earlier ResourceManager")
			}
		}
	}
	return s.settle(now)
}
