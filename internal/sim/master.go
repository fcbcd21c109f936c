package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"tfos/internal/clusterspec"
	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/yarn"
	"tfos/internal/yarn/ledger"
)

// master is the model of an application master: it carries out what the machine decides, as package
// am does.
type master struct {
	w         *world
	job       job.Job
	seed      uint64
	id        yarn.ApplicationID
	attempt   yarn.AttemptID
	container yarn.ContainerID
	node      yarn.NodeID
	machine   Machine
	header    membership.Header
	shadow    Machine // restored from a snapshot, steps along; nil: none yet
	ledger    *ledger.Ledger
	agents    map[job.Task][]*agent         // in the order they were launched; dead ones too
	sessions  map[yarn.ContainerID]*session // by container: an agent of a replaced incarnation may call in beside the new one
	audit     *auditor
	spec      clusterspec.Spec   // the newest
	doomed    map[life]time.Time // when a process was lost, or lost one that it cannot go on without
	turns     []membership.Turn  // all that led to something
	log       bytes.Buffer       // the same as the event log has it, under Options.Logs
	ticking   time.Time          // the wake that a tick is planned for
	nodes     int                // as the machine was told
	started   bool
	stopEarly bool // a stop was requested before the master ran
	done      bool
	steps     steps

	lives   int       // before this one: what a dead one had planned does not happen
	dead    bool      // killed, and not started again yet
	past    []history // of the lives before
	journal journal
	told    clusterspec.Spec // that agents are told when they join
}

// history is what one attempt's event log holds.
type history struct {
	header membership.Header
	turns  []membership.Turn
	log    []byte
}

func newMaster(w *world, i int, j job.Job) *master {
	m := &master{w: w, job: j, seed: w.rng.Uint64(), ledger: ledger.New(), steps: steps{now: 1, best: 1, failed: make(map[job.Task]bool)}, agents: make(map[job.Task][]*agent), sessions: make(map[yarn.ContainerID]*session), doomed: make(map[life]time.Time)}
	opts := membership.Options{MaxStrikes: w.sc.strikes, StableEndpoints: j.Endpoints.Stable(), Inspect: w.sc.inspect}
	if w.opts.Machine != nil {
		w.opts.Machine(&opts)
	}
	real := membership.New(j, m.seed, opts)
	m.header = real.Header()
	m.machine = w.opts.Wrap(real)
	m.audit = newAuditor(i, j)
	m.audit.restoring = restoring{inspect: w.sc.inspect, lost: make(map[job.Task]time.Time), ended: make(map[job.Task]job.Incarnation), bars: make(map[membership.Bar]bool)}
	m.audit.cluster = newCluster(w.sc.strikes)
	m.journal.real = real
	m.write(m.header)
	return m
}

func (m *master) submit() {
	m.id = m.w.rm.NewApplication().ID
	size := yarn.Resource{MemoryMiB: 128, VCores: 1}
	if m.w.sc.steady {
		size.MemoryMiB = m.w.sc.nodeMiB
	}
	actions, err := m.w.rm.Submit(m.w.clock.now, yarn.Submission{ID: m.id, KeepContainers: true, Resource: size}, "ann")
	if err != nil {
		panic("sim: " + err.Error())
	}
	m.w.do(actions)
}

// start is the master's own start, in its container.
func (m *master) start(attempt yarn.AttemptID, c yarn.Container) {
	m.attempt, m.container, m.started, m.dead = attempt, c.ID, true, false
	m.w.rm.ContainerStarted(c.ID)
	reg, actions, err := m.w.rm.Register(m.w.clock.now, attempt, yarn.Registration{})
	if err != nil {
		panic("sim: " + err.Error())
	}
	m.w.do(actions)
	if m.lives > 0 {
		m.takeOver(reg)
	} else {
		m.turn(membership.Began{})
	}
	if m.stopEarly {
		m.stopRequested()
	}
	m.beat()
}

