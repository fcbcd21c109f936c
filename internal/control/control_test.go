package control_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap/zaptest"

	"tfos/internal/clusterspec"
	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/memnet"
	"tfos/internal/yarn"
)

// world is a job's master on host "am" of a network, and whoever dials it. It lives in a synctest
// bubble.
type world struct {
	t         *testing.T
	net       *memnet.Network
	authority *control.Authority
	master    *control.Master
	served    chan error

	mu       sync.Mutex
	address  string                                // guarded by mu: where agents look for the master
	said     []string                              // guarded by mu: what the master's handler was told, in order
	sessions map[yarn.ContainerID]*control.Session // guarded by mu: the newest
	state    int                                   // guarded by mu: of the job, which is all that its document says
	views    int                                   // guarded by mu: documents that were made
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, net: memnet.New(), authority: newAuthority(t), served: make(chan error, 1), sessions: make(map[yarn.ContainerID]*control.Session)}
	l, err := w.net.Host("am").Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	w.move(l.Addr().String())
	w.master, err = control.NewMaster(control.MasterOptions{
		Listener: l, Identity: w.issue(control.Subject{Party: control.PartyMaster}), Handler: w, Leases: w, Pages: []control.Page{big}, Logger: zaptest.NewLogger(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { w.served <- w.master.Run(context.Background()) }()
	t.Cleanup(func() {
		w.master.Close()
		if err := <-w.served; err != nil {
			t.Errorf("master: %v", err)
		}
	})
	return w
}

func newAuthority(t *testing.T) *control.Authority {
	t.Helper()
	a, err := control.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (w *world) issue(s control.Subject) control.Identity {
	w.t.Helper()
	return issue(w.t, w.authority, s)
}

func issue(t *testing.T, a *control.Authority, s control.Subject) control.Identity {
	t.Helper()
	id, err := a.Issue(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (w *world) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, fmt.Sprintf(format, args...))
}

// where tells agents and clients where the master is; move sends them elsewhere.
func (w *world) where() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.address
}

func (w *world) move(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.address = address
}

// heard takes what the master's handler was told since the last time, once everything is at rest.
func (w *world) heard() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	said := w.said
	w.said = nil
	return said
}

func (w *world) expect(when string, want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.heard()); diff != "" {
		w.t.Errorf("%s, the master heard (-want +got):\n%s", when, diff)
	}
}

func (w *world) session(c yarn.ContainerID) *control.Session {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sessions[c]
}

func (w *world) Joined(s *control.Session, h control.Hello) {
	w.mu.Lock()
	w.sessions[h.Container] = s
	w.mu.Unlock()
	running, exited := 0, "-"
	if h.Running != nil {
		running = h.Running.PID
	}
	if h.Exited != nil {
		exited = fmt.Sprint(h.Exited.Code)
	}
	w.say("joined %s inc=%d running=%d exited=%s generation=%d", h.Task, h.Incarnation, running, exited, h.Generation)
	if h.Peers.Endpoints != "" {
		w.say("peers %s %s %q %v", h.Task, h.Peers.Endpoints, h.Peers.Reason, h.Peers.Counters)
	}
}
func (w *world) Started(s *control.Session, e control.Started) {
	w.say("started %s inc=%d pid=%d", s.Task(), e.Incarnation, e.PID)
	if e.PID == faultyPID {
		panic("a fault of ours")
	}
}
func (w *world) Exited(s *control.Session, e control.Exited) {
	w.say("exited %s inc=%d code=%d %q", s.Task(), e.Incarnation, e.Code, e.Stderr)
}
func (w *world) Progress(s *control.Session, p control.Progress) {
	w.say("progress %s %d/%d", s.Task(), p.Step, p.Steps)
}
func (w *world) Mirror(s *control.Session, n control.MirrorNews) {
	w.say("%s mirror %+v", s.Task(), n)
}

func (w *world) Peers(s *control.Session, p control.Peers) {
	w.say("peers %s %s %q %v", s.Task(), p.Endpoints, p.Reason, p.Counters)
}
func (w *world) Left(s *control.Session, why control.Departure) { w.say("left %s %s", s.Task(), why) }
func (w *world) Scale(_ context.Context, wish control.ScaleWish) (control.ScaleAnswer, error) {
	w.say("scale %s to %d, restart=%v", wish.Role, wish.Count, wish.RestartCoordinator)
	switch wish.Count {
	case 0:
		return control.ScaleAnswer{Was: 2, Refused: "too few", Usage: true}, nil
	case 13:
		return control.ScaleAnswer{}, errors.New("the master is ending")
	}
	return control.ScaleAnswer{Was: 2}, nil
}

func (w *world) View(context.Context) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.views++
	return fmt.Append(nil, w.state), nil
}

// change moves the job on by a step.
func (w *world) change() {
	w.mu.Lock()
	w.state++
	w.mu.Unlock()
	w.master.Changed()
}

