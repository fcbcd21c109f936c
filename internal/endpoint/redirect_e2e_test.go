//go:build e2e

package endpoint_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tfos/internal/agent/port"
	"tfos/internal/endpoint"
)

// python runs testdata/client.py, which needs no packages. TFOS_PYTHON names another interpreter,
// as for all tests with this tag.
func python() string {
	if p := os.Getenv("TFOS_PYTHON"); p != "" {
		return p
	}
	return "python3"
}

// process is a client that is another program.
type process struct {
	t   testing.TB
	pid int
	w   io.Writer
	r   *bufio.Reader
	to  []int // the child to which requests go: of the program, of that child, and so on
}

func startProcess(t testing.TB, e *endpoint.Endpoints) *process {
	t.Helper()
	cmd := exec.Command(python(), "testdata/client.py")
	cmd.Env = e.Env(os.Environ())
	cmd.Stderr = t.Output()
	w, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.Close()
		dead := time.AfterFunc(wait, func() { cmd.Process.Kill() })
		defer dead.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the client: %v", err)
		}
	})
	return &process{t: t, pid: cmd.Process.Pid, w: w, r: bufio.NewReader(r)}
}

// answer is what the program says. Which of the fields, its functions op_… tell.
type answer struct {
	ID    int
	Error string
	Line  string
	OK    bool
	Count int
	tally
}

type args map[string]any

// do makes the program do something.
func (p *process) do(op string, a args) answer {
	p.t.Helper()
	p.ask(op, a)
	return p.answer(op)
}

func (p *process) ask(op string, a args) {
	p.t.Helper()
	request := args{"op": op}
	for k, v := range a {
		request[k] = v
	}
	for i := len(p.to) - 1; i >= 0; i-- {
		request = args{"op": "child", "id": p.to[i], "request": request}
	}
	b, err := json.Marshal(request)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.w.Write(append(b, '\n')); err != nil {
		p.t.Fatalf("%s: %v", op, err)
	}
}

func (p *process) answer(op string) (got answer) {
	p.t.Helper()
	b, err := p.r.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(b, &got)
	}
	if err != nil {
		p.t.Fatalf("%s: %v", op, err)
	}
	return got
}

// child is a process that this one starts, by fork or spawn.
func (p *process) child(how string) *process {
	p.t.Helper()
	id := p.do(how, nil).ID
	c := *p
	c.to = append(append([]int{}, p.to...), id)
	return &c
}

func (p *process) connect(addr string) (conn, error) {
	switch a := p.do("connect", args{"addr": addr}); a.Error {
	case "":
		return connected{p, a.ID}, nil
	case "ECONNREFUSED":
		return nil, errRefused
	default:
		return nil, fmt.Errorf("%w: %s", errReset, a.Error)
	}
}

func (p *process) many(addr string, n int) (cs []conn) {
	a := p.do("many", args{"addr": addr, "n": n})
	for i := range a.Count {
		cs = append(cs, connected{p, a.ID + i})
	}
	return cs
}

func (p *process) storm(addr string, threads, most int) func(string) tally {
	p.do("storm", args{"addr": addr, "threads": threads, "most": most})
	return func(name string) tally { return p.do("calm", args{"name": name}).tally }
}

// connected is a conn of a process.
type connected struct {
	p  *process
	id int
}

func (c connected) line() (string, error) {
	a := c.p.do("line", args{"id": c.id})
	if a.Error != "" {
		return "", errors.New(a.Error)
	}
	return a.Line, nil
}

func (c connected) echo(text string) (string, error) {
	a := c.p.do("echo", args{"id": c.id, "text": text})
	if a.Error != "" {
		return "", errors.New(a.Error)
	}
	return a.Line, nil
}

func (c connected) ended() bool { return c.p.do("ended", args{"id": c.id}).OK }

// large is for tests of redirect. TFOS_RACE_ROUNDS=200 races 100,000 connections.
func large() scale {
	s := scale{connections: 3000, rounds: 20, tasks: 199}
	if n, err := strconv.Atoi(os.Getenv("TFOS_RACE_ROUNDS")); err == nil {
		s.rounds = n
	}
	return s
}

// redirected is a rig of redirect and a program that uses it.
func redirected(t testing.TB, port int) (*rig, *process) {
	t.Helper()
	e := startRedirect(t, port)
	p := startProcess(t, e)
	return &rig{endpoints: e, client: p}, p
}

