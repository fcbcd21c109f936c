package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tfos/internal/clusterspec"
	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/yarn"
)

// auditor watches one job: the events that go into its machine, the actions that come out. It knows
// nothing of how the machine decides, only what must hold. The invariants are listed in the package
// comment.
type auditor struct {
	number int     // of the job, in its world
	step   int     // which turn of its master is under way
	job    job.Job // of the size that is wanted now
	broken []string
	warned map[yarn.ContainerID]bool      // will be taken away: what their processes do is excused
	spares map[job.Task]membership.Launch // where tasks are to move
	tasks  []job.Task                     // all that it has ever had
	known  map[job.Task]bool              // those of the published cluster_specs that are still wanted
	wishes []wish                         // for other sizes, that this master was told

	asked      map[string]int                 // by role: wanted, as the last Ask said, less what was granted since
	launched   map[job.Task]membership.Launch // the newest container, with the newest incarnation in it
	ordered    map[job.Task]job.Incarnation   // to start, last
	starting   map[job.Task]job.Incarnation   // in the turn under way
	done       map[job.Task]bool              // the newest incarnation ended well, as the machine knows
	excluded   map[string]time.Time           // hosts, since when
	nodes      int                            // of the cluster, as the machine was told
	state      map[yarn.ContainerID]custody
	held       int                          // containers that are
	essentials []job.Task                   // see core
	used       map[yarn.ContainerID]bool    // launched at some time
	address    map[yarn.ContainerID]string  // as its agent said when it joined
	heard      map[yarn.ContainerID]bool    // its agent joined this master
	calm       bool                         // nothing goes wrong but that masters die
	starts     map[job.Task]int             // of processes
	earlier    map[job.Task]job.Incarnation // what masters that died had ordered
	crashed    map[job.Task]crashes         // of tasks that are alone
	generation job.Generation               // that any agent has
	published  job.Generation               // by this master, or in its journal
	awaits     time.Time                    // agents after a takeover, until then at most
	incomplete time.Time                    // since when a part of a gang is held; zero: nothing is, or all
	gaveUp     time.Time                    // when the gang was, and nothing was asked for since; zero: it was not
	reforming  bool                         // it was, and no cluster_spec was published since
	resizing   bool                         // the turn is about another size
	unwanted   bool                         // nothing is wanted any more of a role, since this turn
	finished   bool
	result     membership.Result

	// What happened in the world, told by the models.
	failures      int               // ends that are the program's own fault
	own           map[job.Task]bool // whose some of them were
	apart         bool              // an agent's connection has ended
	hopeless      bool              // a program cannot be run at all
	clusterFailed bool
	killed        bool
	overdue       bool // the job's timeout passed
	endedWell     map[job.Task]bool
	over          map[job.Task]job.Incarnation // the newest that this master has called over

	restoring restoring
	cluster   cluster
}

// crashes are a task's failures in a row: none of its processes ran for long in between.
type crashes struct {
	row     int
	at      time.Time // of the last; zero: the task has had another container since
	turn    int       // in which this master was told of it; 0: a master before was
	started time.Time // the newest process
}

// custody is what became of a container that was granted.
type custody int

const (
	held     custody = iota + 1 // launched
	retired                     // its agent was told to end
	released                    // given back
	ended                       // YARN said so
	orphaned                    // of a master that died
	kept                        // the same, and the next master was told of it
)

func newAuditor(number int, j job.Job) *auditor {
	return &auditor{number: number, job: j, tasks: j.Tasks(), warned: make(map[yarn.ContainerID]bool), spares: make(map[job.Task]membership.Launch), known: make(map[job.Task]bool), done: make(map[job.Task]bool), ordered: make(map[job.Task]job.Incarnation), excluded: make(map[string]time.Time), asked: make(map[string]int), launched: make(map[job.Task]membership.Launch),
		state: make(map[yarn.ContainerID]custody), used: make(map[yarn.ContainerID]bool), starts: make(map[job.Task]int), earlier: make(map[job.Task]job.Incarnation), address: make(map[yarn.ContainerID]string), heard: make(map[yarn.ContainerID]bool), endedWell: make(map[job.Task]bool), over: make(map[job.Task]job.Incarnation), own: make(map[job.Task]bool), crashed: make(map[job.Task]crashes)}
}

