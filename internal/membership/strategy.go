package membership

import "tfos/internal/job"

// What the strategies mean for recovery. The table in docs/job-file.md is this file for users; that TensorFlow behaves so was
// found by trial.

// trains reports whether a task takes part in the training itself.
func (m *Machine) trains(t job.Task) bool { return m.job.Trains(t.Role) }

// serves reports whether a task is a parameter server, by whatever name.
func (m *Machine) serves(t job.Task) bool { return m.job.Part(t.Role) == job.PartServes }

// depends reports whether t's program cannot go on without peer's: it ends with an error when peer's process is lost, or waits
// for it, and has no use for being started before peer can be.
func (m *Machine) depends(t, peer job.Task) bool {
	if t == peer {
		return false
	}
	switch m.job.Strategy {
	case job.StrategyParameterServer: // the coordinator's variables live there; workers are told by the coordinator
		return t == m.job.Leader() && m.serves(peer)
	case job.StrategyMirrored: // a step is everyone's
		return m.trains(t) && m.trains(peer)
	case job.StrategyV1: // sessions wait for the chief to initialise, and run on the servers
		return m.trains(t) && (m.serves(peer) || peer == m.job.Leader())
	}
	return false
}

// outlives reports whether t's running process goes on by itself once peer is back. Where it does not, it ends with an error,
// and is started anew if it does not.
func (m *Machine) outlives(t, peer job.Task) bool {
	// A new parameter server has no variables. A MonitoredTrainingSession restores them; a coordinator only when it starts. Of
	// mirrored peers each notices by itself, within seconds of the reset of its connections.
	return m.job.Strategy != job.StrategyParameterServer || !m.depends(t, peer)
}

// follows reports whether t's process starts again when peer is lost, be it that it ends with an error or that it is ended.
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

// meets reports whether t's process knows peer's address. An evaluator is in nobody's cluster.
func (m *Machine) meets(t, peer job.Task) bool {
	return t == peer || t.Role != job.Evaluator && peer.Role != job.Evaluator
}
