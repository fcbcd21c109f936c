// Package membership decides what becomes of a job's tasks: which containers to ask for, when the
// gang is whole, which cluster_spec holds, which processes start and stop, and how the job ends.
//
// It is a state machine: an event goes in, the actions to carry out come back. It reads no clock,
// starts nothing and talks to no one. The caller's duties:
//   - Give it every event with the time it was noticed, times never going back, from one goroutine.
//   - Carry out each action, however often it comes, and report what came of it as an event. Those
//     of Decision.Later wait in an Outbox until a Snapshot that was taken after the step is where
//     the next attempt of the application master finds it.
//   - Give it a Tick when Wake says so, at the latest.
//   - Give it each container that YARN granted once. The events of one agent may come late and
//     twice; that is told apart here.
//   - After Finish, give it nothing more. Nothing would come back.
package membership

import (
	"slices"
	"time"

	"tfos/internal/clusterspec"
	"tfos/internal/job"
	"tfos/internal/yarn"
)

// Options are the machine's own patience. A zero field means its default.
type Options struct {
	LaunchTimeout time.Duration `json:"launch_timeout"` // ns; from a launch until its agent registers: localization is in it
	RejoinTimeout time.Duration `json:"rejoin_timeout"` // ns; that an agent whose connection ended has to come back
	ReportTimeout time.Duration `json:"report_timeout"` // ns; that all agents have to find an application master that took over
	StopMargin    time.Duration `json:"stop_margin"`    // ns; beyond the grace period, until what still runs is given up
	BackoffMin    time.Duration `json:"backoff_min"`    // ns; pause after the first gang that was given up; doubles with each
	BackoffMax    time.Duration `json:"backoff_max"`    // ns

	RestMin          time.Duration `json:"rest_min"`          // ns; pause before the second try in a row, the first comes at once; doubles with each
	RestMax          time.Duration `json:"rest_max"`          // ns
	RestBusy         time.Duration `json:"rest_busy"`         // ns; the same as RestMax, while the training gets on
	SettledAfter     time.Duration `json:"settled_after"`     // ns; a process that ran for so long starts a new row
	AftershockWindow time.Duration `json:"aftershock_window"` // ns; after a lost peer was started again, that its loss excuses those who depend on it
	MaxStrikes       int           `json:"max_strikes"`       // losses of one task in a row to the cluster, with which the job is given up
	NodeFaults       int           `json:"node_faults"`       // of a node within NodeMemory, before it is excluded
	NodeMemory       time.Duration `json:"node_memory"`       // ns
	ExcludeFor       time.Duration `json:"exclude_for"`       // ns

	// Inspect says that the doer looks at the job's checkpoints when it is given an Inspect.
	Inspect        bool          `json:"inspect,omitempty"`
	InspectTimeout time.Duration `json:"inspect_timeout"` // ns; after which a look's answer is not waited for

	// StableEndpoints says that tasks find their peers through endpoints that stay, wherever those
	// live now. Without them a task that moves has every process start anew with the new
	// cluster_spec.
	StableEndpoints bool `json:"stable_endpoints"`
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	set(&o.LaunchTimeout, 15*time.Minute)
	set(&o.RejoinTimeout, 10*time.Second)
	set(&o.ReportTimeout, 30*time.Second)
	set(&o.StopMargin, 10*time.Second)
	set(&o.BackoffMin, 5*time.Second)
	set(&o.BackoffMax, 2*time.Minute)
	set(&o.RestMin, time.Second)
	set(&o.RestMax, time.Minute)
	set(&o.RestBusy, 1500*time.Millisecond)
	set(&o.SettledAfter, 10*time.Minute)
	set(&o.AftershockWindow, 90*time.Second)
	set(&o.NodeMemory, 30*time.Minute)
	set(&o.ExcludeFor, 10*time.Minute)
	set(&o.InspectTimeout, 10*time.Minute)
	if o.MaxStrikes == 0 {
		o.MaxStrikes = 10
	}
	if o.NodeFaults == 0 {
		o.NodeFaults = 2
	}
	return o
}

// Machine is one job's membership. It is not safe for concurrent use.
type Machine struct {
	job  job.Job
	seed uint64
	opts Options
	s    state
	x    index // of s

	table *[modeCount]row // what happens in each mode

	now time.Time // of the step under way
	out Decision  // of the step under way
	// first says that the step under way is a takeover's first: what YARN kept comes after it.
	first bool
}