func (a *auditor) violate(invariant, format string, args ...any) {
	a.broken = append(a.broken, fmt.Sprintf("%s: job %d: %s", invariant, a.number, fmt.Sprintf(format, args...)))
}

// turn checks one step.
func (a *auditor) turn(now time.Time, ev membership.Event, actions []membership.Action) {
	a.noteCheckpoints(now, ev)
	var granted yarn.ContainerID
	wanted := false
	switch ev := ev.(type) {
	case membership.Granted:
		if granted, wanted = ev.Container, a.asked[ev.Role] > 0; wanted {
			a.asked[ev.Role]--
		}
	case membership.Completed:
		a.struck(now, ev)
		if a.state[ev.Container] != 0 {
			a.now(ev.Container, ended)
		}
	case membership.Left:
		a.apart = true
	case membership.Joined:
		a.address[ev.Container], a.heard[ev.Container] = ev.Address, true
		if ev.Exited != nil {
			a.exited(now, *ev.Exited)
		}
	case membership.Kept:
		if a.state[ev.Container] == orphaned {
			a.now(ev.Container, kept)
			for _, t := range a.tasks {
				if a.spares[t].Container == ev.Container {
					a.now(ev.Container, held)
				}
			}
		}
	case membership.Exited:
		a.exited(now, ev)
	case membership.ClusterSized:
		a.nodes = ev.Nodes
	}
	a.starting = make(map[job.Task]job.Incarnation)
	for _, action := range actions {
		switch action := action.(type) {
		case membership.StartProcess:
			a.starting[action.Task] = action.Incarnation
		case membership.Notify:
			wanted = wanted && action.Cause != membership.CauseNone // else it shows that its node is in service again, and nobody moves
		}
	}
	s, ok := ev.(membership.Scaled)
	a.resizing, a.unwanted = ok, false
	if ok && a.job.Endpoints.Stable() && a.generation > 0 && a.restarts() && !s.Renew &&
		(a.job.Strategy == job.StrategyParameterServer || a.job.Strategy == job.StrategyNone) {
		a.violate("scale", "processes are started because of another size: %s", tellAll(actions))
	}
	over := false
	for _, action := range actions {
		if a.finished {
			a.violate("finish", "%s comes after Finish", tell(action))
		}
		a.action(now, action)
		_, taken := action.(membership.TakeoverEnded)
		over = over || taken
	}
	if over {
		a.awaits = time.Time{}
		a.unclaimed("the wait for its agent is over")
	}
	switch {
	case granted.IsZero():
	case a.state[granted] == 0:
		a.violate("grants", "%s was granted, and neither launched nor released", granted)
	case wanted && !a.used[granted]:
		a.violate("grants", "%s was asked for, and given back as it came", granted)
	}
	if n := len(a.excluded); n*3 > a.nodes {
		a.violate("exclude", "%d of %d nodes are excluded", n, a.nodes)
	}
	if a.unwanted && !a.resizing && a.held == 0 {
		a.gaveUp, a.reforming = now, true
	}
	a.gang(now)
}

// restarts reports whether this turn starts a process where one runs: others may have waited for
// somebody who leaves, or for the time.
func (a *auditor) restarts() bool {
	for t, inc := range a.starting {
		if inc > a.launched[t].Incarnation && a.restoring.ended[t] != a.ordered[t] {
			return true
		}
	}
	return false
}

