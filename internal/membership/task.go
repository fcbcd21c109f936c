package membership

import (
	"time"

	"tfos/internal/job"
	"tfos/internal/yarn"
)

// task is what the machine knows of one task: which incarnation is its current one, in which
// container, and how far it is.
type task struct {
	Task        job.Task         `json:"task"`
	Incarnation job.Incarnation  `json:"incarnation"` // current; only grows
	Run         run              `json:"run"`
	Container   yarn.ContainerID `json:"container,omitzero"` // of the current incarnation, the last one if it is gone
	Node        yarn.NodeID      `json:"node,omitzero"`
	Agent       string           `json:"agent,omitempty"`   // host:port
	Address     string           `json:"address,omitempty"` // host:port
	Witness     int              `json:"witness,omitempty"` // port: see clusterspec.Member
	PID         int              `json:"pid,omitempty"`
	Started     time.Time        `json:"started,omitzero"`
	Ended       time.Time        `json:"ended,omitzero"`
	ExitCode    *int             `json:"exit_code,omitempty"`
	Outcome     outcome          `json:"outcome,omitempty"`
	Cause       Cause            `json:"cause,omitempty"`
	Why         string           `json:"why,omitempty"` // Cause, in words for people
	// Until is when its agent is given up: it must have registered by then, or be back. Zero: it is
	// there, or not awaited.
	Until time.Time `json:"until,omitzero"`
	// Rest is until when it pauses after a loss, before it asks for a container or starts a
	// process. Zero: it does not.
	Rest time.Time `json:"rest,omitzero"`
	// Renew says that its process started before a loss that it does not outlive.
	Renew      bool           `json:"renew,omitempty"`
	Stalled    string         `json:"stalled,omitempty"`    // Renew is for that
	Notice     *notice        `json:"notice,omitempty"`     // its container will be taken away
	Spares     int            `json:"spares,omitempty"`     // that were had since
	Moving     bool           `json:"moving,omitempty"`     // its process was told to stop for it to move
	Resized    bool           `json:"resized,omitempty"`    // Renew is for the job's size
	Generation job.Generation `json:"generation,omitempty"` // of the cluster_spec its process was started with
	// Unconfirmed says that it is as the journal of an attempt before remembers it, and its agent
	// has not confirmed that. Of one that holds nothing: that it may have had a container since.
	Unconfirmed bool `json:"unconfirmed,omitempty"`
	history
}

// history is what outlives a task's containers.
type history struct {
	Ordered time.Time `json:"ordered,omitzero"` // when its newest process was told to start
	Lost    time.Time `json:"lost,omitzero"`    // when it was last lost, or started anew while it ran; aftershocks do not count
	// Met says that its newest process started while a peer's process from before the loss was
	// still running, and has not noticed that yet.
	Met     bool      `json:"met,omitempty"`
	Excused time.Time `json:"excused,omitzero"`  // when such a process last failed
	Crashes int       `json:"crashes,omitempty"` // failures of its program in a row, without having run for long in between
	New     bool      `json:"new,omitempty"`     // not yet taken into the cluster of a job that grows
	Leaving bool      `json:"leaving,omitempty"` // the job has shrunk
	Strikes int       `json:"strikes,omitempty"` // the same, of losses to the cluster
	Struck  failure   `json:"struck,omitzero"`   // the first of them
	// Unlooked is until when its program may have written checkpoints that were not looked at then;
	// zero: it wrote none.
	Unlooked time.Time `json:"unlooked,omitzero"`
}

// run is how far the task is. It goes down this list, never back but by a new incarnation.
type run string

const (
	resting  run = "resting"  // pauses before it asks for a container
	waiting  run = "waiting"  // for a container
	launched run = "launched" // has a container; its agent has not registered
	joined   run = "joined"   // its agent waits for a cluster_spec
	starting run = "starting" // its process was told to start
	running  run = "running"  //
	pausing  run = "pausing"  // its process ended, its agent is there: it starts again, as the next incarnation
	ending   run = "ending"   // its process was told to stop
	retiring run = "retiring" // it has no process any more; its agent was told to end
	gone     run = "gone"     // its container has ended, or was given back
)

