package agent_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tfos/internal/agent"
	"tfos/internal/clusterspec"
	"tfos/internal/control"
	"tfos/internal/endpoint"
	"tfos/internal/job"
	"tfos/internal/supervise"
)

// carriers make endpoints that do as the test says.
type carriers struct {
	mu          sync.Mutex
	unavailable bool                 // guarded by mu: redirect is
	bare        endpoint.Bare        // guarded by mu: what a look at the program's process says, but the PID; without a reason: it has the library
	slow        time.Duration        // guarded by mu: what an update takes
	lost        int                  // guarded by mu: so many updates find no host
	made        []*carried           // guarded by mu
	counters    clusterspec.Counters // guarded by mu
}

func (c *carriers) use(o *agent.Options) { o.Endpoints, o.NewEndpoints = job.EndpointsRedirect, c.new }

func (c *carriers) new(_ context.Context, k job.Endpoints, _ endpoint.Options) (agent.Endpoints, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unavailable && k == job.EndpointsRedirect {
		return nil, fmt.Errorf("%w: no library", endpoint.ErrUnavailable)
	}
	e := &carried{c: c, kind: k}
	c.made = append(c.made, e)
	return e, nil
}

type carried struct {
	c      *carriers
	kind   job.Endpoints
	spec   clusterspec.Spec // guarded by c.mu
	closed bool             // guarded by c.mu
}

func (e *carried) Kind() job.Endpoints { return e.kind }
func (e *carried) Update(ctx context.Context, s clusterspec.Spec) error {
	e.c.mu.Lock()
	slow := e.c.slow
	e.c.lost--
	lost := e.c.lost >= 0
	e.c.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(slow):
	}
	if lost {
		return errors.New("no such host")
	}
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	if s.Generation > e.spec.Generation {
		e.spec = s
	}
	return nil
}
func (e *carried) View() clusterspec.Spec { e.c.mu.Lock(); defer e.c.mu.Unlock(); return e.spec }
func (e *carried) Env(environ []string) []string {
	return append(environ, "CARRIER="+string(e.kind))
}
func (e *carried) Look(pid int) endpoint.Bare {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	if e.c.bare.Why == "" {
		return endpoint.Bare{}
	}
	return endpoint.Bare{PID: pid, Why: e.c.bare.Why, Sure: e.c.bare.Sure}
}
func (e *carried) Counters() []clusterspec.Counters {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	return []clusterspec.Counters{e.c.counters}
}
func (e *carried) Close() error { e.c.mu.Lock(); defer e.c.mu.Unlock(); e.closed = true; return nil }

func (c *carriers) set(f func(*carriers)) { c.mu.Lock(); defer c.mu.Unlock(); f(c) }

func (w *world) expectPeers(kind job.Endpoints, reason bool) {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.peers.Endpoints != kind || (w.peers.Reason != "") != reason {
		w.t.Errorf("reported %s, %q", w.peers.Endpoints, w.peers.Reason)
	}
}

func (w *world) publish(g job.Generation) {
	w.master().Spec(clusterspec.Spec{Generation: g, Members: []clusterspec.Member{{Task: subject.Task, Incarnation: job.Incarnation(g), Address: "node:9"}}})
}

// The process that tests run in stands for the program: it exists, and has no children.
func (w *world) ownPID() { w.runner.mu.Lock(); defer w.runner.mu.Unlock(); w.runner.next = os.Getpid() }

func TestAStartWaitsForItsGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &carriers{slow: 3 * time.Second}
		w := newWorld(t, c.use)
		s := start(1)
		s.Generation = 2
		w.master().Start(s)
		time.Sleep(10 * time.Second) // of the bubble's
		w.expect("before the generation is published", "joined inc=1")
		w.publish(2)
		w.expect("while it is applied")
		time.Sleep(5 * time.Second)
		w.expect("when it has been", "run train1", "started inc=1 pid=100")
		if env := w.runner.spec().Env; !slices.Contains(env, "CARRIER=redirect") || !slices.Contains(env, "TFOS_GENERATION=2") {
			t.Errorf("environment: %q", env)
		}
		w.expectPeers(job.EndpointsRedirect, false)

		// One that waits can be withdrawn, and the next one need not wait for a generation that is
		// given up.
		w.runner.newest().end(supervise.Exit{Ended: job.Ended{Code: 1}})
		s.Incarnation, s.Generation = 2, 3
		w.master().Start(s)
		w.master().Stop(control.Stop{Incarnation: 2})
		w.expect("withdrawn", "exited inc=1 code=1 ", "exited inc=2 code=143 SIGTERM")
		c.set(func(c *carriers) { c.slow = time.Hour })
		w.publish(3)
		synctest.Wait()
		c.set(func(c *carriers) { c.slow = time.Second })
		w.publish(4)
		s.Incarnation, s.Generation = 3, 4
		w.master().Start(s)
		time.Sleep(5 * time.Second)
		w.expect("of the newest", "run train1", "started inc=3 pid=101")
		w.end()
		for _, e := range c.made {
			if !e.closed {
				t.Error("endpoints were not closed")
			}
		}
	})
}

func TestAHostThatIsNotFoundIsLookedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &carriers{lost: 3}
		w := newWorld(t, c.use)
		w.master().Start(start(1)) // the others are there
		w.expect("in spite of it", "run train1", "joined inc=1", "started inc=1 pid=100")
		time.Sleep(time.Minute)
		synctest.Wait()
		if g := c.made[0].View().Generation; g != 1 {
			t.Errorf("after a minute: generation %d", g)
		}
		w.end()
	})
}

func TestForwardTakesThePlaceOfRedirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &carriers{unavailable: true}
		w := newWorld(t, c.use)
		w.master().Start(start(1))
		w.expect("after start", "run train1", "joined inc=1", "started inc=1 pid=100")
		if env := w.runner.spec().Env; !slices.Contains(env, "CARRIER=forward") {
			t.Errorf("environment: %q", env)
		}
		w.expectPeers(job.EndpointsForward, true)
		w.end()
	})
}

func TestAProgramWithoutTheLibraryStartsOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &carriers{bare: static}
		w := newWorld(t, c.use)
		w.ownPID()
		pid := os.Getpid()
		w.master().Start(start(1))
		w.expect("after start", "run train1", "joined inc=1", fmt.Sprint("started inc=1 pid=", pid))
		time.Sleep(5 * time.Second)
		w.expect("when it was seen", fmt.Sprint("stop ", pid, " 30s"), "run train1", fmt.Sprint("started inc=1 pid=", pid+1))
		if env := w.runner.spec().Env; !slices.Contains(env, "CARRIER=forward") {
			t.Errorf("environment: %q", env)
		}
		w.expectPeers(job.EndpointsForward, true)
		time.Sleep(time.Minute)
		w.runner.newest().end(supervise.Exit{Ended: job.Ended{Code: 2}})
		w.expect("what it does then is its own", "exited inc=1 code=2 ")
		w.end()
	})
}

// static is what a look at a statically linked process says.
var static = endpoint.Bare{Why: "statically linked", Sure: true}

// TestAFailureIsToldOnce: whatever was seen of its processes, a program that failed is not started
// again by its agent. The next start takes forward if the program itself went without the library.
func TestAFailureIsToldOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		bare  endpoint.Bare
		child bool // the process that is looked at is one that the program started
		after time.Duration
		next  string
	}{
		{"it has the library", endpoint.Bare{}, false, 10 * time.Second, "redirect"},
		{"it could not have loaded it", static, false, 100 * time.Millisecond, "forward"},
		{"it was seen once", static, false, 15 * time.Millisecond, "redirect"},
		{"a helper could not", static, true, 100 * time.Millisecond, "redirect"},
		{"it may have been about to", endpoint.Bare{Why: "another machine's"}, false, 100 * time.Millisecond, "redirect"},
		{"it had the time to", endpoint.Bare{Why: "another machine's"}, false, 2 * time.Second, "forward"},
	} {
		t.Run(c.name, func(t *testing.T) {
			pid := os.Getpid()
			if c.child {
				helper := exec.Command("/bin/sleep", "1000")
				if err := helper.Start(); err != nil {
					t.Fatal(err)
				}
				defer func() { helper.Process.Kill(); helper.Wait() }()
			}
			synctest.Test(t, func(t *testing.T) {
				made := &carriers{bare: c.bare}
				w := newWorld(t, made.use)
				w.ownPID()
				w.master().Start(start(1))
				time.Sleep(c.after)
				w.runner.newest().end(supervise.Exit{Ended: job.Ended{Code: 1}})
				w.expect("its end", "run train1", "joined inc=1", fmt.Sprint("started inc=1 pid=", pid), "exited inc=1 code=1 ")
				w.master().Start(start(2))
				w.expect("the next", "run train2", fmt.Sprint("started inc=2 pid=", pid+1))
				if env := w.runner.spec().Env; !slices.Contains(env, "CARRIER="+c.next) {
					t.Errorf("environment: %q, want %s", env, c.next)
				}
				w.end()
			})
		})
	}
}

