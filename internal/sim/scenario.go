package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/yarn"
)

// scenario is what a seed decides before anything happens: the cluster, the jobs and the faults.
type scenario struct {
	nodes       int
	nodeMiB     int64
	onHeartbeat bool // the scheduler grants node by node, as a real one does
	jobs        []job.Job
	mishaps     []mishap
	scales      []time.Duration // when somebody wants a job to have another size
	lossy       int             // one in so many calls to the ResourceManager is lost; 0: none
	slow        int             // one in so many localizations takes very long; 0: none
	refusing    int             // one in so many launches fails; 0: none
	failing     int             // one in so many programs ends badly; 0: none
	breaking    int             // one in so many messages breaks its connection; 0: none
	stuck       int             // one in so many agents does not manage to stop its process; 0: none
	strikes     int             // of one task by the cluster, with which a job is given up; 0: the default
	steady      bool            // programs run for some minutes, and masters have their nodes for themselves
	inspect     bool            // somebody looks at the jobs' checkpoints
	blind       int             // one in so many looks is never answered; 0: none
	barred      int             // one in so many looks finds that checkpoints cannot be read; 0: none
	stepping    bool            // programs say how far they are
	looping     bool            // programs that failed fail again, at the same step
	calm        bool            // nothing goes wrong but that masters die
	mortal      bool            // masters may die
	journal     time.Duration   // how long a write of a master's journal takes at most
}

// mishap is something that goes wrong at a time.
type mishap struct {
	at time.Duration
	do func(*world)
}

// faultsEnd is when the last fault has been put in.
const faultsEnd = 10 * time.Minute

func draw(rng *rand.Rand) scenario {
	sc := scenario{nodes: 2 + rng.IntN(3), nodeMiB: 8192, onHeartbeat: rng.IntN(2) == 0, strikes: rng.IntN(4)}
	sc.inspect, sc.stepping, sc.looping = rng.IntN(2) == 0, rng.IntN(2) == 0, rng.IntN(4) == 0
	crowded := rng.IntN(3) == 0 // every job needs more than half of the cluster
	for range 1 + rng.IntN(3) {
		tasks := 1 + rng.IntN(sc.nodes*5)
		if crowded {
			tasks = sc.nodes*4 + rng.IntN(sc.nodes*2)
		}
		sc.jobs = append(sc.jobs, drawJob(rng, tasks))
	}
	if rng.IntN(3) == 0 {
		for range 1 + rng.IntN(4) {
			sc.scales = append(sc.scales, time.Duration(rng.Int64N(int64(4*time.Minute))))
		}
	}
	if rng.IntN(4) == 0 { // a quarter of the worlds is in good order: there every job must succeed
		if rng.IntN(2) == 0 {
			return sc
		}
		// In half of those masters die, and nothing else goes wrong. With a slow journal that may
		// cost a restart: what is to be written next has to wait for the write that is under way.
		sc.calm, sc.mortal, sc.journal, sc.scales = true, true, min(drawJournal(rng), membership.JournalPatience/2), nil
		for range 1 + rng.IntN(4) {
			sc.mishaps = append(sc.mishaps, mishap{time.Duration(rng.Int64N(int64(5 * time.Minute))), (*world).killMaster})
		}
		return sc
	}
	sc.journal, sc.mortal = drawJournal(rng), rng.IntN(2) == 0
	oneIn := func(n int) int { return []int{0, n, n * 5}[rng.IntN(3)] }
	sc.lossy, sc.slow, sc.refusing, sc.failing, sc.breaking, sc.stuck, sc.blind, sc.barred = oneIn(4), oneIn(20), oneIn(20), oneIn(6), oneIn(20), oneIn(10), oneIn(10), oneIn(20)
	kinds := []func(*world){
		(*world).endContainer, (*world).loseNode, (*world).cutConnection, (*world).cutConnection, (*world).partition, (*world).desert, (*world).stopJob, (*world).grantSurplus, (*world).warn, (*world).warn, (*world).drainNode, (*world).preempt,
		(*world).drawn, (*world).drawn, (*world).drawn, (*world).stall,
	}
	if sc.mortal {
		kinds = append(kinds, (*world).killMaster, (*world).killMaster, (*world).killMaster)
	}
	for range rng.IntN(5) {
		at := time.Duration(rng.Int64N(int64(3 * time.Minute)))
		if rng.IntN(4) == 0 {
			at = time.Duration(rng.Int64N(int64(faultsEnd)))
		}
		sc.mishaps = append(sc.mishaps, mishap{at, kinds[rng.IntN(len(kinds))]})
	}
	return sc
}

