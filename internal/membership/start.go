package membership

import (
	"slices"
	"time"

	"tfos/internal/clusterspec"
	"tfos/internal/job"
)

// proceed publishes what has changed and starts what can be started.
func (m *Machine) proceed() {
	if !m.opts.StableEndpoints {
		m.publish() // which outdates processes
	}
	m.lookBeforeRestarts()
	var due []int
	for _, i := range m.startables() {
		t := &m.s.Tasks[i]
		if !m.ready(t) || !m.provided(i) || !m.looked(t) {
			continue
		}
		t = m.edit(i)
		switch t.Run {
		case pausing:
			t.Incarnation++
		case starting, running: // outdated
			cause := CauseAftershock
			switch {
			case t.Stalled != "":
				cause = CauseStalled
			case t.Resized:
				cause = CauseScaled
			}
			m.note(t, cause, t.Stalled, false)
			t.Lost = m.now  // for those that depend on it
			t.Incarnation++ // the agent stops the one before first
		}
		due = append(due, i)
	}
	if m.opts.StableEndpoints {
		m.publish() // by which endpoints reset connections to earlier incarnations
	}
	for _, i := range due {
		m.start(m.edit(i))
	}
}

// startables are the tasks whose process may be in for a start: those of this step, unless
// something has happened that others may have waited for.
func (m *Machine) startables() []int {
	gates := gates{m.among(unready).len() == 0, m.among(addressless).len() == 0, m.awaiting(), m.s.Checkpoints.Asked}
	same := gates == m.x.gates
	m.x.gates = gates
	return m.some(startable, same)
}

// gates are what several tasks at once wait for. They are part of the index: a machine that was
// restored looks at all tasks.
type gates struct {
	ready, placed, looking bool
	looked                 time.Time
}

// start gives the order to start the current incarnation's process.
func (m *Machine) start(t *task) {
	m.rolledBack(t)
	t.Met = m.meetsPast(t)
	t.Run, t.Ordered, t.Generation, t.Renew = starting, m.now, m.s.Generation, false
	t.Resized, t.Stalled = false, ""
	t.Rest = time.Time{}
	t.PID, t.Started, t.Ended, t.ExitCode, t.Cause, t.Why = 0, time.Time{}, time.Time{}, nil, CauseNone, ""
	m.do(StartProcess{t.Task, t.Incarnation, t.Container, m.s.Generation})
}

// meetsPast reports whether a task that was lost, and starts again, will find the process of a peer
// which has not noticed, and is about to end because of it. The coordination service of mirrored
// workers refuses whoever comes back that early. No process of a peer is an excuse twice: then it
// has not noticed in all the time that one takes to start and fail.
func (m *Machine) meetsPast(t *task) bool {
	if t.Lost.IsZero() || !m.leans(t.Task) || !m.bears(t.Task) {
		return false
	}
	peers := &m.x.sets[mutual] // as this pass began, but that those which were started since are told by their times
	for i := range peers.all() {
		if peer := &m.s.Tasks[i]; peer != t && peer.Ordered.Before(t.Lost) && peer.Ordered.After(t.Excused) {
			return true
		}
	}
	return false
}

// ready reports whether nothing of the task's own is in the way of a start: it has an agent, and
// its pause is over.
func (m *Machine) ready(t *task) bool {
	return t.Address != "" && t.Until.IsZero() && !m.now.Before(t.Rest) &&
		(t.Run == joined || t.Run == pausing || t.Run == starting || t.Run == running)
}

// provided reports whether the others are where they must be for a task's process to start. The
// task itself is ready.
func (m *Machine) provided(i int) bool {
	if m.x.traits[i].leans && m.x.sets[unready].len() > 0 {
		return false
	}
	// Without stable endpoints it would have to start again as soon as the missing address is
	// known.
	return m.opts.StableEndpoints || m.x.sets[addressless].len() == 0 || job.Apart(m.s.Tasks[i].Task.Role)
}