func (w *world) StopJob(reason string) { w.say("stop job: %s", reason) }

func container(n int64) yarn.ContainerID {
	return yarn.ContainerID{Attempt: yarn.AttemptID{Application: yarn.ApplicationID{ClusterTimestamp: 1, Sequence: 7}, Attempt: 1}, ID: n}
}

func agentSubject(n int) control.Subject {
	return control.Subject{Party: control.PartyAgent, Container: container(int64(n) + 2), Task: job.Task{Role: "worker", Index: n}}
}

// agent is one end of a link.
type agent struct {
	w      *world
	link   *control.Link
	cancel context.CancelFunc
	ended  chan error
}

// join starts the link of worker n, from a host of its name.
func (w *world) join(n int) *agent {
	s := agentSubject(n)
	return w.joinAs(w.issue(s), s, fmt.Sprint("node", n))
}

func (w *world) joinAs(id control.Identity, hello control.Subject, host string) *agent {
	w.t.Helper()
	a := &agent{w: w, ended: make(chan error, 1)}
	var err error
	a.link, err = control.NewLink(control.LinkOptions{
		Identity: id,
		Hello:    control.Hello{Container: hello.Container, Task: hello.Task, Incarnation: 1, Agent: host + ":1", Address: host + ":2"},
		Handler:  a,
		Master:   func(context.Context) (string, error) { return w.where(), nil },
		Dialer:   w.net.Host(host).Dial,
		Logger:   zaptest.NewLogger(w.t),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	var ctx context.Context
	ctx, a.cancel = context.WithCancel(context.Background())
	go func() { a.ended <- a.link.Run(ctx) }()
	w.t.Cleanup(a.cancel)
	return a
}

func (a *agent) end() error {
	a.cancel()
	return a.over()
}

// over waits for the link's end: an hour of virtual time, which is longer than anything here takes.
func (a *agent) over() error {
	a.w.t.Helper()
	select {
	case err := <-a.ended:
		return err
	case <-time.After(time.Hour):
		a.w.t.Error("the link does not end")
		a.cancel()
		return <-a.ended
	}
}

func (a *agent) Spec(s clusterspec.Spec) { a.w.say("agent: spec %d %v", s.Generation, s.Members) }
func (a *agent) Start(s control.Start) {
	a.w.say("agent: start inc=%d %q %v %v", s.Incarnation, s.Command, s.Env, s.Grace)
}
func (a *agent) Stop(s control.Stop) { a.w.say("agent: stop inc=%d %v", s.Incarnation, s.Grace) }
func (a *agent) Notice(n control.Notice) {
	a.w.say("agent: notice %q %s %q", n.Reason, n.Left, n.Signal)
}
func (a *agent) Stacks(reason string)    { a.w.say("agent: stacks %q", reason) }
func (a *agent) Forward(reason string)   { a.w.say("agent: forward %q", reason) }
func (a *agent) Retire(r control.Retire) { a.w.say("agent: retire %q %v", r.Reason, r.Grace) }

func TestASessionCarriesOrdersAndReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.join(0)
		w.expect("after the start", "joined worker/0 inc=1 running=0 exited=- generation=0")
		s := w.session(container(2))
		s.Spec(clusterspec.Spec{Generation: 3, Members: []clusterspec.Member{{Task: job.Task{Role: "worker"}, Incarnation: 1, Address: "node0:2", Witness: 3}}})
		s.Start(control.Start{Incarnation: 1, Generation: 3, Command: "train", Env: map[string]string{"A": "b"}, Grace: 10 * time.Second})
		s.Stop(control.Stop{Incarnation: 1, Grace: time.Second})
		s.Forward("worker/1 cannot")
		s.Notice(control.Notice{Reason: "draining", Left: time.Minute, Signal: "SIGUSR1"})
		s.Retire(control.Retire{Reason: "over", Grace: 2 * time.Second})
		w.expect("after the orders",
			`agent: spec 3 [{worker/0 1 node0:2 3}]`, `agent: start inc=1 "train" map[A:b] 10s`, `agent: stop inc=1 1s`, `agent: forward "worker/1 cannot"`, `agent: notice "draining" 1m0s "SIGUSR1"`, `agent: retire "over" 2s`)
		a.link.Started(control.Started{Incarnation: 1, PID: 42})
		a.link.Progress(control.Progress{Incarnation: 1, Step: 1, Steps: 2})
		w.heard()
		// A program's output need not be UTF-8.
		a.link.Exited(control.Exited{Incarnation: 1, Ended: job.Ended{Code: 3, Stderr: []string{"bad \xff byte"}}})
		if err := a.end(); !errors.Is(err, context.Canceled) {
			t.Errorf("the link ended with %v", err)
		}
		// What was reported just before the end arrives.
		w.expect("after the end", `exited worker/0 inc=1 code=3 ["bad � byte"]`, "left worker/0 closed")
	})
}