// unclaimed checks that nothing is left of what YARN kept for this master and no task has.
func (a *auditor) unclaimed(now string) {
	n := 0
	for _, s := range a.state {
		if s == kept {
			n++
		}
	}
	if n > 0 {
		a.violate("grants", "%d containers were kept for this master and are no task's, and %s", n, now)
	}
}

// now notes what became of a container.
func (a *auditor) now(c yarn.ContainerID, is custody) {
	if a.state[c] == held {
		a.held--
	}
	if a.state[c] = is; is == held {
		a.held++
	}
}

func (a *auditor) action(now time.Time, action membership.Action) {
	switch action := action.(type) {
	case membership.Ask:
		if action.Count > 0 && !a.gaveUp.IsZero() {
			if paused := now.Sub(a.gaveUp); paused < gangPause {
				a.violate("gang", "it was given up, and is asked for again after %s", paused)
			}
			a.gaveUp = time.Time{}
		}
		a.unwanted = a.unwanted || action.Count == 0
		a.asked[action.Role] = action.Count
	case membership.Release:
		a.now(action.Container, released)
	case membership.Adopt:
		a.adopt(action)
	case membership.Launch:
		a.launch(action)
	case membership.Move:
		a.move(action)
	case membership.Notify:
		a.warned[action.Container] = action.Cause != membership.CauseNone
	case membership.Publish:
		a.publish(action.Spec)
	case membership.Inspect:
		a.inspects(now, action)
	case membership.StartProcess:
		if a.ordered[action.Task] != action.Incarnation { // else told again
			a.startsProgram(now, action.Task)
			a.pace(now, action.Task)
		}
		a.start(action)
	case membership.Retire:
		if s := a.state[action.Container]; s == held || s == kept {
			a.now(action.Container, retired)
		}
	case membership.Exclude:
		a.blamed(action.Host)
		a.excluded[action.Host] = now
	case membership.Readmit:
		delete(a.excluded, action.Host)
	case membership.Finish:
		a.finish(action.Result)
	}
}

// start checks an order to start a process: again, or as the next incarnation in the same
// container.
func (a *auditor) start(s membership.StartProcess) {
	l := a.launched[s.Task]
	if !a.wanted(s.Task) {
		a.violate("scale", "%s, but the job has no such task now", tell(s))
	}
	newest := a.generation
	if job.Apart(s.Task.Role) && !a.job.Endpoints.Stable() {
		newest = a.published // it is in nobody's cluster, and need not wait for one that is whole
	}
	again := s.Incarnation == l.Incarnation && (a.ordered[s.Task] == s.Incarnation || a.earlier[s.Task] == s.Incarnation)
	switch {
	case s.Incarnation != l.Incarnation && (s.Incarnation != l.Incarnation+1 || a.ordered[s.Task] != l.Incarnation):
		a.violate("incarnation", "%s: the newest incarnation is %d", tell(s), l.Incarnation)
	case s.Container != l.Container:
		a.violate("incarnation", "%s in %s: it lives in %s", tell(s), s.Container, l.Container)
	case a.state[l.Container] != held:
		a.violate("incarnation", "%s: its container is no longer held", tell(s))
	case !again && s.Generation != newest || s.Generation > a.generation:
		a.violate("generation", "%s: the newest generation is %d", tell(s), newest)
	}
	l.Incarnation = s.Incarnation
	a.launched[s.Task], a.ordered[s.Task] = l, s.Incarnation
	a.done[s.Task] = false
}

// The machine's own, for the audit of pauses: a row of failures ends with a process that runs for
// so long, and from the second failure on there is a pause of this much or more, its random part
// left out.
const (
	settled    = 10 * time.Minute
	leastPause = 750 * time.Millisecond
)

// alone reports whether a task depends on no other, so that each of its failures is its own.
func (a *auditor) alone(t job.Task) bool {
	return a.job.Strategy == job.StrategyNone || a.job.Strategy == job.StrategyParameterServer && t != a.job.Leader()
}

