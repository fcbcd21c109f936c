package membership

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"tfos/internal/job"
)

// loss is the end of a task's process, or of its container, before its work was done.
type loss struct {
	cause     Cause
	what      string   // happened, as a part of a sentence
	stderr    []string // the process's last lines
	container bool     // lost as well: a new one is needed
	hopeless  bool     // another try would end alike
	excused   bool     // it was to be: nobody is charged
}

// maxWhy bounds how much of a loss is remembered for people, in bytes.
const maxWhy = 400

// why is what people are told beside the cause: what happened, and the program's last line. An
// aftershock has its own reason elsewhere.
func (l loss) why() string {
	if l.cause == CauseAftershock {
		return ""
	}
	what := l.what
	if lines := lastLines(l.stderr); len(lines) > 0 {
		what += ": " + lines[len(lines)-1]
	}
	return cut(what, maxWhy)
}

// lose takes a loss in.
func (m *Machine) lose(t *task, l loss) {
	if t.Leaving {
		m.leaveForGood(t, l)
	} else {
		m.row().lost(m, t, l)
	}
}

// leaveForGood is a loss when nobody has a use for the task any more.
func (m *Machine) leaveForGood(t *task, l loss) {
	if !m.s.EvaluateUntil.IsZero() && m.job.Part(t.Task.Role) == job.PartEvaluates && t.Outcome == open { // nobody told it to end
		m.s.Result.Diagnostics = "the training has succeeded, but " + sentenceOfFailure(t.Task, l.what, l.stderr)
		t.close(m.now, failed, l.cause)
	}
	t.close(m.now, stopped, CauseStopped)
	m.leave(t, l)
}

// replace finds out whose fault a loss was, books it, and replaces what was lost or ends the job.
func (m *Machine) replace(t *task, l loss) {
	if l.cause == CauseProgram && !l.hopeless && m.aftershock(t) {
		l.cause = CauseAftershock
		if t.Met {
			t.Excused = m.now
		}
	} else {
		m.excuse(t, &l)
	}
	m.interrupt(t)
	if verdict := m.book(t, l); verdict != nil {
		t.Why = l.why()
		t.close(m.now, failed, l.cause)
		m.leave(t, l)
		m.end(*verdict)
		return
	}
	t.Cause, t.Why, t.Ended = l.cause, l.why(), m.now
	m.mayHaveSaved(t)
	m.note(t, l.cause, l.why(), l.container)
	if (l.cause != CauseAftershock || t.Met) && !t.New { // who met one of the past may have trained since
		m.shake(t)
	}
	switch {
	case l.excused && !l.container:
		t.Run, t.Rest = pausing, t.Notice.aside(m.now)
	case l.excused:
		m.vacate(t, time.Time{})
	case !l.container:
		t.Run, t.Rest = pausing, m.pause(t, l.cause)
	default:
		m.vacate(t, m.pause(t, l.cause))
	}
}

// leave is the last of a task that is not replaced.
func (m *Machine) leave(t *task, l loss) {
	if l.container {
		t.Run, t.Until = gone, time.Time{}
	} else {
		m.retire(t)
	}
}

// aftershock reports whether a process that ended with an error did so because of a peer that it
// depends on: that was lost while the process was there, and is not back for longer than the
// window. A loss excuses the process of its time only: the one started afterwards has its own
// failures.
func (m *Machine) aftershock(t *task) bool {
	if t.Resized {
		return true // those whom it missed have left
	}
	if t.Met && m.now.Sub(t.Ordered) <= m.opts.AftershockWindow {
		return true // it was refused by the peer, or went down with it
	}
	if !m.leans(t.Task) {
		return false
	}
	for i := range m.among(cutOff).all() {
		if m.s.Tasks[i].Task != t.Task {
			return true // its agent's connection has ended, and soon we shall know why
		}
	}
	for i := range m.among(wasLost).all() {
		peer := &m.s.Tasks[i]
		if peer == t {
			continue
		}
		back := peer.Run == starting || peer.Run == running || peer.Outcome == succeeded
		if !t.Ordered.After(peer.Lost) && (!back || m.now.Sub(peer.Ordered) <= m.opts.AftershockWindow) {
			return true
		}
	}
	return false
}

