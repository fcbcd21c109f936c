package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap/zaptest"

	"tfos/internal/agent"
	"tfos/internal/clusterspec"
	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/memnet"
	"tfos/internal/supervise"
	"tfos/internal/yarn"
)

var subject = control.Subject{
	Party: control.PartyAgent,
	Task:  job.Task{Role: "worker", Index: 0},
	Container: yarn.ContainerID{
		Attempt: yarn.AttemptID{Application: yarn.ApplicationID{ClusterTimestamp: 1, Sequence: 7}, Attempt: 1}, ID: 2,
	},
}

// world is a master on host "am" and one agent on host "node", with a Runner whose programs do as
// the test says. It lives in a synctest bubble; the files are real.
type world struct {
	t      *testing.T
	net    *memnet.Network
	client control.Identity
	agent  *agent.Agent
	dir    string
	ended  chan error
	runner *runner

	mu      sync.Mutex
	said    []string         // guarded by mu: what the master was told
	session *control.Session // guarded by mu: the newest
	hello   control.Hello    // guarded by mu: the newest
	peers   control.Peers    // guarded by mu: as the agent reported them
	exit    control.Exited   // guarded by mu: the newest
}

func newWorld(t *testing.T, change ...func(*agent.Options)) *world {
	t.Helper()
	w := &world{t: t, net: memnet.New(), dir: t.TempDir(), ended: make(chan error, 1), runner: &runner{next: 100}}
	authority, err := control.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	issue := func(s control.Subject) control.Identity {
		id, err := authority.Issue(s)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	w.client = issue(control.Subject{Party: control.PartyClient})
	l, err := w.net.Host("am").Listen(1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := control.NewMaster(control.MasterOptions{Listener: l, Identity: issue(control.Subject{Party: control.PartyMaster}), Handler: w, Leases: w})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- m.Run(context.Background()) }()
	t.Cleanup(func() {
		m.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	serving, err := w.net.Host("node").Listen(7)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := w.net.Host("node").Listen(8)
	if err != nil {
		t.Fatal(err)
	}
	files, err := w.net.Host("node").Listen(9)
	if err != nil {
		t.Fatal(err)
	}
	witness, err := w.net.Host("node").Listen(10)
	if err != nil {
		t.Fatal(err)
	}
	feeders, err := w.net.Host("node").Listen(11)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := w.net.Host("node").Listen(12)
	if err != nil {
		t.Fatal(err)
	}
	o := agent.Options{
		Identity: issue(subject), Incarnation: 1, Host: "node", Dir: w.dir, LogDir: w.dir, Env: []string{"PATH=/bin", "TFOS_ROLE=wrong"}, Runner: w.runner,
		Logger: zaptest.NewLogger(t), Listener: serving, Socket: socket, FilesSocket: files, Witness: witness, Fed: true, Feeders: feeders, FeedSocket: rows, Dialer: w.net.Host("node").Dial,
		Master: func(context.Context) (string, error) { return "am:1", nil },
	}
	for _, f := range change {
		f(&o)
	}
	if w.agent, err = agent.New(o); err != nil {
		t.Fatal(err)
	}
	go func() { w.ended <- w.agent.Run(context.Background()) }()
	return w
}

// end closes the agent, and returns what Run returned.
func (w *world) end() error {
	w.agent.Close()
	return <-w.ended
}

func (w *world) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, fmt.Sprintf(format, args...))
}

// expect compares what the master and the runner were told since the last time, once everything is
// at rest.
func (w *world) expect(when string, want ...string) {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	got := append(w.runner.take(), w.said...)
	w.said = nil
	w.mu.Unlock()
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

func (w *world) master() *control.Session {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.session
}

func (w *world) Joined(s *control.Session, h control.Hello) {
	w.mu.Lock()
	w.session, w.hello, w.peers = s, h, h.Peers
	w.mu.Unlock()
	if h.Generation < 1 {
		s.Spec(clusterspec.Spec{Generation: 1, Members: []clusterspec.Member{{Task: h.Task, Incarnation: 1, Address: h.Address}}})
	}
	text := fmt.Sprintf("joined inc=%d", h.Incarnation)
	if h.Running != nil {
		text += fmt.Sprintf(" running=%d", h.Running.Incarnation)
	}
	if h.Exited != nil {
		text += fmt.Sprintf(" exited=%d code=%d", h.Exited.Incarnation, h.Exited.Code)
	}
	w.say("%s", text)
}
func (w *world) Started(_ *control.Session, e control.Started) {
	w.say("started inc=%d pid=%d", e.Incarnation, e.PID)
}
func (w *world) Exited(_ *control.Session, e control.Exited) {
	w.mu.Lock()
	w.exit = e
	w.mu.Unlock()
	w.say("exited inc=%d code=%d %s%s", e.Incarnation, e.Code, e.Signal, e.Reason)
}
func (w *world) Progress(_ *control.Session, p control.Progress) {
	text := fmt.Sprintf("progress inc=%d %d/%d", p.Incarnation, p.Step, p.Steps)
	if p.Counted > 0 {
		text += fmt.Sprintf(" counted=%d", p.Counted)
	}
	w.say("%s", text)
}
func (w *world) Peers(_ *control.Session, p control.Peers) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.peers = w.peers.With(p)
}
func (w *world) Mirror(_ *control.Session, n control.MirrorNews) {
	text := fmt.Sprintf("mirror inc=%d %s %s step=%d", n.Incarnation, n.What, n.Checkpoint, n.Step)
	if n.Problem != "" {
		text += ": " + n.Problem
	}
	w.say("%s", text)
}
func (w *world) View(context.Context) ([]byte, error)           { return nil, errors.New("nobody looks") }
func (w *world) Left(_ *control.Session, why control.Departure) { w.say("left %s", why) }
func (w *world) StopJob(string)                                 {}
func (*world) Scale(context.Context, control.ScaleWish) (control.ScaleAnswer, error) {
	return control.ScaleAnswer{}, nil
}

// runner starts programs that end when the test says.
type runner struct {
	mu       sync.Mutex
	said     []string         // guarded by mu
	programs []*program       // guarded by mu
	specs    []supervise.Spec // guarded by mu
	next     int              // guarded by mu: pid
	fail     error            // guarded by mu
}

func (r *runner) Start(s supervise.Spec) (agent.Program, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return nil, r.fail
	}
	r.said = append(r.said, "run "+s.Command)
	p := &program{pid: r.next, r: r, done: make(chan struct{})}
	r.next++
	r.programs, r.specs = append(r.programs, p), append(r.specs, s)
	return p, nil
}

