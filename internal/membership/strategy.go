package membership

import "tfos/internal/job"

// What the strategies mean for recovery. The table in docs/job-file.md is this file for users; that
// TensorFlow behaves so was found by trial.

// trains reports whether a task takes part in the training itself.
func (m *Machine) trains(t job.Task) bool { return m.job.Trains(t.Role) }

// serves reports whether a task is a parameter server, by whatever name.
func (m *Machine) serves(t job.Task) bool { return m.job.Part(t.Role) == job.PartServes }

// leans reports whether a task's program cannot go on without those that bear it: it ends with an
// error when one of their processes is lost, or waits for it, and has no use for being started
// before all of them can be.
func (m *Machine) leans(t job.Task) bool {
	switch m.job.Strategy {
	case job.StrategyParameterServer: // the coordinator's variables live on the servers; workers are told by the coordinator
		return t == m.job.Leader()
	case job.StrategyMirrored, job.StrategyV1: // a step is everyone's; sessions wait for the chief to initialise
		return m.trains(t)
	}
	return false
}

// bears reports whether a task is one of those without which the others that lean cannot go on.
func (m *Machine) bears(t job.Task) bool {
	switch m.job.Strategy {
	case job.StrategyParameterServer:
		return m.serves(t)
	case job.StrategyMirrored:
		return m.trains(t)
	case job.StrategyV1: // sessions run on the servers
		return m.serves(t) || t == m.job.Leader()
	}
	return false
}

// depends reports whether t's program cannot go on without peer's.
func (m *Machine) depends(t, peer job.Task) bool { return t != peer && m.leans(t) && m.bears(peer) }

// outlives reports whether running processes that lean go on by themselves once a lost one that
// bears them is back. Where they do not, they end with an error, and are started anew if they do
// not end. A new parameter server has no variables: a MonitoredTrainingSession restores them, a
// coordinator only when it starts. Of mirrored peers each notices by itself, within seconds of the
// reset of its connections.
func (m *Machine) outlives() bool { return m.job.Strategy != job.StrategyParameterServer }

// follows reports whether t's process starts again when peer is lost, be it that it ends with an
// error or that it is ended.
func (m *Machine) follows(t, peer job.Task) bool {
	return m.depends(t, peer) && m.job.Strategy != job.StrategyV1 // whose sessions recover
}

// carries reports whether the leader's training needs a task: it gets on only with the task, and
// goes back when the task is lost.
func (m *Machine) carries(t job.Task) bool {
	leader := m.job.Leader()
	return t == leader || m.depends(leader, t)
}

// essential reports whether the job stands still without a task.
func (m *Machine) essential(t job.Task) bool {
	return m.job.Strategy != job.StrategyNone && m.carries(t)
}

// meets reports whether t's process knows peer's address.
func (m *Machine) meets(t, peer job.Task) bool {
	return t == peer || !job.Apart(t.Role) && !job.Apart(peer.Role)
}
