package am

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/clusterspec"
	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/pause"
	"tfos/internal/stall"
	"tfos/internal/status"
	"tfos/internal/yarn"
	"tfos/internal/yarn/ledger"
)

// owner is the state of one attempt. Only the goroutine in run touches it.
type owner struct {
	m            *Master
	log          *zap.Logger
	server       *control.Master
	heart        *heart
	machine      *membership.Machine
	clock        clock
	journal      *journal
	ledger       *ledger.Ledger
	countsVCores bool   // the scheduler does
	queue        string // where YARN had put the job when this attempt registered
	events       eventLog

	roles      map[string]int                      // a role's place in the job, from which its ask id and priority come
	containers map[yarn.ContainerID]yarn.Container // granted and not completed
	agents     map[yarn.ContainerID]agent          // those connected
	progress   map[job.Task]control.Progress       // the newest step of each task's current incarnation
	warnings   warnings
	peers      map[yarn.ContainerID]control.Peers // how the task in a container reaches the others
	forward    string                             // why all tasks have to take forward; empty: they need not
	mirrors    map[yarn.ContainerID]status.Mirror // what became of the local checkpoints in a container
	spec       clusterspec.Spec                   // the published one
	published  publication                        // how spec gets to the agents
	dirty      bool                               // there is news for those who watch the job

	launch   func(membership.Launch, yarn.Container) // starts a container; does not wait
	beating  bool                                    // a heartbeat is under way
	failures int                                     // heartbeats that failed in a row
	rests    *pause.Pauses                           // between them
	silence  string                                  // why, once they are more than a few; empty: they are not
	waiting  waiting                                 // for containers
	nodes    int                                     // of the cluster, as the machine was told last
	result   *membership.Result
	inputs   shared // of the job
	training training
	steps    *stall.Watch
	meters   map[job.Task]meter // of the steps and the means that each task's process takes
	history  history
	said     struct { // to YARN, of the job's progress
		at time.Time
		is float64
	}
	told told
}

// agent is a connected agent.
type agent struct {
	session     *control.Session
	incarnation job.Incarnation // of its task, which it runs or will run
	spec        job.Generation  // of the newest cluster_spec that it was sent, or has said that it has
}

// newOwner makes the owner of a machine: a new one, or one that an attempt before left.
func newOwner(m *Master, server *control.Master, address string, machine *membership.Machine, c clock) *owner {
	register := func(ctx context.Context) (yarn.Registered, error) { return m.register(ctx, address) }
	o := &owner{
		m: m, log: m.log, server: server,
		heart:      newHeart(m.o.RM, register, m.replaced),
		machine:    machine,
		clock:      c,
		journal:    newJournal(m.keepJournal),
		ledger:     ledger.New(),
		rests:      rests(),
		roles:      make(map[string]int),
		containers: make(map[yarn.ContainerID]yarn.Container),
		agents:     make(map[yarn.ContainerID]agent),
		progress:   make(map[job.Task]control.Progress),
		warnings:   make(warnings),
		spec:       machine.Spec(),
		peers:      make(map[yarn.ContainerID]control.Peers),
		mirrors:    make(map[yarn.ContainerID]status.Mirror),
		meters:     make(map[job.Task]meter),
		steps:      stall.New(stall.Rules{After: m.o.Job.Stall.After, Least: m.o.Job.Stall.Least, Apart: m.o.Job.Strategy == job.StrategyNone}),
	}
	for i, role := range m.o.Job.Roles {
		o.roles[role.Name] = i
	}
	return o
}