// drawJournal draws how slow the filesystem is. A write that takes longer than that fails in
// package am, and launches then go ahead of the journal: that a master dies then is not played.
func drawJournal(rng *rand.Rand) time.Duration {
	return []time.Duration{20 * time.Millisecond, 200 * time.Millisecond, 2 * time.Second, 15 * time.Second}[rng.IntN(4)]
}

// drawJob draws a job of so many tasks of 1 GiB. A node has room for seven of them, and for
// masters.
func drawJob(rng *rand.Rand, tasks int) job.Job {
	var roles []string
	add := func(name string, n int) {
		if n > 0 {
			roles = append(roles, fmt.Sprintf("%s: {instances: %d, memory: 1GiB}", name, n))
			tasks -= n
		}
	}
	if tasks > 1 && rng.IntN(2) == 0 {
		add(job.Chief, 1)
	}
	if tasks > 1 && rng.IntN(2) == 0 {
		add(job.ParameterServer, 1+rng.IntN(min(2, tasks-1)))
	}
	if tasks > 1 && rng.IntN(4) == 0 {
		add(job.Evaluator, 1)
	}
	if tasks > 1 && rng.IntN(8) == 0 {
		add(job.TensorBoard, 1)
	}
	add(job.Worker, tasks)
	rng.Shuffle(len(roles), func(i, j int) { roles[i], roles[j] = roles[j], roles[i] })
	text := fmt.Sprintf("command: x\nenv: {TB_LOG_DIR: /logs}\nroles: {%s}\ngang: {timeout: %ds}\nstop: {grace: %ds}\n",
		strings.Join(roles, ", "), 10+rng.IntN(290), 1+rng.IntN(20))
	if rng.IntN(3) == 0 {
		text += "success: all\n"
	}
	if rng.IntN(2) == 0 {
		text += fmt.Sprintf("recovery: {user-failures: %d}\n", rng.IntN(12))
	}
	if rng.IntN(2) == 0 {
		strategies := []job.Strategy{job.StrategyMirrored, job.StrategyV1, job.StrategyNone}
		text += fmt.Sprintf("strategy: %s\n", strategies[rng.IntN(len(strategies))])
	}
	if rng.IntN(2) == 0 {
		text += "endpoints: direct\n"
	}
	j, err := job.Parse("job.yaml", []byte(text), nil)
	if err != nil {
		panic("sim: a drawn job is not valid: " + err.Error())
	}
	return j
}

// someAgent is a random live agent; nil: there is none.
func (w *world) someAgent() *agent {
	var alive []*agent
	for _, a := range w.agents {
		if a.alive {
			alive = append(alive, a)
		}
	}
	if len(alive) == 0 {
		return nil
	}
	return alive[w.rng.IntN(len(alive))]
}

// endContainer ends a container in one of the ways that YARN knows.
func (w *world) endContainer() {
	exits := []yarn.ExitStatus{yarn.ExitPreempted, yarn.ExitPMemExceeded, yarn.ExitDisksFailed, yarn.ExitKilledByRM, yarn.ExitInvalid, 137, 1, 0}
	if a := w.someAgent(); a != nil {
		exit := exits[w.rng.IntN(len(exits))]
		if exit == yarn.ExitPMemExceeded {
			a.m.audit.failed(a.task)
		}
		a.m.audit.clusterFailed = true // of that one too, if a ResourceManager that is held tells it too late
		a.end(exit)
	}
}

// loseNode takes a node away, for a while. Nodes that masters are on, or may yet come to, are
// spared: a lost master is another story.
func (w *world) loseNode() {
	if id := nodeID(w.rng.IntN(w.sc.nodes)); !w.hostsMaster(id) {
		w.takeNode(id)
	}
}

// cutConnection ends an agent's connection. It comes back, soon enough or not.
func (w *world) cutConnection() {
	if a := w.someAgent(); a != nil && a.session != nil {
		a.m.audit.clusterFailed = true
		a.session.close(false)
	}
}

// partition keeps an agent and its master apart, without either being told.
func (w *world) partition() {
	if a := w.someAgent(); a != nil {
		a.m.audit.clusterFailed = true
		a.apartUntil = w.clock.now.Add(w.upTo(time.Minute))
		if a.session != nil {
			a.session.silence(silenceLimit)
		}
	}
}