// pace checks that a crash loop slows down.
func (a *auditor) pace(now time.Time, t job.Task) {
	c := a.crashed[t]
	if c.row >= 2 && now.Sub(c.at) < leastPause {
		a.violate("pause", "%s is started %s after failure %d in a row", t, now.Sub(c.at), c.row)
	}
	c.started = now
	a.crashed[t] = c
}

// exited notes how a process ended.
func (a *auditor) exited(now time.Time, ev membership.Exited) {
	in := a.current(ev.Task, ev.Incarnation)
	switch c := a.crashed[ev.Task]; {
	case in.IsZero() || a.state[in] == released || a.state[in] == ended: // it was given up before it said so
	case ev.Code == 0 && ev.Reason == "":
		a.done[ev.Task] = true
	case ev.Stopped || a.warned[in]:
	case !a.alone(ev.Task) || c.at.After(c.started): // perhaps excused, or told again
	default:
		if now.Sub(c.started) >= settled || a.restoring.grew.After(c.started) { // not for each task, but that is the machine's to tell
			c.row = 0
		}
		c.row, c.at, c.turn = c.row+1, now, a.step
		a.crashed[ev.Task] = c
	}
}

// begun notes a process that an agent started. Where nothing fails but masters, none is started
// twice.
func (a *auditor) begun(g *agent) {
	if a.starts[g.task]++; a.calm && a.starts[g.task] > 1 {
		a.violate("takeover", "%s was started again, and nothing but masters failed", g.task)
	}
}

// current is the container of a task's incarnation if that is the newest; zero: it is not.
func (a *auditor) current(t job.Task, inc job.Incarnation) yarn.ContainerID {
	if l := a.launched[t]; l.Incarnation == inc {
		return l.Container
	}
	return yarn.ContainerID{}
}

// wish is one for another size of a role.
type wish struct {
	turn  int // in which its master was told
	role  string
	was   int
	known []job.Task // that were too many
}

// wished notes a wish that the job is given.
func (a *auditor) wished(turn int, role string, count int) {
	r, _ := a.job.Role(role)
	w := wish{turn: turn, role: role, was: r.Instances}
	for _, t := range a.tasks {
		if t.Role == role && t.Index >= count && a.known[t] {
			w.known = append(w.known, t)
		}
	}
	a.wishes = append(a.wishes, w)
	a.scaled(role, count)
}

// unwritten takes back what a master which died had been told, and had not written to its journal:
// wishes, to which package am has not said yes, and failures, which the next one does not count.
func (a *auditor) unwritten(safe int) {
	for t, c := range a.crashed {
		if c.turn > safe {
			c.row = 0
		}
		c.turn = 0
		a.crashed[t] = c
	}
	for t, turn := range a.cluster.turn {
		if turn > safe {
			a.cluster.row[t] = 0
		}
		a.cluster.turn[t] = 0
	}
	for _, w := range slices.Backward(a.wishes) {
		if w.turn > safe {
			a.scaled(w.role, w.was)
			for _, t := range w.known {
				a.known[t] = true
			}
		}
	}
	a.wishes = nil
}

// scaled makes a role as large as is wanted.
func (a *auditor) scaled(role string, count int) {
	a.job.Roles, a.essentials = slices.Clone(a.job.Roles), nil
	for i := range a.job.Roles {
		if a.job.Roles[i].Name == role {
			a.job.Roles[i].Instances = count
		}
	}
	for _, t := range a.job.Tasks() {
		if !slices.Contains(a.tasks, t) {
			a.tasks = append(a.tasks, t)
		}
	}
	for _, t := range a.tasks {
		if !a.wanted(t) {
			delete(a.known, t)
			delete(a.crashed, t) // it starts over if it comes back
		}
	}
}

// wanted reports whether a task is within the size of its role.
func (a *auditor) wanted(t job.Task) bool {
	r, ok := a.job.Role(t.Role)
	return ok && t.Index < r.Instances
}

