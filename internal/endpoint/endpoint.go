package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"go.uber.org/zap"

	"tfos/internal/clusterspec"
	"tfos/internal/job"
)

// Kind is a way of carrying connections: the value of a job file's "endpoints".
type Kind = job.Endpoints

// The carriers.
const (
	Redirect = job.EndpointsRedirect // by a library preloaded into the task's processes
	Forward  = job.EndpointsForward  // through loopback ports of the agent
	Direct   = job.EndpointsDirect   // not at all: real addresses
)

// ErrUnavailable says that the carrier does not work here: the error names the reason. Forward
// works everywhere.
var ErrUnavailable = errors.New("not available on this node")

// Options are what Endpoints need.
type Options struct {
	Self   job.Task
	Logger *zap.Logger
	// Proof tells what the agent at a task's target says to show that the port is still the task's:
	// see Witness. A connection is led nowhere else. The zero Proof, or a nil function: targets
	// need not prove anything.
	Proof func(job.Task) Proof

	// For Forward: the name by which other nodes reach this one. The task's program may hand its
	// peers' addresses on to them, as a coordinator of TensorFlow's does, so that they have to lead
	// to the peers from there as well. Empty: 127.0.0.1, for this node alone.
	Host string

	// For Redirect.
	Roles []string // the job's, in the order of its file: see Virtual
	Port  int      // where the task's process is to listen, held with port.ReusePort; 0: it binds what it likes
	Dir   string   // where the task's processes can read and write, and nobody else; files are made below and removed by Close
	Tasks int      // how many tasks the job may ever have; 0: 4095

	// Resolve finds the addresses of a host name; nil: net.DefaultResolver. IP addresses are not
	// looked up.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Endpoints are the addresses of one agent's task and its peers. Safe for concurrent use.
type Endpoints struct {
	kind    Kind
	o       Options
	carrier carrier

	mu    sync.Mutex
	spec  clusterspec.Spec       // guarded by mu: the newest
	peers map[job.Task]*peer     // guarded by mu: every task there ever was
	order []*peer                // guarded by mu: the same, as they came
	final []clusterspec.Counters // guarded by mu: as they were when it was closed
	end   bool                   // guarded by mu: closed
}

// peer is one task as the process knows it.
type peer struct {
	task  job.Task
	slot  int    // the carrier's number for it
	shown string // what the process sees; empty: the real address, and nothing is carried

	at      clusterspec.Member // as published; without an address it has no target
	applied bool               // the carrier has it
}

// target is where a task lives: the address that its agent keeps for it, and the port of the same
// host where the agent proves that.
type target struct {
	netip.AddrPort
	witness uint16
}

// carrier makes connections to slots. Its methods are called one at a time.
type carrier interface {
	// add makes room for a task, without a target, and tells the address that stands for it. An
	// empty one is its real address.
	add(t job.Task) (slot int, shown string, err error)
	// retarget resets every connection to the slot's old target; new ones go to the new. The zero
	// target is none.
	retarget(slot int, to target)
	// env adds to a process's environment what it needs.
	env(environ []string) []string
	// count fills in the numbers. It may be called at any time.
	count(slot int, c *clusterspec.Counters)
	close() error
}

// New makes Endpoints without any peer. An error that is ErrUnavailable says that another Kind is
// to be taken: New for Redirect runs a small program to see that the library works here, until ctx
// is done at the latest.
func New(ctx context.Context, k Kind, o Options) (*Endpoints, error) {
	if o.Resolve == nil {
		o.Resolve = resolve
	}
	if o.Proof == nil {
		o.Proof = func(job.Task) Proof { return Proof{} }
	}
	e := &Endpoints{kind: k, o: o, peers: make(map[job.Task]*peer)}
	var err error
	switch k {
	case Redirect:
		e.carrier, err = newRedirect(ctx, o)
	case Forward:
		e.carrier = newForward(o)
	case Direct:
		e.carrier = direct{}
	default:
		err = fmt.Errorf("there is no such carrier: want %s, %s or %s", Redirect, Forward, Direct)
	}
	if err != nil {
		return nil, fmt.Errorf("endpoints of %s by %s: %w", o.Self, k, err)
	}
	return e, nil
}

// Kind is the carrier.
func (e *Endpoints) Kind() Kind { return e.kind }

// Update applies a generation. An older one than that applied is dropped without error; the same
// one again does what is missing, such as a host name that could not be found. A member without an
// address, and a task that was a member and is none any more, has no target.
//
// Connections to old targets are reset before a host name is looked up. The error names the members
// that got no target, until another Update; the rest of the generation is applied.
func (e *Endpoints) Update(ctx context.Context, spec clusterspec.Spec) error {
	changed, err := e.cut(spec)
	if err != nil {
		return err
	}
	found := e.find(ctx, changed)
	var errs []error
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, c := range changed {
		switch {
		case e.end || c.p.at != c.to:
			// A newer generation came while this one looked for the host.
		case found[i].err != nil:
			errs = append(errs, fmt.Errorf("%s at %s: %w", c.p.task, c.to.Address, found[i].err))
		case !c.p.applied:
			e.carrier.retarget(c.p.slot, found[i].target)
			c.p.applied = true
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("generation %d: %w", spec.Generation, errors.Join(errs...))
	}
	return nil
}

// change is a member whose new target is to be set.
type change struct {
	p  *peer
	to clusterspec.Member
}

// cut makes spec the newest, takes their targets from the tasks that moved or left, and returns
// those to be given new ones.
func (e *Endpoints) cut(spec clusterspec.Spec) ([]change, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.end {
		return nil, fmt.Errorf("generation %d: %w", spec.Generation, net.ErrClosed)
	}
	if spec.Generation < e.spec.Generation {
		return nil, nil
	}
	members := make(map[job.Task]bool, len(spec.Members))
	for _, m := range spec.Members {
		members[m.Task] = true
		if _, ok := e.peers[m.Task]; ok {
			continue
		}
		slot, shown, err := e.carrier.add(m.Task)
		if err != nil {
			return nil, fmt.Errorf("generation %d: %w", spec.Generation, err)
		}
		p := &peer{task: m.Task, slot: slot, shown: shown, at: clusterspec.Member{Task: m.Task}, applied: true}
		e.peers[m.Task] = p
		e.order = append(e.order, p)
	}
	e.spec = spec
	for _, p := range e.order {
		if !members[p.task] {
			e.set(p, clusterspec.Member{Task: p.task})
		}
	}
	var changed []change
	for _, m := range spec.Members {
		p := e.peers[m.Task]
		e.set(p, m)
		if !p.applied {
			changed = append(changed, change{p, m})
		}
	}
	return changed, nil
}

// set records where a peer is to be, and cuts it off if that is somewhere else. e.mu is held.
func (e *Endpoints) set(p *peer, to clusterspec.Member) {
	if p.at == to {
		return
	}
	had := p.at.Address != "" && p.applied && p.shown != ""
	p.at, p.applied = to, to.Address == "" || p.shown == ""
	if had {
		e.carrier.retarget(p.slot, target{})
	}
}

// View is the newest generation as the task's process is to see it: the same members, with the
// addresses that stand for them. It changes only by tasks that are new or gone, and under Direct,
// and for the task itself under Forward, by their moves.
func (e *Endpoints) View() clusterspec.Spec {
	e.mu.Lock()
	defer e.mu.Unlock()
	v := clusterspec.Spec{Generation: e.spec.Generation, Members: make([]clusterspec.Member, 0, len(e.spec.Members))}
	for _, m := range e.spec.Members {
		if shown := e.peers[m.Task].shown; shown != "" {
			m.Address = shown
		}
		v.Members = append(v.Members, m)
	}
	return v
}

// Env is environ, as os.Environ has it, with what a process of the task needs to reach its peers.
func (e *Endpoints) Env(environ []string) []string { return e.carrier.env(environ) }

// Counters tell of every task there ever was but, under Forward, the task itself, in the order they
// came. Under Direct there are none.
func (e *Endpoints) Counters() []clusterspec.Counters {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.end {
		return slices.Clone(e.final)
	}
	return e.count()
}

// count reads the counters. e.mu is held.
func (e *Endpoints) count() []clusterspec.Counters {
	if e.kind == Direct {
		return nil
	}
	cs := make([]clusterspec.Counters, 0, len(e.order))
	for _, p := range e.order {
		if e.kind == Forward && p.task == e.o.Self {
			continue
		}
		c := clusterspec.Counters{Task: p.task}
		e.carrier.count(p.slot, &c)
		cs = append(cs, c)
	}
	return cs
}

// Close resets all connections that it can still reach, waits until nothing of the package runs,
// and removes its files. Processes of the task should have ended: to those that have not, no peer
// has a target any more. A second Close does nothing.
func (e *Endpoints) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.end {
		return nil
	}
	e.end = true
	for _, p := range e.order {
		e.set(p, clusterspec.Member{Task: p.task})
	}
	e.final = e.count()
	if err := e.carrier.close(); err != nil {
		return fmt.Errorf("close the endpoints of %s: %w", e.o.Self, err)
	}
	return nil
}