func TestRedirectKeepsTheContract(t *testing.T) {
	contract(t, large(), func(t *testing.T) *rig {
		r, _ := redirected(t, 0)
		return r
	})
}

func TestForwardKeepsTheContractForPrograms(t *testing.T) {
	contract(t, scale{connections: 2000, rounds: 6, tasks: 199}, func(t *testing.T) *rig {
		e := startForward(t)
		return &rig{endpoints: e, client: startProcess(t, e)}
	})
}

func TestRedirectCoversThePython(t *testing.T) {
	r, p := redirected(t, 0)
	p.do("threads", nil) // it runs
	if b := r.endpoints.Look(p.pid); b != (endpoint.Bare{}) {
		t.Errorf("the client is %+v", b)
	}
}

// TestAShellThatBecomesAStaticProgram has the library, then has not, in one process.
func TestAShellThatBecomesAStaticProgram(t *testing.T) {
	dir := t.TempDir()
	source, static := filepath.Join(dir, "main.go"), filepath.Join(dir, "static")
	if err := os.WriteFile(source, []byte("package main\n\nimport \"os\"\n\nfunc main() { println(\"here\"); os.Stdin.Read(make([]byte, 1)) }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", static, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	e := startRedirect(t, 0)
	for name, c := range map[string]struct{ command, why string }{
		"static":      {`exec "$0"`, "it is statically linked"},
		"unset":       {"exec env -u LD_PRELOAD /bin/bash -c 'echo here >&2; read -r'", "LD_PRELOAD"},
		"cleared":     {"exec env -i /bin/bash -c 'echo here >&2; read -r'", ""},
		"forked":      {"(echo here $BASHPID >&2; read -r <&3); exit", ""},
		"a new shell": {"exec /bin/bash -c 'echo here >&2; read -r'", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := exec.Command("/bin/bash", "-c", "exec 3<&0; echo first >&2; read -r; "+c.command, static)
			p.Env = e.Env(os.Environ())
			in, err := p.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			said, err := p.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { in.Close(); p.Wait() }()
			lines := bufio.NewReader(said)
			hear := func(want string) (rest string) {
				line, err := lines.ReadString('\n')
				rest, ok := strings.CutPrefix(strings.TrimSpace(line), want)
				if err != nil || !ok {
					t.Fatalf("it said %q, %v", line, err)
				}
				return strings.TrimSpace(rest)
			}
			hear("first")
			if b := e.Look(p.Process.Pid); b != (endpoint.Bare{}) {
				t.Errorf("the shell is %+v", b)
			}
			io.WriteString(in, "\n")
			pid := p.Process.Pid
			if child, err := strconv.Atoi(hear("here")); err == nil {
				pid = child
			}
			b := e.Look(pid)
			if bare := c.why != ""; b.Sure != bare || !strings.HasPrefix(b.Why, c.why) {
				t.Errorf("what it became is %+v", b)
			}
		})
	}
}

// TestRedirectOfEveryKindOfSocket: TensorFlow's are non-blocking, and of IPv6 with a mapped
// address.
func TestRedirectOfEveryKindOfSocket(t *testing.T) {
	r, p := redirected(t, 0)
	a, b := serve(t, "a"), serve(t, "b")
	r.move(t, a.addr())
	for _, addr := range []string{r.ps(t), "[::ffff:127.101.0.0]:4"} {
		for _, blocking := range []bool{true, false} {
			got := p.do("connect", args{"addr": addr, "blocking": blocking})
			if got.Error != "" && got.Error != "EINPROGRESS" {
				t.Fatalf("connect to %s: %s", addr, got.Error)
			}
			c := connected{p, got.ID}
			if line, err := c.line(); line != "a" || err != nil {
				t.Errorf("%s: connected to %q, %v", addr, line, err)
			}
			if peer := p.do("peer", args{"id": got.ID}).Line; !strings.HasSuffix(peer, a.addr()) {
				t.Errorf("%s: the connection goes to %s", addr, peer)
			}
			r.move(t, b.addr())
			if !c.ended() {
				t.Errorf("%s goes on", addr)
			}
			r.move(t, a.addr())
		}
	}
	if got := p.do("udp", args{"addr": r.ps(t)}).Line; got != r.ps(t) {
		t.Errorf("UDP was led to %s", got)
	}
	if got := p.do("connect", args{"addr": b.addr()}); got.Error != "" {
		t.Errorf("a real address: %s", got.Error)
	} else if line, _ := (connected{p, got.ID}).line(); line != "b" {
		t.Errorf("a real address led to %q", line)
	}
}

// TestRedirectResetsWhatHangs: a sender whose buffers are full, and a connection that nobody
// accepts.
func TestRedirectResetsWhatHangs(t *testing.T) {
	r, p := redirected(t, 0)
	mute := startServer(t, &server{name: "mute", mute: true, holder: ps0})
	r.move(t, mute.addr())
	c := r.reaches(t, "mute").(connected)
	if n := p.do("fill", args{"id": c.id}).Count; n == 0 {
		t.Fatal("nothing could be sent")
	}
	r.move(t, "")
	if got := p.do("writable", args{"id": c.id}); !got.OK || got.Error == "" {
		t.Errorf("a sender with full buffers: %+v", got)
	}

	r.move(t, listenOne(t))
	pending := p.do("connect", args{"addr": r.ps(t), "blocking": false})
	if pending.Error != "EINPROGRESS" || p.do("ended", args{"id": pending.ID, "wait": 0.1}).OK {
		t.Fatalf("a connection that nobody accepts: %+v", pending)
	}
	s := serve(t, "a")
	r.move(t, s.addr())
	if !(connected{p, pending.ID}).ended() {
		t.Error("a connection under way to the old target goes on")
	}
	if n := r.counters(); n.Resets != 2 {
		t.Errorf("counted %+v, want 2 resets", n)
	}
}

// TestRedirectAnswersASecondConnect: a program that asks by a second connect how the first got on
// is not told of the new target.
func TestRedirectAnswersASecondConnect(t *testing.T) {
	r, p := redirected(t, 0)
	r.move(t, listenOne(t))
	pending := p.do("connect", args{"addr": r.ps(t), "blocking": false})
	if got := p.do("again", args{"id": pending.ID, "addr": r.ps(t)}).Error; got != "EALREADY" {
		t.Fatalf("while it is under way: %q", got)
	}
	a, b := serve(t, "a"), serve(t, "b")
	r.move(t, a.addr())
	for range 10 { // until it is told that the first is over, and another is through
		got := p.do("again", args{"id": pending.ID, "addr": r.ps(t)}).Error
		if got == "" || got == "EISCONN" {
			break
		}
	}
	c := connected{p, pending.ID}
	if line, err := c.line(); line != "a" && err == nil {
		t.Errorf("connected to %q", line)
	}
	r.move(t, b.addr())
	if !c.ended() {
		t.Error("it goes on")
	}
}

// TestRedirectSparesOthers: the number of a connection that the program closed belongs to something
// else now.
func TestRedirectSparesOthers(t *testing.T) {
	r, p := redirected(t, 0)
	a := serve(t, "a")
	r.move(t, a.addr())
	c := r.reaches(t, "a").(connected)
	if !p.do("reuse", args{"id": c.id}).OK {
		t.Fatal("the number was not taken again")
	}
	later := r.reaches(t, "a")
	r.move(t, "")
	if !later.ended() { // then the thread has been through
		t.Error("a connection goes on")
	}
	if !p.do("pair", args{"id": c.id}).OK {
		t.Error("what has the number now was reset")
	}
}

// TestRedirectInChildren: of fork, which has the parent's connections too, and of another program.
func TestRedirectInChildren(t *testing.T) {
	r, p := redirected(t, 0)
	a, b := serve(t, "a"), serve(t, "b")
	r.move(t, a.addr())
	inherited := r.reaches(t, "a").(connected)
	for _, how := range []string{"fork", "spawn"} {
		child := p.child(how)
		grandchild := child.child("fork")
		var cs []conn
		for _, q := range []*process{p, child, grandchild} {
			c := (&rig{endpoints: r.endpoints, client: q}).reaches(t, "a")
			cs = append(cs, c)
		}
		if how == "fork" {
			cs = append(cs, connected{child, inherited.id}, inherited)
			if n := child.do("threads", nil).Count; n != 2 {
				t.Errorf("a forked child that connected has %d threads, want its own and the library's", n)
			}
		}
		r.move(t, b.addr())
		for i, c := range cs {
			if !c.ended() {
				t.Errorf("%s: connection %d goes on", how, i)
			}
		}
		for _, q := range []*process{p, child, grandchild} {
			(&rig{endpoints: r.endpoints, client: q}).reaches(t, "b")
		}
		r.move(t, a.addr())
	}
}

// TestRedirectStartsNoThreadForNothing: most programs of a task never connect to a peer.
func TestRedirectStartsNoThreadForNothing(t *testing.T) {
	r, p := redirected(t, 0)
	s := serve(t, "a")
	p.do("connect", args{"addr": s.addr()})
	r.move(t, "")
	r.refuses(t)
	if n := p.do("threads", nil).Count; n != 1 {
		t.Errorf("%d threads before any connection to a peer", n)
	}
}

// TestRedirectGivesTheTaskItsPort: whoever binds the task's own address listens on the port that
// the agent holds, and believes to have the virtual one.
func TestRedirectGivesTheTaskItsPort(t *testing.T) {
	held, err := port.Hold(port.ReusePort)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	r, p := redirected(t, held.Number)
	r.move(t, "")
	for _, addr := range []string{"0.0.0.0:4", "127.100.0.0:4", "[::]:4", "[::ffff:0.0.0.0]:4", "127.0.0.1:4", "[::ffff:127.0.0.1]:4"} {
		l := p.do("listen", args{"addr": addr})
		if l.Error != "" || l.Line != "4" || l.Count != 4 {
			t.Errorf("bind %s: %+v, want to be told of port 4", addr, l)
			continue
		}
		c, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(held.Number)), wait)
		if err != nil {
			t.Errorf("bind %s: %v", addr, err)
			continue
		}
		accepted := p.do("accept", args{"id": l.ID})
		if line, err := bufio.NewReader(c).ReadString('\n'); line != "task\n" {
			t.Errorf("bind %s: connected to %q, %v", addr, line, err)
		}
		c.Close()
		p.do("reuse", args{"id": accepted.ID})
		p.do("reuse", args{"id": l.ID})
	}
	if got := p.do("listen", args{"addr": "0.0.0.0:0"}); got.Error != "" || got.Line == "4" {
		t.Errorf("another port: %+v", got)
	}
	if got := p.do("listen", args{"addr": "127.101.0.0:4"}); got.Error == "" && got.Line != "4" {
		t.Errorf("a peer's address was moved: %+v", got)
	}
}

