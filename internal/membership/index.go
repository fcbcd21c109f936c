package membership

import (
	"math/bits"
	"slices"
	"time"

	"tfos/internal/job"
	"tfos/internal/yarn"
)

// A job has up to ten thousand tasks, and most events concern one of them. So nobody looks at all
// tasks to find out whether the gang is whole or who waits for a container: the index knows. It is
// made of the state alone, and no snapshot holds it.
//
// Whoever changes a task says so first, by edit; the lookups that handlers begin with do that for
// them. Between two passes flush puts each task that was handed out in this step into the sets
// where it belongs now.

// facet is something that may be true of a task, and that is asked of all of them.
type facet int

const (
	holds        facet = iota // has a container
	waits                     // for a container
	rests                     // pauses before it waits for one
	absent                    // keeps the gang from being whole
	undecided                 // keeps the job from having succeeded
	gangHolds                 // open, and holds a part of the gang
	gangLacks                 // open, and holds nothing
	coreLacks                 // the same, of one without which the job stands still
	inTransit                 // is new or leaves
	isNew                     //
	unlooked                  // may have written checkpoints that nobody was asked to look at
	unheard                   // is as the journal has it, and its agent has not told
	startable                 // its agent is there, and its process is to start, or to start anew
	unready                   // others depend on it, and it is in the way of their start
	addressless               // is in the cluster without an address
	cutOff                    // others depend on it, and its agent's connection has ended
	wasLost                   // others depend on it, and it was lost at some time
	outlived                  // its process runs, and must be started anew
	writing                   // its process runs, goes on, and writes checkpoints
	mutual                    // its process runs, and it and its peers depend on each other
	doneTraining              // it trained, and has ended well
	warnedOf                  // its container will be taken away
	spareless                 // is to move, and wants a container for that
	evaluating                // is an evaluator at work
	unpublished               // the published cluster_spec says otherwise of it
	facets                    // how many there are
)

// index is what is known of all tasks at once.
type index struct {
	at     map[job.Task]int
	in     map[yarn.ContainerID]int // by container: the task that holds it
	roles  map[string]span
	traits []traits
	lives  []yarn.ContainerID // by task, as `in` has it
	over   []job.Incarnation  // by task: the newest that Decision.Over has had
	is     []uint32           // by task: a bit for each facet
	sets   [facets]set
	alarms alarms
	// member is each task's place among the members of the published cluster_spec, -1 if it has
	// none. Strangers are members that the job does not have any more.
	member    []int
	strangers int

	drained bool  // nobody but those that were handed out may live on a draining node without having been warned
	gates   gates // as the last pass over those who are to start found them
	mode    mode  // in which the tasks were looked at, and
	asking  bool  // whether containers were wanted
	edited  []int // in this step
	marked  set   // the same
	stale   bool  // a task was handed out since the last flush
}

// span is where a role's tasks lie: from lo to below hi.
type span struct{ lo, hi int }

// traits are what a task is to the others, by its role and the job's strategy.
type traits struct {
	trains, decides, evaluates, leans, bears, essential, writes bool
}

// build makes the index anew: for a machine that was restored, and when the list of tasks has
// changed.
func (m *Machine) build() {
	n := len(m.s.Tasks)
	x := index{
		at: make(map[job.Task]int, n), in: make(map[yarn.ContainerID]int, n), roles: make(map[string]span),
		traits: make([]traits, n), lives: make([]yarn.ContainerID, n), over: make([]job.Incarnation, n), is: make([]uint32, n), member: make([]int, n),
		alarms: newAlarms(n), marked: newSet(n), edited: make([]int, 0, n), stale: true,
	}
	for f := range x.sets {
		x.sets[f] = newSet(n)
	}
	leader := m.job.Leader()
	for i := range m.s.Tasks {
		t := m.s.Tasks[i].Task
		x.at[t] = i
		s, known := x.roles[t.Role]
		if !known {
			s.lo = i
		}
		x.roles[t.Role] = span{s.lo, i + 1}
		if known && t != leader && i > s.lo+1 {
			x.traits[i] = x.traits[i-1] // all but the first of a role are alike
		} else {
			x.traits[i] = m.traitsOf(t)
		}
		if was, known := m.x.at[t]; known {
			x.over[i] = m.x.over[was]
		}
		x.member[i] = -1
		x.edited = append(x.edited, i)
		x.marked.put(i, true)
	}
	m.x = x
	m.place()
}

func (m *Machine) traitsOf(t job.Task) traits {
	trains := m.trains(t)
	return traits{
		trains: trains, decides: m.job.Decides(t.Role), evaluates: m.job.Part(t.Role) == job.PartEvaluates,
		leans: m.leans(t), bears: m.bears(t), essential: m.essential(t),
		writes: t == m.job.Leader() || m.job.Strategy == job.StrategyNone && trains,
	}
}

// place finds the tasks in the published cluster_spec.
func (m *Machine) place() {
	m.x.strangers = 0
	for i := range m.x.member {
		m.x.member[i] = -1
	}
	for i, member := range m.s.Spec.Members {
		if at, ok := m.x.at[member.Task]; ok {
			m.x.member[at] = i
		} else {
			m.x.strangers++
		}
	}
}

// edit hands out a task that is to be changed.
func (m *Machine) edit(i int) *task {
	if m.x.stale = true; !m.x.marked.has(i) {
		m.x.marked.put(i, true)
		m.x.edited = append(m.x.edited, i)
	}
	return &m.s.Tasks[i]
}

// editAll says that all tasks may stand differently now: the job is about something else.
func (m *Machine) editAll() {
	for i := range m.s.Tasks {
		m.edit(i)
	}
}

