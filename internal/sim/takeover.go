package sim

import (
	"time"

	"tfos/internal/clusterspec"
	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/yarn"
	"tfos/internal/yarn/ledger"
)

// journal is the model of what a master writes for the next attempt: the newest state, one write at
// a time, each of which takes a while. What it holds is found out when the master dies, from its
// turns: a snapshot for every write costs more than all the rest.
type journal struct {
	real    *membership.Machine // what is behind master.machine
	turn    int                 // the newest
	safe    int                 // the newest that the journal has
	logged  []int               // which turns master.turns are
	content []byte              // that the master before left; nil: none has written anything
	writing bool
	outbox  membership.Outbox
	waking  time.Time // when it is asked next
}

// remember writes the journal, if nobody does, and does what waited for it.
func (m *master) remember() {
	j := &m.journal
	now := m.w.clock.now
	for _, a := range j.outbox.Take(now, int64(j.safe), false) {
		m.perform(a)
	}
	if wake := j.outbox.Wake(); !wake.IsZero() && !wake.Equal(j.waking) {
		j.waking = wake
		m.w.after(wake.Sub(now), m.living(m.remember))
	}
	if j.writing || j.turn == j.safe || m.done {
		return
	}
	turn := j.turn
	j.writing = true
	m.w.after(m.w.upTo(m.w.sc.journal), m.living(func() {
		j.writing, j.safe = false, turn
		m.remember()
	}))
}

// leave is what the journal holds of a master that died: the machine as it was after the newest
// turn that was written.
func (m *master) leave() {
	j := &m.journal
	if j.safe > 0 {
		real, err := m.header.Machine()
		if err != nil {
			panic("sim: " + err.Error())
		}
		machine := m.w.opts.Wrap(real)
		for i, t := range m.turns {
			if j.logged[i] <= j.safe {
				machine.Step(t.Time, t.Event)
			}
		}
		if j.content, err = real.Snapshot(); err != nil {
			panic("sim: " + err.Error())
		}
	}
	j.turn, j.safe, j.logged, j.writing, j.outbox, j.waking = 0, 0, nil, false, membership.Outbox{}, time.Time{}
}

// logs are the event logs of all attempts, oldest first.
func (m *master) logs() []byte {
	var all []byte
	for _, h := range m.past {
		all = append(all, h.log...)
	}
	return append(all, m.log.Bytes()...)
}

// living keeps f from happening after the death of the master that planned it.
func (m *master) living(f func()) func() {
	life := m.lives
	return func() {
		if m.lives == life {
			f()
		}
	}
}

// publish tells every agent a cluster_spec.
func (m *master) publish(s clusterspec.Spec) {
	m.told = s
	for _, t := range m.audit.tasks { // in an order that is the same in every run
		for _, g := range m.agents[t] {
			if m.sessions[g.container] != nil {
				m.tell(g.container, func(g *agent) { g.know(s) })
			}
		}
	}
}

// killMaster ends a master's process. YARN starts another one.
func (w *world) killMaster() {
	m := w.masters[w.rng.IntN(len(w.masters))]
	if !m.started || m.dead || m.done {
		return
	}
	m.audit.clusterFailed = true // what was granted last is taken away
	m.die()
	node, c := m.node, m.container // by then the next one may be there
	w.after(w.upTo(2*time.Second), func() {
		w.do(w.rm.ContainerCompleted(w.clock.now, node, yarn.ContainerStatus{ID: c, State: yarn.ContainerComplete, ExitStatus: 137}))
	})
}

func (m *master) die() {
	m.lives++
	m.dead = true
	m.audit.incomplete = time.Time{} // nobody can give it up meanwhile
	m.past = append(m.past, history{m.header, m.turns, append([]byte(nil), m.log.Bytes()...)})
	for _, g := range m.w.agents {
		if s := g.session; g.m == m && s != nil {
			s.open, s.left, g.session = false, true, nil
			m.w.after(time.Millisecond+m.w.upTo(2*time.Second), g.connect)
		}
	}
	m.sessions = make(map[yarn.ContainerID]*session)
	m.audit.unwritten(m.journal.safe)
	m.leave()
	m.shadow, m.ticking = nil, time.Time{}
	m.turns = nil
	m.log.Reset()
}