func (a *auditor) launch(l membership.Launch) {
	if !a.wanted(l.Task) {
		a.violate("scale", "%s, but the job has no such task now", tell(l))
	}
	if l.Spare {
		a.spare(l)
		return
	}
	a.again(l.Task)
	before := a.launched[l.Task]
	if l.Incarnation <= before.Incarnation {
		a.violate("incarnation", "%s, but incarnation %d was launched before", tell(l), before.Incarnation)
	}
	if a.state[before.Container] == held {
		a.violate("incarnation", "%s, but %s is still held for incarnation %d", tell(l), before.Container, before.Incarnation)
	}
	if a.used[l.Container] {
		a.violate("incarnation", "%s, in a container that was used before", tell(l))
	}
	a.launched[l.Task], a.used[l.Container] = l, true
	a.now(l.Container, held)
	a.cluster.note(l)
	a.done[l.Task], a.endedWell[l.Task] = false, false
	row := a.crashed[l.Task].row
	if !a.known[l.Task] {
		row = 0 // it is new, or was told to leave and is wanted again
	}
	a.crashed[l.Task] = crashes{row: row, turn: a.crashed[l.Task].turn}
}

func (a *auditor) publish(s clusterspec.Spec) {
	first := a.generation == 0
	if s.Generation <= a.generation {
		a.violate("generation", "generation %d is published after %d", s.Generation, a.generation)
	}
	a.generation, a.published, a.reforming = s.Generation, s.Generation, false
	seen := make(map[job.Task]bool)
	owner := make(map[string]job.Task)
	for _, m := range s.Members {
		if m.Address == "" {
			if c := a.launched[m.Task].Container; first || !a.job.Endpoints.Stable() || m.Incarnation != 0 || a.state[c] == held && a.heard[c] {
				a.violate("spec", "generation %d has %s nowhere", s.Generation, m.Task)
			}
			if seen[m.Task] {
				a.violate("spec", "%s is in generation %d twice", m.Task, s.Generation)
			}
			seen[m.Task] = true
			continue
		}
		c := a.current(m.Task, m.Incarnation)
		if a.starting[m.Task] == m.Incarnation { // the spec is for it
			c = a.launched[m.Task].Container
		}
		switch other, taken := owner[m.Address]; {
		case seen[m.Task]:
			a.violate("spec", "%s is in generation %d twice", m.Task, s.Generation)
		case taken:
			a.violate("spec", "%s and %s have the same address %s", other, m.Task, m.Address)
		case c.IsZero():
			a.violate("spec", "generation %d has %s in incarnation %d, the newest is %d", s.Generation, m.Task, m.Incarnation, a.launched[m.Task].Incarnation)
		case a.state[c] != held && !a.done[m.Task] || a.address[c] != m.Address:
			a.violate("spec", "generation %d has %s at %q, which is not where its agent is (%q)", s.Generation, m.Task, m.Address, a.address[c])
		}
		seen[m.Task], owner[m.Address] = true, m.Task
		if below := (job.Task{Role: m.Task.Role, Index: m.Task.Index - 1}); !a.wanted(m.Task) || below.Index >= 0 && !seen[below] && !a.known[below] && !job.Apart(m.Task.Role) {
			a.violate("scale", "generation %d has %s, which is not to be there now", s.Generation, m.Task)
		}
		a.known[m.Task] = a.known[m.Task] || a.wanted(m.Task)
	}
	for _, t := range a.job.Tasks() {
		if !first && !a.known[t] {
			continue // on its way in
		}
		c := a.launched[t].Container
		whole := first || a.job.Endpoints.Stable() || !job.Apart(t.Role) // a TF_CONFIG is made of it
		if there := a.state[c] == held && a.heard[c]; !seen[t] && (whole || there) {
			a.violate("spec", "generation %d lacks %s", s.Generation, t)
		}
	}
}

