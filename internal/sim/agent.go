package sim

import (
	"fmt"
	"slices"
	"time"

	"tfos/internal/clusterspec"
	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/yarn"
)

// agent is the model of an agent in its container, with the program it runs.
type agent struct {
	w            *world
	m            *master
	task         job.Task
	incarnation  job.Incarnation // that it was told to start last, or the container's first
	container    yarn.ContainerID
	node         yarn.NodeID
	spare        bool // launched as one
	alive        bool
	session      *session // nil: not connected
	apartUntil   time.Time
	stoppedUntil time.Time // the node stands still, and what runs there with it
	began        time.Time // when its newest process did
	started      bool      // a process of the incarnation was started
	running      bool
	spec         clusterspec.Spec // the newest that it has
	since        job.Generation   // of the spec that its newest process was started with
	knows        clusterspec.Spec // that spec, or a newer one
	stopped      bool             // its newest process was told to stop
	retiring     bool
	exited       *membership.Exited // what every Hello tells from then on
}

// launch is a NodeManager that is asked to start an agent.
func (w *world) launch(m *master, l membership.Launch) {
	if m.done {
		return
	}
	failed := func(reason string) {
		m.audit.clusterFailed = true
		w.after(w.latency(), func() {
			m.repeatable(membership.LaunchFailed{Task: l.Task, Incarnation: l.Incarnation, Container: l.Container, Reason: reason})
		})
	}
	if w.lost[l.Node] {
		failed("no route to host")
		return
	}
	if !w.rm.Granted(l.Container, l.Node) { // given back since, or forgotten: its NodeManager was told to refuse it
		failed("no such container")
		return
	}
	faulty := w.clock.now.Sub(epoch) < faultsEnd
	if faulty && w.sc.refusing > 0 && w.chance(w.sc.refusing) {
		if w.chance(2) {
			failed("no space left on device")
			return
		}
		failed("timeout") // but it started
	}
	w.rm.ContainerStarted(l.Container)
	a := &agent{w: w, m: m, task: l.Task, incarnation: l.Incarnation, container: l.Container, node: l.Node, spare: l.Spare, alive: true}
	w.agents = append(w.agents, a)
	w.in[l.Container] = a
	m.agents[l.Task] = append(m.agents[l.Task], a)
	localization := w.upTo(20 * time.Second)
	if faulty && w.sc.slow > 0 && w.chance(w.sc.slow) {
		m.audit.clusterFailed = true
		localization = w.upTo(30 * time.Minute)
	}
	w.after(localization, a.connect)
}

// connect opens a session, and tells where the agent stands.
func (a *agent) connect() {
	if !a.alive || a.session != nil || a.m.done {
		return
	}
	if a.m.dead {
		a.w.after(time.Millisecond+a.w.upTo(3*time.Second), a.connect)
		return
	}
	if a.w.clock.now.Before(a.apartUntil) {
		a.w.clock.at(a.apartUntil, a.connect)
		return
	}
	s := &session{agent: a, open: true}
	a.session = s
	hello := membership.Joined{Task: a.task, Incarnation: a.incarnation, Container: a.container, Agent: a.node.Host + ":1", Address: a.address(), Witness: int(a.container.ID) + 1,
		Generation: a.spec.Generation, Digest: a.spec.Digest(), Since: a.since, Exited: a.exited}
	if a.running {
		runs := a.startedEvent()
		hello.Running = &runs
	}
	s.toMaster(func() {
		a.m.sessions[a.container] = s
		if spec := a.m.told; spec.Generation > hello.Generation {
			a.m.tell(a.container, func(g *agent) { g.know(spec) })
		}
		a.m.turn(hello)
	})
}

func (a *agent) address() string {
	at := a.container.Attempt
	return fmt.Sprintf("%s:%d%03d%05d", a.node.Host, at.Application.Sequence, at.Attempt, a.container.ID)
}

func (a *agent) startedEvent() membership.Started {
	return membership.Started{Task: a.task, Incarnation: a.incarnation, Container: a.container, PID: int(a.container.ID)}
}

func (a *agent) key() string {
	return fmt.Sprintf("job %d %s incarnation %d", a.m.audit.number, a.task, a.incarnation)
}

