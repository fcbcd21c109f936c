// Package miniyarn is a YARN cluster in one process: a ResourceManager and NodeManagers that speak
// the real protocols on loopback, start real processes, and answer, refuse, count and kill as
// Hadoop's own do. Local mode runs on it, and tests.
//
// It is as small as that allows: one queue, first come first served, nothing that survives the
// process. It serves its own user alone: every port wants a token, and the one for clients lies in
// a file that only this user can read. See docs/decisions/0002. Nothing that it starts outlives it.
package miniyarn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"tfos/internal/hadoop/rpc"
	"tfos/internal/hadoop/token"
	"tfos/internal/miniyarn/container"
	"tfos/internal/miniyarn/sched"
	"tfos/internal/yarn"
	"tfos/internal/yarn/yarnrpc"
)

// Options configures a Cluster. Only Dir must be set.
type Options struct {
	Dir    string        // everything is kept under it; made if need be
	LogDir string        // of containers, which stay when the cluster ends; empty: Dir/logs
	Nodes  []NodeOptions // none: one node with what the machine has

	MinMemoryMiB    int64               // memory is granted in multiples of it; 0: 128
	Max             yarn.Resource       // of one container; zero fields: as large as the largest node
	CustomResources []yarn.ResourceType // counted besides memory and vcores
	MaxAttempts     int32               // of a master; 0: 2
	MasterExpiry    time.Duration       // of silence until a master counts as failed; 0: 60 s
	GrantExpiry     time.Duration       // until a container that nobody started is taken back; 0: 10 min
	NodeHeartbeat   time.Duration       // containers are granted at this interval; 0: at once

	Fetch        container.Fetch // opens files to localize that are no local ones; nil: none can be
	IgnoreMemory bool            // let containers use more memory than granted
	KillDelay    time.Duration   // from SIGTERM to SIGKILL; 0: 250 ms
	MemoryPoll   time.Duration   // between looks at containers' memory; 0: 1 s
	Executor     Executor        // instead of real processes; then the five above are its own business
	Listen       Listen          // instead of TCP
	Apart        bool            // nodes are known by addresses of other machines, and listen here: on loopback, as WriteConf tells masters
	Logger       *zap.Logger     // nil: none
}

// NodeOptions describes a NodeManager.
type NodeOptions struct {
	Host     string        // address to listen on and to be known by; empty: 127.0.0.1
	Capacity yarn.Resource // zero: what the machine has
	Use      sched.Use     // which containers it is for
	Executor Executor      // nil: the cluster's
}

// Listen opens a port for listening; port 0 is any.
type Listen func(host string, port int) (net.Listener, error)

const (
	loopback     = "127.0.0.1"
	tickInterval = time.Second // of expiries; none of them needs to be more exact
	maxAttempts  = 2
	minMemoryMiB = 128
)

// Cluster is an embedded YARN.
type Cluster struct {
	log         *zap.Logger
	at          directories
	listen      Listen
	apart       bool
	exec        Executor
	keys        *secrets
	rm          *resourceManager
	client      *rpc.Server
	scheduler   *rpc.Server
	heartbeat   time.Duration
	maxAttempts int32
	wg          sync.WaitGroup // whatever Run starts

	mu     sync.Mutex
	slots  []*slot            // guarded by mu
	cancel context.CancelFunc // ends Run; nil before it; guarded by mu
	closed bool               // guarded by mu
	ended  chan struct{}      // closed when Run has returned
}

// slot is a node's place, whether the node is up or not.
type slot struct {
	id       yarn.NodeID
	capacity yarn.Resource
	use      sched.Use
	exec     Executor
	listener net.Listener // until Run takes it
	node     *node        // nil while it is down
}

// directories is where things are kept.
type directories struct{ root, logs string }

func (d directories) node(id yarn.NodeID) string {
	return filepath.Join(d.root, "nodes", strings.ReplaceAll(id.String(), ":", "_"))
}