// spare is a second container for a task.
func (a *auditor) spare(l membership.Launch) {
	if other := a.spares[l.Task]; a.state[other.Container] == held {
		a.violate("move", "%s, but %s is its spare already", tell(l), other.Container)
	}
	if a.used[l.Container] {
		a.violate("incarnation", "%s, in a container that was used before", tell(l))
	}
	a.spares[l.Task], a.used[l.Container] = l, true
	a.now(l.Container, held)
	a.cluster.note(l)
}

// move checks that a task has left where it was.
func (a *auditor) move(m membership.Move) {
	before, to := a.launched[m.Task], a.spares[m.Task]
	switch {
	case to.Container != m.Container || a.state[m.Container] != held:
		a.violate("move", "%s, which is not its spare", tell(m))
	case a.state[before.Container] == held:
		a.violate("move", "%s, but %s is still held for incarnation %d", tell(m), before.Container, before.Incarnation)
	case m.Incarnation <= before.Incarnation:
		a.violate("move", "%s, but incarnation %d was before", tell(m), before.Incarnation)
	}
	to.Incarnation = m.Incarnation
	a.launched[m.Task] = to
	delete(a.spares, m.Task)
	a.done[m.Task], a.endedWell[m.Task] = false, false
	a.crashed[m.Task] = crashes{row: a.crashed[m.Task].row, turn: a.crashed[m.Task].turn}
}

// gang notes since when a part of a gang is held.
func (a *auditor) gang(now time.Time) {
	n, size := a.held, 0
	for _, r := range a.job.Roles {
		size += r.Instances
	}
	lacks := n < size
	if a.generation > 0 { // then it is whole while it has what it cannot go on without, and those on their way in are not yet of it
		lacks = slices.ContainsFunc(a.core(), func(t job.Task) bool {
			return (a.known[t] || a.reforming) && a.state[a.launched[t].Container] != held && !a.done[t]
		})
	}
	switch {
	case n == 0 || !lacks || a.finished || a.restoring.decided || now.Before(a.awaits): // once that is, an evaluator may have a while
		a.incomplete = time.Time{}
	case a.incomplete.IsZero():
		a.incomplete = now
	}
}

// stopMargin is how long a job that ends waits for its processes, beyond their grace period.
const stopMargin = 10 * time.Second

// gangPause is the least pause between giving a gang up and asking for it again.
const gangPause = 2500 * time.Millisecond

// essential reports whether the job stands still without a task.
func (a *auditor) essential(t job.Task) bool {
	switch a.job.Strategy {
	case job.StrategyNone:
		return false
	case job.StrategyMirrored:
		return a.job.Trains(t.Role)
	}
	return a.job.Part(t.Role) == job.PartServes || t == a.job.Leader()
}

// core are the tasks without which the job stands still.
func (a *auditor) core() []job.Task {
	if a.essentials == nil {
		a.essentials = slices.DeleteFunc(a.job.Tasks(), func(t job.Task) bool { return !a.essential(t) })
	}
	return a.essentials
}

// pass lets time pass: what must not last is checked against it.
func (a *auditor) pass(now time.Time) {
	limit := a.job.Gang.Timeout + tickLag
	if a.generation > 0 { // or it ends, and waits for its processes
		limit += a.job.Stop.Grace + stopMargin
	}
	if !a.incomplete.IsZero() && now.Sub(a.incomplete) > limit {
		a.violate("gang", "a part of it is held since %s, for longer than %s", a.incomplete.Sub(epoch), a.job.Gang.Timeout)
		a.incomplete = time.Time{}
	}
	for _, host := range slices.Sorted(maps.Keys(a.excluded)) {
		since := a.excluded[host]
		if now.Sub(since) > excludedFor+time.Minute && !a.finished && !a.restoring.decided { // the minute: a job that ends leaves it
			a.violate("exclude", "%s is excluded since %s", host, since.Sub(epoch))
			delete(a.excluded, host)
		}
	}
}

// excludedFor is how long a node is kept from new containers (docs/job-file.md).
const excludedFor = 10 * time.Minute