// state is all that a machine remembers. It is a value of JSON, so that a snapshot is complete by
// construction.
type state struct {
	Phase      phase            `json:"phase"`
	Generation job.Generation   `json:"generation"`
	Spec       clusterspec.Spec `json:"spec"`
	Tasks      []task           `json:"tasks"`    // in the order of job.Tasks; those that leave behind the others of their role
	Attempts   int              `json:"attempts"` // gangs that were given up so far
	GangUntil  time.Time        `json:"gang_until,omitzero"`
	AskAgain   time.Time        `json:"ask_again,omitzero"`
	StopUntil  time.Time        `json:"stop_until,omitzero"`
	// EvaluateUntil is until when evaluators may go on although the result is decided; zero: they
	// may not.
	EvaluateUntil time.Time `json:"evaluate_until,omitzero"`
	Began         time.Time `json:"began,omitzero"`
	Ended         time.Time `json:"ended,omitzero"`
	Late          bool      `json:"late,omitempty"`   // the deadline has passed
	Result        *Result   `json:"result,omitempty"` // decided; the job may still be winding down

	Moved       job.Generation `json:"moved,omitempty"`    // the newest in which an address of the cluster changed
	Blame       blame          `json:"blame,omitzero"`     // the newest failure that no other was the cause of
	Budget      budget         `json:"budget,omitzero"`    // of the program's failures
	Rests       int            `json:"rests,omitempty"`    // pauses so far, of which each has a random length of its own
	Restarts    []restart      `json:"restarts,omitempty"` // oldest first
	Counts      []count        `json:"counts,omitempty"`   // of all restarts there ever were, in the order of their first
	Nodes       nodes          `json:"nodes,omitzero"`
	Draining    drains         `json:"draining,omitempty"`     // nodes that are being decommissioned
	Spares      spares         `json:"spares,omitempty"`       // containers that tasks are to move to
	Asked       map[string]int `json:"asked,omitempty"`        // by role: containers that are asked for, less those granted since
	Former      []former       `json:"former,omitempty"`       // tasks that have left
	GrowUntil   time.Time      `json:"grow_until,omitzero"`    // new tasks wait until then for one another
	RenewLeader bool           `json:"renew_leader,omitempty"` // is to start again once all new tasks are there

	Unfit []unfit `json:"unfit,omitempty"` // localizations that no further try mends, since the last that was good

	Progress    progress `json:"progress,omitzero"`
	Checkpoints ledger   `json:"checkpoints,omitzero"`
	Takeover    takeover `json:"takeover,omitzero"`
}

// phase is where the job stands.
type phase string

const (
	idle     phase = "idle"     // nothing was asked for yet
	forming  phase = "forming"  // the gang's containers are awaited, and their agents
	training phase = "training" // a cluster_spec is published; processes run
	stopping phase = "stopping" // the result is known; what still runs is being stopped
	finished phase = "finished"
)

// New makes the machine of a job. The seed decides the random part of its pauses. The machine keeps
// no value of an environment variable: it decides nothing by them, and they would be in each event
// log and journal.
func New(j job.Job, seed uint64, opts Options) *Machine {
	m := &Machine{job: j.Redacted(), seed: seed, opts: opts.withDefaults(), s: state{Phase: idle}, table: table()}
	for _, t := range j.Tasks() {
		m.s.Tasks = append(m.s.Tasks, task{Task: t, Run: waiting})
	}
	m.build()
	return m
}

// Job is the job as it is wanted now: the one that the machine was made for, its roles of the size
// asked for since.
func (m *Machine) Job() job.Job { return m.job }

// Spec is the cluster_spec that was published last; its generation is 0 before the first.
func (m *Machine) Spec() clusterspec.Spec { return m.s.Spec }

// Container is where a task lives, or lived last; zero: it has no container yet, or waits for
// another one.
func (m *Machine) Container(t job.Task) yarn.ContainerID {
	if i, ok := m.x.at[t]; ok {
		return m.s.Tasks[i].Container
	}
	return yarn.ContainerID{}
}

// Result is how the job ends, once that is decided.
func (m *Machine) Result() (Result, bool) {
	if m.s.Result == nil {
		return Result{}, false
	}
	return *m.s.Result, true
}

// Began reports whether the job was begun, by this attempt of the application master or by one
// before.
func (m *Machine) Began() bool { return m.s.Phase != idle }

// Finished reports whether Finish was given out.
func (m *Machine) Finished() bool { return m.s.Phase == finished }

// Step applies one event and returns what to do. Late events are dropped without error: the network
// may deliver them at any time. A step costs what it changes; a new cluster_spec, a change of size
// and a change of mode cost a look at each task.
func (m *Machine) Step(now time.Time, ev Event) Decision {
	if m.s.Phase == finished {
		return Decision{}
	}
	m.now, m.out, m.first = now.UTC().Round(0), Decision{}, false
	m.x.alarms.ring(m.now, func(i int) { m.edit(i) })
	m.apply(ev)
	m.decide()
	m.endStep()
	return m.out
}

// do has an action carried out. It is the one place that knows which ones wait for the journal.
func (m *Machine) do(a Action) {
	switch a.(type) {
	case Launch, StopProcess, Retire:
		m.out.Later = append(m.out.Later, a)
	default:
		m.out.Now = append(m.out.Now, a)
	}
}

