package membership

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tfos/internal/job"
)

// How a job changes its size while it trains. The size that is wanted is the job's own (m.job),
// from the moment it is asked for.
//
//   - Growing: the new tasks wait for containers beside the others, who go on. A new task is taken
//     into the cluster once its agent is there and those of the lower indices are, since a
//     TF_CONFIG tells a task's place by the order.
//   - Shrinking: the tasks with the highest indices leave. They are stopped in order, nobody is
//     charged for it, and they count neither for the job's success nor against it.
//   - Whoever cannot go on with another number of peers starts again in place when they are taken
//     in, or leave: see resizes.

// Scaled asks for another number of a role's tasks. One that CheckScale refuses changes nothing.
type Scaled struct {
	Role  string `json:"role"`
	Count int    `json:"count"`
	// Renew has a coordinator with parameter servers start again in place once the new tasks are
	// there: it uses no workers but those of its start.
	Renew bool `json:"renew,omitempty"`
}

func (Scaled) event() {}

// Refusal is why a job cannot be given another size.
type Refusal struct {
	Usage bool // the wish makes no sense for any job of this kind; otherwise it is this one that cannot, or cannot now
	What  string
}

// Error says it in one sentence, without a full stop.
func (r *Refusal) Error() string { return r.What }

// maxInstances bounds a role's size.
const maxInstances = 4000 // stable endpoints have room for little more

// CheckScale reports why Scaled would change nothing, as a *Refusal; nil: it is what the job can
// do, or has done.
func (m *Machine) CheckScale(role string, count int) error {
	usage := func(format string, args ...any) error { return &Refusal{true, fmt.Sprintf(format, args...)} }
	r, known := m.job.Role(role)
	var names []string
	for _, r := range m.job.Roles {
		names = append(names, r.Name)
	}
	switch {
	case !known:
		return usage("the job has no role %q; its roles are %s", role, strings.Join(names, ", "))
	case count < 1:
		return usage("a role has at least 1 task, not %d; tfos kill ends a job", count)
	case count > maxInstances:
		return usage("a role has at most %d tasks, not %d", maxInstances, count)
	case job.Alone(role) && count > 1:
		return usage("there can be one %s only, not %d", role, count)
	case m.job.Part(role) == job.PartServes && count != r.Instances:
		return usage("the model's variables are divided among the %d tasks of %s when the program builds it, and TensorFlow cannot divide them anew; "+
			"resubmit with another number, and the program restores its checkpoint", r.Instances, role)
	case m.s.Phase == stopping || m.s.Phase == finished:
		return &Refusal{false, "the job is ending: " + m.s.Result.sentence()}
	}
	return nil
}

func (r *Result) sentence() string {
	if r.ExitCode == job.ExitSucceeded {
		return "it has succeeded"
	}
	return r.Diagnostics
}

// resizes reports whether the processes of a cluster start again when the number of a role's tasks
// changes: what TensorFlow's strategies need. A MultiWorkerMirroredStrategy steps with all the
// peers of its start. The servers of TensorFlow 1 answer no worker that they did not know when they
// started, but miss nobody who leaves. A coordinator with parameter servers keeps using the workers
// that it knows, and tasks that do not talk to each other do not care.
func (m *Machine) resizes(role string, grows bool) bool {
	switch m.job.Strategy {
	case job.StrategyMirrored:
		return m.trains(job.Task{Role: role})
	case job.StrategyV1:
		return grows && m.trains(job.Task{Role: role})
	}
	return false
}

// concerned reports whether a task starts again when resizes says so.
func (m *Machine) concerned(t *task) bool {
	return t.member() && t.Outcome == open && (m.trains(t.Task) || m.job.Strategy == job.StrategyV1 && m.serves(t.Task))
}

// scale takes a wish in.
func (m *Machine) scale(ev Scaled) {
	if m.CheckScale(ev.Role, ev.Count) != nil {
		return
	}
	was := m.size(ev.Role)
	m.job = m.job.Sized(ev.Role, ev.Count)
	if ev.Count < was {
		m.shrink(ev.Role)
	}
	m.grow(ev.Role)
	m.build()
	if ev.Renew && m.s.Phase == training && m.job.Strategy == job.StrategyParameterServer {
		m.s.RenewLeader = true
	}
}

// size is how many tasks a role is to have.
func (m *Machine) size(role string) int {
	r, _ := m.job.Role(role)
	return r.Instances
}

// shrink has the tasks leave that are too many.
func (m *Machine) shrink(role string) {
	lost := false // somebody whom others knew
	for i := range m.s.Tasks {
		t := m.edit(i)
		if t.Task.Role != role || t.Task.Index < m.size(role) || t.Leaving {
			continue
		}
		lost = lost || !t.New && t.Outcome == open
		t.Leaving = true
		m.stop(t)
		if !t.held() {
			t.close(m.now, stopped, CauseStopped)
		}
	}
	if lost && m.s.Phase == training && m.resizes(role, false) {
		m.resize()
	}
	m.forget()
}