// run steps the machine until the job has ended. Launches run in wg. An error means that this
// attempt is over and the job is not: nothing was stopped.
func (o *owner) run(ctx context.Context, wg *sync.WaitGroup, r yarn.Registered) (membership.Result, error) {
	wake := time.NewTimer(0) // when the machine wants a tick
	defer wake.Stop()
	beat := time.NewTimer(0) // when the next heartbeat is due
	defer beat.Stop()

	o.launch = func(a membership.Launch, c yarn.Container) { wg.Go(func() { o.m.launch(ctx, a, c) }) }
	if err := o.events.first.line(o.machine.Header()); err != nil {
		return membership.Result{}, err
	}
	o.m.o.Sized(o.machine.Job().Size())
	o.begin(r)
	for o.result == nil {
		asked := o.ledger.Wanted()
		if at := o.wake(); !at.IsZero() {
			wake.Reset(o.clock.until(at))
		} else {
			wake.Stop()
		}
		select {
		case <-ctx.Done():
			return membership.Result{}, ctx.Err()
		case <-o.m.mail.some:
			if err := o.receive(o.m.mail.take()); err != nil {
				return membership.Result{}, err
			}
		case <-wake.C:
			o.turn(membership.Tick{})
		case err := <-o.journal.stored:
			if ctx.Err() != nil { // it failed for that, and what waits for it is not to be done
				return membership.Result{}, ctx.Err()
			}
			before := o.journal.problem
			o.journal.wrote(err, o.log)
			o.dirty = o.dirty || o.journal.problem != before
		case <-beat.C:
			o.beating = true
			o.heart.next <- o.ledger.Next(float32(o.share()))
		case answer := <-o.heart.beats:
			o.beating = false
			if err := o.answered(answer); err != nil {
				return membership.Result{}, err
			}
			beat.Reset(o.interval())
		}
		o.standStill()
		o.tellRestarts()
		o.distribute()
		if o.dirty {
			o.server.Changed()
			o.dirty = false
		}
		if !o.beating && o.failures == 0 && o.ledger.Wanted() > asked {
			beat.Reset(beatSoon) // a new wish need not wait for an idle heartbeat
		}
		if err := o.remember(); err != nil {
			return membership.Result{}, err
		}
	}
	return *o.result, nil
}

// interval is how long to wait before the next heartbeat.
func (o *owner) interval() time.Duration {
	switch {
	case o.failures > 0:
		return o.rests.Next()
	case o.ledger.Wanted() > 0:
		return beatBusy
	}
	return beatIdle
}

// receive handles one message of the mailbox.
func (o *owner) receive(msg any) error {
	switch msg := msg.(type) {
	case membership.Event:
		o.turn(msg)
	case joined:
		o.joined(msg)
	case left:
		o.left(msg)
	case *news:
		o.heard(*msg)
	case question:
		msg(o)
	case shared:
		o.inputs, o.dirty = msg, true
	case scaleWish:
		o.scale(msg)
	case mirrored:
		o.mirrored(msg.session, msg.news)
	case passed:
		o.late()
	case broken:
		return msg.err
	}
	return nil
}

// heard takes in what an agent says of its task time and again.
func (o *owner) heard(n news) {
	task, c := n.session.Task(), n.session.Container()
	if p := n.progress; p != nil {
		if a, ok := o.agents[c]; ok && c == o.machine.Container(task) && p.Incarnation == a.incarnation {
			o.training.report(task, o.progress[task], *p)
			o.progress[task], o.training.fresh = *p, true
			o.meters[task] = o.meters[task].step(o.clock.now(), p.Step)
			o.steps.Step(o.clock.now(), task, p.Counted, p.Steps)
			o.record(*p)
		}
	}
	if n.peers != nil {
		o.peers[c] = o.peers[c].With(*n.peers)
		o.agree(task, o.peers[c])
	}
	o.dirty = true
}

// joined takes a session in.
func (o *owner) joined(j joined) {
	h := j.hello
	o.log.Info("agent joined", zap.Stringer("task", h.Task), zap.Int("incarnation", int(h.Incarnation)), zap.Stringer("container", h.Container), zap.String("address", h.Address))
	o.agents[h.Container] = o.informed(agent{j.session, h.Incarnation, h.Generation})
	o.peers[h.Container] = h.Peers
	if o.forward != "" {
		j.session.Forward(o.forward)
	}
	o.agree(h.Task, h.Peers)
	for _, n := range h.Mirror {
		o.mirrored(j.session, n)
	}
	ev := membership.Joined{
		Task: h.Task, Incarnation: h.Incarnation, Container: h.Container, Agent: h.Agent, Address: h.Address, Witness: h.Witness,
		Generation: h.Generation, Digest: h.Digest, Since: h.Since,
	}
	if h.Running != nil {
		e := started(j.session, *h.Running)
		ev.Running = &e
	}
	if h.Exited != nil {
		e := exited(j.session, *h.Exited)
		ev.Exited = &e
	}
	o.turn(ev)
}