// outcome is how its process ended.
type outcome string

const (
	open      outcome = ""
	succeeded outcome = "succeeded"
	failed    outcome = "failed"
	stopped   outcome = "stopped" // by us
)

// held reports whether the task has a container.
func (t *task) held() bool { return t.Run != resting && t.Run != waiting && t.Run != gone }

// over is the newest incarnation of which no process runs any more, or is counted on; 0 if none is
// known. An attempt before may have told a process to end that never heard of it.
func (t *task) over() job.Incarnation {
	switch t.Run {
	case launched, joined, starting, running, ending:
		if t.Unconfirmed {
			return 0
		}
		return t.Incarnation - 1
	}
	return t.Incarnation
}

// close notes how the process ended; what was noted first stays.
func (t *task) close(now time.Time, o outcome, c Cause) {
	if t.Outcome == open {
		t.Outcome, t.Cause, t.Ended = o, c, now
		if o != failed {
			t.Why = ""
		}
	}
}

// assign gives the task a container, and with it its next incarnation.
func (m *Machine) assign(t *task, g Granted) {
	*t = task{Task: t.Task, Incarnation: t.Incarnation + 1, Run: launched, Container: g.Container, Node: g.Node,
		Until: m.now.Add(m.opts.LaunchTimeout), history: t.history}
	m.do(Launch{t.Task, t.Incarnation, t.Container, t.Node, false})
}

// release gives the task's container back, whatever goes on in it.
func (m *Machine) release(t *task, then run) {
	m.do(Release{t.Container})
	t.Run, t.Until = then, time.Time{}
}

// retire has the task's agent end.
func (m *Machine) retire(t *task) {
	m.do(Retire{t.Task, t.Incarnation, t.Container})
	t.Run, t.Until = retiring, time.Time{}
}

func (m *Machine) joined(t *task, ev Joined) {
	t.Until = time.Time{}
	if t.Unconfirmed {
		m.confirm(t, ev)
	}
	if n := t.Notice; n != nil { // it may not have heard
		m.do(Notify{t.Task, t.Container, n.Cause, n.Deadline})
	}
	switch t.Run {
	case launched, joined:
		m.s.Unfit = nil // its files came into its container
		t.Run, t.Agent, t.Address, t.Witness = joined, ev.Agent, ev.Address, ev.Witness
	case starting:
		if ev.Incarnation < t.Incarnation || ev.Running == nil && ev.Exited == nil { // it may not have heard
			m.do(StartProcess{t.Task, t.Incarnation, t.Container, t.Generation})
		}
	case ending, retiring: // it may not have heard; with the agent ends its process, if it has one
		if t.Moving {
			m.depart(t)
			break
		}
		t.close(m.now, stopped, CauseStopped)
		m.retire(t)
	}
	if ev.Running != nil && ev.Running.Incarnation == t.Incarnation {
		m.started(t, *ev.Running)
	}
	if ev.Exited != nil && ev.Exited.Incarnation == t.Incarnation {
		m.exited(t, *ev.Exited)
	}
}

func (m *Machine) started(t *task, ev Started) {
	switch {
	case t.Run == starting || t.Run == ending:
	case t.Run == running && t.PID != ev.PID: // its agent started it once more, by its own fault
	default:
		return
	}
	if t.Run == starting {
		t.Run = running
	}
	t.PID, t.Started = ev.PID, m.now
	m.back(t.Task)
}

