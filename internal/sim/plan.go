package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"tfos/internal/fault"
	"tfos/internal/job"
	"tfos/internal/yarn"
)

// Kinds are the faults that a plan may hold here. A master has one life in this world.
var Kinds = []fault.Kind{
	fault.KillProcess, fault.KillAgent, fault.KillNode, fault.StopAgent, fault.StopNode, fault.MuteAgent, fault.CutAgent, fault.CutNode,
	fault.HoldManager, fault.RestartManager, fault.RestartNodeManager,
}

// RunPlan plays one job on a cluster in good order, in which nothing goes wrong but what the plan
// says. It must succeed, and only the tasks that the plan names may start anew or move
// (fault.Plan.Expect).
func RunPlan(seed uint64, plan fault.Plan, j job.Job, opts Options) (Outcome, error) {
	if err := plan.Only("the simulation", Kinds...); err != nil {
		return Outcome{}, err
	}
	plan, err := plan.For(j)
	if err != nil {
		return Outcome{}, err
	}
	w := newWorld(opts, rand.New(rand.NewPCG(seed, 1))) // apart from the seeds that draw a scenario
	w.sc = scenario{nodes: len(j.Tasks()) + 2, nodeMiB: 8192, onHeartbeat: w.chance(2), jobs: []job.Job{j}, steady: true}
	w.build()
	p := &player{w: w, m: w.masters[0], plan: plan, neighbours: make(map[job.Task][]job.Task)}
	p.await()
	out := w.play()
	out.Violations = append(out.Violations, p.judge()...)
	return out, nil
}

// player carries out a plan.
type player struct {
	w          *world
	m          *master
	plan       fault.Plan
	next       int                     // of plan
	neighbours map[job.Task][]job.Task // on the node of a task, when its fault came
	began      time.Time               // when the first step could be taken
}

// stepTime is how long a step takes in this world, where programs count none.
const stepTime = 100 * time.Millisecond

// await lets the first fault come once the job trains.
func (p *player) await() {
	if p.m.audit.generation == 0 {
		p.w.after(stepTime, p.await)
		return
	}
	p.began = p.w.clock.now
	p.proceed()
}

// proceed lets the next fault come at its time.
func (p *player) proceed() {
	if p.next == len(p.plan) {
		return
	}
	f := p.plan[p.next]
	p.next++
	at := p.w.clock.now.Add(f.After)
	if f.Step > 0 {
		at = p.began.Add(time.Duration(f.Step) * stepTime)
	}
	p.w.clock.at(at, func() {
		if (f.Task != job.Task{}) {
			p.neighbours[f.Task] = p.m.around(f.Task)
		}
		p.w.perform(p.m, f)
		p.proceed()
	})
}

// judge holds what became of the tasks against the plan.
func (p *player) judge() []string {
	var broken []string
	violate := func(format string, args ...any) { broken = append(broken, "plan: "+fmt.Sprintf(format, args...)) }
	if p.next < len(p.plan) {
		violate("the job ended before %s", p.plan[p.next])
	}
	if r := p.m.audit.result; r.ExitCode != job.ExitSucceeded {
		violate("exit code %d: %s", r.ExitCode, r.Diagnostics)
	}
	want := p.plan.Expect(p.m.job, p.m.job.Endpoints.Stable(), func(t job.Task) []job.Task { return p.neighbours[t] })
	containers := make(map[job.Task]int)
	for _, a := range p.w.agents {
		containers[a.task]++
	}
	for _, t := range p.m.job.Tasks() {
		inc := p.m.audit.launched[t].Incarnation
		if moved := containers[t] > 1; moved != want.Moves[t] {
			violate("%s had %d containers", t, containers[t])
		}
		if again := inc > 1; again != want.Restarts[t] {
			violate("%s is incarnation %d", t, inc)
		}
	}
	return broken
}

// around are the tasks on the node that a task is on, itself first.
func (m *master) around(t job.Task) []job.Task {
	on := m.agentOf(t)
	if on == nil {
		return nil
	}
	out := []job.Task{t}
	for _, a := range m.w.agents {
		if a.m == m && a.alive && a.node == on.node && a != on {
			out = append(out, a.task)
		}
	}
	return out
}

// agentOf is a task's newest agent, if it lives.
func (m *master) agentOf(t job.Task) *agent {
	if all := m.agents[t]; len(all) > 0 && all[len(all)-1].alive {
		return all[len(all)-1]
	}
	return nil
}