// left takes a session out. One that was replaced by a newer session of the same container left
// before that one joined.
func (o *owner) left(l left) {
	task, container := l.session.Task(), l.session.Container()
	a, ok := o.agents[container]
	if !ok || a.session != l.session {
		return
	}
	delete(o.agents, container)
	o.log.Info("agent left", zap.Stringer("task", task), zap.Stringer("container", container), zap.Stringer("why", l.why))
	o.turn(membership.Left{Task: task, Incarnation: a.incarnation, Container: container, Silent: l.why == control.Silent})
}

// answered books what a heartbeat brought. An error ends the attempt.
func (o *owner) answered(b beat) error {
	switch {
	case b.registered:
		o.log.Info("registered again with a ResourceManager that restarted")
		o.failures = 0
		o.rests.Reset()
		o.ledger.Resync()
		o.keep(b.kept)
		return nil
	case b.err == nil:
	case errors.Is(b.err, yarn.ErrAttemptGone):
		return b.err
	case errors.Is(b.err, yarn.ErrInvalidResource), errors.Is(b.err, yarn.ErrUnknownResource):
		o.ledger.Refused() // and would be again, for as long as we ask
		o.turn(membership.Unfit{Reason: fmt.Sprintf("the ResourceManager refused what the job asks for: %v", b.err)})
		return nil
	case errors.Is(b.err, yarn.ErrUnauthorized):
		return b.err // without the ResourceManager there is nothing that this attempt can do
	default:
		if o.failures++; o.failures == silentBeats {
			o.silence, o.dirty = fmt.Sprintf("the ResourceManager does not answer the master: no container can be had: %v", b.err), true
		}
		if o.failures == 1 || o.failures%60 == 0 {
			o.log.Warn("heartbeat failed", zap.Error(b.err), zap.Int("in_a_row", o.failures))
		}
		return nil
	}
	if o.failures > 0 {
		o.silence, o.dirty = "", o.dirty || o.silence != ""
		o.log.Info("heartbeats go on", zap.Int("failed", o.failures))
		o.failures = 0
		o.rests.Reset()
	}
	o.m.o.Nodes.SetTokens(b.response.NMTokens...)
	out, err := o.ledger.Answered(b.response)
	if err != nil {
		return err
	}
	o.keep(b.response.Kept)
	if n := b.response.ClusterNodes; n != o.nodes {
		o.nodes = n
		o.turn(membership.ClusterSized{Nodes: n})
	}
	for _, c := range out.Unfit {
		o.log.Warn("container smaller than asked for", zap.Stringer("container", c.ID), zap.Stringer("resource", c.Resource))
	}
	for _, c := range out.Granted {
		o.containers[c.ID] = c
		o.log.Info("container granted", zap.Stringer("container", c.ID), zap.Stringer("node", c.Node))
		o.turn(membership.Granted{Role: o.roleOf(c), Container: c.ID, Node: c.Node})
	}
	for _, s := range out.Completed {
		delete(o.containers, s.ID)
		o.log.Info("container completed", zap.Stringer("container", s.ID), zap.Stringer("exit", s.ExitStatus))
		o.turn(membership.Completed{Container: s.ID, Exit: s.ExitStatus, Diagnostics: s.Diagnostics})
	}
	o.warn(b.response)
	o.wait(len(out.Granted) > 0, b.response.Limit)
	return nil
}