func (m *master) stopRequested() {
	if !m.started || m.dead {
		m.stopEarly = true // the client waits for the master
		return
	}
	m.stopEarly = false
	if m.journal.turn%2 == 0 {
		m.audit.killed = true
		m.turn(membership.StopRequested{Reason: "by ann"})
	} else {
		m.audit.overdue = true
		m.turn(membership.StopRequested{Reason: "it took too long", Overdue: true})
	}
}

// turn steps the machine, and carries out what it decides.
func (m *master) turn(ev membership.Event) {
	if m.dead {
		return
	}
	m.tellSteps(ev)
	if m.done {
		return
	}
	now := m.w.clock.now
	m.journal.turn++
	m.audit.step = m.journal.turn
	_, m.audit.restoring.decided = m.journal.real.Result()
	decision := m.machine.Step(now, ev)
	actions := decision.All()
	m.audit.ends(decision, actions)
	m.audit.turn(now, ev, actions)
	m.audit.outlived(m, decision.Over)
	m.compare(now, ev, decision)
	if _, tick := ev.(membership.Tick); !tick || len(actions) > 0 {
		t := membership.Turn{Time: now, Event: ev, Actions: actions}
		m.turns = append(m.turns, t)
		m.journal.logged = append(m.journal.logged, m.journal.turn)
		m.write(t)
	}
	for _, a := range decision.Now {
		m.perform(a)
	}
	m.journal.outbox.Put(int64(m.journal.turn), now, decision)
	m.remember()
	m.planTick()
}

// write adds a line to the event log.
func (m *master) write(v any) {
	if !m.w.opts.Logs {
		return
	}
	line, err := json.Marshal(v)
	if err != nil {
		panic("sim: " + err.Error())
	}
	m.log.Write(append(line, '\n'))
}

// repeatable is turn for an event that the network may deliver again, late.
func (m *master) repeatable(ev membership.Event) {
	m.turn(ev)
	if m.w.chance(10) {
		m.w.after(m.w.upTo(20*time.Second), m.living(func() { m.turn(ev) }))
	}
}

func (m *master) planTick() {
	wake := m.machine.Wake()
	if m.done || wake.IsZero() || wake.Equal(m.ticking) {
		return
	}
	m.ticking = wake
	delay := max(wake.Sub(m.w.clock.now), 0) + m.w.upTo(tickLag)
	m.w.after(delay, m.living(func() {
		if m.ticking.Equal(wake) {
			m.ticking = time.Time{}
			m.turn(membership.Tick{})
		}
	}))
}

// tickLag is how late a tick may be: package am ticks twice a second.
const tickLag = 500 * time.Millisecond

// compare steps a machine that was restored from a snapshot along with the real one: they must
// decide alike.
func (m *master) compare(now time.Time, ev membership.Event, decided membership.Decision) {
	if m.shadow != nil {
		if got := m.shadow.Step(now, ev); !equal(got.All(), decided.All()) {
			m.audit.violate("snapshot", "a restored machine answers %s with %s, the real one with %s", tell(ev), tellAll(got.All()), tellAll(decided.All()))
		}
	}
	if !m.w.chance(max(100, len(m.audit.tasks))) { // it costs more than the turn
		return
	}
	b, err := m.machine.Snapshot()
	if err != nil {
		m.audit.violate("snapshot", "%v", err)
		return
	}
	restored, err := m.w.opts.Restore(b)
	if err != nil {
		m.audit.violate("snapshot", "%v", err)
		return
	}
	if again, err := restored.Snapshot(); err != nil || !bytes.Equal(again, b) {
		m.audit.violate("snapshot", "a restored machine is not the same (%v):\n%s\n%s", err, again, b)
	}
	m.shadow = m.w.opts.Wrap(restored)
}

// replay re-steps what happened, as the event log tells it if there is one, and says where it
// differs; empty: it does not.
func (m *master) replay() string {
	for _, h := range append(m.past, history{m.header, m.turns, m.log.Bytes()}) {
		if v := m.replayOne(h); v != "" {
			return v
		}
	}
	return ""
}

