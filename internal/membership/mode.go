package membership

import "time"

// A mode is what the job is about. Handlers record what an event says; the table below says what it
// means in each mode, and which passes decide afterwards, in order. A pass looks at the state
// alone, whatever led to it.
type mode int

const (
	modeIdle     mode = iota // nothing was asked for yet
	modeForming              // containers and agents are awaited, until the gang is whole
	modeTraining             // a cluster_spec is published; what is lost is replaced
	modeTakeover             // the agents of the attempt before are awaited; nothing is asked for, started or given up
	modeStopping             // the result is known; what still runs is being stopped
	modeFinished             //
	modeCount                // how many there are
)

// row is what happens in one mode.
type row struct {
	asks    bool                          // containers are wanted for those who wait
	granted func(*Machine, Granted)       // a new container
	kept    func(*Machine, Kept)          // a live container that no task has
	strange func(*Machine, Joined) *task  // finds the task of an agent whose container no task has; nil: there is none
	left    func(*Machine, *task)         // an agent's connection was closed
	lost    func(*Machine, *task, loss)   // a task that others count on
	warned  func(*Machine, *task, Warned) // a container will be taken away
	end     func(*Machine, Result)        // something that would end the job
	tick    func(*Machine)                // deadlines may have passed
	wake    func(*Machine) time.Time      // the earliest deadline; zero: there is none
	passes  []func(*Machine)              // what is decided after each event
}

// table makes the table of the modes.
func table() *[modeCount]row {
	running := row{
		asks: true, granted: (*Machine).granted, kept: (*Machine).refuse, strange: nobodys,
		left: (*Machine).awaitReturn, lost: (*Machine).replace, warned: (*Machine).warn,
		end: (*Machine).stopJob, tick: (*Machine).expire, wake: (*Machine).nextDeadline,
	}

	idle := running
	idle.asks, idle.granted, idle.tick, idle.wake = false, (*Machine).giveBack, func(*Machine) {}, never

	forming := running
	forming.warned = (*Machine).leaveNode
	forming.passes = []func(*Machine){
		(*Machine).begun, (*Machine).drain, (*Machine).forget, (*Machine).dropSpares, (*Machine).inspect, (*Machine).watchGang,
	}

	training := running
	training.passes = []func(*Machine){
		(*Machine).succeed, (*Machine).drain, (*Machine).adjust, (*Machine).move, (*Machine).inspect, (*Machine).proceed, (*Machine).watchGang,
	}

	takeover := running
	takeover.asks, takeover.granted = false, (*Machine).giveBack
	takeover.kept, takeover.strange = (*Machine).keepStray, (*Machine).adopt
	takeover.warned = func(m *Machine, t *task, w Warned) { m.table[m.phaseMode()].warned(m, t, w) }
	takeover.tick = (*Machine).giveUpUnheard
	takeover.wake = func(m *Machine) time.Time { return m.s.Takeover.Until }
	takeover.passes = []func(*Machine){(*Machine).succeed, (*Machine).endTakeover, (*Machine).inspect}

	stopping := row{
		granted: (*Machine).giveBack, kept: (*Machine).refuse, strange: nobodys,
		left: func(*Machine, *task) {}, lost: (*Machine).leaveForGood, warned: func(*Machine, *task, Warned) {},
		end:  func(m *Machine, _ Result) { m.stopEvaluators("") }, // the first result stays
		tick: (*Machine).expireStop, wake: func(m *Machine) time.Time { return soonest(m.s.StopUntil, m.s.EvaluateUntil) },
		passes: []func(*Machine){(*Machine).dropSpares},
	}

	return &[modeCount]row{
		modeIdle: idle, modeForming: forming, modeTraining: training, modeTakeover: takeover, modeStopping: stopping,
		modeFinished: {wake: never}, // nothing happens any more
	}
}

// never is the deadline of a mode that has none.
func never(*Machine) time.Time { return time.Time{} }

// nobodys is the task of an agent that nobody waits for.
func nobodys(*Machine, Joined) *task { return nil }

// mode is what the job is about now.
func (m *Machine) mode() mode {
	if !m.s.Takeover.Until.IsZero() {
		return modeTakeover
	}
	return m.phaseMode()
}

// phaseMode is what the job is about once a takeover is over.
func (m *Machine) phaseMode() mode {
	switch m.s.Phase {
	case forming:
		return modeForming
	case training:
		return modeTraining
	case stopping:
		return modeStopping
	case finished:
		return modeFinished
	}
	return modeIdle
}

// row is the table's for the mode that the job is in.
func (m *Machine) row() *row { return &m.table[m.mode()] }

// asking reports whether containers are wanted now: not in the pause after a gang was given up.
func (m *Machine) asking() bool { return m.row().asks && m.s.AskAgain.IsZero() }

// end ends the job, or what is left of it.
func (m *Machine) end(r Result) { m.row().end(m, r) }

// decide runs the passes of the job's mode. One that changes the mode gives the word to the passes
// of the next.
func (m *Machine) decide() {
	for again := true; again; {
		mode := m.mode()
		again = false
		for _, pass := range m.table[mode].passes {
			m.x.stale = true // what was handed out before may have changed since
			pass(m)
			if again = m.mode() != mode; again {
				break
			}
		}
	}
	m.x.stale = true
	m.ask()
	m.settle()
}

// nextDeadline is the earliest of a job that forms or trains.
func (m *Machine) nextDeadline() time.Time {
	m.flush()
	at := soonest(m.s.GangUntil, m.s.AskAgain, m.s.GrowUntil, m.x.alarms.next(), m.s.Nodes.next())
	if m.awaiting() {
		at = soonest(at, m.s.Checkpoints.Until)
	}
	for i := range m.s.Spares {
		at = soonest(at, m.s.Spares[i].Until, m.leavesAt(&m.s.Spares[i]))
	}
	return at
}