// New makes a cluster and opens its ports, so that its addresses are known. It serves once Run
// runs.
func New(o Options) (_ *Cluster, err error) {
	if o.Dir == "" {
		return nil, errors.New("embedded YARN: no directory")
	}
	c := &Cluster{
		log: cmp.Or(o.Logger, zap.NewNop()), listen: o.Listen, apart: o.Apart, exec: o.Executor, heartbeat: o.NodeHeartbeat,
		maxAttempts: cmp.Or(o.MaxAttempts, maxAttempts), ended: make(chan struct{}),
	}
	if c.at.root, err = filepath.Abs(o.Dir); err != nil {
		return nil, fmt.Errorf("embedded YARN: %w", err)
	}
	if c.at.logs, err = filepath.Abs(cmp.Or(o.LogDir, filepath.Join(o.Dir, "logs"))); err != nil {
		return nil, fmt.Errorf("embedded YARN: %w", err)
	}
	if c.listen == nil {
		c.listen = func(host string, port int) (net.Listener, error) {
			return net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		}
	}
	if c.exec == nil {
		c.exec = container.New(container.Options{Fetch: o.Fetch, KillDelay: o.KillDelay, MemoryPoll: o.MemoryPoll, IgnoreUsage: o.IgnoreMemory, Logger: c.log})
	}
	started := time.Now()
	c.keys = newSecrets(started)
	c.rm = newResourceManager(sched.Config{
		ClusterTimestamp: started.UnixMilli(), MinMemoryMiB: cmp.Or(o.MinMemoryMiB, minMemoryMiB), Max: o.Max, CustomResources: o.CustomResources, MaxAttempts: c.maxAttempts,
		MasterExpiry: o.MasterExpiry, GrantExpiry: o.GrantExpiry, OnHeartbeat: o.NodeHeartbeat > 0,
	}, c.keys, c.log)
	c.rm.node, c.rm.all, c.rm.shut = c.up, c.allUp, c.shut

	var open []net.Listener
	defer func() {
		if err != nil {
			for _, l := range open {
				err = errors.Join(err, l.Close())
			}
		}
	}()
	listen := func(host string) (net.Listener, error) {
		l, err := c.listen(host, 0)
		if err != nil {
			return nil, fmt.Errorf("embedded YARN: %w", err)
		}
		open = append(open, l)
		return l, nil
	}
	clientPort, err := listen(loopback)
	if err != nil {
		return nil, err
	}
	schedulerPort, err := listen(loopback)
	if err != nil {
		return nil, err
	}
	c.client = rpc.NewServer(rpc.ServerOptions{Listener: clientPort, Auth: []rpc.AuthMethod{rpc.Token}, Secrets: clients{c.rm}.password, Log: c.log})
	yarnrpc.ServeClient(c.client, clients{c.rm})
	c.scheduler = rpc.NewServer(rpc.ServerOptions{Listener: schedulerPort, Auth: []rpc.AuthMethod{rpc.Token}, Secrets: masters{c.rm}.password, Log: c.log})
	yarnrpc.ServeMaster(c.scheduler, masters{c.rm})
	if len(o.Nodes) == 0 {
		o.Nodes = []NodeOptions{{}}
	}
	for _, n := range o.Nodes {
		s, err := c.place(n)
		if err != nil {
			return nil, err
		}
		open = append(open, s.listener)
		c.slots = append(c.slots, s)
	}
	return c, nil
}

// place makes the place of a node, which listens already.
func (c *Cluster) place(n NodeOptions) (_ *slot, err error) {
	host := cmp.Or(n.Host, loopback)
	at := host
	if c.apart {
		at = loopback
	}
	if n.Capacity.IsZero() {
		if n.Capacity, err = machine(); err != nil {
			return nil, fmt.Errorf("embedded YARN: %w", err)
		}
	}
	s := &slot{capacity: n.Capacity, use: n.Use, exec: n.Executor}
	if s.exec == nil {
		s.exec = c.exec
	}
	if s.listener, err = c.listen(at, 0); err != nil {
		return nil, fmt.Errorf("embedded YARN: %w", err)
	}
	if s.id, err = yarn.ParseNodeID(s.listener.Addr().String()); err != nil {
		return nil, errors.Join(fmt.Errorf("embedded YARN: %w", err), s.listener.Close())
	}
	if c.apart {
		s.id.Host = host
	}
	return s, nil
}

// Join adds a node to a cluster that runs. DropNode takes it away again; its executor is the
// caller's.
func (c *Cluster) Join(n NodeOptions) (yarn.NodeID, error) {
	s, err := c.place(n)
	if err != nil {
		return yarn.NodeID{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel == nil || c.closed {
		return yarn.NodeID{}, errors.Join(errors.New("embedded YARN: it does not run"), s.listener.Close())
	}
	c.slots = append(c.slots, s)
	c.start(s, s.listener)
	s.listener = nil
	return s.id, nil
}

// machine is what this machine has. Vcores are only counted, and tasks on one's own machine share
// its processors anyway: there are so many that memory alone decides how many tasks of one vcore
// there can be.
func machine() (yarn.Resource, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return yarn.Resource{}, fmt.Errorf("ask for the machine's memory: %w", err)
	}
	memory := int64(uint64(info.Totalram) * uint64(info.Unit) >> 20)
	return yarn.Resource{MemoryMiB: memory, VCores: int32(max(32, memory/minMemoryMiB))}, nil
}

// Addr is where clients find the ResourceManager, as host:port.
func (c *Cluster) Addr() string { return c.client.Addr().String() }

// Token lets a client in as user. Without one the ResourceManager serves nobody: any user of the
// machine can reach its port.
func (c *Cluster) Token(user string) token.Token { return c.keys.forClient(c.Addr(), user) }

// SchedulerAddr is where masters find the ResourceManager, as host:port.
func (c *Cluster) SchedulerAddr() string { return c.scheduler.Addr().String() }

// Nodes are the names of the NodeManagers, up or not.
func (c *Cluster) Nodes() []yarn.NodeID {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]yarn.NodeID, len(c.slots))
	for i, s := range c.slots {
		ids[i] = s.id
	}
	return ids
}