func (m *Machine) apply(ev Event) {
	if m.spareEvent(ev) {
		return
	}
	switch ev := ev.(type) {
	case Began:
		m.begin(ev.Attempt)
	case TakeoverBegan:
		m.takeOver(ev)
	case Kept:
		m.kept(ev)
	case Unfit:
		m.end(Result{job.ExitRefused, ev.Reason})
	case MasterFailed:
		m.end(Result{job.ExitInfrastructure, "the application master cannot go on: " + ev.Reason})
	case StopRequested:
		if ev.Overdue {
			m.end(Result{job.ExitTimedOut, ev.Reason})
		} else {
			m.end(Result{job.ExitKilled, sentenceOfStop(ev.Reason)})
		}
	case Granted:
		m.drained(Drained{Node: ev.Node}) // YARN gives out nothing on a node that it drains: it must be back
		if m.holder(ev.Container) == nil && m.s.Spares.in(ev.Container) == nil {
			m.row().granted(m, ev)
		}
	case Completed:
		m.s.Takeover.claim(ev.Container)
		if t := m.holder(ev.Container); t != nil {
			m.completed(t, ev)
		}
	case LaunchFailed:
		if t := m.current(ev.Task, ev.Incarnation, ev.Container); t != nil {
			m.launchFailed(t, ev)
		}
	case Joined:
		t := m.host(ev.Task, ev.Incarnation, ev.Container)
		if t == nil {
			t = m.row().strange(m, ev)
		}
		if t != nil {
			m.joined(t, ev)
		} else { // an agent that nobody waits for must not hold its container
			m.s.Takeover.claim(ev.Container)
			m.do(Retire{ev.Task, ev.Incarnation, ev.Container})
		}
	case Left:
		if t := m.host(ev.Task, ev.Incarnation, ev.Container); t != nil {
			m.left(t, ev.Silent)
		}
	case Started:
		if t := m.current(ev.Task, ev.Incarnation, ev.Container); t != nil {
			m.started(t, ev)
		}
	case Exited:
		if t := m.current(ev.Task, ev.Incarnation, ev.Container); t != nil {
			m.exited(t, ev)
		}
	case ClusterSized:
		m.readmit(m.s.Nodes.resize(ev.Nodes))
	case Progressed:
		m.s.Progress.told(m.now, ev)
	case CheckpointSeen:
		m.checkpointSeen(ev)
	case CheckpointGone:
		m.s.Checkpoints.lost(ev.Path)
	case Inspected:
		m.inspected(ev)
	case Scaled:
		m.scale(ev)
	case DeadlinePassed:
		m.s.Late = true
	case Stalled:
		m.stalled(ev)
	case Warned:
		if t := m.holder(ev.Container); t != nil {
			m.row().warned(m, t, ev)
		}
	case WarningLifted:
		m.liftWarning(ev)
	case Draining:
		m.draining(ev)
	case Drained:
		m.drained(ev)
	case Tick:
		m.row().tick(m)
	}
}

// current finds the task that an event speaks of. It is nil if the event comes late: from an
// incarnation that was replaced, from a container that was given back, or about a task that the job
// does not have. This and host are the one place that tells.
func (m *Machine) current(name job.Task, inc job.Incarnation, c yarn.ContainerID) *task {
	t := m.find(name)
	if t == nil || !t.held() || t.Incarnation != inc || !c.IsZero() && t.Container != c {
		return nil
	}
	return t
}

// host is current for what an agent says of itself: it is its container that counts. The order to
// start the next incarnation in place may not have reached it, so it may claim an earlier one; it
// cannot claim a later one, unless the machine is of a journal that is older than the order.
func (m *Machine) host(name job.Task, inc job.Incarnation, c yarn.ContainerID) *task {
	t := m.holder(c)
	if t == nil || t.Task != name || inc > t.Incarnation && !t.Unconfirmed {
		return nil
	}
	return t
}

// Wake is when the machine wants a Tick at the latest; zero: only events matter to it.
func (m *Machine) Wake() time.Time { return m.row().wake(m) }

// expire acts on the deadlines that have passed. It does so at a Tick only: one answer of YARN is
// several events, and who begins to wait in the midst of them would take containers that were
// granted for others, and given back since.
func (m *Machine) expire() {
	if m.due(m.s.AskAgain) {
		m.askAgain()
	}
	if m.due(m.s.GangUntil) {
		m.giveUpGang()
	}
	m.readmit(m.s.Nodes.readmit(m.now))
	for _, i := range slices.Sorted(slices.Values(m.x.edited)) { // whose time has come, among others
		t := &m.s.Tasks[i]
		if m.due(t.warningEnds()) {
			m.lift(t)
		}
		m.endRest(t)
		if m.due(t.Until) {
			m.overdue(t)
		}
		if m.s.Phase == stopping {
			return
		}
	}
}

func (m *Machine) due(deadline time.Time) bool { return !deadline.IsZero() && !m.now.Before(deadline) }
