package am

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/control"
	"tfos/internal/fault"
	"tfos/internal/job"
	"tfos/internal/yarn"
)

// planned are the faults that this world knows. It has one master, one ResourceManager, and a
// network that is cut both ways.
var planned = []fault.Kind{
	fault.KillProcess, fault.KillAgent, fault.KillNode, fault.StopAgent, fault.StopNode, fault.CutAgent, fault.CutNode, fault.HoldManager,
	fault.RestartManager, fault.RestartNodeManager,
}

// elsewhere are the plans that need more: the simulation and test/e2e carry them out.
var elsewhere = []string{
	"data-node-away", "manager-away", "manager-away-briefly", "manager-fails-over", "master", "master-amid-replacement", "master-node",
	"master-stops", "master-stops-for-long", "name-node-restarts", "node-manager-away", "safe-mode", "worker-amid-no-master", "worker-mute",
	"worker-program-stops",
}

// strategies are jobs that plans happen to, one for each strategy.
var strategies = []string{
	"roles: {chief: {}, worker: {instances: 2}, ps: {}}\n",
	"roles: {worker: {instances: 2}}\n",
	"strategy: v1\nroles: {chief: {}, worker: {instances: 2}, ps: {}}\n",
}

// TestPlans carries out the fault plans of package fault on a real master with real links to its
// agents: each job ends well, and only tasks that the plan says restart or move.
func TestPlans(t *testing.T) {
	all, err := fault.All()
	if err != nil {
		t.Fatal(err)
	}
	var refused []string
	for _, n := range all {
		if n.Plan.Only("", planned...) != nil {
			refused = append(refused, n.Name)
			continue
		}
		for _, text := range strategies {
			text = "command: x\nsuccess: all\n" + text
			j, err := job.Parse("job.yaml", []byte(text), nil)
			if err != nil {
				t.Fatal(err)
			}
			plan, err := n.Plan.For(j)
			if err != nil {
				continue // it is about a role that the job does not have
			}
			t.Run(fmt.Sprint(n.Name, " ", j.Strategy), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { carryOut(t, plan, j, text) })
			})
		}
	}
	if !slices.Equal(refused, elsewhere) {
		t.Errorf("cannot carry out %v, want %v", refused, elsewhere)
	}
}

// carryOut plays one plan on one job.
func carryOut(t *testing.T, plan fault.Plan, j job.Job, text string) {
	b := &breaker{t: t, job: j, plan: plan, kills: make(map[job.Task]chan control.Exited), hit: make(map[job.Task][]job.Task)}
	programs := make(map[string]program)
	for _, r := range j.Roles {
		programs[r.Name] = b.program
	}
	b.w = newWorld(t, programs)
	b.w.agents.Go(b.run)
	if err := b.w.train(text); err != nil {
		t.Fatal(err)
	}
	if v := b.w.result(); *v.ExitCode != job.ExitSucceeded {
		t.Fatalf("exit code %d: %s", *v.ExitCode, v.Diagnostics)
	}
	want := plan.Expect(j, b.stable(), func(task job.Task) []job.Task { return b.hit[task] })
	for _, task := range j.Tasks() {
		if moved := len(b.w.places[task]) > 1; moved != want.Moves[task] {
			t.Errorf("%s had %d containers; the plan moves it: %v", task, len(b.w.places[task]), want.Moves[task])
		}
		if inc := b.w.starts[task].Incarnation; inc > 1 != want.Restarts[task] {
			t.Errorf("%s is incarnation %d; the plan restarts it: %v", task, inc, want.Restarts[task])
		}
	}
}

// breaker carries out a plan in a bubble.
type breaker struct {
	t    *testing.T
	w    *world
	job  job.Job
	plan fault.Plan
	hit  map[job.Task][]job.Task // the tasks on the node of one that a fault happened to

	mu    sync.Mutex
	kills map[job.Task]chan control.Exited // guarded by mu: ends the newest program of a task
}

// Programs take a step each tenth of a second, all together, and have taken enough after a while.
const (
	stepTime = 100 * time.Millisecond
	length   = 100 * time.Second
)

