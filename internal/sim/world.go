// Package sim plays jobs in a world where everything that can go wrong does, as a seed decides.
//
// The deciding code in it is the real one: membership, the ledger and the embedded scheduler.
// Around it stand models: a clock, a network that delays, drops and repeats, NodeManagers, agents
// and the user's programs. An auditor watches each job and says which invariant was broken, if one
// was. One seed is one history: the same in every run.
//
// # Invariants, and the bugs that each was seen to catch
//
// The bugs are put in on purpose by TestEveryInvariantCatchesItsBug, which fails if one stays
// unseen.
//
//	generation     a generation is published once, and they only grow        publish twice; publish generation 0
//	spec           one address per live task, of its newest incarnation      leave one out; a stale incarnation; another's address
//	incarnation    a new container or a new start is the next incarnation;   launch or start as the first incarnation again; start
//	               of a new container, the old one is no longer held; only   one that was replaced; launch twice; replace a task
//	               the newest is started                                     that may still run where it was
//	process        at most one running process per task and incarnation      an agent that starts whenever it is told
//	over           a process that is followed by another one is said to be   keep it to oneself; say it of what is to get a spare
//	               over, and none that goes on where its task lives
//	grants         a grant is launched or released at once, launched if      keep a surplus container; end without giving back;
//	               it was asked for; at the end nothing is held and          leave the asks standing; go on asking for what is
//	               nothing is asked for                                      given back
//	gang           an incomplete gang holds nothing past its timeout         sleep through deadlines; keep what was granted
//	ends           once faults stop, the job ends                            do not hear that processes exit
//	finish         Finish is last and exactly once                           finish twice; do more after it
//	budget         the program's own failures alone spend the user's budget  charge aftershocks; charge what the cluster did
//	pause          from a program's second failure in a row on there is a    start a crash loop as fast as it can
//	               pause before the next start
//	restore        a program that reads checkpoints starts after they were    ask nobody; answer oneself; never have
//	               looked at, or that was given up                           broken ones set aside
//	progress       a job whose programs fail three times without a new step  take every report for a new step; hear of none
//	               is stopped, and no other for that
//	scale          no task beyond the size that is wanted is launched or      launch, start or publish one that has left; restart
//	               published; a new one comes into the cluster_spec behind    who needs not know of the others; take new ones in
//	               those of lower indices; with parameter servers nobody      out of order
//	               else restarts
//	move           a task has left where it was when it moves, to the one    move before; take a container for a spare that is none
//	               spare that it has
//	strikes        a job is given up when the cluster has failed one of its  at the first time; never
//	               tasks so often in a row as is said, and not before
//	exclude        a node is excluded that has failed twice, for ten         for a first fault; take the cluster for larger
//	               minutes, and never more than a third of the cluster is    than it is; forget it
//	result         the exit code is true: 0 if who decides ended well, 1     blame the program for the cluster; call every end
//	               for the program, 4 for the cluster, 5 for a kill; the     a success; a failure without a sentence; name the
//	               sentence is of a task whose program failed by itself      peer of the one that failed; a stop taken for a
//	                                                                         failure
//	replay         the event log gives the same actions                      act on a count of steps that is not in the log
//	snapshot       a restored machine acts the same                          forget the deadlines; forget the generation
//	takeover       the death of masters alone starts no process again        give back what was taken over
//	same           two runs of a seed are equal                              act on something that differs from run to run
//	plan           under a fault plan (package fault) alone a job succeeds,  expect nobody's aftershock; replace whom it need not
//	               and nobody restarts or moves but those it says
package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"tfos/internal/membership"
	"tfos/internal/miniyarn/sched"
	"tfos/internal/yarn"
)

// Machine is what the simulation needs of membership.Machine. Tests put broken ones in its place.
type Machine interface {
	Step(now time.Time, ev membership.Event) membership.Decision
	Wake() time.Time
	Snapshot() ([]byte, error)
	CheckScale(role string, count int) error
}

// Options put bugs in. The zero value has none.
type Options struct {
	Logs            bool                                      // write event logs, and replay from them; costs as much as the rest
	Wrap            func(Machine) Machine                     // every machine, replayed and restored ones too
	Machine         func(*membership.Options)                 // changes what the machines are made of
	ForgetfulAgents bool                                      // agents start a process whenever they are told to
	Restore         func([]byte) (*membership.Machine, error) // nil: membership.Restore
	world           func(*scenario)                           // changes the world that was drawn, so that a bug shows soon
}

// Outcome is what became of a seed.
type Outcome struct {
	Violations []string // invariants that were broken; none: all held
	Logs       [][]byte // each job's event logs, of all its masters, under Options.Logs
	Results    []membership.Result
	Elapsed    time.Duration // of the world's time
}