// TestTheTasksOwnPortByOtherNames: a program finds its own server at each address of its node, as
// health checks and the dispatcher of tf.data's service do it.
func TestTheTasksOwnPortByOtherNames(t *testing.T) {
	held, err := port.Hold(port.ReusePort)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	r, p := redirected(t, held.Number)
	if err := r.endpoints.Update(t.Context(), spec(1, 1, "")); err != nil {
		t.Fatal(err)
	}
	_, elsewhere := redirected(t, 0) // of a task that holds no port
	l := p.do("listen", args{"addr": "[::]:4"})
	names := []string{"127.0.0.1:4", "[::1]:4", "[::ffff:127.0.0.1]:4", "127.9.9.9:4", "0.0.0.0:4"}
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLinkLocalUnicast() {
			names = append(names, net.JoinHostPort(ip.IP.String(), "4"))
		}
	}
	for _, name := range names {
		c := p.do("connect", args{"addr": name})
		if c.Error != "" {
			t.Errorf("%s: %s", name, c.Error)
			continue
		}
		p.do("accept", args{"id": l.ID})
		if got := p.do("line", args{"id": c.ID}); got.Line != "task" {
			t.Errorf("%s leads to %+v", name, got)
		}
		if got := elsewhere.do("connect", args{"addr": name}); got.Error != "ECONNREFUSED" {
			t.Errorf("%s, for a task that has no port: %+v", name, got)
		}
	}
	if got := p.do("connect", args{"addr": "127.0.0.1:9"}); got.Error != "ECONNREFUSED" {
		t.Errorf("another port: %+v", got)
	}
}