// wait notes what the ResourceManager has left for this job while containers are wanted.
func (o *owner) wait(granted bool, limit yarn.Resource) {
	r := room{queue: o.queue, left: limit, vcores: o.countsVCores}
	before := o.waiting.problem
	role := func(a yarn.Ask) string { return o.m.o.Job.Roles[a.ID-1].Name }
	o.waiting = o.waiting.wait(o.clock.now(), o.ledger.Open(), granted, role, r)
	o.dirty = o.dirty || o.waiting.problem != before
}

// turn steps the machine by one event and carries out what it decides.
func (o *owner) turn(ev membership.Event) {
	o.tellSteps(ev)
	o.interrupt(ev)
	now := o.clock.now()
	decision := o.machine.Step(now, ev)
	actions := decision.All()
	if _, tick := ev.(membership.Tick); tick && len(actions) == 0 {
		return
	}
	if err := o.events.append(membership.Turn{Time: now, Event: ev, Actions: actions}, o.machine); err != nil {
		o.log.Warn("event not logged", zap.Error(err))
	}
	for _, p := range decision.Over { // whatever is started now finds their leases free
		o.m.input.Lose(p.Task, p.Incarnation)
	}
	step := o.journal.book.Step()
	for _, a := range decision.Now {
		o.perform(a)
	}
	o.journal.outbox.Put(step, now, decision)
	o.dirty = true
}

// perform carries out one action. None of them waits. What is to be told to an agent that is not
// connected is told when it joins again: the machine sees to that.
func (o *owner) perform(a membership.Action) {
	switch a := a.(type) {
	case membership.Ask:
		o.ledger.SetAsk(o.ask(a))
	case membership.Release:
		o.ledger.Release(a.Container)
	case membership.Adopt:
		o.log.Info("container taken over", zap.Stringer("task", a.Task), zap.Int("incarnation", int(a.Incarnation)), zap.Stringer("container", a.Container))
		o.ledger.Adopt(a.Container)
	case membership.TakeoverEnded:
		o.log.Info("agents have reported to this master", zap.Int("reported", a.Reported), zap.Int("missing", a.Missing))
	case membership.Launch:
		c, ours := o.containers[a.Container]
		if !ours {
			return // it ended while the launch waited for the journal
		}
		if !a.Spare {
			o.forget(a.Task)
		}
		o.launch(a, c)
	case membership.Move:
		o.forget(a.Task)
	case membership.Notify:
		o.notify(a)
	case membership.Publish:
		o.spec = a.Spec
		o.published.due(o.clock.now())
		o.history.publish(a.Spec.Generation, o.clock.now())
		o.log.Info("cluster_spec published", zap.Int("generation", int(a.Spec.Generation)), zap.Int("tasks", len(a.Spec.Members)))
	case membership.Inspect:
		o.m.keeper.Inspect(a)
	case membership.StartProcess:
		o.training.starts++
		if g, ok := o.agents[a.Container]; ok {
			g = o.informed(g)
			g.session.Start(o.start(a))
			g.incarnation = a.Incarnation
			o.steps.Interrupt(a.Task)
			o.agents[a.Container] = g
			o.forget(a.Task)
		}
	case membership.StopProcess:
		if g, ok := o.agents[a.Container]; ok {
			g.session.Stop(control.Stop{Incarnation: a.Incarnation, Grace: a.Grace})
		}
	case membership.Retire:
		if g, ok := o.agents[a.Container]; ok {
			g.session.Retire(control.Retire{Reason: "the job has no more use for this container", Grace: o.m.o.Job.Stop.Grace})
		}
	case membership.Exclude:
		o.log.Warn("node excluded for a while: it failed repeatedly", zap.String("node", a.Host))
		o.ledger.Exclude(a.Host)
	case membership.Readmit:
		o.log.Info("node readmitted", zap.String("node", a.Host))
		o.ledger.Readmit(a.Host)
	case membership.Finish:
		o.result = &a.Result
	}
}

// forget drops a task's steps: its process begins anew.
func (o *owner) forget(t job.Task) {
	delete(o.progress, t)
	delete(o.meters, t)
	o.training.fresh = true
}
