package sched

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tfos/internal/yarn"
)

// TestLaws drives a scheduler through arbitrary histories and checks after each step what must hold
// after all of them:
//
//   - no node holds more than it has, and what it counts as used is the sum of its containers;
//   - each grant is told to one master once, and is over once: told complete, or closed by the
//     scheduler itself;
//   - what fits is granted, and nothing was granted to a later application that an earlier one
//     could have had;
//   - what is stopped was granted, and after an application's end nothing of it is in the books.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history{t: t, s: New(Config{MaxAttempts: 2, MasterExpiry: time.Minute, GrantExpiry: 5 * time.Minute}), now: t0,
			told: map[yarn.ContainerID]bool{}, over: map[yarn.ContainerID]bool{}, response: map[yarn.AttemptID]int32{}}
		for range 3 { // so that the histories are about something
			for _, step := range []func(*rapid.T){h.addNode, h.submit, h.register, h.heartbeat} {
				step(t)
				h.check(t)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"":           h.check,
			"add node":   h.addNode,
			"drop node":  h.dropNode,
			"drain":      h.drain,
			"preempt":    h.preempt,
			"submit":     h.submit,
			"register":   h.register,
			"heartbeat":  h.heartbeat,
			"finish":     h.finish,
			"kill":       h.kill,
			"started":    h.started,
			"completed":  h.completed,
			"time":       h.pass,
			"rm restart": h.restart,
		})
	})
}

type history struct {
	t        *rapid.T
	s        *Scheduler
	now      time.Time
	told     map[yarn.ContainerID]bool
	over     map[yarn.ContainerID]bool // told complete
	response map[yarn.AttemptID]int32
	before   []*container // live ones before the step
}

func (h *history) live() []*container {
	var all []*container
	for _, a := range h.s.apps {
		all = append(all, a.containers...)
	}
	return all
}

func (h *history) did(as []Action) {
	for _, a := range as {
		if s, ok := a.(StopContainer); ok && h.s.container(s.ID) != nil {
			h.t.Fatalf("%s is stopped and still counted", s.ID)
		}
		if e, ok := a.(EndApplication); ok && len(h.s.byID[e.ID].containers) > 0 {
			h.t.Fatalf("%s ended and holds containers", e.ID)
		}
	}
}

func (h *history) check(t *rapid.T) {
	onNodes := 0
	for _, n := range h.s.nodes {
		var sum yarn.Resource
		for _, c := range n.containers {
			sum = sum.Add(c.grant.Resource)
			if !slices.Contains(c.app.containers, c) {
				t.Fatalf("%s is on its node and not with its application", c.grant.ID)
			}
		}
		onNodes += len(n.containers)
		if !sum.Equal(n.used) || !n.used.Fits(n.capacity) {
			t.Fatalf("node %s counts %s used, its containers are %s, it has %s", n.id, n.used, sum, n.capacity)
		}
		if !n.up() && len(n.containers) > 0 {
			t.Fatalf("lost node %s holds containers", n.id)
		}
	}
	live := h.live()
	if len(live) != onNodes {
		t.Fatalf("%d containers with applications, %d on nodes", len(live), onNodes)
	}
	for _, a := range h.s.apps {
		if a.over() && len(a.containers) > 0 {
			t.Fatalf("%s is over and holds %d containers", a.sub.ID, len(a.containers))
		}
	}
	h.checkOrder(t)
	h.before = live
}