func (m *master) replayOne(h history) string {
	header, turns := h.header, h.turns
	if m.w.opts.Logs {
		var err error
		if header, turns, err = membership.ReadLog(h.log); err != nil {
			return fmt.Sprintf("replay: job %d: %v", m.audit.number, err)
		}
	}
	again, err := header.Machine()
	if err != nil {
		return fmt.Sprintf("replay: job %d: %v", m.audit.number, err)
	}
	machine := m.w.opts.Wrap(again)
	for i, t := range turns {
		if got := machine.Step(t.Time, t.Event).All(); !equal(got, t.Actions) {
			return fmt.Sprintf("replay: job %d, turn %d: %s was answered with %s, is now with %s", m.audit.number, i, tell(t.Event), tellAll(t.Actions), tellAll(got))
		}
	}
	return ""
}

func equal(a, b []membership.Action) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

func (m *master) perform(a membership.Action) {
	switch a := a.(type) {
	case membership.Ask:
		for i, r := range m.job.Roles {
			if r.Name == a.Role {
				m.ledger.SetAsk(yarn.Ask{ID: int64(i + 1), Priority: int32(i + 1), Resource: r.YARN(), Count: a.Count})
			}
		}
	case membership.Release:
		m.ledger.Release(a.Container)
	case membership.Launch:
		m.w.after(m.w.latency(), func() { m.w.launch(m, a) })
	case membership.Publish:
		m.publish(a.Spec)
		m.retarget(a.Spec)
	case membership.StartProcess:
		m.tell(a.Container, func(g *agent) { g.startProcess(a) })
	case membership.Adopt:
		m.ledger.Adopt(a.Container)
	case membership.StopProcess:
		m.tell(a.Container, func(g *agent) { g.stopProcess(a.Incarnation, a.Grace) })
	case membership.Retire:
		m.tell(a.Container, (*agent).retire)
	case membership.Exclude:
		m.ledger.Exclude(a.Host)
	case membership.Readmit:
		m.ledger.Readmit(a.Host)
	case membership.Inspect:
		m.look(a)
	case membership.Finish:
		m.finish()
	}
}

// retarget is what stable endpoints do with a new cluster_spec: they cut the connections to whoever
// is no longer where he was. A program that has ended well has none.
func (m *master) retarget(s clusterspec.Spec) {
	before := m.spec
	m.spec = s
	if !m.job.Endpoints.Stable() {
		return
	}
	is := make(map[job.Task]clusterspec.Member, len(s.Members))
	for _, member := range s.Members {
		is[member.Task] = member
	}
	for _, was := range before.Members {
		if was.Address != "" && is[was.Task] != was && !m.endedWell(was) {
			m.shock(was.Task, was.Incarnation)
		}
	}
}

// endedWell reports whether a task's program has.
func (m *master) endedWell(t clusterspec.Member) bool {
	return slices.ContainsFunc(m.agents[t.Task], func(g *agent) bool {
		return g.incarnation == t.Incarnation && g.exited != nil && g.exited.Code == 0 && g.exited.Reason == ""
	})
}

// tell sends an order to the agent in a container, if it is connected.
func (m *master) tell(c yarn.ContainerID, order func(*agent)) {
	if s := m.sessions[c]; s != nil {
		s.toAgent(func() { order(s.agent) })
	}
}

func (m *master) finish() {
	if m.done {
		return
	}
	m.done = true
	if more := m.machine.Step(m.w.clock.now, membership.Tick{}).All(); len(more) > 0 {
		m.audit.violate("finish", "%s comes after Finish", tellAll(more))
	}
	_, actions, err := m.w.rm.Finish(m.w.clock.now, m.attempt, yarn.FinalSucceeded, "", "")
	if errors.Is(err, yarn.ErrNotRegistered) {
		m.registerAgain()
		_, actions, err = m.w.rm.Finish(m.w.clock.now, m.attempt, yarn.FinalSucceeded, "", "")
	}
	if err != nil {
		panic("sim: " + err.Error())
	}
	m.w.do(actions)
	m.w.do(m.w.rm.ContainerCompleted(m.w.clock.now, m.node, yarn.ContainerStatus{ID: m.container, State: yarn.ContainerComplete}))
}