func (b *breaker) program(t job.Task, inc job.Incarnation, stop <-chan struct{}) control.Exited {
	kill := make(chan control.Exited, 8)
	b.mu.Lock()
	b.kills[t] = kill
	b.mu.Unlock()
	var done <-chan time.Time
	if b.job.Decides(t.Role) {
		done = time.After(length)
	}
	select {
	case <-done:
		return control.Exited{Incarnation: inc}
	case <-stop:
		return control.Exited{Incarnation: inc, Ended: job.Ended{Code: 143, Signal: "SIGTERM"}}
	case e := <-kill:
		e.Incarnation = inc
		return e
	}
}

// end ends the newest program of a task.
func (b *breaker) end(t job.Task, e control.Exited) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kills[t] <- e
}

// shock ends the programs that cannot go on without a task's, some seconds after they lost it.
func (b *breaker) shock(lost job.Task) {
	for _, t := range b.job.Tasks() {
		along := b.job.Strategy == job.StrategyMirrored && t != lost ||
			b.job.Strategy == job.StrategyParameterServer && b.job.Part(lost.Role) == job.PartServes && t == b.job.Leader()
		if !along {
			continue
		}
		b.mu.Lock()
		kill := b.kills[t] // of the program that is there now
		b.mu.Unlock()
		time.AfterFunc(3*time.Second, func() { kill <- control.Exited{Ended: job.Ended{Code: 1, Stderr: []string{"AbortedError"}}} })
	}
}

// run carries the plan out, in the bubble's time.
func (b *breaker) run() {
	for !b.training() {
		time.Sleep(stepTime)
	}
	began := time.Now()
	for _, f := range b.plan {
		time.Sleep(f.After)
		if f.Step > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(f.Step) * stepTime)))
		}
		b.do(f)
	}
}

func (b *breaker) training() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.kills) == len(b.job.Tasks())
}

// agent is a task's newest.
func (w *world) agent(t job.Task) *modelAgent {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.places[t]
	return all[len(all)-1]
}

func (b *breaker) do(f fault.Fault) {
	var a *modelAgent
	if (f.Task != job.Task{}) {
		a = b.w.agent(f.Task)
		b.hit[f.Task] = []job.Task{f.Task} // each container is on a node of its own
	}
	switch f.Kind {
	case fault.KillProcess:
		b.end(f.Task, control.Exited{Ended: job.Ended{Code: 137, Signal: "SIGKILL"}})
		b.shock(f.Task)
	case fault.KillAgent:
		b.w.lose(f.Task, 137)
		b.shock(f.Task)
	case fault.KillNode:
		b.w.net.Cut(a.node)
		a.retire()
		b.shock(f.Task)
		time.AfterFunc(nodeExpiry, func() { b.w.complete(a.container, yarn.ExitAborted, "") })
	case fault.StopAgent, fault.CutAgent, fault.StopNode, fault.CutNode:
		stop, patience := b.w.net.Cut, silence
		if f.Kind == fault.StopAgent || f.Kind == fault.StopNode {
			stop, patience = b.w.net.Stop, slowness
		}
		stop(a.node)
		time.AfterFunc(f.For, func() { b.w.net.Heal(a.node) })
		if f.For > patience {
			b.shock(f.Task) // its connections are cut when it moves
		}
		if (f.Kind == fault.StopNode || f.Kind == fault.CutNode) && f.For > nodeExpiry {
			time.AfterFunc(nodeExpiry, func() { b.w.complete(a.container, yarn.ExitAborted, "") })
		}
	case fault.HoldManager:
		b.w.mu.Lock()
		b.w.heldUntil = time.Now().Add(f.For)
		b.w.mu.Unlock()
	case fault.RestartManager:
		b.w.mu.Lock()
		b.w.refuse = yarn.ErrNotRegistered
		b.w.mu.Unlock()
	case fault.RestartNodeManager: // its containers live on, and nobody is told
	default:
		b.t.Errorf("no such fault here: %s", f.Kind)
	}
}

// How long a node may say nothing before the ResourceManager counts it as lost, and an agent before
// its master does: longer if its node answers.
const (
	nodeExpiry = 10 * time.Second
	silence    = 5 * time.Second
	slowness   = 30 * time.Second
)

// stable reports whether the machine had stable endpoints.
func (b *breaker) stable() bool {
	header, _ := b.w.log()
	return header.Options.StableEndpoints
}