// takeOver is the start of a later attempt: with the journal, or without one.
func (m *master) takeOver(reg yarn.Registered) {
	j := &m.journal
	var restored *membership.Machine
	if j.content != nil {
		var err error
		if restored, err = m.w.opts.Restore(j.content); err != nil {
			panic("sim: " + err.Error())
		}
	} else {
		again, err := m.header.Machine()
		if err != nil {
			panic("sim: " + err.Error())
		}
		restored = again
	}
	m.header = restored.Header()
	m.write(m.header)
	j.real = restored
	m.machine = m.w.opts.Wrap(restored)
	m.ledger = ledger.New()
	m.nodes = 0
	m.told, m.steps.told = restored.Spec(), 0 // programs go on saying how far they are
	m.audit.takenOver(m.w, m, restored.Spec().Generation)
	if j.content != nil {
		if i, ok := restored.Inspecting(); ok { // of the master before, which cannot be answered any more
			m.audit.restoring.number = i.Number
			m.look(i)
		}
		m.turn(membership.TakeoverBegan{Attempt: m.attempt.Attempt})
	} else {
		m.turn(membership.Began{Attempt: m.attempt.Attempt})
	}
	for _, c := range reg.Kept {
		m.ledger.Adopt(c.ID)
		m.turn(membership.Kept{Container: c.ID, Node: c.Node})
	}
}

// takenOver puts the truth in the place of what the auditor saw a master decide that is dead: much
// of it was never done.
func (a *auditor) takenOver(w *world, m *master, generation job.Generation) {
	a.over = make(map[job.Task]job.Incarnation)
	a.asked, a.starting, a.excluded = make(map[string]int), make(map[job.Task]job.Incarnation), make(map[string]time.Time)
	a.heard = make(map[yarn.ContainerID]bool)
	a.incomplete, a.nodes = time.Time{}, w.sc.nodes // until it is told
	a.generation, a.published = generation, generation
	a.restoring.number, a.restoring.row = 0, 0 // the journal may not have the newest look, nor the newest step
	a.awaits = w.clock.now.Add(resumePatience)
	a.held = 0
	for c, s := range a.state {
		if s != ended {
			a.state[c] = orphaned
		}
	}
	for _, t := range a.job.Tasks() {
		l := a.launched[t]
		l.Incarnation = 0
		a.earlier[t] = max(a.earlier[t], a.ordered[t])
		a.ordered[t] = 0
		for _, g := range m.agents[t] {
			if g.spare { // the journal may not have that the task moved there
				a.spares[t] = membership.Launch{Task: t, Incarnation: g.incarnation, Container: g.container, Node: g.node, Spare: true}
				if !g.started {
					continue // it claims what it may become
				}
			}
			l.Incarnation = max(l.Incarnation, g.incarnation)
			if g.started {
				a.ordered[t] = max(a.ordered[t], g.incarnation)
			}
			if g.alive {
				a.generation = max(a.generation, g.spec.Generation)
			}
		}
		a.launched[t] = l
	}
}

// resumePatience is how long a machine waits for agents after a takeover, as membership has it.
const resumePatience = 30 * time.Second

// adopt notes where the machine believes a task to be. It may be wrong about a container that ended
// since its journal.
func (a *auditor) adopt(l membership.Adopt) {
	was := a.launched[l.Task]
	was.Task, was.Container, was.Incarnation = l.Task, l.Container, max(was.Incarnation, l.Incarnation)
	a.launched[l.Task], a.used[l.Container] = was, true
	if a.spares[l.Task].Container == l.Container {
		delete(a.spares, l.Task)
	}
	if a.state[l.Container] != ended {
		a.now(l.Container, held)
	}
}