// LogDir is where a container's logs lie, while it runs and afterwards.
func (c *Cluster) LogDir(id yarn.ContainerID) string { return container.LogDir(c.at.logs, id) }

// Run serves until ctx ends or Close is called, which is no error. When it returns no container
// runs any more, and nothing but logs is left of them.
func (c *Cluster) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if begun, err := c.begin(cancel); !begun {
		return err
	}
	defer close(c.ended)

	failed := make(chan error, 2)
	for _, s := range []*rpc.Server{c.client, c.scheduler} {
		c.wg.Go(func() { failed <- s.Serve(ctx) })
	}
	c.wg.Go(func() { c.rm.act(ctx) })
	c.wg.Go(func() { c.rm.tick(ctx, cmp.Or(c.heartbeat, tickInterval), c.heartbeat > 0) })

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed: // a server that ends before ctx does has failed
		if err != nil {
			err = fmt.Errorf("embedded YARN: %w", err)
		}
	}
	cancel()
	return errors.Join(err, c.end())
}

// begin brings the nodes up, unless Close came first.
func (c *Cluster) begin(cancel context.CancelFunc) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.cancel != nil:
		return false, errors.New("embedded YARN: Run was called before")
	case c.closed:
		return false, nil
	}
	for _, dir := range []string{c.at.root, c.at.logs} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return false, fmt.Errorf("embedded YARN: %w", err)
		}
	}
	c.cancel = cancel
	for _, s := range c.slots {
		c.start(s, s.listener)
		s.listener = nil
	}
	return true, nil
}

// start brings a node up on a listener. The caller holds mu.
func (c *Cluster) start(s *slot, l net.Listener) {
	n := newNode(l, s.id, c.at, s.exec, c.keys, c.rm, c.log)
	s.node = n
	c.wg.Go(func() {
		if err := n.server.Serve(context.Background()); err != nil { // until the node is halted
			c.log.Error("a node's port failed", zap.Stringer("node", n.id), zap.Error(err))
		}
	})
	c.rm.addNode(s.id, s.capacity, s.use)
}

// end stops everything that Run started.
func (c *Cluster) end() error {
	c.mu.Lock()
	c.closed = true
	nodes := make([]*node, 0, len(c.slots))
	for _, s := range c.slots {
		if s.node != nil {
			nodes = append(nodes, s.node)
			s.node = nil
		}
	}
	c.mu.Unlock()
	errs := make([]error, len(nodes))
	var halts sync.WaitGroup
	for i, n := range nodes {
		halts.Go(func() {
			errs[i] = n.halt(&container.Stop{Status: yarn.ExitAborted, Diagnostics: "the embedded YARN ends"})
		})
	}
	halts.Wait()
	c.wg.Wait()
	return errors.Join(errors.Join(errs...), c.exec.Close(), os.RemoveAll(filepath.Join(c.at.root, "nodes")))
}

// Close ends Run and waits for it. It may be called more than once, and without Run.
func (c *Cluster) Close() error {
	c.mu.Lock()
	cancel, again := c.cancel, c.closed
	c.closed = true
	var errs []error
	if cancel == nil && !again {
		errs = append(errs, c.client.Close(), c.scheduler.Close())
		for _, s := range c.slots {
			errs = append(errs, s.listener.Close())
		}
	}
	c.mu.Unlock()
	if cancel != nil {
		cancel()
		<-c.ended
	}
	return errors.Join(errs...)
}

// up is a node that is up, or nil.
func (c *Cluster) up(id yarn.NodeID) *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.slot(id); s != nil {
		return s.node
	}
	return nil
}

func (c *Cluster) allUp() []*node {
	c.mu.Lock()
	defer c.mu.Unlock()
	var nodes []*node
	for _, s := range c.slots {
		if s.node != nil {
			nodes = append(nodes, s.node)
		}
	}
	return nodes
}

// slot finds a node's place. The caller holds mu.
func (c *Cluster) slot(id yarn.NodeID) *slot {
	for _, s := range c.slots {
		if s.id == id {
			return s
		}
	}
	return nil
}