// checkOrder: for every application, what it still wants did not fit, neither now nor with what
// later ones got in this step.
func (h *history) checkOrder(t *rapid.T) {
	isNew := func(c *container) bool { return !slices.Contains(h.before, c) }
	for i, a := range h.s.apps {
		if a.state.Terminal() || a.attempt == nil {
			continue
		}
		var wants []yarn.Resource
		var blacklist []string
		switch a.attempt.stage {
		case waiting:
			wants = []yarn.Resource{a.resource}
		case registered:
			blacklist = a.attempt.blacklist
			for _, w := range a.attempt.asks {
				wants = append(wants, w.resource)
			}
		}
		for _, n := range h.s.nodes {
			if !n.state.Usable() || slices.Contains(blacklist, n.id.Host) {
				continue
			}
			could := n.free()
			for _, c := range n.containers {
				if isNew(c) && slices.Index(h.s.apps, c.app) > i {
					could = could.Add(c.grant.Resource)
				}
			}
			for _, w := range wants {
				if w.Fits(could) {
					t.Fatalf("%s still wants %s, which fitted on %s", a.sub.ID, w, n.id)
				}
			}
		}
	}
}

func (h *history) addNode(t *rapid.T) {
	id := yarn.NodeID{Host: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "host"), Port: 1}
	r := yarn.Resource{MemoryMiB: int64(rapid.IntRange(1, 8).Draw(t, "GiB")) * 1024, VCores: int32(rapid.IntRange(1, 8).Draw(t, "vcores"))}
	h.did(h.s.AddNode(h.now, id, "", r))
}

func (h *history) dropNode(t *rapid.T) {
	if len(h.s.nodes) > 0 {
		h.did(h.s.DropNode(h.now, rapid.SampledFrom(h.s.nodes).Draw(t, "node").id, yarn.NodeLost))
	}
}

func (h *history) drain(t *rapid.T) {
	if len(h.s.nodes) == 0 {
		return
	}
	n := rapid.SampledFrom(h.s.nodes).Draw(t, "node")
	held := len(n.containers)
	if rapid.Bool().Draw(t, "back") {
		h.did(h.s.RecommissionNode(h.now, n.id))
		return
	}
	h.did(h.s.DrainNode(h.now, n.id, time.Duration(rapid.IntRange(0, 300).Draw(t, "timeout"))*time.Second))
	if len(n.containers) > held {
		t.Fatalf("%s is drained and got containers", n.id)
	}
}

func (h *history) preempt(t *rapid.T) {
	if live := h.live(); len(live) > 0 {
		wait := time.Duration(rapid.IntRange(0, 300).Draw(t, "wait")) * time.Second
		h.did(h.s.Preempt(h.now, rapid.SampledFrom(live).Draw(t, "container").grant.ID, wait))
	}
}

func (h *history) submit(t *rapid.T) {
	sub := yarn.Submission{ID: h.s.NewApplication().ID, Resource: drawResource(t), KeepContainers: rapid.Bool().Draw(t, "keep")}
	as, err := h.s.Submit(h.now, sub, "ann")
	if err != nil { // larger than any node now
		return
	}
	h.did(as)
}

func drawResource(t *rapid.T) yarn.Resource {
	return yarn.Resource{MemoryMiB: int64(rapid.IntRange(1, 3000).Draw(t, "MiB")), VCores: int32(rapid.IntRange(1, 3).Draw(t, "vcores"))}
}

// some picks an application in one of the stages.
func (h *history) some(t *rapid.T, stages ...stage) *app {
	fits := func(a *app) bool { return a.attempt != nil && slices.Contains(stages, a.attempt.stage) }
	var in []*app
	for _, a := range h.s.apps {
		if fits(a) {
			in = append(in, a)
		}
	}
	if len(in) == 0 {
		return nil
	}
	return rapid.SampledFrom(in).Draw(t, "application")
}

func (h *history) register(t *rapid.T) {
	a := h.some(t, launching)
	if a == nil {
		return
	}
	reg, as, err := h.s.Register(h.now, a.attempt.id, yarn.Registration{})
	if err != nil {
		t.Fatal(err)
	}
	h.did(as)
	for _, c := range reg.Kept {
		h.told[c.ID] = true
	}
	h.response[a.attempt.id] = 0
}