func (m *Machine) exited(t *task, ev Exited) {
	if t.Run != starting && t.Run != running && t.Run != ending {
		return // told again
	}
	byUs := t.Run == ending
	if ev.Reason == "" {
		t.ExitCode = &ev.Code
	}
	switch {
	case t.Moving: // clean or not: it was asked to end, and may have more to do
		m.mayHaveSaved(t)
		t.Run, t.Moving, t.Until, t.Rest = pausing, false, time.Time{}, t.Notice.aside(m.now)
	case ev.Stopped && !byUs: // by an earlier master, for what its journal does not have
		m.lose(t, loss{cause: CauseStopped, what: "it was told to stop", excused: true})
	case ev.Reason == "" && ev.Code == 0 && m.stranding(t):
		m.lose(t, loss{cause: CauseAftershock, what: "it ended well, and peers that were lost cannot go on without it", excused: true})
	case ev.Reason == "" && ev.Code == 0:
		t.close(m.now, succeeded, CauseNone)
		m.retire(t)
	case byUs:
		t.close(m.now, stopped, CauseStopped)
		m.retire(t)
	default:
		cause, what := causeOfExit(ev, t.Task.Role)
		m.lose(t, loss{cause: cause, what: what, stderr: ev.Stderr, hopeless: m.hopeless(ev)})
	}
}

// hopeless reports whether another start would end alike: there is no such command, it cannot be
// executed, or our own program has found its input damaged.
func (m *Machine) hopeless(ev Exited) bool {
	switch {
	case ev.Reason != "":
		return true
	case ev.Signal != "":
		return false
	case ev.Code == job.CodeDamaged:
		role, _ := m.job.Role(ev.Task.Role)
		return role.Builtin == job.BuiltinPredict
	}
	return ev.Code == 126 || ev.Code == 127
}

func (m *Machine) launchFailed(t *task, ev LaunchFailed) {
	if t.Run != launched {
		return // the answer was lost, the launch was not: the agent is there
	}
	m.release(t, gone)
	m.lose(t, loss{cause: CauseLaunch, what: "its container could not be started on " + t.Node.Host + ": " + ev.Reason, container: true})
}

// completed is the end of a task's container.
func (m *Machine) completed(t *task, ev Completed) {
	before := t.Run
	t.Run, t.Until = gone, time.Time{}
	switch {
	case before == retiring:
	default:
		cause, what := causeOfCompletion(ev, t, before)
		// Without its program it was too small for the agent already.
		hopeless := cause == CauseVirtual && before == launched
		if cause == CauseLocalization {
			what, hopeless = m.unfitted(t.Node.Host, ev.Diagnostics, what)
		}
		m.lose(t, loss{cause: cause, what: what, container: true, hopeless: hopeless})
	}
}

// left is the end of an agent's connection. A closed one may come back: an agent that died is soon
// told by YARN, with its cause. Silence was waited for already.
func (m *Machine) left(t *task, silent bool) {
	switch {
	case t.Run == launched: // not there yet
	case t.Run == retiring:
		t.Run = gone
	case silent:
		m.lost(t, "nothing was heard from its agent on "+t.Node.Host+": the node, the network or the agent is gone")
	default:
		m.row().left(m, t)
	}
}

// awaitReturn gives an agent time to come back.
func (m *Machine) awaitReturn(t *task) { t.Until = m.now.Add(m.opts.RejoinTimeout) }

// overdue is an agent that did not come, or not come back, in time.
func (m *Machine) overdue(t *task) {
	if t.Run == launched {
		m.release(t, gone)
		m.lose(t, loss{cause: CauseLaunch, container: true,
			what: "its agent on " + t.Node.Host + " did not register within " + m.opts.LaunchTimeout.String() + " of its container's start"})
		return
	}
	m.lost(t, "the connection to its agent on "+t.Node.Host+" ended, and it did not come back within "+m.opts.RejoinTimeout.String())
}

// lost gives up a task whose agent cannot be reached.
func (m *Machine) lost(t *task, what string) {
	m.release(t, gone)
	m.lose(t, loss{cause: CauseSilent, what: what, container: true})
}