// startProcess obeys an order, once.
func (a *agent) startProcess(order membership.StartProcess) {
	inc := order.Incarnation
	again := inc == a.incarnation && a.started
	if !a.alive || inc < a.incarnation || a.retiring || again && !a.w.opts.ForgetfulAgents {
		return
	}
	if !again {
		a.stopped = true
		a.ended(job.Ended{Code: 143, Signal: "SIGTERM"}) // the one before, if it still runs
	}
	a.incarnation, a.began, a.started, a.running, a.stopped, a.exited, a.since, a.knows = inc, a.w.clock.now, true, true, false, nil, order.Generation, a.spec
	a.m.audit.begun(a)
	if a.w.running[a.key()]++; a.w.running[a.key()] > 1 {
		a.w.violated("process: two processes of %s run at once", a.key())
	}
	a.report(a.startedEvent())
	role, _ := a.m.job.Role(a.task.Role)
	span := a.w.upTo(2 * time.Minute)
	if a.w.sc.steady {
		span += 2 * time.Minute
	}
	bad := a.w.sc.failing > 0 && (a.w.chance(a.w.sc.failing) || a.w.sc.looping && a.m.steps.failed[a.task] && !a.w.chance(4))
	switch {
	case bad:
		a.w.after(a.w.upTo(2*time.Minute), func() { a.exit(inc, a.badEnd()) })
	case role.Service || a.task.Role == job.Evaluator && !a.m.job.Decides(a.task.Role) && a.w.chance(2):
		// until it is stopped
	default:
		a.w.after(span, func() { a.exit(inc, job.Ended{}) })
	}
}

// know takes a cluster_spec in.
func (a *agent) know(s clusterspec.Spec) {
	if s.Generation > a.spec.Generation {
		a.spec = s
	}
}

// badEnd is one of the ways in which programs fail.
func (a *agent) badEnd() job.Ended {
	if a.w.sc.looping {
		return job.Ended{Code: 1, Stderr: []string{"ValueError: the same again"}}
	}
	switch a.w.rng.IntN(4) {
	case 0:
		return job.Ended{Code: 139, Signal: "SIGSEGV"}
	case 1:
		return job.Ended{Code: 137, Signal: "SIGKILL", OOM: true}
	case 2:
		return job.Ended{Reason: "no such file or directory"}
	}
	return job.Ended{Code: 1 + a.w.rng.IntN(100), Stderr: []string{"Traceback", "ValueError: bad"}}
}

// exit is the end of the process by itself.
func (a *agent) exit(inc job.Incarnation, e job.Ended) {
	if !a.running || a.incarnation != inc {
		return
	}
	if a.w.clock.now.Before(a.stoppedUntil) {
		a.w.clock.at(a.stoppedUntil, func() { a.exit(inc, e) })
		return
	}
	if e.Code != 0 || e.Reason != "" {
		a.m.audit.failed(a.task)
		a.m.audit.hopeless = a.m.audit.hopeless || e.Reason != ""
		a.m.steps.fail(a.w, a.task)
		a.m.shock(a.task, a.incarnation)
	} else {
		a.m.audit.endedWell[a.task] = true
	}
	a.ended(e)
}

// life is one process of a task.
type life struct {
	task        job.Task
	incarnation job.Incarnation
}

// shock has the programs that cannot go on without a task's process end with an error, a few
// seconds after their connections to it did. Those that were started when it was doomed itself wait
// for the next one, and those that were started when the job had no such task know nothing of it.
func (m *master) shock(t job.Task, inc job.Incarnation) {
	doomed, known := m.doomed[life{t, inc}]
	if !known {
		doomed = m.w.clock.now
		m.doomed[life{t, inc}] = doomed
	}
	part := m.job.Part
	for _, peer := range m.w.agents {
		if peer.m != m || peer.task == t || !peer.running || peer.began.After(doomed) {
			continue
		}
		switch {
		case m.job.Strategy == job.StrategyMirrored && part(t.Role) == job.PartTrains && part(peer.task.Role) == job.PartTrains:
		case m.job.Strategy == job.StrategyParameterServer && part(t.Role) == job.PartServes && peer.task == m.job.Leader():
		default:
			continue
		}
		if !slices.ContainsFunc(peer.knows.Members, func(m clusterspec.Member) bool { return m.Task == t }) {
			continue
		}
		inc := peer.incarnation
		if own := (life{peer.task, inc}); m.doomed[own].IsZero() {
			m.doomed[own] = m.w.clock.now
		}
		m.w.after(2*time.Second+m.w.upTo(5*time.Second), func() {
			if peer.incarnation == inc {
				peer.ended(job.Ended{Code: 1, Stderr: []string{"AbortedError: a peer is gone"}})
			}
		})
	}
}

// ended notes the process's end, and reports it.
func (a *agent) ended(e job.Ended) {
	if !a.running {
		return
	}
	a.running = false
	a.w.running[a.key()]--
	e.Stopped = a.stopped
	a.exited = &membership.Exited{Task: a.task, Incarnation: a.incarnation, Container: a.container, Ended: e}
	a.report(*a.exited)
}

// report tells the master, if it can be reached. What it misses now it hears with the next Hello.
func (a *agent) report(ev membership.Event) {
	if a.session != nil {
		a.session.toMaster(func() { a.m.repeatable(ev) })
	}
}

