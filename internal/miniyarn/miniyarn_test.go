package miniyarn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"tfos/internal/hadoop/rpc"
	"tfos/internal/hadoop/token"
	"tfos/internal/miniyarn"
	"tfos/internal/yarn"
	"tfos/internal/yarn/yarnrpc"
)

// lab is a cluster with a client. The test itself plays the masters, with the tokens that real
// processes were given.
type lab struct {
	t      *testing.T
	c      *miniyarn.Cluster
	client *yarnrpc.Client
	ctx    context.Context
	dir    string
}

func newLab(t *testing.T, o miniyarn.Options) *lab {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	o.Dir = t.TempDir()
	o.Logger = zaptest.NewLogger(t)
	if o.KillDelay == 0 {
		o.KillDelay = 50 * time.Millisecond
	}
	c, err := miniyarn.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- c.Run(context.Background()) }()
	l := &lab{t: t, c: c, ctx: ctx, dir: o.Dir, client: yarnrpc.NewClient(yarnrpc.Options{Addrs: []string{c.Addr()}}, as(c, "ann"))}
	t.Cleanup(func() {
		if err := errors.Join(l.client.Close(), c.Close(), <-ran); err != nil {
			t.Errorf("close: %v", err)
		}
		cancel()
		if left, err := os.ReadDir(filepath.Join(o.Dir, "nodes")); !os.IsNotExist(err) {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	return l
}

// as is how a user proves to be one.
func as(c *miniyarn.Cluster, user string) func() (token.Token, bool) {
	return func() (token.Token, bool) { return c.Token(user), true }
}

func mem(mib int64) yarn.Resource { return yarn.Resource{MemoryMiB: mib, VCores: 1} }

// eventually waits until ok holds.
func (l *lab) eventually(what string, ok func() bool) {
	l.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-l.ctx.Done():
			l.t.Fatalf("waited in vain: %s", what)
		}
	}
}

func (l *lab) fifo(name string) string {
	l.t.Helper()
	name = filepath.Join(l.t.TempDir(), name)
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		l.t.Fatal(err)
	}
	return name
}

// read reads what is written to a fifo until its last writer is gone.
func (l *lab) read(fifo string) []byte {
	l.t.Helper()
	type result struct {
		b   []byte
		err error
	}
	got := make(chan result, 1)
	go func() { b, err := os.ReadFile(fifo); got <- result{b, err} }()
	select {
	case r := <-got:
		if r.err != nil {
			l.t.Fatal(r.err)
		}
		return r.b
	case <-l.ctx.Done():
		l.t.Fatalf("nothing came through %s", fifo)
		return nil
	}
}

