package membership

import (
	"slices"
	"time"

	"tfos/internal/clusterspec"
	"tfos/internal/job"
)

// proceed publishes what has changed and starts what can be started. It runs after every event while the job trains.
func (m *Machine) proceed() {
	if m.s.Phase != training || m.resuming() {
		return
	}
	if !m.opts.StableEndpoints {
		m.publish() // which outdates processes
	}
	m.doubtOutdated()
	var due []*task
	for i := range m.s.Tasks {
		t := &m.s.Tasks[i]
		switch {
		case !t.member() || !m.ready(t) || !m.provided(t) || !m.sure(t):
			continue
		case t.Run == joined:
		case t.Run == pausing:
			t.Incarnation++
		case (t.Run == starting || t.Run == running) && m.outdated(t):
			cause := CauseAftershock
			if t.Resized {
				cause = CauseScaled
			}
			m.note(t, cause, "", false)
			t.Lost = m.now  // for those that depend on it
			t.Incarnation++ // the agent stops the one before first
		default:
			continue
		}
		due = append(due, t)
	}
	if m.opts.StableEndpoints {
		m.publish() // which has the endpoints reset connections to incarnations of before
	}
	for _, t := range due {
		m.start(t)
	}
}

// start gives the order to start the current incarnation's process.
func (m *Machine) start(t *task) {
	m.rolledBack(t)
	t.Met = m.meetsPast(t)
	t.Run, t.Ordered, t.Generation, t.Renew = starting, m.now, m.s.Generation, false
	t.Resized = false
	t.Rest = time.Time{}
	t.PID, t.Started, t.Ended, t.ExitCode, t.Cause, t.Why = 0, time.Time{}, time.Time{}, nil, CauseNone, ""
	m.do(StartProcess{t.Task, t.Incarnation, m.s.Generation})
}

// meetsPast reports whether a task that was lost, and starts again, will find the process of a peer which has not noticed, and is
// about to end because of it. The coordination service of mirrored workers refuses whoever comes back that early. No process of a
// peer is an excuse twice: then it has not noticed in all the time that one takes to start and fail.
func (m *Machine) meetsPast(t *task) bool {
	for i := range m.s.Tasks {
		peer := &m.s.Tasks[i]
		if m.depends(t.Task, peer.Task) && m.depends(peer.Task, t.Task) && peer.Outcome == open && (peer.Run == starting || peer.Run == running) &&
			peer.Ordered.Before(t.Lost) && peer.Ordered.After(t.Excused) {
			return true
		}
	}
	return false
}

// ready reports whether nothing of the task's own is in the way of a start: it has an agent, and its pause is over.
func (m *Machine) ready(t *task) bool {
	return t.Address != "" && t.Until.IsZero() && !m.now.Before(t.Rest) &&
		(t.Run == joined || t.Run == pausing || t.Run == starting || t.Run == running)
}

// provided reports whether the others are where they must be for the task's process to start.
func (m *Machine) provided(t *task) bool {
	for i := range m.s.Tasks {
		switch peer := &m.s.Tasks[i]; {
		case peer == t || peer.Outcome != open || !peer.member():
		case !m.ready(peer) && m.depends(t.Task, peer.Task):
			return false
		case !m.opts.StableEndpoints && m.meets(t.Task, peer.Task) && peer.Address == "":
			return false // it would have to start again as soon as that is known
		}
	}
	return true
}

// outdated reports whether a process must be started anew although it runs: it is of before a loss that it does not outlive,
// or it knows an address that is no longer true.
func (m *Machine) outdated(t *task) bool {
	moved := m.s.Moved
	if t.Task.Role == job.Evaluator {
		moved = 0 // its own address changes with its container only
	}
	return t.Renew || !m.opts.StableEndpoints && t.Generation < moved
}

// publish makes a cluster_spec of where the tasks are now, if that is news. Peers find a task through stable endpoints, which
// are told of a loss at once, and of another incarnation at the same place: they cut the connections to the one before. Without
// them a spec is for starting processes with: it waits until it is whole, and only addresses matter.
func (m *Machine) publish() {
	spec := clusterspec.Spec{Generation: m.nextGeneration(), Members: make([]clusterspec.Member, 0, len(m.s.Tasks))}
	for i := range m.s.Tasks {
		switch t := &m.s.Tasks[i]; {
		case !t.member():
		case t.Address != "": // that of a task which has ended well stays: a TF_CONFIG tells its place by the order
			spec.Members = append(spec.Members, clusterspec.Member{Task: t.Task, Incarnation: t.Incarnation, Address: t.Address, Witness: t.Witness})
		case m.opts.StableEndpoints:
			spec.Members = append(spec.Members, clusterspec.Member{Task: t.Task}) // its place stays: a TF_CONFIG may be written now
		case t.Task.Role != job.Evaluator && t.Outcome == open:
			return
		}
	}
	same := func(a, b clusterspec.Member) bool {
		return a.Task == b.Task && a.Address == b.Address && (a.Incarnation == b.Incarnation || !m.opts.StableEndpoints)
	}
	k := &m.s.Takeover
	ahead := k.Generation > 0
	if !ahead && slices.EqualFunc(spec.Members, m.s.Spec.Members, same) {
		return
	}
	moved := false
	for _, is := range spec.Members { // who is new, or has left, makes nobody's address untrue
		i := slices.IndexFunc(m.s.Spec.Members, func(was clusterspec.Member) bool { return was.Task == is.Task })
		moved = moved || is.Task.Role != job.Evaluator && i >= 0 && !same(is, m.s.Spec.Members[i])
	}
	switch {
	case ahead && spec.Digest() == k.Digest: // what the newest processes know is true
		if moved {
			m.s.Moved = k.Generation
		}
	case ahead || moved:
		m.s.Moved = spec.Generation
	}
	m.s.Generation, m.s.Spec = spec.Generation, spec
	k.Generation, k.Digest, k.Doubt = 0, 0, false
	m.do(Publish{spec.Clone()})
}
