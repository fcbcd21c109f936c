package light

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/job"
	"tfos/internal/yarn"
)

// Options are what a Crowd is made of.
type Options struct {
	Listener net.Listener // where hollow NodeManagers connect; the Crowd closes it
	// Master reads where a job's master listens now, from its staging directory. Nil: where it did
	// when it launched the agent.
	Master func(ctx context.Context, staging string) (string, error)
	Step   time.Duration // how often each program takes a step and reports it; 0: never
	Logger *zap.Logger
}

// Crowd plays the agents of all containers of a cluster. Safe for concurrent use.
type Crowd struct {
	o       Options
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	agents map[yarn.ContainerID]*agent // guarded by mu: all that there ever were
	found  map[string]lookup           // guarded by mu: masters, by staging directory
}

// New makes a Crowd and begins to accept containers.
func New(o Options) *Crowd {
	c := &Crowd{o: o, agents: make(map[yarn.ContainerID]*agent), found: make(map[string]lookup)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.running.Go(c.accept)
	return c
}

// Close ends all agents without a word.
func (c *Crowd) Close() {
	c.cancel()
	c.o.Listener.Close()
	c.running.Wait()
}

func (c *Crowd) accept() {
	for {
		conn, err := c.o.Listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				c.o.Logger.Error("no more containers are accepted", zap.Error(err))
			}
			return
		}
		c.running.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(c.ctx, func() { conn.Close() })
			defer stop()
			if err := c.contain(conn); err != nil {
				c.o.Logger.Error("container", zap.Error(err))
			}
		})
	}
}

// What a container says to its NodeManager in the end, besides its exit code.
const nodeLost = -1

// contain is the life of a container.
func (c *Crowd) contain(conn net.Conn) error {
	l, err := readLaunched(conn)
	if err != nil {
		return err
	}
	a := newAgent(c, l)
	c.mu.Lock()
	c.agents[l.container] = a
	c.mu.Unlock()
	killed := make(chan struct{})
	c.running.Go(func() {
		defer close(killed)
		conn.Read(make([]byte, 1)) // says nothing more, and ends when the container is killed
	})
	code := a.run(killed)
	if code == gone {
		return nil
	}
	return binary.Write(conn, binary.BigEndian, code)
}

// lookup is where a job's master was found last.
type lookup struct {
	address string
	err     error
	at      time.Time
}

// lookEvery is how often the crowd reads where a master is: for all agents together, since a
// thousand reads at once would be the test's weight, not the master's.
const lookEvery = 200 * time.Millisecond

func (c *Crowd) master(ctx context.Context, l launched) (string, error) {
	if c.o.Master == nil {
		return l.master, nil
	}
	return c.look(ctx, l.staging)
}

func (c *Crowd) look(ctx context.Context, staging string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.found[staging]
	if time.Since(l.at) > lookEvery {
		l.address, l.err = c.o.Master(ctx, staging)
		l.at = time.Now()
		c.found[staging] = l
	}
	return l.address, l.err
}

// LoseNode has everything on a host vanish without a word, its NodeManager too.
func (c *Crowd) LoseNode(host string) {
	for _, a := range c.all() {
		if a.host == host {
			a.vanish()
		}
	}
}

func (c *Crowd) all() []*agent {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*agent, 0, len(c.agents))
	for _, a := range c.agents {
		all = append(all, a)
	}
	return all
}

// Agent is where one agent stands.
type Agent struct {
	Container  yarn.ContainerID
	Host       string
	Task       job.Task
	Generation job.Generation // of the newest cluster_spec that it has
	Members    int            // of it
	Informed   time.Time      // when it got it
	Running    bool           // its program runs
	Over       bool           // it was killed, told to end, or lost with its node
}

// Agents are all that there ever were.
func (c *Crowd) Agents() []Agent {
	var all []Agent
	for _, a := range c.all() {
		all = append(all, a.state())
	}
	return all
}