// TestAnotherPortOfAPeer is on the peer's node: a profiler, or metrics. A peer that is nowhere has
// none.
func TestAnotherPortOfAPeer(t *testing.T) {
	r, p := redirected(t, 0)
	s, other := serve(t, "a"), serve(t, "metrics")
	r.move(t, s.addr())
	host, _, err := net.SplitHostPort(r.ps(t))
	if err != nil {
		t.Fatal(err)
	}
	_, number, err := net.SplitHostPort(other.addr())
	if err != nil {
		t.Fatal(err)
	}
	at := net.JoinHostPort(host, number)
	c := p.do("connect", args{"addr": at})
	if got := p.do("line", args{"id": c.ID}); got.Line != "metrics" {
		t.Errorf("%s: %+v, %+v", at, c, got)
	}
	if got := p.do("peer", args{"id": c.ID}).Line; got != other.addr() {
		t.Errorf("%s leads to %s", at, got)
	}
	r.move(t, "")
	if got := p.do("connect", args{"addr": at}); got.Error != "ECONNREFUSED" {
		t.Errorf("when the peer is nowhere: %+v", got)
	}
}

// TestAPeersHostHasTheNameOfItsNode, and the task's own has too: whoever compares it with the name
// of his own host finds them the same.
func TestAPeersHostHasTheNameOfItsNode(t *testing.T) {
	r, p := redirected(t, 0)
	s := serve(t, "a")
	r.move(t, s.addr())
	here := p.do("names", args{"host": "127.0.0.1"})
	host, _, err := net.SplitHostPort(r.ps(t))
	if err != nil || here.Error != "" {
		t.Fatal(err, here.Error)
	}
	want := strings.ReplaceAll(here.Line, "127.0.0.1", host)
	if got := p.do("names", args{"host": host}); got.Line != want {
		t.Errorf("%s is %q, %s, want %q", host, got.Line, got.Error, want)
	}
	r.move(t, "")
	if got := p.do("names", args{"host": host}); got.Error == "" && got.Line == want {
		t.Errorf("of a peer that is nowhere: %q", got.Line)
	}
}