// accuse holds a loss against the node that it happened on, if the node is to blame.
func (m *Machine) accuse(host string, c Cause) {
	if c.nodeFault() && host != "" && m.s.Nodes.fault(m.now, host, tolerance{m.opts.NodeFaults, m.opts.NodeMemory, m.opts.ExcludeFor}) {
		m.do(Exclude{host})
	}
}

// readmit lets nodes have containers again.
func (m *Machine) readmit(hosts []string) {
	for _, host := range hosts {
		m.do(Readmit{host})
	}
}

// blame is a failure as a person is told of it.
type blame struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// book counts a loss. The verdict is how the job ends if it was one too many; nil: it goes on.
func (m *Machine) book(t *task, l loss) *Result {
	if l.cause == CauseAftershock || l.excused {
		return nil
	}
	m.s.Blame = blame{m.now, sentenceOfFailure(t.Task, l.what, l.stderr)}
	is := failure{m.now, t.Task, l.why()}
	ends := func(code int, what string, first failure) *Result {
		return &Result{code, sentenceOfFailure(t.Task, what, l.stderr) + is.after(first)}
	}
	first, spent := is, false
	if !l.cause.Infrastructure() {
		first, spent = m.s.Budget.charge(is, m.job.Recovery)
	}
	switch {
	case l.hopeless:
		return ends(l.cause.exitCode(l.hopeless), l.what, first)
	case l.cause.Infrastructure():
		m.accuse(t.Node.Host, l.cause)
		if t.Strikes++; t.Strikes == 1 {
			t.Struck = is
		}
		if t.Strikes >= m.opts.MaxStrikes {
			what := l.what
			if t.Strikes > 1 {
				what = fmt.Sprintf("%s. The cluster failed it %d times in a row, and the job gives up", strings.TrimRight(what, "."), t.Strikes)
			}
			return ends(job.ExitInfrastructure, what, t.Struck)
		}
	default:
		t.Crashes++
		if m.s.Progress.failed(m.now, t.Ordered, m.carries(t.Task)) {
			return ends(job.ExitFailed, m.stuck(l.what), first)
		}
		if spent {
			return ends(job.ExitFailed, m.s.Budget.sentence(l.what, m.job.Recovery), first)
		}
	}
	return nil
}

// shake notes a loss for those that depend on the task.
func (m *Machine) shake(t *task) {
	t.Lost = m.now
	if !m.bears(t.Task) {
		return
	}
	if m.job.Strategy == job.StrategyMirrored {
		for i := range m.among(doneTraining).all() {
			if peer := m.edit(i); peer != t && peer.member() {
				m.reopen(peer) // nobody else can make a step without it
			}
		}
	}
	if leader := m.find(m.job.Leader()); !m.outlives() && leader != nil && leader != t && leader.Outcome == open && leader.member() {
		leader.Renew = true
	}
}

// stranding reports whether a process that ended well leaves peers behind that were lost while it
// ran, and are not back: mirrored peers make no step without it. The other half of shake.
func (m *Machine) stranding(t *task) bool {
	if m.job.Strategy != job.StrategyMirrored || m.s.Phase != training || !t.member() {
		return false
	}
	if m.job.Decides(t.Task.Role) && m.among(undecided).len() == 1 { // it alone decides still
		return false
	}
	for i := range m.among(wasLost).all() {
		peer := &m.s.Tasks[i]
		back := peer.Run == starting || peer.Run == running
		if m.depends(t.Task, peer.Task) && peer.Outcome == open && peer.member() && !back && t.Ordered.Before(peer.Lost) {
			return true
		}
	}
	return false
}

// reopen has a task that ended well run again.
func (m *Machine) reopen(t *task) {
	if t.held() {
		m.do(Release{t.Container})
	}
	m.note(t, CauseAftershock, "", true)
	m.mayHaveSaved(t)
	m.vacate(t, time.Time{})
}

// vacate leaves a task without a container, until it is granted another one.
func (m *Machine) vacate(t *task, rest time.Time) {
	if t.Unconfirmed { // its agent may have started more than the journal knows, by a newer cluster_spec
		t.Incarnation += incarnationLeap
		m.s.Takeover.MaybeNewer = true
	}
	*t = task{Task: t.Task, Incarnation: t.Incarnation, Run: resting, Rest: rest, Cause: t.Cause, Why: t.Why, history: t.history}
	m.endRest(t)
}