func (a *auditor) finish(r membership.Result) {
	if a.finished {
		a.violate("finish", "it came before")
	}
	a.finished, a.result = true, r
	for _, t := range a.tasks {
		for _, c := range []yarn.ContainerID{a.launched[t].Container, a.spares[t].Container} {
			if a.state[c] == held {
				a.violate("grants", "%s still holds %s at the end", t, c)
			}
		}
	}
	a.unclaimed("the job is over")
	a.givenUp(r)
	for _, role := range a.job.Roles {
		if a.asked[role.Name] > 0 {
			a.violate("grants", "%d containers are still asked for role %s at the end", a.asked[role.Name], role.Name)
		}
	}
	a.judge(r)
}

// judge compares the result with what happened.
func (a *auditor) judge(r membership.Result) {
	bars := a.restoring.bars
	reason := map[int]bool{
		job.ExitFailed: a.failures > 0 || bars[membership.BarRefused], job.ExitInfrastructure: a.clusterFailed || bars[membership.BarAway], job.ExitKilled: a.killed, job.ExitTimedOut: a.overdue,
	}
	if budget := a.job.Recovery.UserFailures; r.ExitCode == job.ExitFailed && !bars[membership.BarRefused] && !a.stuck(r) && !a.hopeless && a.failures > 0 && a.failures <= budget {
		a.violate("budget", "the job failed by its program, which failed %d times by itself and may %d times: %s", a.failures, budget, r.Diagnostics)
	}
	switch happened, known := reason[r.ExitCode]; {
	case r.ExitCode == job.ExitSucceeded:
		for _, t := range a.job.Tasks() {
			if a.job.Decides(t.Role) && !a.endedWell[t] && a.known[t] {
				a.violate("result", "exit code 0, but %s did not end well", t)
			}
		}
	case !known || !happened:
		a.violate("result", "exit code %d, and nothing happened that gives it: %s", r.ExitCode, r.Diagnostics)
	case r.Diagnostics == "":
		a.violate("result", "exit code %d without a sentence", r.ExitCode)
	case r.ExitCode != job.ExitKilled && r.ExitCode != job.ExitTimedOut && !a.named(r):
		a.violate("result", "the sentence does not begin with a task whose failure it was: %s", r.Diagnostics)
	}
}

// failed notes the end of a task's process that is its program's own fault.
func (a *auditor) failed(t job.Task) {
	a.failures++
	a.own[t] = true
}

// stalled notes a stall, which is one failure of the program's at most: that of the first who runs.
func (a *auditor) stalled(ev membership.Stalled) {
	a.failures++
	for _, t := range a.tasks {
		if ev.Task == t || ev.Task == (job.Task{}) {
			a.own[t] = true
		}
	}
}

// named reports whether the sentence names a task, of a program that failed one which did by
// itself. That is not promised once an agent's connection was lost: whoever ends meanwhile is taken
// to have gone down with its task, which may have gone down with them.
func (a *auditor) named(r membership.Result) bool {
	if len(a.restoring.bars) > 0 && strings.Contains(r.Diagnostics, "the checkpoints in ") {
		return true
	}
	for _, t := range a.tasks {
		if strings.HasPrefix(r.Diagnostics, t.String()+" failed: ") {
			return r.ExitCode != job.ExitFailed || a.own[t] || a.apart
		}
	}
	return false
}

// close is the end of the world.
func (a *auditor) close(now time.Time) {
	if !a.finished && len(a.broken) == 0 {
		a.violate("ends", "after %s the job has not ended, and no fault is left", now.Sub(epoch))
	}
}

// tell writes an event or an action for a message.
func tell(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", v), "membership.") + string(b)
}

func tellAll(actions []membership.Action) string {
	parts := make([]string, len(actions))
	for i, a := range actions {
		parts[i] = tell(a)
	}
	return "[" + strings.Join(parts, " ") + "]"
}