func (r *runner) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	said := r.said
	r.said = nil
	return said
}

func (r *runner) newest() *program {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.programs[len(r.programs)-1]
}

func (r *runner) spec() supervise.Spec {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.specs[len(r.specs)-1]
}

type program struct {
	pid  int
	r    *runner
	done chan struct{}
	once sync.Once
	exit supervise.Exit
	deaf bool // does not hear Stop

	usage supervise.Usage // guarded by r.mu
}

func (p *program) PID() int { return p.pid }
func (p *program) Usage() supervise.Usage {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	return p.usage
}
func (p *program) Group() ([]int, error) { return []int{os.Getpid()}, nil }

func (p *program) Signal(sig syscall.Signal) (int, error) {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	p.r.said = append(p.r.said, fmt.Sprint("signal ", sig))
	return 1, nil
}

func (p *program) Stop(grace time.Duration) {
	p.r.mu.Lock()
	p.r.said = append(p.r.said, fmt.Sprint("stop ", p.pid, " ", grace))
	deaf := p.deaf
	p.r.mu.Unlock()
	if !deaf {
		p.end(supervise.Exit{Ended: job.Ended{Code: 143, Signal: "SIGTERM", Stopped: true}})
	}
}
func (p *program) Done() <-chan struct{} { return p.done }
func (p *program) Exit() supervise.Exit  { <-p.done; return p.exit }
func (p *program) end(x supervise.Exit)  { p.once.Do(func() { p.exit = x; close(p.done) }) }
func (p *program) beDeaf()               { p.r.mu.Lock(); p.deaf = true; p.r.mu.Unlock() }

func start(inc int) control.Start {
	return control.Start{Incarnation: job.Incarnation(inc), Generation: 1, Command: fmt.Sprint("train", inc), Grace: 30 * time.Second, Env: map[string]string{"TFOS_ROLE": "worker"}}
}

func TestATaskLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.expect("at first", "joined inc=1")
		w.master().Start(start(1))
		w.expect("after start", "run train1", "started inc=1 pid=100")
		spec := w.runner.spec()
		for _, want := range []string{"PATH=/bin", "TFOS_ROLE=worker", "TFOS_INCARNATION=1", "TF_GRPC_REUSE_PORT=true", "TFOS_AGENT=node:8", "TFOS_FILES=node:9"} {
			if !slices.Contains(spec.Env, want) {
				t.Errorf("environment lacks %s: %q", want, spec.Env)
			}
		}
		if spec.Dir != w.dir || spec.Stdout == nil || spec.Stderr == nil {
			t.Errorf("spec: %+v", spec)
		}
		w.runner.newest().end(supervise.Exit{Ended: job.Ended{Code: 3}})
		w.expect("after the end", "exited inc=1 code=3 ")
		w.master().Retire(control.Retire{Reason: "over"})
		if err := <-w.ended; err != nil {
			t.Errorf("run: %v", err)
		}
		w.expect("after retire", "left closed")
	})
}

// TestOnlyAJobThatIsFedHasAFeed: port, socket and memory are for those that Spark feeds.
func TestOnlyAJobThatIsFedHasAFeed(t *testing.T) {
	for _, fed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(o *agent.Options) {
				if !fed {
					o.Fed, o.Feeders, o.FeedSocket = false, nil, nil
				}
			})
			w.expect("at first", "joined inc=1")
			w.master().Start(start(1))
			w.expect("after start", "run train1", "started inc=1 pid=100")
			if told := slices.Contains(w.runner.spec().Env, "TFOS_FEED=node:12"); told != fed {
				t.Errorf("fed: %v, and the program knows of a feed: %v", fed, told)
			}
			if _, err := os.Stat(filepath.Join(w.dir, launch.TaskDir, "feed")); err == nil {
				t.Error("there is a socket that nobody uses")
			}
			w.runner.newest().end(supervise.Exit{})
			w.expect("after the end", "exited inc=1 code=0 ")
			w.master().Retire(control.Retire{Reason: "over"})
			if err := <-w.ended; err != nil {
				t.Errorf("run: %v", err)
			}
			w.expect("after retire", "left closed")
		})
	}
}

func TestLateAndRepeatedOrdersChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.master()
		s.Start(start(2))
		w.expect("after start", "run train2", "joined inc=1", "started inc=2 pid=100")
		s.Start(start(2)) // again
		s.Start(start(1)) // of an old incarnation
		s.Stop(control.Stop{Incarnation: 1})
		s.Stop(control.Stop{Incarnation: 3})
		w.expect("after late and repeated orders")
		w.runner.newest().end(supervise.Exit{})
		w.expect("after the end", "exited inc=2 code=0 ")
		s.Start(start(2)) // it has been, and ended
		s.Stop(control.Stop{Incarnation: 2})
		w.expect("after orders to what ended")
		w.end()
	})
}

func TestANewIncarnationTakesThePlaceOfTheOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.master()
		s.Start(start(1))
		w.expect("after start", "run train1", "joined inc=1", "started inc=1 pid=100")
		old := w.runner.newest()
		old.beDeaf()
		s.Start(start(2))
		s.Start(start(2))
		s.Start(start(1))
		w.expect("while the old one ends", "stop 100 30s")
		old.end(supervise.Exit{Ended: job.Ended{Code: 137, Signal: "SIGKILL"}})
		w.expect("when it has ended", "run train2", "exited inc=1 code=137 SIGKILL", "started inc=2 pid=101")

		w.runner.newest().beDeaf()
		s.Start(start(3))
		s.Stop(control.Stop{Incarnation: 3}) // before it began
		w.expect("start and stop", "stop 101 30s")
		w.runner.newest().end(supervise.Exit{Ended: job.Ended{Code: 137, Signal: "SIGKILL"}})
		w.expect("nothing is started", "exited inc=2 code=137 SIGKILL", "exited inc=3 code=143 SIGTERM")
		w.end()
	})
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.master()
		s.Start(start(1))
		s.Stop(control.Stop{Incarnation: 1, Grace: 7 * time.Second})
		w.expect("start and stop", "run train1", "stop 100 7s", "joined inc=1", "started inc=1 pid=100", "exited inc=1 code=143 SIGTERM")
		w.end()
	})
}

func TestAProgramThatCannotBeStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.runner.fail = errors.New("no bash here")
		w.master().Start(start(1))
		w.expect("after start", "joined inc=1", "exited inc=1 code=127 no bash here")
		w.end()
	})
}

func TestAnExitDuringAnHourOfSilenceIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.master().Start(start(1))
		w.expect("after start", "run train1", "joined inc=1", "started inc=1 pid=100")
		w.net.Cut("am")
		time.Sleep(5 * time.Minute)
		w.runner.newest().end(supervise.Exit{Ended: job.Ended{Code: 3}})
		time.Sleep(4 * time.Minute)
		w.net.Heal("am")
		time.Sleep(time.Minute)
		w.expect("after healing", "left silent", "joined inc=1 exited=1 code=3")
		w.net.Reset("node")
		time.Sleep(time.Minute)
		w.expect("in the session after that", "left closed", "joined inc=1 exited=1 code=3")
		w.end()
	})
}

func TestTheProgramRunsOnWithoutAMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.master().Start(start(1))
		w.expect("after start", "run train1", "joined inc=1", "started inc=1 pid=100")
		w.net.Cut("am")
		time.Sleep(9 * time.Minute)
		w.expect("after nine minutes", "left silent")
		w.net.Heal("am")
		time.Sleep(time.Minute)
		w.expect("after healing", "joined inc=1 running=1")
		w.net.Cut("am")
		if err := <-w.ended; !errors.Is(err, control.ErrNoMaster) {
			t.Errorf("run: %v", err)
		}
		w.expect("in the end", "stop 100 30s", "left silent")
	})
}

// An agent whose master is gone, and whose application is over, ends: somebody else has its job by
// now, and its GPU.
func TestAnOrphanEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		w := newWorld(t, func(o *agent.Options) {
			o.Over = func(context.Context) (string, error) {
				switch asked.Add(1) {
				case 1:
					return "", errors.New("the ResourceManager does not answer")
				case 2:
					return "", nil
				}
				return "it is FAILED", nil
			}
		})
		w.master().Start(start(1))
		w.expect("after start", "run train1", "joined inc=1", "started inc=1 pid=100")
		time.Sleep(time.Hour)
		w.net.Cut("am")
		time.Sleep(20 * time.Second)
		w.net.Heal("am")
		time.Sleep(time.Minute)
		w.expect("after a short cut", "left silent", "joined inc=1 running=1")
		if n := asked.Load(); n != 0 {
			t.Errorf("%d questions while there was a master", n)
		}
		w.net.Cut("am")
		lost := time.Now()
		if err := <-w.ended; !errors.Is(err, control.ErrOver) || !strings.Contains(err.Error(), "it is FAILED") {
			t.Errorf("run: %v", err)
		}
		if took := time.Since(lost); took > 4*time.Minute {
			t.Errorf("it ended after %s", took)
		}
		w.expect("in the end", "stop 100 30s", "left silent")
	})
}

func TestASignalGivesTheProgramLittleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.master().Start(start(1))
		w.expect("after start", "run train1", "joined inc=1", "started inc=1 pid=100")
		if err := w.end(); !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
		w.expect("after the signal", "stop 100 200ms", "left closed") // how it ended is for YARN to tell
	})
}

func TestRetireWaitsForTheProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.master()
		s.Start(start(1))
		synctest.Wait()
		w.runner.newest().beDeaf()
		s.Retire(control.Retire{Grace: 7 * time.Second})
		s.Start(start(2)) // too late
		w.expect("retiring", "run train1", "stop 100 7s", "joined inc=1", "started inc=1 pid=100")
		w.runner.newest().end(supervise.Exit{Ended: job.Ended{Code: 137, Signal: "SIGKILL"}})
		if err := <-w.ended; err != nil {
			t.Errorf("run: %v", err)
		}
		w.expect("retired", "exited inc=1 code=137 SIGKILL", "left closed")
	})
}

func TestPrintedStepsAreReportedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		out := filepath.Join(w.dir, "stdout")
		write(t, out, "step 99/100\n") // of an earlier program
		w.master().Start(start(1))
		stdout := w.runner.spec().Stdout
		for i := range 10 {
			fmt.Fprintf(stdout, "step %d/100\n", i+1)
		}
		time.Sleep(1500 * time.Millisecond)
		if err := os.Truncate(out, 0); err != nil { // as a program does whose log grows too large for its author
			t.Fatal(err)
		}
		fmt.Fprint(stdout, "step 11/1") // not a whole line yet
		time.Sleep(5 * time.Second)
		fmt.Fprintln(stdout, "00")
		w.runner.newest().end(supervise.Exit{})
		w.expect("in all", "run train1", "joined inc=1", "started inc=1 pid=100", "progress inc=1 10/100 counted=10", "progress inc=1 11/100 counted=11", "exited inc=1 code=0 ")
		w.end()
	})
}

func write(t *testing.T, name, text string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestStateOfTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		session := w.master()
		c, err := control.DialAgent(w.hello.Agent, w.client, w.net.Host("laptop").Dial)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var out bytes.Buffer
		if err := c.Debug(t.Context(), "state", &out); err != nil {
			t.Fatal(err)
		}
		var s struct {
			Task        string
			Incarnation job.Incarnation
			Joined      bool
		}
		if err := json.Unmarshal(out.Bytes(), &s); err != nil || s.Task != w.hello.Task.String() || !s.Joined || s.Incarnation != w.hello.Incarnation {
			t.Errorf("state %s: %v", out.Bytes(), err)
		}
		session.Retire(control.Retire{})
		if err := <-w.ended; err != nil {
			t.Error(err)
		}
	})
}

func TestLogsAreFollowedToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.master()
		c, err := control.DialAgent(w.hello.Agent, w.client, w.net.Host("laptop").Dial)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		read := func(r control.LogsRequest) (string, error) {
			var all strings.Builder
			at := int64(-1)
			err := c.Logs(t.Context(), r, func(c control.LogChunk) error {
				if at >= 0 && c.Offset != at {
					t.Errorf("a chunk at %d, want %d", c.Offset, at)
				}
				at = c.Offset + int64(len(c.Data))
				all.Write(c.Data)
				return nil
			})
			return all.String(), err
		}
		type result struct {
			text string
			err  error
		}
		followed := make(chan result, 1)
		go func() { // before there is a file
			text, err := read(control.LogsRequest{Stream: control.Stderr, Follow: true})
			followed <- result{text, err}
		}()
		time.Sleep(time.Second)
		if got, err := read(control.LogsRequest{Stream: control.Stderr}); got != "" || err != nil {
			t.Errorf("before there is a file: %q, %v", got, err)
		}
		name := filepath.Join(w.dir, "stderr")
		write(t, name, "one\n")
		time.Sleep(time.Second)
		write(t, name, "two\n"+strings.Repeat("x", 100<<10)+"\n")
		for r, want := range map[control.LogsRequest]string{
			{Stream: control.Stderr, Offset: -4}:              "xxx\n",
			{Stream: control.Stderr, Offset: 4 + 4 + 100<<10}: "\n",
			{Stream: control.Stderr, Offset: 1 << 40}:         "",
		} {
			if got, err := read(r); got != want || err != nil {
				t.Errorf("%+v: %.40q, %v", r, got, err)
			}
		}
		if got, err := read(control.LogsRequest{Stream: control.Stderr, Offset: -1 << 40}); len(got) != 8+100<<10+1 || err != nil {
			t.Errorf("from far before the beginning: %d bytes, %v", len(got), err)
		}
		for _, stream := range []string{"", "../stderr", "container_tokens"} {
			if got, err := read(control.LogsRequest{Stream: stream}); !errors.Is(err, control.ErrNoLog) {
				t.Errorf("%q: %q, %v", stream, got, err)
			}
		}
		write(t, name, "last\n")
		s.Retire(control.Retire{})
		if err := <-w.ended; err != nil {
			t.Error(err)
		}
		r := <-followed
		if want := "one\ntwo\n" + strings.Repeat("x", 100<<10) + "\nlast\n"; r.text != want || r.err != nil {
			t.Errorf("followed %d bytes to %.20q, %v; want %d", len(r.text), r.text[max(len(r.text)-20, 0):], r.err, len(want))
		}
	})
}