// flush brings the index up to date with the tasks that were handed out in this step.
func (m *Machine) flush() {
	if mode, asks := m.mode(), m.asking(); mode != m.x.mode || asks != m.x.asking { // what a task is to the job may depend on it
		m.x.mode, m.x.asking = mode, asks
		m.editAll()
	}
	if !m.x.stale {
		return
	}
	m.x.stale = false
	for _, i := range m.x.edited {
		m.file(i)
	}
}

// endStep ends a step: what was handed out in it is not changed any more.
func (m *Machine) endStep() {
	m.x.stale = true
	m.flush()
	for _, i := range m.x.edited {
		m.sayOver(i)
		m.x.marked.put(i, false)
	}
	m.x.edited = m.x.edited[:0]
}

// sayOver says which of a task's processes are over, if that is news.
func (m *Machine) sayOver(i int) {
	t := &m.s.Tasks[i]
	if over := t.over(); over > m.x.over[i] {
		m.x.over[i] = over
		m.out.Over = append(m.out.Over, Process{t.Task, over})
	}
}

// file puts one task into the sets where it belongs.
func (m *Machine) file(i int) {
	x, t := &m.x, &m.s.Tasks[i]
	lives := yarn.ContainerID{}
	if t.held() {
		lives = t.Container
	}
	if was := x.lives[i]; was != lives {
		if at, ok := x.in[was]; ok && at == i {
			delete(x.in, was)
		}
		if x.lives[i] = lives; !lives.IsZero() {
			x.in[lives] = i
		}
	}
	x.alarms.set(i, m.alarmOf(t))
	is := m.facetsOf(i)
	for changed := is ^ x.is[i]; changed != 0; changed &= changed - 1 {
		f := facet(bits.TrailingZeros32(changed))
		x.sets[f].put(i, is&(1<<f) != 0)
	}
	x.is[i] = is
}

// facetsOf is what is true of a task: the one place that says what each facet means.
func (m *Machine) facetsOf(i int) uint32 {
	t, r := &m.s.Tasks[i], &m.x.traits[i]
	var is uint32
	note := func(f facet, yes bool) {
		if yes {
			is |= 1 << f
		}
	}
	held, open, member, works := t.held(), t.Outcome == open, t.member(), t.Run == starting || t.Run == running
	stale := works && m.outdated(t)

	note(holds, held)
	note(waits, t.Run == waiting)
	note(rests, t.Run == resting)
	note(absent, t.Run != joined && (open || m.returns(t)))
	note(undecided, r.decides && t.Outcome != succeeded && member)
	note(gangHolds, open && member && held)
	note(gangLacks, open && member && !held)
	note(coreLacks, open && member && !held && r.essential)
	note(inTransit, !member)
	note(isNew, t.New)
	note(unlooked, open && !t.Unlooked.IsZero() && !m.s.Checkpoints.lookedAfter(t.Unlooked))
	note(unheard, t.Unconfirmed && held)
	note(startable, member && (t.Run == joined || t.Run == pausing || stale))
	note(unready, r.bears && open && member && !m.ready(t))
	note(addressless, open && member && t.Address == "" && !job.Apart(t.Task.Role))
	note(cutOff, r.bears && open && held && !t.Until.IsZero() && t.Run != launched)
	note(wasLost, r.bears && !t.Lost.IsZero())
	note(outlived, stale)
	note(writing, works && !stale && r.writes)
	note(mutual, works && open && r.leans && r.bears)
	note(doneTraining, r.trains && t.Outcome == succeeded)
	note(warnedOf, t.Notice != nil)
	note(spareless, m.wantsSpare(t))
	note(evaluating, works && r.evaluates)
	note(unpublished, !m.published(i))
	return is
}

// alarmOf is when a task wants a look for its own sake; zero: never.
func (m *Machine) alarmOf(t *task) time.Time {
	at := soonest(t.Until, t.warningEnds())
	// The pause of a process that is over may still have to wait for others. That of a container
	// ends with a Tick alone: an event that comes between must not take it away.
	if t.Rest.After(m.now) || t.Run == resting && m.asking() {
		at = soonest(at, t.Rest)
	}
	return at
}

// soonest is the earliest of the times that are not zero.
func soonest(times ...time.Time) time.Time {
	var first time.Time
	for _, at := range times {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// among is the tasks of which a facet is true.
func (m *Machine) among(f facet) *set {
	m.flush()
	return &m.x.sets[f]
}

// some are the tasks of which a facet is true: all of them, or those that were handed out in this
// step if the others were looked at before and nothing has changed for them.
func (m *Machine) some(f facet, edited bool) []int {
	s := m.among(f)
	if !edited {
		return slices.Collect(s.all())
	}
	var out []int
	for _, i := range m.x.edited {
		if s.has(i) {
			out = append(out, i)
		}
	}
	slices.Sort(out)
	return out
}

// inRole counts those of a role.
func (m *Machine) inRole(f facet, role string) int {
	s := m.x.roles[role]
	return m.among(f).between(s.lo, s.hi)
}

// firstOf finds the first of a role, to change it; nil: there is none.
func (m *Machine) firstOf(f facet, role string) *task {
	s := m.x.roles[role]
	if i := m.among(f).next(s.lo); i >= 0 && i < s.hi {
		return m.edit(i)
	}
	return nil
}

// find finds a task by its name, to change it; nil: the job does not have it.
func (m *Machine) find(name job.Task) *task {
	if i, ok := m.x.at[name]; ok {
		return m.edit(i)
	}
	return nil
}

// holder finds the task that has a container now, to change it; nil: none has.
func (m *Machine) holder(c yarn.ContainerID) *task {
	m.flush()
	if i, ok := m.x.in[c]; ok {
		return m.edit(i)
	}
	return nil
}