func (l *lab) submit(sub yarn.Submission) yarn.ApplicationID {
	l.t.Helper()
	n, err := l.client.NewApplication(l.ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	sub.ID, sub.Queue = n.ID, "default"
	if sub.Resource.IsZero() {
		sub.Resource = mem(256)
	}
	if err := l.client.Submit(l.ctx, sub); err != nil {
		l.t.Fatal(err)
	}
	return sub.ID
}

func (l *lab) report(id yarn.ApplicationID) yarn.Report {
	l.t.Helper()
	r, err := l.client.Report(l.ctx, id)
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

func (l *lab) state(id yarn.ApplicationID, want yarn.ApplicationState) yarn.Report {
	l.t.Helper()
	var r yarn.Report
	l.eventually(fmt.Sprintf("%s %s", id, want), func() bool { r = l.report(id); return r.State == want })
	return r
}

// master is an application whose process only waits; the test speaks for it.
type master struct {
	*lab
	id     yarn.ApplicationID
	creds  *token.Credentials
	leave  string // a fifo: the process ends with what is written here as its exit code
	tokens string // a fifo: the process's credentials
	rm     *yarnrpc.Master
	nodes  *yarnrpc.Nodes
	next   int32
	grants []yarn.Container
	done   map[yarn.ContainerID]yarn.ContainerStatus
}

func (l *lab) master(sub yarn.Submission) *master {
	l.t.Helper()
	m := &master{lab: l, tokens: l.fifo("tokens"), leave: l.fifo("leave")}
	sub.Launch.Command = []string{"cat container_tokens >" + m.tokens + "; read code <" + m.leave + `; exit \$code`}
	m.id = l.submit(sub)
	m.attempt()
	return m
}

// attempt takes over from a process that has just started.
func (m *master) attempt() {
	m.t.Helper()
	var err error
	if m.creds, err = token.Decode(m.read(m.tokens)); err != nil {
		m.t.Fatal(err)
	}
	t, ok := m.creds.OfKind(token.KindAMRM)
	if !ok {
		m.t.Fatal("no AMRMToken")
	}
	m.rm = yarnrpc.NewMaster(yarnrpc.Options{Addrs: []string{m.c.SchedulerAddr()}}, t)
	m.nodes = yarnrpc.NewNodes(yarnrpc.Options{})
	m.next, m.grants, m.done = 0, nil, map[yarn.ContainerID]yarn.ContainerStatus{}
	m.t.Cleanup(func() { m.rm.Close(); m.nodes.Close() })
}

func (m *master) register() yarn.Registered {
	m.t.Helper()
	r, err := m.rm.Register(m.ctx, yarn.Registration{Host: "h", Port: -1, TrackingURL: "http://h/"})
	if err != nil {
		m.t.Fatal(err)
	}
	m.nodes.SetTokens(r.NMTokens...)
	return r
}

func (m *master) heartbeat(req yarn.AllocateRequest) yarn.AllocateResponse {
	m.t.Helper()
	req.ResponseID = m.next
	resp, err := m.rm.Allocate(m.ctx, req)
	if err != nil {
		m.t.Fatal(err)
	}
	m.next = resp.ResponseID
	m.nodes.SetTokens(resp.NMTokens...)
	m.grants = append(m.grants, resp.Granted...)
	for _, st := range resp.Completed {
		m.done[st.ID] = st
	}
	return resp
}

// granted asks for n containers and waits for them.
func (m *master) granted(n int, r yarn.Resource) []yarn.Container {
	m.t.Helper()
	before := len(m.grants)
	m.heartbeat(yarn.AllocateRequest{Asks: []yarn.Ask{{ID: 1, Priority: 1, Resource: r, Count: n}}})
	m.eventually("containers", func() bool {
		if len(m.grants)-before >= n {
			return true
		}
		m.heartbeat(yarn.AllocateRequest{})
		return false
	})
	return m.grants[before:]
}

func (m *master) start(c yarn.Container, command string) {
	m.t.Helper()
	if err := m.nodes.Start(m.ctx, c, yarn.LaunchContext{Command: []string{command}}); err != nil {
		m.t.Fatal(err)
	}
}

func (m *master) ended(id yarn.ContainerID) yarn.ContainerStatus {
	m.t.Helper()
	m.eventually(id.String()+" complete", func() bool { m.heartbeat(yarn.AllocateRequest{}); _, ok := m.done[id]; return ok })
	return m.done[id]
}

func (m *master) exit(code string) {
	m.t.Helper()
	if err := os.WriteFile(m.leave, []byte(code+"\n"), 0); err != nil {
		m.t.Fatal(err)
	}
}

func TestApplicationFromSubmissionToEnd(t *testing.T) {
	l := newLab(t, miniyarn.Options{Nodes: []miniyarn.NodeOptions{{Capacity: mem(2048)}, {Host: "127.0.0.2", Capacity: yarn.Resource{MemoryMiB: 2048, VCores: 4}}}})
	var creds token.Credentials
	creds.AddSecret("s", token.Secret("xyz"))
	m := l.master(yarn.Submission{Name: "n", Type: "TFOS", Tags: []string{"a"}, Launch: yarn.LaunchContext{Tokens: creds.EncodeProtobuf()}})
	if s, ok := m.creds.Secret("s"); !ok || string(s) != "xyz" {
		t.Error("the submission's own credentials are not there")
	}
	if r := l.report(m.id); r.State != yarn.StateAccepted || r.User != "ann" || r.Name != "n" {
		t.Errorf("before registration: %+v", r)
	}
	reg := m.register()
	if reg.Queue != "default" || reg.Max.MemoryMiB != 2048 {
		t.Errorf("registered: %+v", reg)
	}
	if r := l.report(m.id); r.State != yarn.StateRunning || r.OriginalURL != "http://h/" {
		t.Errorf("after registration: %+v", r)
	}
	cs := m.granted(3, mem(512))
	m.start(cs[0], "echo hello >'<LOG_DIR>/stdout'; cat container_tokens >'<LOG_DIR>/tokens'")
	m.start(cs[1], "echo boom >'<LOG_DIR>/stderr'; exit 3")
	if st := m.ended(cs[0].ID); st.ExitStatus != 0 {
		t.Errorf("%+v", st)
	}
	if st := m.ended(cs[1].ID); st.ExitStatus != 3 || !strings.Contains(st.Diagnostics, "boom") {
		t.Errorf("%+v", st)
	}
	if b, err := os.ReadFile(filepath.Join(l.c.LogDir(cs[0].ID), "stdout")); err != nil || string(b) != "hello\n" {
		t.Errorf("log %q, %v", b, err)
	}
	if b, err := os.ReadFile(filepath.Join(l.c.LogDir(cs[0].ID), "tokens")); err != nil || strings.Contains(string(b), token.KindAMRM) {
		t.Errorf("a task holds its master's token, or %v", err)
	}
	up := l.fifo("up")
	m.start(cs[2], "trap '' TERM; echo up >"+up+"; while :; do sleep 100; done")
	l.read(up)
	if err := m.rm.Finish(l.ctx, yarn.FinalSucceeded, "well done", ""); err != nil {
		t.Fatal(err)
	}
	if r := l.report(m.id); r.State != yarn.StateFinished || r.Final != yarn.FinalSucceeded || r.Diagnostics != "well done" || r.Containers != 2 {
		t.Errorf("finished: %+v", r)
	}
	m.exit("0")
	l.eventually("the nodes are empty", func() bool {
		nodes, err := l.client.Nodes(l.ctx)
		if err != nil {
			t.Fatal(err)
		}
		return !slices.ContainsFunc(nodes, func(n yarn.NodeReport) bool { return n.Containers > 0 })
	})
	l.eventually("the directories are gone", func() bool {
		left, err := filepath.Glob(filepath.Join(l.dir, "nodes/*/usercache/*/appcache/*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(left) == 0
	})
	if _, err := m.rm.Allocate(l.ctx, yarn.AllocateRequest{ResponseID: m.next}); !errors.Is(err, yarn.ErrAttemptGone) {
		t.Errorf("heartbeat after the end: %v", err)
	}
}

func TestStopSignalAndStatus(t *testing.T) {
	l := newLab(t, miniyarn.Options{})
	m := l.master(yarn.Submission{})
	m.register()
	cs := m.granted(2, mem(256))
	up := l.fifo("up")
	m.start(cs[0], "trap 'exit 9' QUIT; echo up >"+up+"; while :; do sleep 0.01; done")
	l.read(up)
	sts, err := m.nodes.Statuses(l.ctx, cs[0].Node, cs[0].ID)
	if err != nil || len(sts) != 1 || sts[0].State != yarn.ContainerRunning {
		t.Errorf("%+v, %v", sts, err)
	}
	if err := m.nodes.Signal(l.ctx, cs[0].Node, cs[0].ID, yarn.SignalThreadDump); err != nil {
		t.Error(err)
	}
	if st := m.ended(cs[0].ID); st.ExitStatus != 9 {
		t.Errorf("%+v", st)
	}
	if err := m.nodes.Signal(l.ctx, cs[0].Node, cs[0].ID, yarn.SignalForceful); err != nil {
		t.Errorf("signal after the end: %v", err)
	}
	m.start(cs[1], "exec sleep 100")
	if err := m.nodes.Stop(l.ctx, cs[1].Node, cs[1].ID); err != nil {
		t.Error(err)
	}
	if st := m.ended(cs[1].ID); st.ExitStatus != yarn.ExitKilledByAM {
		t.Errorf("%+v", st)
	}
	_, err = m.nodes.Statuses(l.ctx, cs[0].Node, yarn.ContainerID{Attempt: cs[0].ID.Attempt, ID: 77})
	var refused *yarnrpc.ContainerError
	if !errors.As(err, &refused) {
		t.Errorf("status of nobody: %v", err)
	}
}

func TestStartIsRefused(t *testing.T) {
	l := newLab(t, miniyarn.Options{})
	m := l.master(yarn.Submission{})
	m.register()
	other := l.master(yarn.Submission{})
	other.register()
	cs := m.granted(3, mem(128))
	foreign := other.granted(1, mem(128))[0]
	m.start(cs[0], "true")
	forged := cs[1]
	forged.Token.Identifier = slices.Clone(forged.Token.Identifier)
	forged.Token.Identifier[len(forged.Token.Identifier)-1] ^= 1
	m.heartbeat(yarn.AllocateRequest{Releases: []yarn.ContainerID{cs[2].ID}})
	for name, x := range map[string]struct {
		c   yarn.Container
		err error
	}{
		"twice":    {cs[0], yarn.ErrInvalidContainer},
		"forged":   {forged, yarn.ErrUnauthorized},
		"released": {cs[2], yarn.ErrInvalidContainer},
		"foreign":  {foreign, yarn.ErrUnauthorized},
	} {
		if err := m.nodes.Start(l.ctx, x.c, yarn.LaunchContext{Command: []string{"true"}}); !errors.Is(err, x.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := m.rm.Allocate(l.ctx, yarn.AllocateRequest{ResponseID: m.next, Releases: []yarn.ContainerID{foreign.ID}}); !errors.Is(err, rpc.ErrInvalidRelease) {
		t.Errorf("released another application's container: %v", err)
	}
	if err := m.nodes.Stop(l.ctx, foreign.Node, foreign.ID); err == nil {
		t.Error("stopped another application's container")
	}
	if err := m.nodes.Start(l.ctx, cs[1], yarn.LaunchContext{Command: []string{"true"}, Tokens: []byte("rubbish")}); err == nil {
		t.Error("started with rubbish for credentials")
	}
}

// What protects the ports: a name alone opens neither, and neither does a token that was not issued
// here.
func TestPortsWantTokens(t *testing.T) {
	l := newLab(t, miniyarn.Options{})
	m := l.master(yarn.Submission{})
	m.register()
	c := m.granted(1, mem(128))[0]
	for protocol, addr := range map[string]string{
		"org.apache.hadoop.yarn.api.ApplicationMasterProtocolPB":   l.c.SchedulerAddr(),
		"org.apache.hadoop.yarn.api.ContainerManagementProtocolPB": c.Node.String(),
	} {
		simple := rpc.NewClient(rpc.Options{Protocol: protocol, Addrs: []string{addr}, User: "ann"})
		err := simple.Call(l.ctx, "allocate", nil, nil)
		var remote *rpc.RemoteError
		if !errors.As(err, &remote) || !errors.Is(err, rpc.ErrAccessDenied) {
			t.Errorf("%s under SIMPLE: %v", protocol, err)
		}
		simple.Close()
	}
	good, _ := m.creds.OfKind(token.KindAMRM)
	for name, change := range map[string]func(*token.Token){
		"wrong password":    func(t *token.Token) { t.Password = token.Secret("x") },
		"unknown attempt":   func(t *token.Token) { t.Identifier = identifier(yarn.AttemptID{Attempt: 9}) },
		"other's container": func(t *token.Token) { t.Identifier = c.Token.Identifier; t.Password = c.Token.Password },
		"rubbish":           func(t *token.Token) { t.Identifier = []byte{0xff} },
	} {
		bad := good
		change(&bad)
		rm := yarnrpc.NewMaster(yarnrpc.Options{Addrs: []string{l.c.SchedulerAddr()}}, bad)
		if _, err := rm.Register(l.ctx, yarn.Registration{}); err == nil {
			t.Errorf("%s: let in", name)
		}
		rm.Close()
	}
}

func identifier(id yarn.AttemptID) []byte {
	b, err := yarnrpc.MasterTokenID{Attempt: id}.Marshal()
	if err != nil {
		panic(err)
	}
	return b
}

func TestMasterFails(t *testing.T) {
	l := newLab(t, miniyarn.Options{})
	id := l.submit(yarn.Submission{Launch: yarn.LaunchContext{Command: []string{"echo no luck >'<LOG_DIR>/am.stderr'; exit 5"}}})
	r := l.state(id, yarn.StateFailed)
	if r.Final != yarn.FinalFailed || r.Attempt.Attempt != 2 || !strings.Contains(r.Diagnostics, "failed 2 times") ||
		!strings.Contains(r.Diagnostics, "exitCode: 5") || !strings.Contains(r.Diagnostics, "no luck") {
		t.Errorf("%+v", r)
	}
	missing := yarn.LaunchContext{Command: []string{"true"}, Files: map[string]yarn.LocalResource{"f": {URI: "file:///no/such/file", ModTime: time.UnixMilli(1), Visibility: yarn.Private}}}
	r = l.state(l.submit(yarn.Submission{MaxAttempts: 1, Launch: missing}), yarn.StateFailed)
	if !strings.Contains(r.Diagnostics, "exitCode: -1000") || !strings.Contains(r.Diagnostics, "does not exist") {
		t.Errorf("%+v", r)
	}
}

func TestSecondAttemptKeepsContainers(t *testing.T) {
	l := newLab(t, miniyarn.Options{})
	m := l.master(yarn.Submission{KeepContainers: true})
	m.register()
	c := m.granted(1, mem(128))[0]
	up, stay := l.fifo("up"), l.fifo("stay")
	m.start(c, "echo up >"+up+"; read code <"+stay+`; exit \$code`)
	l.read(up)
	first := m.rm
	m.exit("1")
	m.attempt()
	if _, err := first.Allocate(l.ctx, yarn.AllocateRequest{ResponseID: 1}); !errors.Is(err, yarn.ErrAttemptGone) {
		t.Errorf("the first attempt's heartbeat: %v", err)
	}
	reg := m.register()
	if len(reg.Kept) != 1 || reg.Kept[0].ID != c.ID {
		t.Fatalf("%+v", reg)
	}
	if sts, err := m.nodes.Statuses(l.ctx, c.Node, c.ID); err != nil || len(sts) != 1 || sts[0].State != yarn.ContainerRunning {
		t.Errorf("%+v, %v", sts, err)
	}
	if err := os.WriteFile(stay, []byte("4\n"), 0); err != nil {
		t.Fatal(err)
	}
	if st := m.ended(c.ID); st.ExitStatus != 4 {
		t.Errorf("%+v", st)
	}
}

func TestKill(t *testing.T) {
	l := newLab(t, miniyarn.Options{})
	m := l.master(yarn.Submission{})
	m.register()
	c := m.granted(1, mem(128))[0]
	name := l.fifo("open")
	m.start(c, "exec 3>"+name+"; while :; do sleep 100; done")
	held, err := os.Open(name) // once the container has opened it
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := l.client.Kill(l.ctx, m.id, "enough"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(held); err != nil { // until nobody holds it: all processes are gone
		t.Error(err)
	}
	if r := l.report(m.id); r.State != yarn.StateKilled || r.Final != yarn.FinalKilled || !strings.Contains(r.Diagnostics, "enough") {
		t.Errorf("%+v", r)
	}
	if _, err := m.rm.Allocate(l.ctx, yarn.AllocateRequest{ResponseID: m.next}); !errors.Is(err, yarn.ErrAttemptGone) {
		t.Errorf("heartbeat after the kill: %v", err)
	}
}

func TestLostNodeAndRestartedResourceManager(t *testing.T) {
	l := newLab(t, miniyarn.Options{Nodes: []miniyarn.NodeOptions{{Capacity: mem(512)}, {Host: "127.0.0.2", Capacity: mem(512)}}})
	m := l.master(yarn.Submission{})
	m.register()
	c := m.granted(1, mem(512))[0]
	m.start(c, "exec sleep 100")
	if err := l.c.DropNode(c.Node); err != nil {
		t.Fatal(err)
	}
	if st := m.ended(c.ID); st.ExitStatus != yarn.ExitAborted {
		t.Errorf("%+v", st)
	}
	if err := l.c.DropNode(c.Node); err == nil {
		t.Error("dropped twice")
	}
	m.nodes.Forget(c.Node)
	if err := l.c.StartNode(c.Node); err != nil {
		t.Fatal(err)
	}
	again := m.granted(1, mem(512))[0]
	if again.Node != c.Node {
		t.Fatalf("granted %+v", again)
	}
	if err := m.nodes.Start(l.ctx, c, yarn.LaunchContext{Command: []string{"true"}}); !errors.Is(err, yarn.ErrInvalidContainer) {
		t.Errorf("start of a container that was lost: %v", err)
	}
	m.start(again, "exec sleep 100")
	l.eventually("it runs", func() bool { return l.running(again) })
	l.c.RestartResourceManager()
	if _, err := m.rm.Allocate(l.ctx, yarn.AllocateRequest{ResponseID: m.next}); !errors.Is(err, yarn.ErrNotRegistered) {
		t.Fatalf("heartbeat after the restart: %v", err)
	}
	m.next = 0
	if reg := m.register(); len(reg.Kept) != 1 || reg.Kept[0].ID != again.ID {
		t.Errorf("%+v", reg)
	}
	m.heartbeat(yarn.AllocateRequest{})
	if err := l.c.StopNode(again.Node); err != nil {
		t.Fatal(err)
	}
	if resp := m.heartbeat(yarn.AllocateRequest{}); len(resp.Nodes) != 1 || resp.Nodes[0].State != yarn.NodeShutdown || len(resp.Completed) != 1 {
		t.Errorf("%+v", resp)
	}
	metrics, err := l.client.ClusterMetrics(l.ctx)
	if err != nil || metrics.Active != 1 || metrics.Shutdown != 1 {
		t.Errorf("%+v, %v", metrics, err)
	}
}

// running reports whether the ResourceManager knows that a container's processes run.
func (l *lab) running(c yarn.Container) bool {
	l.t.Helper()
	rs, err := l.client.Containers(l.ctx, c.ID.Attempt)
	if err != nil {
		l.t.Fatal(err)
	}
	return slices.ContainsFunc(rs, func(r yarn.ContainerReport) bool { return r.ID == c.ID && r.State == yarn.ContainerRunning })
}

func TestGrantsOnHeartbeat(t *testing.T) {
	l := newLab(t, miniyarn.Options{NodeHeartbeat: 10 * time.Millisecond})
	m := l.master(yarn.Submission{})
	m.register()
	c := m.granted(2, mem(128))[1]
	m.start(c, "true")
	if st := m.ended(c.ID); st.ExitStatus != 0 {
		t.Errorf("%+v", st)
	}
}

func TestQuestions(t *testing.T) {
	l := newLab(t, miniyarn.Options{CustomResources: []yarn.ResourceType{{Name: "yarn.io/gpu"}},
		Nodes: []miniyarn.NodeOptions{{Capacity: yarn.Resource{MemoryMiB: 1024, VCores: 4, Custom: map[string]int64{"yarn.io/gpu": 2}}}}})
	types, err := l.client.ResourceTypes(l.ctx)
	if err != nil || !slices.Contains(types, yarn.ResourceType{Name: "yarn.io/gpu"}) {
		t.Errorf("%v, %v", types, err)
	}
	if q, err := l.client.Queue(l.ctx, "default"); err != nil || !q.Running || q.Capacity != 1 {
		t.Errorf("%+v, %v", q, err)
	}
	if _, err := l.client.Queue(l.ctx, "nope"); !errors.Is(err, yarn.ErrUnknownQueue) {
		t.Errorf("unknown queue: %v", err)
	}
	if q, err := l.client.Queues(l.ctx); err != nil || len(q.Children) != 1 {
		t.Errorf("%+v, %v", q, err)
	}
	if _, err := l.client.Report(l.ctx, yarn.ApplicationID{Sequence: 9}); !errors.Is(err, yarn.ErrUnknownApplication) {
		t.Errorf("unknown application: %v", err)
	}
	a := l.submit(yarn.Submission{Type: "A", Tags: []string{"x"}, Launch: yarn.LaunchContext{Command: []string{"sleep 100"}}})
	b := l.submit(yarn.Submission{Type: "B", Launch: yarn.LaunchContext{Command: []string{"sleep 100"}}})
	for _, x := range []struct {
		q    yarn.ApplicationsQuery
		want []yarn.ApplicationID
	}{
		{yarn.ApplicationsQuery{}, []yarn.ApplicationID{a, b}},
		{yarn.ApplicationsQuery{Types: []string{"B"}}, []yarn.ApplicationID{b}},
		{yarn.ApplicationsQuery{Tags: []string{"x", "y"}}, []yarn.ApplicationID{a}},
		{yarn.ApplicationsQuery{States: []yarn.ApplicationState{yarn.StateFinished}}, nil},
	} {
		rs, err := l.client.Applications(l.ctx, x.q)
		var got []yarn.ApplicationID
		for _, r := range rs {
			got = append(got, r.ID)
		}
		if err != nil || !slices.Equal(got, x.want) {
			t.Errorf("%+v: %v, %v", x.q, got, err)
		}
	}
	n, err := l.client.NewApplication(l.ctx)
	if err != nil {
		t.Fatal(err)
	}
	evil := yarnrpc.NewClient(yarnrpc.Options{Addrs: []string{l.c.Addr()}}, as(l.c, "../../etc"))
	defer evil.Close()
	sub := yarn.Submission{ID: n.ID, Resource: mem(128), Launch: yarn.LaunchContext{Command: []string{"true"}}}
	if err := evil.Submit(l.ctx, sub); !errors.Is(err, yarn.ErrUnauthorized) {
		t.Errorf("a user's name that is a path: %v", err)
	}
}

// TestStrangersAreServedNothing comes as any user of the machine can: the ports are on loopback,
// and their numbers are no secret.
func TestStrangersAreServedNothing(t *testing.T) {
	l := newLab(t, miniyarn.Options{})
	m := l.master(yarn.Submission{Name: "mine"})
	other, err := miniyarn.New(miniyarn.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	forged := l.c.Token("ann")
	forged.Identifier = []byte("root")
	mine, ok := m.creds.OfKind(token.KindAMRM)
	if !ok {
		t.Fatal("no AMRMToken")
	}
	for name, shown := range map[string]token.Token{
		"a name": {}, "a forged name": forged, "another cluster's token": other.Token("ann"), "a master's token": mine,
	} {
		tok := func() (token.Token, bool) { return shown, !shown.IsZero() }
		client := yarnrpc.NewClient(yarnrpc.Options{Addrs: []string{l.c.Addr()}, User: "ann"}, tok)
		sub := yarn.Submission{ID: m.id, Name: "evil", Queue: "default", Resource: mem(128), Launch: yarn.LaunchContext{Command: []string{"true"}}}
		sub.ID.Sequence++
		_, errNew := client.NewApplication(l.ctx)
		_, errList := client.Applications(l.ctx, yarn.ApplicationsQuery{})
		_, errNodes := client.Nodes(l.ctx)
		for what, err := range map[string]error{
			"NewApplication": errNew, "Applications": errList, "Nodes": errNodes,
			"Submit": client.Submit(l.ctx, sub), "Kill": client.Kill(l.ctx, m.id, ""),
		} {
			if err == nil {
				t.Errorf("%s by %s was served", what, name)
			}
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		if name == "a master's token" { // its own port takes it
			continue
		}
		master := yarnrpc.NewMaster(yarnrpc.Options{Addrs: []string{l.c.SchedulerAddr()}, User: "ann"}, shown)
		if _, err := master.Register(l.ctx, yarn.Registration{Host: "h"}); err == nil {
			t.Errorf("Register by %s was served", name)
		}
		nodes := yarnrpc.NewNodes(yarnrpc.Options{User: "ann"})
		for _, n := range l.c.Nodes() {
			nodes.SetTokens(yarn.NMToken{Node: n, Token: shown})
			id := yarn.ContainerID{Attempt: yarn.AttemptID{Application: m.id, Attempt: 1}, ID: 1}
			grant := yarn.Container{ID: id, Node: n, Resource: mem(128), Token: shown}
			if err := nodes.Start(l.ctx, grant, sub.Launch); err == nil {
				t.Errorf("Start by %s was served", name)
			}
			if err := nodes.Stop(l.ctx, n, id); err == nil {
				t.Errorf("Stop by %s was served", name)
			}
		}
		if err := errors.Join(master.Close(), nodes.Close()); err != nil {
			t.Error(err)
		}
	}
	if r := l.report(m.id); r.State.Terminal() {
		t.Errorf("the job that was there: %v", r.State)
	}
	if all, err := l.client.Applications(l.ctx, yarn.ApplicationsQuery{}); err != nil || len(all) != 1 || all[0].User != "ann" {
		t.Errorf("applications %+v, %v", all, err)
	}
}

func TestWriteConf(t *testing.T) {
	l := newLab(t, miniyarn.Options{})
	dir := filepath.Join(t.TempDir(), "conf")
	if err := l.c.WriteConf(dir, "ann"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"core-site.xml": {"<name>fs.defaultFS</name>", "<value>file:///</value>"},
		"yarn-site.xml": {"<value>" + l.c.Addr() + "</value>", "<name>yarn.resourcemanager.scheduler.address</name>", "<value>" + l.c.SchedulerAddr() + "</value>"},
	} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(string(b), w) {
				t.Errorf("%s lacks %s: %s", name, w, b)
			}
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, miniyarn.TokenFile))
	if err != nil {
		t.Fatal(err)
	}
	creds, err := token.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := creds.For(token.KindRM, l.c.Addr()); !ok {
		t.Errorf("the credentials hold %s", creds)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 3 {
		t.Errorf("%v, %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v: others can read it", f.Name(), info.Mode(), err)
		}
	}
}

func TestLifeCycle(t *testing.T) {
	if _, err := miniyarn.New(miniyarn.Options{}); err == nil {
		t.Error("made without a directory")
	}
	c, err := miniyarn.New(miniyarn.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := c.Run(t.Context()); err != nil {
		t.Errorf("Run after Close: %v", err)
	}
	l := newLab(t, miniyarn.Options{})
	l.state(l.submit(yarn.Submission{MaxAttempts: 1, Launch: yarn.LaunchContext{Command: []string{"exit 1"}}}), yarn.StateFailed)
	if err := l.c.Run(t.Context()); err == nil {
		t.Error("ran twice")
	}
}