// TestChildrenWithAnEnvironmentOfTheirOwn reach the peers, unless the program has taken the library
// from them, and nothing else.
func TestChildrenWithAnEnvironmentOfTheirOwn(t *testing.T) {
	r, p := redirected(t, 0)
	s := serve(t, "a")
	r.move(t, s.addr())
	for _, how := range []string{"subprocess", "empty", "PATH", "env -i", "execv", "execvp", "posix_spawn"} {
		if got := p.do("bare", args{"how": how, "addr": r.ps(t)}); got.Line != "a" {
			t.Errorf("%s: %q, %s", how, got.Line, got.Error)
		}
	}
	if got := p.do("bare", args{"how": "unset", "addr": r.ps(t)}); got.Error != "ECONNREFUSED" {
		t.Errorf("without LD_PRELOAD: %q, %s", got.Line, got.Error)
	}
}

// TestLibraryIsWhatTheCompilerMakes builds it again. Another compiler makes other bytes; then the
// tests of what is in the one committed have to do.
func TestLibraryIsWhatTheCompilerMakes(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("./build", dir).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	made, err := os.ReadDir(dir)
	if err != nil || len(made) == 0 {
		t.Fatalf("build made nothing: %v", err)
	}
	for _, f := range made {
		compareBuilds(t, "preload/"+f.Name(), dir+"/"+f.Name())
	}
}

// BenchmarkReset is the time from a move to the end of the old connection, as a program tells it.
func BenchmarkReset(b *testing.B) {
	b.Run("redirect", func(b *testing.B) {
		r, _ := redirected(b, 0)
		measureResets(b, r)
	})
	b.Run("forward", func(b *testing.B) {
		e := startForward(b)
		measureResets(b, &rig{endpoints: e, client: startProcess(b, e)})
	})
}

// BenchmarkConnect is the time from a connect to the first line that comes, as a program sees it:
// with the target's proof, and without.
func BenchmarkConnect(b *testing.B) {
	s := serve(b, "a")
	connect := func(b *testing.B, p *process, addr string) {
		for b.Loop() {
			if a := p.do("visit", args{"addr": addr}); a.Error != "" {
				b.Fatal(a.Error)
			}
		}
	}
	b.Run("direct", func(b *testing.B) {
		_, p := redirected(b, 0)
		connect(b, p, s.addr())
	})
	b.Run("redirect", func(b *testing.B) {
		r, p := redirected(b, 0)
		r.move(b, s.addr())
		connect(b, p, r.ps(b))
	})
	b.Run("forward", func(b *testing.B) {
		r := &rig{endpoints: startForward(b)}
		r.move(b, s.addr())
		connect(b, startProcess(b, r.endpoints), r.ps(b))
	})
}

func measureResets(b *testing.B, r *rig) {
	var worst time.Duration
	s := serve(b, "a")
	for b.Loop() {
		b.StopTimer()
		r.move(b, s.addr())
		c := r.reaches(b, "a").(connected)
		c.p.ask("ended", args{"id": c.id})
		b.StartTimer()
		begin := time.Now()
		r.move(b, "")
		if !c.p.answer("ended").OK {
			b.Fatal("a connection goes on")
		}
		worst = max(worst, time.Since(begin))
	}
	b.ReportMetric(float64(worst.Microseconds())/1e3, "ms-worst")
}