// world is everything there is. Events happen one at a time, at their time.
type world struct {
	opts      Options
	sc        scenario
	rng       *rand.Rand
	clock     clock
	rm        *sched.Scheduler
	masters   []*master
	agents    []*agent // in the order they were launched; dead ones too
	in        map[yarn.ContainerID]*agent
	running   map[string]int
	lost      map[yarn.NodeID]bool
	heldUntil time.Time // until when the ResourceManager answers nothing
	problems  []string
}

// epoch is when every world begins.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// horizon is how long a world may take. The last fault is long over by then, and so are the longest
// program and the longest patience.
const horizon = 2 * time.Hour

// Run plays one seed.
func Run(seed uint64, opts Options) Outcome {
	w := newWorld(opts, rand.New(rand.NewPCG(seed, 0)))
	w.sc = draw(w.rng)
	if opts.world != nil {
		opts.world(&w.sc)
	}
	w.build()
	return w.play()
}

func newWorld(opts Options, rng *rand.Rand) *world {
	if opts.Wrap == nil {
		opts.Wrap = func(m Machine) Machine { return m }
	}
	if opts.Restore == nil {
		opts.Restore = membership.Restore
	}
	return &world{opts: opts, rng: rng, clock: clock{now: epoch}, running: make(map[string]int), in: make(map[yarn.ContainerID]*agent), lost: make(map[yarn.NodeID]bool)}
}

// play lets the world go on to its end.
func (w *world) play() Outcome {
	for w.clock.now.Before(epoch.Add(horizon)) && !w.over() && len(w.problems) == 0 && w.clock.step() {
		for _, m := range w.masters {
			m.audit.pass(w.clock.now)
		}
	}
	return w.outcome()
}

func (w *world) outcome() Outcome {
	out := Outcome{Violations: slices.Clone(w.problems), Elapsed: w.clock.now.Sub(epoch)}
	for _, m := range w.masters {
		m.audit.close(w.clock.now)
		out.Violations = append(out.Violations, m.audit.broken...)
		out.Logs = append(out.Logs, m.logs())
		out.Results = append(out.Results, m.audit.result)
	}
	for _, m := range w.masters {
		if v := m.replay(); v != "" {
			out.Violations = append(out.Violations, v)
		}
	}
	return out
}

// over reports whether all jobs have ended and nothing of them is left to happen.
func (w *world) over() bool {
	return !slices.ContainsFunc(w.masters, func(m *master) bool { return !m.done })
}

func (w *world) build() {
	w.rm = sched.New(sched.Config{ClusterTimestamp: 1, OnHeartbeat: w.sc.onHeartbeat, MasterExpiry: horizon, MaxAttempts: 100})
	for i := range w.sc.nodes {
		w.addNode(nodeID(i))
	}
	if w.sc.onHeartbeat {
		for i := range w.sc.nodes {
			w.every(time.Second, func() { w.do(w.rm.NodeHeartbeat(w.clock.now, nodeID(i))) })
		}
	}
	for i, j := range w.sc.jobs {
		m := newMaster(w, i, j)
		m.audit.calm = w.sc.calm
		w.masters = append(w.masters, m)
		w.after(w.upTo(10*time.Second), m.submit)
	}
	for _, at := range w.sc.scales {
		w.after(at, w.scaleJob)
	}
	for _, f := range w.sc.mishaps {
		w.after(f.at, func() { f.do(w) })
	}
}

func nodeID(i int) yarn.NodeID { return yarn.NodeID{Host: fmt.Sprintf("n%d", i), Port: 1} }

// do carries out what the scheduler decided.
func (w *world) do(actions []sched.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case sched.StartMaster:
			for _, m := range w.masters {
				if m.id == a.Attempt.Application && !w.lost[a.Container.Node] { // else it is started elsewhere, once YARN has noticed
					m.node = a.Container.Node
					w.after(w.upTo(2*time.Second), func() { m.start(a.Attempt, a.Container) })
				}
			}
		case sched.StopContainer:
			if g := w.agentIn(a.ID); g != nil {
				w.after(w.upTo(time.Second), g.die)
			}
		case sched.EndApplication:
			for _, g := range w.agents {
				if g.m.id == a.ID {
					g.die()
				}
			}
		}
	}
}

func (w *world) agentIn(c yarn.ContainerID) *agent {
	return w.in[c]
}

// violated notes a broken invariant.
func (w *world) violated(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

func (w *world) after(d time.Duration, f func()) { w.clock.at(w.clock.now.Add(d), f) }

// every repeats f for as long as the world goes on.
func (w *world) every(d time.Duration, f func()) {
	w.after(w.upTo(d), func() { f(); w.every(d, f) })
}

// upTo is a random length of time.
func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.rng.Int64N(int64(d) + 1)) }

// latency is how long a message takes: a little, now and then a lot.
func (w *world) latency() time.Duration {
	if w.chance(20) {
		return w.upTo(2 * time.Second)
	}
	return w.upTo(20 * time.Millisecond)
}

// chance is true once in n times.
func (w *world) chance(n int) bool { return w.rng.IntN(n) == 0 }