// faultyPID makes the master's handler panic.
const faultyPID = 666

// TestAPanicEndsASession: the one that it is in, and the master hears that the agent left.
func TestAPanicEndsASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.join(0), w.join(1)
		w.heard()
		a.link.Started(control.Started{Incarnation: 1, PID: faultyPID})
		w.expect("after the panic", "started worker/0 inc=1 pid=666", "left worker/0 closed")
		b.link.Started(control.Started{Incarnation: 1, PID: 7})
		w.expect("after another's report", "started worker/1 inc=1 pid=7")
		a.end()
		b.end()
	})
}

func TestSilenceEndsASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.join(0)
		time.Sleep(time.Hour) // heartbeats keep it up
		w.expect("an hour later", "joined worker/0 inc=1 running=0 exited=- generation=0")
		w.net.Cut("node0")
		time.Sleep(4 * time.Second)
		w.expect("four seconds after the cut")
		time.Sleep(3 * time.Second)
		w.expect("seven seconds after the cut", "left worker/0 silent")

		// The process ends meanwhile. The next session tells, once.
		a.link.Started(control.Started{Incarnation: 1, PID: 42})
		a.link.Exited(control.Exited{Incarnation: 1, Ended: job.Ended{Code: 3}})
		time.Sleep(time.Minute)
		w.net.Heal("node0")
		time.Sleep(time.Minute)
		w.expect("after healing", "joined worker/0 inc=1 running=0 exited=3 generation=0")
		a.end()
	})
}

// TestASlowAgentHasMoreTime: an agent stands still, or has no time to run, and its node answers.
func TestASlowAgentHasMoreTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.join(0)
		time.Sleep(time.Hour)
		w.expect("an hour later", "joined worker/0 inc=1 running=0 exited=- generation=0")
		w.net.Stop("node0")
		time.Sleep(15 * time.Second)
		w.net.Heal("node0")
		time.Sleep(time.Minute)
		w.expect("after 15 s without a word")

		w.net.Stop("node0")
		time.Sleep(10 * time.Second)
		w.net.Cut("node0")
		time.Sleep(7 * time.Second)
		w.expect("when the node does not answer any more", "left worker/0 silent")
		w.net.Heal("node0")
		time.Sleep(time.Minute)
		w.expect("after healing", "joined worker/0 inc=1 running=0 exited=- generation=0")

		w.net.Stop("node0")
		time.Sleep(35 * time.Second)
		w.expect("after 35 s without a word", "left worker/0 silent")
		a.end()
	})
}

func TestAStartInTheNextHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.join(0)
		synctest.Wait()
		a.link.Started(control.Started{Incarnation: 2, PID: 42})
		a.link.Spec(clusterspec.Spec{Generation: 5})
		synctest.Wait()
		w.net.Reset("node0")
		time.Sleep(time.Second)
		w.expect("after a reset", "joined worker/0 inc=1 running=0 exited=- generation=0", "started worker/0 inc=2 pid=42",
			"left worker/0 closed", "joined worker/0 inc=2 running=42 exited=- generation=5")
		a.end()
	})
}

func TestANewerSessionReplacesTheOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.join(0)
		synctest.Wait()
		s := agentSubject(0)
		b := w.joinAs(w.issue(s), s, "elsewhere")
		synctest.Wait()
		w.expect("after both", "joined worker/0 inc=1 running=0 exited=- generation=0", "left worker/0 replaced", "joined worker/0 inc=1 running=0 exited=- generation=0")
		a.cancel()
		b.cancel()
		<-a.ended
		<-b.ended
	})
}

func TestWithoutAMasterAnAgentGivesUpInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.join(0)
		synctest.Wait()
		w.net.Cut("am")
		began := time.Now()
		err := a.over()
		if !errors.Is(err, control.ErrNoMaster) {
			t.Errorf("the link ended with %v", err)
		}
		if took := time.Since(began); took < 20*time.Minute || took > 22*time.Minute {
			t.Errorf("it took %v, want twenty minutes and what it takes to notice", took)
		}
	})
}

func TestAMasterThatSaysNothingIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l, err := w.net.Host("mute").Listen(0)
		if err != nil {
			t.Fatal(err)
		}
		var conns []net.Conn
		var accepting sync.WaitGroup
		accepting.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				conns = append(conns, c)
			}
		})
		right := w.where()
		w.move(l.Addr().String())
		a := w.join(0)
		time.Sleep(time.Minute)
		w.move(right)
		time.Sleep(time.Minute)
		w.expect("with the right address", "joined worker/0 inc=1 running=0 exited=- generation=0")
		l.Close()
		accepting.Wait()
		for _, c := range conns {
			c.Close()
		}
		a.end()
	})
}

func TestOrdersThatNobodyTakesEndTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.join(0)
		w.heard()
		w.net.Cut("node0")
		s := w.session(container(2))
		big := make([]byte, 64<<10)
		for range 1000 { // more than windows and backlog hold; and it never blocks
			s.Start(control.Start{Incarnation: 1, Command: string(big)})
		}
		w.expect("with a thousand orders", "left worker/0 overrun")
		w.net.Heal("node0")
		a.end()
	})
}

// TestASlowAgentGetsTheNewestClusterSpec: while it takes none many are published, and they neither
// wait one behind another nor end the session.
func TestASlowAgentGetsTheNewestClusterSpec(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.join(0)
		w.heard()
		w.net.Cut("node0")
		s := w.session(container(2))
		big := make([]byte, 64<<10)
		s.Start(control.Start{Incarnation: 1, Command: string(big)}) // fills the windows
		s.Start(control.Start{Incarnation: 1, Command: string(big)})
		for g := range job.Generation(1000) {
			s.Spec(clusterspec.Spec{Generation: g + 1})
		}
		w.net.Heal("node0")
		said := w.heard()
		specs := 0
		for _, line := range said {
			if strings.HasPrefix(line, "agent: spec") {
				specs++
			}
		}
		if last := said[len(said)-1]; last != "agent: spec 1000 []" || specs > 2 {
			t.Errorf("the agent was sent %d cluster_specs, and last: %s", specs, last)
		}
		a.end()
	})
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c, err := control.DialMaster(w.where(), w.issue(control.Subject{Party: control.PartyClient}), w.net.Host("laptop").Dial)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for range 10 { // nobody looks
			w.change()
			time.Sleep(time.Second)
		}
		if w.views != 0 {
			t.Errorf("%d documents were made, and nobody looked", w.views)
		}
		seen := make([][]string, 2)
		ended := make(chan error, len(seen))
		for i := range seen {
			go func() {
				ended <- c.Watch(t.Context(), false, func(json []byte) error { seen[i] = append(seen[i], string(json)); return nil })
			}()
		}
		synctest.Wait()
		for range 10 { // within the interval
			time.Sleep(10 * time.Millisecond)
			w.change()
		}
		time.Sleep(time.Second)
		w.change()
		synctest.Wait()
		w.change()
		w.master.Close()
		for range seen {
			if err := <-ended; err != nil {
				t.Errorf("watch ended with %v", err)
			}
		}
		for i := range seen {
			if diff := cmp.Diff([]string{"10", "20", "21", "22"}, seen[i]); diff != "" {
				t.Errorf("watcher %d saw (-want +got):\n%s", i, diff)
			}
		}
		if w.views != 4 {
			t.Errorf("%d documents were made for four states, and two who looked", w.views)
		}
	})
}

func TestAClientStopsTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c, err := control.DialMaster(w.where(), w.issue(control.Subject{Party: control.PartyClient}), w.net.Host("laptop").Dial)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Stop(t.Context(), "enough"); err != nil {
			t.Error(err)
		}
		w.expect("after stop", "stop job: enough")
		w.net.Reset("laptop")
		w.net.Cut("am")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := c.Stop(ctx, "enough"); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, control.ErrUnreachable) {
			t.Errorf("stop over a cut: %v", err)
		}
		w.net.Heal("am")
	})
}

func TestAClientScalesTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c, err := control.DialMaster(w.where(), w.issue(control.Subject{Party: control.PartyClient}), w.net.Host("laptop").Dial)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if a, err := c.Scale(t.Context(), control.ScaleWish{Role: "worker", Count: 4, RestartCoordinator: true}); err != nil || a != (control.ScaleAnswer{Was: 2}) {
			t.Errorf("answered with %+v, %v", a, err)
		}
		w.expect("after the wish", "scale worker to 4, restart=true")
		if a, err := c.Scale(t.Context(), control.ScaleWish{Role: "worker"}); err != nil || a != (control.ScaleAnswer{Was: 2, Refused: "too few", Usage: true}) {
			t.Errorf("answered with %+v, %v", a, err)
		}
		w.expect("after the wish", "scale worker to 0, restart=false")
		if _, err := c.Scale(t.Context(), control.ScaleWish{Role: "worker", Count: 13}); !errors.Is(err, control.ErrUnreachable) {
			t.Errorf("of a master that ends: %v", err)
		}
	})
}

func TestCloseHandsOverWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.join(0)
		w.heard()
		w.session(container(2)).Retire(control.Retire{Reason: "over"})
		w.master.Close()
		said := w.heard()
		slices.Sort(said) // which side is told first is open
		if diff := cmp.Diff([]string{`agent: retire "over" 0s`, "left worker/0 closed"}, said); diff != "" {
			t.Errorf("after close (-want +got):\n%s", diff)
		}
		a.end()
	})
}