// forget drops the tasks that have left. It looks at those on their way only. The numbers of their
// incarnations are kept: they must not be given out again. One that is wanted again since waits for
// a container like a new one.
func (m *Machine) forget() {
	dropped := false
	for _, i := range slices.Backward(slices.Collect(m.among(inTransit).all())) {
		t := m.edit(i)
		switch {
		case !t.Leaving:
			continue
		case t.held():
			if t.Until.IsZero() && m.s.Phase != stopping { // it has so long to end
				t.Until = m.now.Add(m.job.Stop.Grace + m.opts.StopMargin)
			}
			continue
		}
		if t.Task.Index < m.size(t.Task.Role) && m.s.Phase != stopping && m.s.Phase != finished {
			*t = m.fresh(t.Task, t.Incarnation)
			continue
		}
		if m.s.Phase == stopping || m.s.Phase == finished {
			continue // so that the last view shows them
		}
		m.s.Former = slices.DeleteFunc(m.s.Former, func(f former) bool { return f.Task == t.Task })
		m.s.Former = append(m.s.Former, former{t.Task, t.Incarnation})
		m.sayOver(i)
		m.s.Tasks = slices.Delete(m.s.Tasks, i, i+1)
		dropped = true
	}
	if dropped {
		m.build()
	}
}

// former is a task that has left.
type former struct {
	Task        job.Task        `json:"task"`
	Incarnation job.Incarnation `json:"incarnation"` // its last
}

// fresh is a task that waits for its first container.
func (m *Machine) fresh(name job.Task, last job.Incarnation) task {
	t := task{Task: name, Incarnation: last, Run: waiting}
	t.New = m.s.Phase == training
	m.mayHaveSaved(&t)
	return t
}

// grow adds the tasks that the job now has and the machine has not, in their place.
func (m *Machine) grow(role string) {
	for index := range m.size(role) {
		name := job.Task{Role: role, Index: index}
		if _, known := m.x.at[name]; known {
			continue
		}
		last := job.Incarnation(0)
		for _, f := range m.s.Former {
			if f.Task == name {
				last = f.Incarnation
			}
		}
		m.s.Tasks = append(m.s.Tasks, m.fresh(name, last))
	}
	place := func(t task) int {
		return slices.IndexFunc(m.job.Roles, func(r job.Role) bool { return r.Name == t.Task.Role })
	}
	slices.SortStableFunc(m.s.Tasks, func(a, b task) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a.Task.Index, b.Task.Index))
	})
}

// adjust brings the cluster of a job that trains nearer to the size that is wanted.
func (m *Machine) adjust() {
	if !m.s.RenewLeader && m.among(inTransit).len() == 0 {
		m.s.GrowUntil = time.Time{}
		return
	}
	m.forget()
	m.takeIn()
	if m.s.RenewLeader && m.among(isNew).len() == 0 {
		m.s.RenewLeader = false
		m.renew(m.find(m.job.Leader()))
	}
}

// takeIn makes new tasks members of the cluster.
func (m *Machine) takeIn() {
	var together []*task // who have the others start again: that is to happen once
	missing := false
	for _, r := range m.job.Roles {
		came, all := m.arrived(r.Name)
		if !m.resizes(r.Name, true) {
			for _, t := range came {
				t.New = false
			}
			continue
		}
		together, missing = append(together, came...), missing || !all
	}
	over := m.among(doneTraining).len() > 0
	switch {
	case len(together) == 0 || over: // nobody steps with new ones when some have finished
		m.s.GrowUntil = time.Time{}
	case missing && m.s.GrowUntil.IsZero():
		m.s.GrowUntil = m.now.Add(m.job.Gang.Timeout)
	case !missing || m.due(m.s.GrowUntil):
		m.s.GrowUntil = time.Time{}
		m.resize()
		for _, t := range together {
			t.New = false
		}
	}
}

// returns reports whether a task is on its way out and wanted again: once it has gone it is a new
// one.
func (m *Machine) returns(t *task) bool { return t.Leaving && t.Task.Index < m.size(t.Task.Role) }

// arrived are the new tasks of a role that can be taken in now; all: there are no others, nor will
// be.
func (m *Machine) arrived(role string) (came []*task, all bool) {
	all = true
	for i := range m.among(inTransit).all() { // by index
		switch t := m.edit(i); {
		case t.Task.Role != role || t.Leaving && !m.returns(t):
		case all && !t.Leaving && t.Run == joined && t.Until.IsZero():
			came = append(came, t)
		default:
			all = false
		}
	}
	return came, all
}

// resize has everyone start again in place whom another number of peers concerns.
func (m *Machine) resize() {
	for i := range m.s.Tasks {
		if t := m.edit(i); m.concerned(t) {
			m.renew(t)
		}
	}
}

// renew has a task's process start again in place, for the sake of the job's size.
func (m *Machine) renew(t *task) {
	if t != nil && t.Outcome == open && (t.Run == starting || t.Run == running) {
		t.Renew, t.Resized = true, true
	}
}

// member reports whether others count on a task: it is neither on its way in nor on its way out.
func (t *task) member() bool { return !t.New && !t.Leaving }

// growing says which tasks are on their way in; empty: none is.
func (m *Machine) growing() string {
	var names []string
	for i := range m.s.Tasks {
		if t := &m.s.Tasks[i]; t.New && !t.Leaving && t.Outcome == open {
			names = append(names, t.Task.String())
		}
	}
	switch len(names) {
	case 0:
		return ""
	case 1, 2, 3:
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%d tasks, from %s to %s", len(names), names[0], names[len(names)-1])
}