// beat is one heartbeat to the ResourceManager and plans the next. Requests and answers get lost;
// the ledger repeats.
func (m *master) beat() {
	if m.done || m.dead {
		return
	}
	pause := 200*time.Millisecond + m.w.upTo(2*time.Second)
	if m.w.clock.now.Sub(epoch) > 2*faultsEnd {
		pause *= 10 // nothing but waiting is left, and a waiting world should cost little
	}
	next := func() { m.w.after(pause, m.living(m.beat)) }
	request := m.ledger.Next(0)
	if m.lostCall() {
		next()
		return
	}
	m.w.after(m.w.latency(), m.living(func() {
		if m.done {
			return
		}
		answer, actions, err := m.w.rm.Allocate(m.w.clock.now, m.attempt, request)
		if errors.Is(err, yarn.ErrNotRegistered) {
			m.registerAgain()
			next()
			return
		}
		if err != nil {
			panic("sim: " + err.Error())
		}
		m.w.do(actions)
		if m.lostCall() {
			next()
			return
		}
		m.w.after(m.w.latency(), m.living(func() {
			m.answered(answer)
			next()
		}))
	}))
}

func (m *master) lostCall() bool {
	return m.w.clock.now.Before(m.w.heldUntil) || m.w.sc.lossy > 0 && m.w.chance(m.w.sc.lossy)
}

// registerAgain is what a master does with a ResourceManager that restarted.
func (m *master) registerAgain() {
	reg, actions, err := m.w.rm.Register(m.w.clock.now, m.attempt, yarn.Registration{})
	if err != nil {
		panic("sim: " + err.Error())
	}
	m.w.do(actions)
	m.ledger.Resync()
	for _, c := range reg.Kept {
		m.ledger.Adopt(c.ID)
		m.turn(membership.Kept{Container: c.ID, Node: c.Node})
	}
}

// warn tells the machine what the ResourceManager said of containers and nodes that it will take
// away.
func (m *master) warn(answer yarn.AllocateResponse) {
	for _, c := range answer.Preempt.Wish {
		m.turn(membership.Warned{Container: c, Cause: membership.CausePreempted, Deadline: m.w.clock.now.Add(preemptionPatience)})
	}
	for _, n := range answer.Nodes {
		switch n.State {
		case yarn.NodeDecommissioning:
			m.turn(membership.Draining{Node: n.ID, Timeout: n.DecommissionAfter})
		case yarn.NodeRunning:
			m.turn(membership.Drained{Node: n.ID})
		default:
			m.turn(membership.Drained{Node: n.ID, Gone: true})
		}
	}
}

func (m *master) answered(answer yarn.AllocateResponse) {
	if m.done {
		return
	}
	out, err := m.ledger.Answered(answer)
	if err != nil {
		panic("sim: " + err.Error())
	}
	if answer.ClusterNodes != m.nodes {
		m.nodes = answer.ClusterNodes
		m.turn(membership.ClusterSized{Nodes: m.nodes})
	}
	for _, c := range append(out.Granted, out.Surplus...) { // the machine must know what to do with more than it asked for
		m.turn(membership.Granted{Role: m.job.Roles[c.AskID-1].Name, Container: c.ID, Node: c.Node})
	}
	for _, c := range answer.Kept {
		m.turn(membership.Kept{Container: c.ID, Node: c.Node})
	}
	m.warn(answer)
	for _, s := range append(out.Completed, out.Unknown...) {
		m.repeatable(membership.Completed{Container: s.ID, Exit: s.ExitStatus, Diagnostics: s.Diagnostics})
	}
}