func (h *history) heartbeat(t *rapid.T) {
	a := h.some(t, registered, unregistered)
	if a == nil {
		return
	}
	id := a.attempt.id
	req := yarn.AllocateRequest{ResponseID: h.response[id]}
	for range rapid.IntRange(0, 2).Draw(t, "asks") {
		req.Asks = append(req.Asks, yarn.Ask{ID: int64(rapid.IntRange(1, 3).Draw(t, "ask")), Priority: int32(rapid.IntRange(1, 2).Draw(t, "priority")),
			Resource: drawResource(t), Count: rapid.IntRange(0, 3).Draw(t, "count")})
	}
	for _, c := range a.containers {
		if h.told[c.grant.ID] && rapid.IntRange(0, 3).Draw(t, "release") == 0 {
			req.Releases = append(req.Releases, c.grant.ID)
		}
	}
	if rapid.IntRange(0, 5).Draw(t, "blacklist") == 0 {
		req.BlacklistAdd, req.BlacklistRemove = []string{"a"}, []string{"b"}
	}
	resp, as, err := h.s.Allocate(h.now, id, req)
	if err != nil { // an ask larger than any node now; then nothing happened
		return
	}
	h.did(as)
	again, _, err := h.s.Allocate(h.now, id, req)
	if err != nil || len(again.Granted) != len(resp.Granted) || again.ResponseID != resp.ResponseID {
		t.Fatalf("repeated: %+v, %v, first %+v", again, err, resp)
	}
	h.response[id] = resp.ResponseID
	for _, c := range resp.Granted {
		if h.told[c.ID] {
			t.Fatalf("%s granted twice", c.ID)
		}
		h.told[c.ID] = true
		if h.s.container(c.ID) == nil {
			t.Fatalf("%s granted and not in the books", c.ID)
		}
	}
	for _, st := range resp.Completed {
		if !h.told[st.ID] || h.over[st.ID] || h.s.container(st.ID) != nil {
			t.Fatalf("%s complete: told %v, over before %v", st.ID, h.told[st.ID], h.over[st.ID])
		}
		h.over[st.ID] = true
	}
}

func (h *history) finish(t *rapid.T) {
	if a := h.some(t, registered); a != nil {
		_, as, err := h.s.Finish(h.now, a.attempt.id, yarn.FinalSucceeded, "", "")
		if err != nil {
			t.Fatal(err)
		}
		h.did(as)
	}
}

func (h *history) kill(t *rapid.T) {
	if a := h.some(t, waiting, launching, registered, unregistered); a != nil {
		_, as, err := h.s.Kill(h.now, a.sub.ID, "")
		if err != nil {
			t.Fatal(err)
		}
		h.did(as)
	}
}

// started: a master starts a container of which it was told.
func (h *history) started(t *rapid.T) {
	var live []*container
	for _, c := range h.live() {
		if c.master || h.told[c.grant.ID] {
			live = append(live, c)
		}
	}
	if len(live) > 0 {
		h.s.ContainerStarted(rapid.SampledFrom(live).Draw(t, "container").grant.ID)
	}
}

func (h *history) completed(t *rapid.T) {
	live := h.live()
	if len(live) == 0 {
		return
	}
	c := rapid.SampledFrom(live).Draw(t, "container")
	exit := rapid.SampledFrom([]yarn.ExitStatus{0, 1, 137, yarn.ExitDisksFailed}).Draw(t, "exit")
	st := yarn.ContainerStatus{ID: c.grant.ID, State: yarn.ContainerComplete, ExitStatus: exit}
	h.did(h.s.ContainerCompleted(h.now, c.node.id, st))
	h.did(h.s.ContainerCompleted(h.now, c.node.id, st)) // nodes may say it twice
}

func (h *history) pass(t *rapid.T) {
	h.now = h.now.Add(time.Duration(rapid.IntRange(1, 120).Draw(t, "seconds")) * time.Second)
	h.did(h.s.Tick(h.now))
}

func (h *history) restart(*rapid.T) { h.did(h.s.Restart(h.now)) }
