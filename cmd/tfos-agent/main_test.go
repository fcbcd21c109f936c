package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"tfos/internal/clusterspec"
	"tfos/internal/control"
	"tfos/internal/hadoop/token"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/yarn"
)

// patience bounds every wait. It passes only when something is broken.
const patience = 30 * time.Second

// binary is the agent as it is shipped.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "tfos-agent-test")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "tfos-agent")
		build := exec.Command("go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", binary, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// master collects what the agent says.
type master struct {
	sessions chan *control.Session
	hellos   chan control.Hello
	started  chan control.Started
	exited   chan control.Exited
	progress chan control.Progress
	peers    chan control.Peers
	left     chan control.Departure
}

func (m *master) Joined(s *control.Session, h control.Hello)      { m.sessions <- s; m.hellos <- h }
func (m *master) Started(_ *control.Session, e control.Started)   { m.started <- e }
func (m *master) Exited(_ *control.Session, e control.Exited)     { m.exited <- e }
func (m *master) Progress(_ *control.Session, p control.Progress) { m.progress <- p }
func (m *master) Peers(_ *control.Session, p control.Peers)       { m.peers <- p }
func (m *master) Left(_ *control.Session, why control.Departure)  { m.left <- why }
func (m *master) Mirror(*control.Session, control.MirrorNews)     {}
func (m *master) StopJob(string)                                  {}
func (m *master) View(context.Context) ([]byte, error)            { return []byte("{}"), nil }
func (*master) Scale(context.Context, control.ScaleWish) (control.ScaleAnswer, error) {
	return control.ScaleAnswer{}, nil
}

// world is a master and one container.
type world struct {
	t         *testing.T
	authority *control.Authority
	dir, logs string
	cmd       *exec.Cmd
	stderr    bytes.Buffer
	done      chan struct{}
	*master
}

var subject = control.Subject{
	Party: control.PartyAgent,
	Task:  job.Task{Role: "worker", Index: 1},
	Container: yarn.ContainerID{
		Attempt: yarn.AttemptID{Application: yarn.ApplicationID{ClusterTimestamp: 1700000000000, Sequence: 1}, Attempt: 1}, ID: 2,
	},
}

func newWorld(t *testing.T) *world {
	t.Helper()
	authority, err := control.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	id, err := authority.Issue(control.Subject{Party: control.PartyMaster})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, authority: authority, dir: t.TempDir(), logs: t.TempDir(), done: make(chan struct{}), master: &master{
		sessions: make(chan *control.Session, 8), hellos: make(chan control.Hello, 8), started: make(chan control.Started, 8),
		exited: make(chan control.Exited, 8), progress: make(chan control.Progress, 64), peers: make(chan control.Peers, 64), left: make(chan control.Departure, 8),
	}}
	m, err := control.NewMaster(control.MasterOptions{Listener: l, Identity: id, Handler: w.master, Logger: zap.NewNop()})
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
	w.start(l.Addr().String())
	return w
}

// start runs the agent as a NodeManager does: in a session of its own, with the container's
// environment.
func (w *world) start(address string) {
	w.t.Helper()
	id, err := w.authority.Issue(subject)
	if err != nil {
		w.t.Fatal(err)
	}
	pem, err := id.PEM()
	if err != nil {
		w.t.Fatal(err)
	}
	var credentials token.Credentials
	credentials.AddSecret(launch.SecretIdentity, pem)
	file := filepath.Join(w.dir, "container_tokens")
	if err := os.WriteFile(file, credentials.Encode(), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.cmd = exec.Command(binary)
	w.cmd.Dir = w.dir
	w.cmd.Stderr = &w.stderr
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	w.cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "LOG_DIRS=" + w.logs + ",/nowhere", "NM_HOST=127.0.0.1", "CONTAINER_ID=" + subject.Container.String(),
		"HADOOP_TOKEN_FILE_LOCATION=" + file, launch.EnvMaster + "=" + address, launch.EnvTask + "=" + subject.Task.String(), launch.EnvIncarnation + "=1",
		launch.EnvEndpoints + "=redirect", launch.EnvRoles + "=" + subject.Task.Role,
		launch.EnvLogLevel + "=debug",
	}
	if err := w.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() { defer close(w.done); w.cmd.Wait() }()
	w.t.Cleanup(func() { w.cmd.Process.Kill(); <-w.done })
}