// perform applies a fault to a job. A fault that finds no task to hit is over.
func (w *world) perform(m *master, f fault.Fault) {
	var a *agent
	if (f.Task != job.Task{}) {
		if a = m.agentOf(f.Task); a == nil {
			return
		}
		m.audit.clusterFailed = m.audit.clusterFailed || f.Kind != fault.KillProcess
	}
	switch f.Kind {
	case fault.KillProcess:
		a.exit(a.incarnation, job.Ended{Code: 137, Signal: "SIGKILL"})
	case fault.KillAgent:
		a.end(137)
	case fault.KillNode:
		w.takeNode(a.node)
	case fault.StopAgent:
		a.keepApart(f.For, stallLimit)
	case fault.CutAgent:
		a.keepApart(f.For, silenceLimit)
	case fault.MuteAgent:
		a.mute(f.For)
	case fault.StopNode, fault.CutNode:
		w.stopNode(a.node, f.For, f.Kind == fault.StopNode)
	case fault.HoldManager:
		w.heldUntil = w.clock.now.Add(f.For)
	case fault.RestartManager:
		w.do(w.rm.Restart(w.clock.now))
	case fault.RestartNodeManager: // its containers live on, and nobody is told
	default:
		panic("sim: no such fault: " + string(f.Kind))
	}
}

// keepApart has nothing pass between an agent and its master for a while. Both ends notice if it is
// a long one.
func (a *agent) keepApart(d, limit time.Duration) {
	until := a.w.clock.now.Add(d)
	if d <= limit {
		if s := a.session; s != nil { // what is sent arrives late
			s.lastUp, s.lastDown = until, until
		}
		return
	}
	a.apartUntil = until
	if a.session != nil {
		a.session.silence(limit)
	}
}

// mute has nothing arrive that an agent says, for a while.
func (a *agent) mute(d time.Duration) {
	a.apartUntil = a.w.clock.now.Add(d)
	if a.session != nil {
		a.session.mute()
	}
}

// takeNode takes a node away, for a while.
func (w *world) takeNode(id yarn.NodeID) {
	if w.lost[id] {
		return
	}
	w.lost[id] = true
	for _, m := range w.masters {
		m.audit.clusterFailed = true // it may have been granted what is there
	}
	for _, a := range w.agents {
		if a.node == id && a.alive {
			a.vanish()
		}
	}
	w.after(w.upTo(time.Minute), func() { w.dropNode(id) })
	w.after(time.Minute+w.upTo(5*time.Minute), func() {
		delete(w.lost, id)
		w.addNode(id)
	})
}

// stopNode has a node stand still for a while: its agents, their programs, and its NodeManager. If
// that is for long, the ResourceManager counts the node as lost, and the NodeManager ends what it
// finds when it is back.
func (w *world) stopNode(id yarn.NodeID, d time.Duration, frozen bool) {
	until := w.clock.now.Add(d)
	dropped := d > nodeExpiry && !w.lost[id]
	w.lost[id] = w.lost[id] || dropped
	for _, a := range w.agents {
		if a.node != id || !a.alive {
			continue
		}
		a.m.audit.clusterFailed = true
		limit := silenceLimit
		if frozen {
			a.stoppedUntil, limit = until, stallLimit
		}
		a.keepApart(d, limit)
		if dropped {
			w.after(d+w.upTo(3*time.Second), func() { a.end(yarn.ExitAborted) })
		}
	}
	if dropped {
		for _, m := range w.masters {
			m.audit.clusterFailed = true // as takeNode has it
		}
		w.after(nodeExpiry, func() { w.dropNode(id) })
		w.after(d, func() {
			delete(w.lost, id)
			w.addNode(id)
		})
	}
}

// nodeExpiry is after how long without a heartbeat the ResourceManager counts a node as lost.
const nodeExpiry = 10 * time.Second

func (w *world) dropNode(id yarn.NodeID) { w.do(w.rm.DropNode(w.clock.now, id, yarn.NodeLost)) }

func (w *world) addNode(id yarn.NodeID) {
	w.do(w.rm.AddNode(w.clock.now, id, "", yarn.Resource{MemoryMiB: w.sc.nodeMiB, VCores: 64}))
}

// drawn has a random fault of a plan's come over a random job.
func (w *world) drawn() {
	m := w.masters[w.rng.IntN(len(w.masters))]
	f := fault.Fault{Kind: Kinds[w.rng.IntN(len(Kinds))], For: w.upTo(time.Minute)}
	if a := w.someAgent(); a != nil {
		m, f.Task = a.m, a.task
	}
	switch f.Kind {
	case fault.HoldManager, fault.RestartManager:
		f.Task = job.Task{}
	case fault.KillNode, fault.StopNode, fault.CutNode:
		if a := m.agentOf(f.Task); a == nil || w.hostsMaster(a.node) {
			return
		}
	}
	if f.Task == (job.Task{}) && f.Kind != fault.HoldManager && f.Kind != fault.RestartManager {
		return // there is nobody
	}
	w.perform(m, f)
}

// hostsMaster reports whether a master is on a node, or may yet come to it.
func (w *world) hostsMaster(id yarn.NodeID) bool {
	return slices.ContainsFunc(w.masters, func(m *master) bool { return !m.started || m.node == id })
}