// outdated reports whether a process must be started anew although it runs: it started before a
// loss that it does not outlive, or it knows an address that is no longer true.
func (m *Machine) outdated(t *task) bool {
	moved := m.s.Moved
	if job.Apart(t.Task.Role) {
		moved = 0 // its own address changes with its container only
	}
	return t.Renew || !m.opts.StableEndpoints && t.Generation < moved
}

// publish makes a cluster_spec of where the tasks are now, if that is news. Peers find a task
// through stable endpoints, which are told of a loss at once, and of another incarnation at the
// same place: they cut the connections to the one before. Without them a spec is for starting
// processes with: it waits until it is whole, and only addresses matter.
func (m *Machine) publish() {
	k := &m.s.Takeover
	ahead := k.Generation > 0
	news := m.among(unpublished)
	if !ahead && news.len() == 0 && m.x.strangers == 0 {
		return
	}
	if !m.opts.StableEndpoints && m.among(addressless).len() > 0 {
		return
	}
	moved := false
	for i := range news.all() { // who is new, or has left, makes nobody's address untrue
		_, is := m.entry(i)
		moved = moved || is && m.x.member[i] >= 0 && !job.Apart(m.s.Tasks[i].Task.Role)
	}
	members, patched := m.members(news)
	spec := clusterspec.Spec{Generation: k.next(m.s.Generation), Members: members}
	before := m.s.Moved
	switch {
	case ahead && spec.Digest() == k.Digest: // what the newest processes know is true
		if moved {
			m.s.Moved = k.Generation
		}
	case ahead || moved:
		m.s.Moved = spec.Generation
	}
	if m.s.Moved != before && !m.opts.StableEndpoints {
		m.editAll() // processes know an address that is not true any more
	}
	m.s.Generation, m.s.Spec = spec.Generation, spec
	k.published()
	for i := range news.all() {
		m.edit(i)
	}
	if !patched {
		m.place()
	}
	m.do(Publish{spec})
}

// entry is a task as the cluster_spec is to have it; false: not at all.
func (m *Machine) entry(i int) (clusterspec.Member, bool) {
	switch t := &m.s.Tasks[i]; {
	case !t.member():
	case t.Address != "": // that of a task which has ended well stays: a TF_CONFIG tells its place by the order
		return clusterspec.Member{Task: t.Task, Incarnation: t.Incarnation, Address: t.Address, Witness: t.Witness}, true
	case m.opts.StableEndpoints:
		return clusterspec.Member{Task: t.Task}, true // its place stays: a TF_CONFIG may be written now
	}
	return clusterspec.Member{}, false
}

// published reports whether the cluster_spec that was published last has a task as it is.
func (m *Machine) published(i int) bool {
	now, is := m.entry(i)
	at := m.x.member[i]
	if !is || at < 0 {
		return is == (at >= 0)
	}
	then := &m.s.Spec.Members[at]
	return now.Address == then.Address && (now.Incarnation == then.Incarnation || !m.opts.StableEndpoints)
}

// members are those of the next cluster_spec: the published ones but for the news, or all anew if
// somebody has come or left. What was published is never changed: others have it. Patched says that
// all have the places that they had.
func (m *Machine) members(news *set) (members []clusterspec.Member, patched bool) {
	members = slices.Clone(m.s.Spec.Members)
	patched = m.x.strangers == 0 && m.opts.StableEndpoints // without them the incarnations of others may have changed as well
	for i := range news.all() {
		now, is := m.entry(i)
		if at := m.x.member[i]; is && at >= 0 {
			members[at] = now
		} else {
			patched = false
		}
	}
	if patched {
		return members, true
	}
	members = make([]clusterspec.Member, 0, len(m.s.Tasks))
	for i := range m.s.Tasks {
		if member, is := m.entry(i); is {
			members = append(members, member)
		}
	}
	return members, false
}