// rested has a task wait for a container if its pause is over and containers are wanted now.
func (m *Machine) endRest(t *task) {
	if t.Run == resting && !m.now.Before(t.Rest) && m.asking() {
		t.Run, t.Rest = waiting, time.Time{}
	}
}

// endRests has those wait for a container whose pauses are over.
func (m *Machine) endRests() {
	for i := range m.among(rests).all() {
		m.endRest(m.edit(i))
	}
}

// interrupt ends a task's row of failures if its newest process was of use: it ran for long, or the
// training got on with it. A task that the training can do without may have been of no use to it:
// then its program's row goes on, and only the cluster's ends.
func (m *Machine) interrupt(t *task) {
	settled := !t.Started.IsZero() && m.now.Sub(t.Started) >= m.opts.SettledAfter
	if settled || m.gotOn(t) {
		t.Strikes = 0
	}
	if settled || m.gotOn(t) && m.carries(t.Task) {
		t.Crashes = 0
	}
}

// pause is until when a task pauses before it is tried again; zero: it need not. Losing something
// once, to the cluster or by its own fault, says nothing of the next try: most who die once were
// killed. The pause stays short while the job gets on.
func (m *Machine) pause(t *task, c Cause) time.Time {
	row := t.Crashes
	if c.Infrastructure() {
		row = t.Strikes
	}
	if c == CauseAftershock || row < 2 {
		return time.Time{}
	}
	longest := m.opts.RestMax
	if m.gotOn(t) {
		longest = m.opts.RestBusy
	}
	d := m.opts.RestMin
	for range row - 2 {
		d = min(2*d, longest)
	}
	m.s.Rests++
	random := rand.New(rand.NewPCG(m.seed, 1<<32+uint64(m.s.Rests))) // apart from the gangs' numbers
	return m.now.Add(d*3/4 + time.Duration(random.Int64N(max(1, int64(d)/2))))
}

// restart is one replacement of a process or a container.
type restart struct {
	Task         job.Task      `json:"task"`
	Cause        Cause         `json:"cause"`
	Why          string        `json:"why,omitempty"`
	At           time.Time     `json:"at"`
	Took         time.Duration `json:"took"` // ns; until the new process was there
	Done         bool          `json:"done"`
	NewContainer bool          `json:"new_container"`
	Step         int64         `json:"step,omitempty"`        // that the job was at; 0: not known
	Settled      bool          `json:"settled,omitempty"`     // the leader's program was started since
	RolledBack   bool          `json:"rolled_back,omitempty"` // the training went on from an earlier step: Restored
	Restored     int64         `json:"restored,omitempty"`    // 0: from the beginning
}

// maxRestarts bounds how many restarts are remembered: the newest.
const maxRestarts = 200

func (m *Machine) note(t *task, c Cause, why string, container bool) {
	m.s.Restarts = append(m.s.Restarts, restart{Task: t.Task, Cause: c, Why: why, At: m.now, NewContainer: container, Step: m.s.Progress.known()})
	m.s.Restarts = m.s.Restarts[max(0, len(m.s.Restarts)-maxRestarts):]
	for i := range m.s.Counts {
		if n := &m.s.Counts[i]; n.Role == t.Task.Role && n.Cause == c {
			n.Count++
			return
		}
	}
	m.s.Counts = append(m.s.Counts, count{t.Task.Role, c, 1})
}

// Restarts is how many there were since the job began.
func (m *Machine) Restarts() int {
	n := 0
	for _, c := range m.s.Counts {
		n += c.Count
	}
	return n
}

// count is how often tasks of a role were replaced for a cause.
type count struct {
	Role  string `json:"role"`
	Cause Cause  `json:"cause"`
	Count int    `json:"count"`
}

// back closes the records of a task whose process is there again.
func (m *Machine) back(t job.Task) {
	for i := range m.s.Restarts {
		if r := &m.s.Restarts[i]; r.Task == t && !r.Done {
			r.Done, r.Took = true, m.now.Sub(r.At)
		}
	}
}