// stopProcess obeys an order: programs end when told to, end well, or hold out until they are
// killed.
func (a *agent) stopProcess(inc job.Incarnation, grace time.Duration) {
	if !a.alive || inc != a.incarnation {
		return
	}
	a.stopped = true
	if a.w.sc.stuck > 0 && a.w.chance(a.w.sc.stuck) {
		return
	}
	end := func(after time.Duration, e job.Ended) {
		a.w.after(after, func() {
			if a.incarnation == inc {
				a.ended(e)
			}
		})
	}
	switch a.w.rng.IntN(4) {
	case 0:
		end(grace, job.Ended{Code: 137, Signal: "SIGKILL"})
	case 1:
		end(a.w.upTo(grace), job.Ended{})
	default:
		end(a.w.upTo(time.Second), job.Ended{Code: 143, Signal: "SIGTERM"})
	}
}

// retire ends the process, if there is one, then the agent.
func (a *agent) retire() {
	if !a.alive || a.retiring {
		return
	}
	a.retiring = true
	a.w.after(a.w.upTo(time.Second), func() { a.end(yarn.ExitSuccess) })
}

// end is the end of the agent and its container, which the NodeManager notices.
func (a *agent) end(exit yarn.ExitStatus) {
	if !a.alive {
		return
	}
	a.die()
	a.w.after(a.w.upTo(time.Second), func() {
		a.w.do(a.w.rm.ContainerCompleted(a.w.clock.now, a.node, yarn.ContainerStatus{ID: a.container, State: yarn.ContainerComplete, ExitStatus: exit}))
	})
}

// die is the end of the agent and its process. Its connection ends with it.
func (a *agent) die() {
	if !a.alive {
		return
	}
	if a.running {
		a.m.shock(a.task, a.incarnation)
	}
	a.kill()
	if a.session != nil {
		a.session.close(false)
	}
}

// vanish is the end of the agent with its node: nobody is told.
func (a *agent) vanish() {
	a.kill()
	if a.session != nil {
		a.session.silence(silenceLimit)
	}
}

func (a *agent) kill() {
	a.alive = false
	if a.running {
		a.running = false
		a.w.running[a.key()]--
	}
}

// session is a connection between an agent and its master. What is sent arrives in order, or not at
// all once it has ended.
type session struct {
	agent            *agent
	open             bool
	quiet            bool      // nothing arrives any more, and nobody knows
	muted            bool      // the same of what the agent says
	lastDown, lastUp time.Time // when the newest message arrives
	left             bool      // the master was told
}

func (s *session) toMaster(f func()) {
	if s.muted {
		return
	}
	s.lastUp = s.send(s.lastUp, func() {
		if !s.left {
			f()
		}
	})
}

func (s *session) toAgent(f func()) {
	s.lastDown = s.send(s.lastDown, func() {
		if s.open && !s.quiet && s.agent.alive {
			f()
		}
	})
}

// send plans a message's arrival after the one before it.
func (s *session) send(last time.Time, f func()) time.Time {
	if s.quiet || !s.open {
		return last
	}
	w := s.agent.w
	if w.sc.breaking > 0 && w.chance(w.sc.breaking) && w.clock.now.Sub(epoch) < faultsEnd {
		s.agent.m.audit.clusterFailed = true // it may come back too late
		w.after(0, func() { s.close(false) })
	}
	at := w.clock.now.Add(w.latency())
	if at.Before(last) {
		at = last
	}
	w.clock.at(at, f)
	return at
}

// close ends the connection: what the agent sent before still arrives, then the master knows that
// it left.
func (s *session) close(silent bool) {
	if !s.open {
		return
	}
	a := s.agent
	s.lastUp = s.send(s.lastUp, func() { s.depart(silent) })
	s.open, a.session = false, nil
	if a.alive {
		a.w.after(time.Millisecond+a.w.upTo(15*time.Second), a.connect)
	}
}

// After how long without a heartbeat both ends give a connection up. It is longer where the agent
// stands still and its node answers.
const (
	silenceLimit = 5 * time.Second
	stallLimit   = 30 * time.Second
)

// silence stops all traffic without a word. The connection is given up after that limit.
func (s *session) silence(limit time.Duration) {
	if s.quiet || !s.open {
		return
	}
	s.quiet = true
	s.giveUp(limit)
}

// mute stops what the agent says, without a word.
func (s *session) mute() {
	if s.muted || s.quiet || !s.open {
		return
	}
	s.muted = true
	s.giveUp(silenceLimit)
}

// giveUp has both ends close the connection after a time in which the master heard nothing.
func (s *session) giveUp(limit time.Duration) {
	a := s.agent
	a.w.after(limit, func() {
		s.open = false
		s.depart(true)
		if a.session == s {
			a.session = nil
		}
		a.w.after(a.w.upTo(time.Second), a.connect)
	})
}

// depart is the end of the session as the master sees it.
func (s *session) depart(silent bool) {
	if s.left {
		return
	}
	s.left = true
	a := s.agent
	if a.m.sessions[a.container] == s {
		delete(a.m.sessions, a.container)
	}
	a.m.turn(membership.Left{Task: a.task, Incarnation: a.incarnation, Container: a.container, Silent: silent})
}