// desert keeps an agent and its master apart for good, while YARN sees nothing wrong.
func (w *world) desert() {
	if a := w.someAgent(); a != nil {
		a.m.audit.clusterFailed = true
		a.apartUntil = epoch.Add(2 * horizon)
		switch {
		case a.session == nil:
		case w.chance(2):
			a.session.silence(silenceLimit)
		default:
			a.session.close(false)
		}
	}
}

// grantSurplus grants a container more than was asked for, past the ledger.
func (w *world) grantSurplus() {
	m := w.masters[w.rng.IntN(len(w.masters))]
	role := m.job.Roles[w.rng.IntN(len(m.job.Roles))].Name
	if !m.dead && m.audit.generation > 0 && m.audit.asked[role] <= 0 { // who waits for one would take it
		id := yarn.ContainerID{Attempt: m.attempt, ID: 1 << 30}
		m.turn(membership.Granted{Role: role, Container: id, Node: m.node})
	}
}

// scaleJob wishes another size for a job, one that the cluster can hold.
func (w *world) scaleJob() {
	m := w.masters[w.rng.IntN(len(w.masters))]
	role := m.audit.job.Roles[w.rng.IntN(len(m.audit.job.Roles))]
	others := len(m.audit.job.Tasks()) - role.Instances
	count, renew := 1+w.rng.IntN(max(1, w.sc.nodes*5-others)), w.chance(3)
	if !m.started || m.dead || m.done || m.machine.CheckScale(role.Name, count) != nil {
		return
	}
	m.audit.wished(m.journal.turn+1, role.Name, count)
	m.turn(membership.Scaled{Role: role.Name, Count: count, Renew: renew})
}

// stall says that a training stands still, and has it start again.
func (w *world) stall() {
	m := w.masters[w.rng.IntN(len(w.masters))]
	ev := membership.Stalled{Step: 1, Silent: time.Minute, Usual: time.Second, Restart: true}
	if m.job.Strategy == job.StrategyNone {
		all := m.job.Tasks()
		ev.Task = all[w.rng.IntN(len(all))]
	}
	if !m.started || m.dead || m.done {
		return
	}
	m.audit.stalled(ev)
	m.turn(ev)
}

// warn says that a container will be preempted, or its node drained. Then it is, unless somebody
// changes his mind.
func (w *world) warn() {
	a := w.someAgent()
	if a == nil {
		return
	}
	cause, left := membership.CausePreempted, time.Second+w.upTo(2*time.Minute)
	if w.chance(2) {
		cause = membership.CauseDraining
	}
	a.m.turn(membership.Warned{Container: a.container, Cause: cause, Deadline: w.clock.now.Add(left)})
	if w.chance(4) {
		w.after(w.upTo(left), func() { a.m.repeatable(membership.WarningLifted{Container: a.container}) })
		return
	}
	w.after(left, func() { a.end(yarn.ExitPreempted) })
}

// drainNode decommissions a node gracefully. It is shut down when its time is over, unless it is
// taken back. Nodes that masters are on are spared, as loseNode does.
func (w *world) drainNode() {
	id, left := nodeID(w.rng.IntN(w.sc.nodes)), time.Second+w.upTo(3*time.Minute)
	if w.hostsMaster(id) {
		return
	}
	for _, m := range w.masters {
		m.audit.clusterFailed = true // where there is no room elsewhere the program has had no notice
	}
	w.do(w.rm.DrainNode(w.clock.now, id, left))
	if w.chance(3) {
		w.after(w.upTo(left), func() { w.do(w.rm.RecommissionNode(w.clock.now, id)) })
		return
	}
	w.after(left, func() {
		if w.draining(id) {
			w.takeNode(id)
		}
	})
}

func (w *world) draining(id yarn.NodeID) bool {
	return slices.ContainsFunc(w.rm.Nodes(), func(n yarn.NodeReport) bool { return n.ID == id && n.State == yarn.NodeDecommissioning })
}

// preempt takes a container back, of which the ResourceManager tells with every heartbeat
// beforehand.
func (w *world) preempt() {
	if a := w.someAgent(); a != nil {
		a.m.audit.clusterFailed = true
		w.do(w.rm.Preempt(w.clock.now, a.container, preemptionPatience))
		w.after(preemptionPatience, func() { w.do(w.rm.Tick(w.clock.now)) })
	}
}

// preemptionPatience is how long after its notice YARN takes a container, as package am assumes.
const preemptionPatience = 15 * time.Second

// stopJob kills a job from outside.
func (w *world) stopJob() {
	m := w.masters[w.rng.IntN(len(w.masters))]
	m.stopRequested()
}