// code waits for the agent's end.
func (w *world) code() int {
	w.t.Helper()
	select {
	case <-w.done:
	case <-time.After(patience):
		w.t.Fatal("the agent does not end")
	}
	if w.t.Failed() {
		w.t.Logf("agent's stderr: %s", w.stderr.Bytes())
	}
	return w.cmd.ProcessState.ExitCode()
}

func next[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

// most is the most memory that a process has had resident (VmHWM), or the most address space
// (VmPeak), in KiB.
func most(t *testing.T, pid int, what string) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, what+":"); ok {
			n, err := strconv.Atoi(strings.Fields(v)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no " + what)
	return 0
}

// parent is a process's parent.
func parent(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	n, err := strconv.Atoi(f[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestATaskFromHelloToRetire(t *testing.T) {
	w := newWorld(t)
	s, hello := next(t, w.sessions, "session"), next(t, w.hellos, "hello")
	if hello.Container != subject.Container || hello.Task != subject.Task || hello.Incarnation != 1 || hello.Running != nil || hello.Exited != nil {
		t.Errorf("hello: %+v", hello)
	}
	s.Spec(clusterspec.Spec{Generation: 1, Members: []clusterspec.Member{{Task: subject.Task, Incarnation: 1, Address: hello.Address}}})
	s.Start(control.Start{
		Incarnation: 1, Generation: 1, TensorBoard: true, Grace: time.Minute, Env: map[string]string{"A": `{"a": "$b"}`},
		// The program shows what it was given, is asked for nothing else until it is told to end,
		// and ends well.
		Command: `echo "$A"; echo "$TFOS_AGENT" >socket; echo $TB_PORT $TF_GRPC_REUSE_PORT; echo step 7/9; trap 'echo saved >&2; exit 3' TERM; mkfifo f; echo up; read -r _ <f`,
	})
	started := next(t, w.started, "start")
	if started.Incarnation != 1 || started.PID == 0 || started.TensorBoard == "" {
		t.Errorf("started: %+v", started)
	}

	// A client follows the output.
	id, err := w.authority.Issue(control.Subject{Party: control.PartyClient})
	if err != nil {
		t.Fatal(err)
	}
	c, err := control.DialAgent(hello.Agent, id, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	up, followed := make(chan struct{}, 1), make(chan string, 1)
	go func() {
		var all strings.Builder
		err := c.Logs(t.Context(), control.LogsRequest{Stream: control.Stdout, Follow: true}, func(c control.LogChunk) error {
			all.Write(c.Data)
			if strings.Contains(all.String(), "up\n") {
				select {
				case up <- struct{}{}:
				default:
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		followed <- all.String()
	}()
	next(t, up, "output of the program")

	if p := w.progressed(t, 7); p != (control.Progress{Incarnation: 1, Step: 7, Steps: 9}) {
		t.Errorf("progress: %+v", p)
	}
	socket, err := os.ReadFile(filepath.Join(w.dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	report(t, strings.TrimSpace(string(socket)), hello)
	if p := w.progressed(t, 8); p != (control.Progress{Incarnation: 1, Step: 8, Steps: 9, Counted: 8, Loss: control.Loss{Known: true, Value: 0.25}}) {
		t.Errorf("progress: %+v", p)
	}

	for what, limit := range map[string]int{"VmHWM": 20 << 10, "VmPeak": launch.AddressSpaceMiB << 10} {
		agent, guard := most(t, w.cmd.Process.Pid, what), most(t, parent(t, started.PID), what)
		t.Logf("%s: agent %d KiB, guard %d KiB", what, agent, guard)
		if agent+guard > limit {
			t.Errorf("%s of the agent and its guard is %d KiB, want at most %d", what, agent+guard, limit)
		}
	}

	s.Stop(control.Stop{Incarnation: 1, Grace: time.Minute})
	if e := next(t, w.exited, "exit"); e.Incarnation != 1 || e.Code != 3 || e.Signal != "" || len(e.Stderr) != 1 || e.Stderr[0] != "saved" {
		t.Errorf("exited: %+v", e)
	}
	s.Retire(control.Retire{Reason: "done"})
	if code := w.code(); code != 0 {
		t.Errorf("agent's exit code: %d, want 0; stderr: %s", code, &w.stderr)
	}
	_, tb, _ := net.SplitHostPort(started.TensorBoard)
	if got, want := next(t, followed, "end of the log"), "{\"a\": \"$b\"}\n"+tb+" true\nstep 7/9\nup\n"; got != want {
		t.Errorf("stdout:\n%s\nwant:\n%s", got, want)
	}
	showsNoKey(t, w)
}

// progressed waits for the report of a step, which tells what the program uses as well.
func (w *world) progressed(t *testing.T, step int64) control.Progress {
	t.Helper()
	for {
		p := next(t, w.progress, "progress")
		if p.Step < step {
			continue // news of its memory
		}
		if p.Memory < 1<<20 || p.Memory > 64<<20 {
			t.Errorf("a shell uses %d bytes", p.Memory)
		}
		p.Memory, p.CPU = 0, 0
		return p
	}
}

// report does what a program does with its socket.
func report(t *testing.T, socket string, hello control.Hello) {
	t.Helper()
	h := http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer h.CloseIdleConnections()
	r, err := h.Get("http://agent/v1/task")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var d map[string]any
	if err := json.NewDecoder(r.Body).Decode(&d); err != nil {
		t.Fatal(err)
	}
	if d["task"] != "worker/1" || d["incarnation"] != 1.0 || d["generation"] != 1.0 || d["address"] != hello.Address {
		t.Errorf("task: %v", d)
	}
	for body, want := range map[string]int{`{"step": 8, "steps": 9, "loss": 0.25}`: 204, `{}`: 400, `{"step": -1}`: 400, `step 8`: 400, strings.Repeat(" ", 5000): 400} {
		r, err := h.Post("http://agent/v1/step", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("POST /v1/step %.30s: %d, want %d", body, r.StatusCode, want)
		}
	}
}

// showsNoKey looks for the private key where it must not be.
func showsNoKey(t *testing.T, w *world) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(w.logs, control.AgentLog))
	if err != nil {
		t.Fatal(err)
	}
	if len(b) == 0 || bytes.Contains(b, []byte("PRIVATE KEY")) {
		t.Errorf("agent.log: %s", b)
	}
}

func TestACommandThatDoesNotExist(t *testing.T) {
	w := newWorld(t)
	s := next(t, w.sessions, "session")
	s.Start(control.Start{Incarnation: 1, Command: "trian.py"})
	next(t, w.started, "start")
	if e := next(t, w.exited, "exit"); e.Code != 127 || e.Reason != "command not found: trian.py" {
		t.Errorf("exited: %+v", e)
	}
	s.Retire(control.Retire{})
	if code := w.code(); code != 0 {
		t.Errorf("agent's exit code: %d", code)
	}
}

// TestAKilledGuardIsNotTheProgramsFault: the master is told so, and the agent goes on.
func TestAKilledGuardIsNotTheProgramsFault(t *testing.T) {
	w := newWorld(t)
	s := next(t, w.sessions, "session")
	s.Start(control.Start{Incarnation: 1, Grace: time.Hour, Command: `exec sleep 1000000`})
	pid := next(t, w.started, "start").PID
	if err := syscall.Kill(parent(t, pid), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if e := next(t, w.exited, "exit"); !e.Lost || e.OOM {
		t.Errorf("exited: %+v", e)
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("the program after its guard's end: %v", err)
	}
	s.Start(control.Start{Incarnation: 2, Command: "true"})
	next(t, w.started, "second start")
	if e := next(t, w.exited, "exit"); e.Lost || e.Code != 0 {
		t.Errorf("exited: %+v", e)
	}
	s.Retire(control.Retire{Reason: "done"})
	if code := w.code(); code != 0 {
		t.Errorf("agent's exit code: %d, want 0; stderr: %s", code, &w.stderr)
	}
}

// TestQuitIsAThreadDump: of the agent and of the program, and both go on.
func TestQuitIsAThreadDump(t *testing.T) {
	w := newWorld(t)
	s := next(t, w.sessions, "session")
	s.Start(control.Start{Incarnation: 1, Grace: time.Minute, Command: `trap 'echo step 2/3' QUIT; echo step 1/3; mkfifo f; while :; do read -r _ <>f; done`})
	next(t, w.started, "start")
	for next(t, w.progress, "step").Step != 1 {
	}
	if err := syscall.Kill(-w.cmd.Process.Pid, syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	for next(t, w.progress, "the program's answer").Step != 2 {
	}
	b, err := os.ReadFile(filepath.Join(w.logs, control.AgentLog))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte("thread dump of the agent:")) || !bytes.Contains(b, []byte("(*owner).loop(")) {
		t.Errorf("agent.log: %s", b)
	}
	s.Retire(control.Retire{Reason: "done"})
	if code := w.code(); code != 0 {
		t.Errorf("agent's exit code: %d, want 0; stderr: %s", code, &w.stderr)
	}
}

// TestTermEndsTheProgram: what a NodeManager does first when it ends a container.
func TestTermEndsTheProgram(t *testing.T) {
	w := newWorld(t)
	s := next(t, w.sessions, "session")
	s.Start(control.Start{Incarnation: 1, Grace: time.Hour, Command: `trap '' TERM; exec sleep 1000000`})
	pid := next(t, w.started, "start").PID
	if err := syscall.Kill(-w.cmd.Process.Pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := w.code(); code != exitTerminated {
		t.Errorf("agent's exit code: %d, want %d", code, exitTerminated)
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("the program after the agent's end: %v", err)
	}
	// Why the container ended is for YARN to tell: the program's exit would be taken for its own
	// failure.
	select {
	case e := <-w.exited:
		t.Errorf("the master was told %+v", e)
	default:
	}
}

func TestWithoutAContainer(t *testing.T) {
	cmd := exec.Command(binary)
	cmd.Env = []string{"PATH=/bin"}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(string(out), "lacks TFOS_MASTER") {
		t.Errorf("%v: %s", err, out)
	}
	out, err = exec.Command(binary, "--version").Output()
	if err != nil || !strings.HasPrefix(string(out), "tfos-agent ") {
		t.Errorf("--version: %s, %v", out, err)
	}
}

// TestAProgramThatIsNotRedirectedStartsOnceMore: one that takes LD_PRELOAD out of its environment
// does not load the library.
func TestAProgramThatIsNotRedirectedStartsOnceMore(t *testing.T) {
	w := newWorld(t)
	s, hello := next(t, w.sessions, "session"), next(t, w.hellos, "hello")
	peer := job.Task{Role: subject.Task.Role, Index: 0}
	s.Spec(clusterspec.Spec{Generation: 1, Members: []clusterspec.Member{
		{Task: peer, Incarnation: 1, Address: "127.0.0.1:9", Witness: 9}, {Task: subject.Task, Incarnation: 1, Address: hello.Address, Witness: hello.Witness}}})
	s.Start(control.Start{Incarnation: 1, Generation: 1, Grace: time.Minute, Command: `echo "$TF_CONFIG" >>configs; echo step $(wc -l <configs)/2; exec env -u LD_PRELOAD sleep 1000000`,
		Cluster: clusterspec.Cluster{Leader: peer}})
	first, second := next(t, w.started, "start"), next(t, w.started, "second start")
	if second.Incarnation != first.Incarnation || second.PID == first.PID {
		t.Errorf("started %+v, then %+v", first, second)
	}
	for {
		p := next(t, w.peers, "report of a fallback")
		if p.Endpoints == job.EndpointsForward {
			if !strings.HasPrefix(p.Reason, "sleep does not load the library") {
				t.Errorf("reason %q", p.Reason)
			}
			break
		}
	}
	for next(t, w.progress, "step of the second start").Step != 2 {
	}
	b, err := os.ReadFile(filepath.Join(w.dir, "configs"))
	if err != nil {
		t.Fatal(err)
	}
	configs := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(configs) != 2 || !strings.Contains(configs[0], `"127.100.0.0:4","127.100.0.1:4"`) || !strings.Contains(configs[1], hello.Address) {
		t.Errorf("TF_CONFIG of the two starts: %q", configs)
	}
	s.Retire(control.Retire{Reason: "done", Grace: time.Minute})
	if code := w.code(); code != 0 {
		t.Errorf("agent's exit code: %d, want 0; stderr: %s", code, &w.stderr)
	}
	if left, err := filepath.Glob(filepath.Join(w.dir, "endpoints-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}