// TestOneThatIsSlowToLoadTheLibrary is given more time than one that cannot.
func TestOneThatIsSlowToLoadTheLibrary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &carriers{bare: endpoint.Bare{Why: "another machine's"}}
		w := newWorld(t, c.use)
		w.ownPID()
		pid := os.Getpid()
		w.master().Start(start(1))
		time.Sleep(4 * time.Second)
		w.expect("for a while", "run train1", "joined inc=1", fmt.Sprint("started inc=1 pid=", pid))
		time.Sleep(4 * time.Second)
		w.expect("after it", fmt.Sprint("stop ", pid, " 30s"), "run train1", fmt.Sprint("started inc=1 pid=", pid+1))
		w.end()
	})
}

// TestItEndsAsItIsToStartOnceMore: the agent's order came too late. What the program did is its
// own.
func TestItEndsAsItIsToStartOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(carriers)
		w := newWorld(t, c.use)
		w.master().Start(start(1))
		w.expect("after start", "run train1", "joined inc=1", "started inc=1 pid=100")
		w.runner.newest().beDeaf()
		w.master().Forward("worker/7 cannot")
		w.expect("after the order", "stop 100 30s")
		w.runner.newest().end(supervise.Exit{Ended: job.Ended{Code: 1}})
		w.expect("its end", "exited inc=1 code=1 ")
		w.end()
	})
}

func TestConnectionsToPeersAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &carriers{bare: static, counters: clusterspec.Counters{Task: subject.Task, Connections: 1, Sent: -1, Received: -1}}
		w := newWorld(t, c.use)
		w.ownPID()
		w.master().Start(start(1))
		time.Sleep(time.Minute) // one that connects to peers has the library, wherever
		w.expect("after start", "run train1", "joined inc=1", fmt.Sprint("started inc=1 pid=", os.Getpid()))
		w.expectPeers(job.EndpointsRedirect, false)
		c.set(func(c *carriers) { c.counters.Connections = 7 })
		time.Sleep(2 * peersEvery)
		synctest.Wait()
		w.mu.Lock()
		if got := w.peers.Counters; len(got) != 1 || got[0].Connections != 7 || got[0].Sent != -1 {
			t.Errorf("counters: %+v", got)
		}
		w.mu.Unlock()
		w.end()
	})
}

// TestTheMasterHasForwardTaken: a running program starts once more, one that has ended does not,
// and the order holds for what comes.
func TestTheMasterHasForwardTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(carriers)
		w := newWorld(t, c.use)
		w.master().Start(start(1))
		w.expect("after start", "run train1", "joined inc=1", "started inc=1 pid=100")
		w.master().Forward("worker/7 cannot")
		w.master().Forward("worker/8 cannot")
		w.expect("after the order", "stop 100 30s", "run train1", "started inc=1 pid=101")
		if env := w.runner.spec().Env; !slices.Contains(env, "CARRIER=forward") {
			t.Errorf("environment: %q", env)
		}
		w.expectPeers(job.EndpointsForward, true)
		w.runner.newest().end(supervise.Exit{Ended: job.Ended{Code: 1}})
		w.expect("its end", "exited inc=1 code=1 ")
		w.end()
	})
	synctest.Test(t, func(t *testing.T) {
		c := new(carriers)
		w := newWorld(t, c.use)
		w.master().Start(start(1))
		w.expect("after start", "run train1", "joined inc=1", "started inc=1 pid=100")
		w.runner.newest().end(supervise.Exit{Ended: job.Ended{Code: 1}})
		w.master().Forward("worker/7 cannot")
		w.expect("the order finds nothing to start again", "exited inc=1 code=1 ")
		w.master().Start(start(2))
		w.expect("the next", "run train2", "started inc=2 pid=101")
		if env := w.runner.spec().Env; !slices.Contains(env, "CARRIER=forward") {
			t.Errorf("environment: %q", env)
		}
		w.end()
	})
}

// peersEvery is the agent's.
const peersEvery = 5 * time.Second
