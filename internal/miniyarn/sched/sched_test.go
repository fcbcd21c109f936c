package sched

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tfos/internal/yarn"
)

var (
	t0   = time.UnixMilli(1_700_000_000_000)
	one  = yarn.NodeID{Host: "127.0.0.1", Port: 1}
	two  = yarn.NodeID{Host: "127.0.0.2", Port: 1}
	room = yarn.Resource{MemoryMiB: 4096, VCores: 8}
)

func mem(mib int64) yarn.Resource { return yarn.Resource{MemoryMiB: mib, VCores: 1} }

// world is a scheduler with what was decided so far.
type world struct {
	*Scheduler
	t       *testing.T
	now     time.Time
	actions []Action
}

func newWorld(t *testing.T, cfg Config, nodes ...yarn.NodeID) *world {
	w := &world{Scheduler: New(cfg), t: t, now: t0}
	for _, id := range nodes {
		w.did(w.AddNode(w.now, id, "", room))
	}
	return w
}

func (w *world) did(as []Action) { w.actions = append(w.actions, as...) }

// took returns the actions since the last call.
func (w *world) took() []Action {
	as := w.actions
	w.actions = nil
	return as
}

func (w *world) submit(sub yarn.Submission) yarn.AttemptID {
	w.t.Helper()
	sub.ID = w.NewApplication().ID
	as, err := w.Submit(w.now, sub, "ann")
	if err != nil {
		w.t.Fatalf("submit: %v", err)
	}
	w.did(as)
	return yarn.AttemptID{Application: sub.ID, Attempt: 1}
}

func (w *world) register(id yarn.AttemptID) yarn.Registered {
	w.t.Helper()
	reg, as, err := w.Register(w.now, id, yarn.Registration{Host: "h", Port: 7})
	if err != nil {
		w.t.Fatalf("register %s: %v", id, err)
	}
	w.did(as)
	return reg
}

// running submits an application and registers its master.
func (w *world) running(sub yarn.Submission) yarn.AttemptID {
	w.t.Helper()
	id := w.submit(sub)
	w.ContainerStarted(masterOf(id))
	w.register(id)
	return id
}

func (w *world) allocate(id yarn.AttemptID, req yarn.AllocateRequest) yarn.AllocateResponse {
	w.t.Helper()
	resp, as, err := w.Allocate(w.now, id, req)
	if err != nil {
		w.t.Fatalf("allocate: %v", err)
	}
	w.did(as)
	return resp
}

// granted asks, and returns the answer to the heartbeat after that.
func (w *world) granted(id yarn.AttemptID, req yarn.AllocateRequest) yarn.AllocateResponse {
	w.t.Helper()
	first := w.allocate(id, req)
	if len(first.Granted) > 0 {
		w.t.Errorf("granted in the answer to the ask: %+v", first.Granted)
	}
	return w.allocate(id, yarn.AllocateRequest{ResponseID: first.ResponseID})
}

func (w *world) completed(c yarn.ContainerID, on yarn.NodeID, exit yarn.ExitStatus) {
	w.did(w.ContainerCompleted(w.now, on, yarn.ContainerStatus{ID: c, State: yarn.ContainerComplete, ExitStatus: exit}))
}

func (w *world) report(id yarn.AttemptID) yarn.Report {
	w.t.Helper()
	r, err := w.Report(id.Application)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func masterOf(id yarn.AttemptID) yarn.ContainerID { return yarn.ContainerID{Attempt: id, ID: 1} }

func sub(keep bool) yarn.Submission { return yarn.Submission{Resource: mem(512), KeepContainers: keep} }

func TestResponseIDs(t *testing.T) {
	w := newWorld(t, Config{}, one)
	id := w.submit(sub(false))
	if _, _, err := w.Allocate(w.now, id, yarn.AllocateRequest{}); !errors.Is(err, yarn.ErrNotRegistered) {
		t.Fatalf("heartbeat before registration: %v", err)
	}
	if _, _, err := w.Finish(w.now, id, yarn.FinalSucceeded, "", ""); !errors.Is(err, yarn.ErrNotRegistered) {
		t.Fatalf("finish before registration: %v", err)
	}
	w.register(id)
	if _, _, err := w.Register(w.now, id, yarn.Registration{}); !errors.Is(err, yarn.ErrOutOfStep) {
		t.Fatalf("second registration: %v", err)
	}
	first := w.granted(id, yarn.AllocateRequest{Asks: []yarn.Ask{{ID: 1, Priority: 1, Resource: mem(256), Count: 2}}})
	if first.ResponseID != 2 || len(first.Granted) != 2 || len(first.NMTokens) != 1 {
		t.Fatalf("second heartbeat: %+v", first)
	}
	again := w.allocate(id, yarn.AllocateRequest{ResponseID: 1, Asks: []yarn.Ask{{ID: 1, Priority: 1, Resource: mem(256), Count: 5}}})
	if again.ResponseID != 2 || len(again.Granted) != 2 || again.Granted[0].ID != first.Granted[0].ID {
		t.Fatalf("a repeated heartbeat got %+v", again)
	}
	for i := int32(2); i < 4; i++ {
		if next := w.allocate(id, yarn.AllocateRequest{ResponseID: i}); len(next.Granted) != 0 || next.ResponseID != i+1 {
			t.Fatalf("the repeated heartbeat's asks were read: %+v", next)
		}
	}
	for _, wrong := range []int32{-1, 0, 2, 5, 100} {
		if _, _, err := w.Allocate(w.now, id, yarn.AllocateRequest{ResponseID: wrong}); !errors.Is(err, yarn.ErrOutOfStep) {
			t.Errorf("response id %d: %v", wrong, err)
		}
	}
	for i, want := range []bool{false, true, true} {
		done, as, err := w.Finish(w.now, id, yarn.FinalSucceeded, "well", "")
		w.did(as)
		if err != nil || done != want {
			t.Errorf("finish %d: %v, %v", i, done, err)
		}
	}
	for i := int32(4); i < 6; i++ {
		if late := w.allocate(id, yarn.AllocateRequest{ResponseID: i, Asks: []yarn.Ask{{Resource: mem(128), Count: 1}}}); len(late.Granted) != 0 {
			t.Errorf("granted after the end: %+v", late)
		}
	}
	if r := w.report(id); r.State != yarn.StateFinished || r.Final != yarn.FinalSucceeded || r.Diagnostics != "well" {
		t.Errorf("report %+v", r)
	}
	w.took()
	w.completed(masterOf(id), one, 0)
	if as := w.took(); len(as) != 1 || as[0] != (EndApplication{ID: id.Application}) {
		t.Errorf("after the master's exit: %v", as)
	}
	if _, _, err := w.Allocate(w.now, id, yarn.AllocateRequest{ResponseID: 6}); !errors.Is(err, yarn.ErrAttemptGone) {
		t.Errorf("heartbeat of an ended attempt: %v", err)
	}
	if _, _, err := w.Register(w.now, id, yarn.Registration{}); !errors.Is(err, yarn.ErrOutOfStep) {
		t.Errorf("registration of an ended attempt: %v", err)
	}
	if n := w.Nodes()[0]; !n.Used.IsZero() || n.Containers != 0 {
		t.Errorf("left on the node: %+v", n)
	}
}

func TestAsksAreAbsolute(t *testing.T) {
	w := newWorld(t, Config{OnHeartbeat: true}, one)
	id := w.submit(sub(false))
	w.did(w.NodeHeartbeat(w.now, one))
	w.register(id)
	w.allocate(id, yarn.AllocateRequest{Asks: []yarn.Ask{{ID: 1, Priority: 1, Resource: mem(256), Count: 9}, {ID: 2, Priority: 2, Resource: mem(300), Count: 1}}})
	w.allocate(id, yarn.AllocateRequest{ResponseID: 1, Asks: []yarn.Ask{{ID: 1, Priority: 1, Resource: mem(256), Count: 2}}})
	w.did(w.NodeHeartbeat(w.now, one))
	got := w.allocate(id, yarn.AllocateRequest{ResponseID: 2, Asks: []yarn.Ask{{ID: 1, Priority: 1, Count: 0}}}).Granted
	if len(got) != 3 || got[0].AskID != 1 || got[2].AskID != 2 || got[2].Resource.MemoryMiB != 384 {
		t.Errorf("granted %+v", got)
	}
}

func TestWhatCannotBeGrantedIsRefused(t *testing.T) {
	cfg := Config{Max: mem(2048), CustomResources: []yarn.ResourceType{{Name: "yarn.io/gpu"}}}
	w := newWorld(t, cfg)
	gpus := room
	gpus.Custom = map[string]int64{"yarn.io/gpu": 2}
	w.did(w.AddNode(t0, one, "", gpus))
	id := w.running(sub(false))
	for _, bad := range []yarn.Ask{
		{Resource: mem(2049), Count: 1},
		{Resource: yarn.Resource{MemoryMiB: 1, VCores: 99}, Count: 1},
		{Resource: yarn.Resource{MemoryMiB: -1, VCores: 1}, Count: 1},
		{Resource: yarn.Resource{MemoryMiB: 1, VCores: 1, Custom: map[string]int64{"yarn.io/gpu": 3}}, Count: 1},
		{Resource: mem(128), Count: -1},
		{Resource: mem(128), Count: 1, NodeLabel: "gpu"},
	} {
		good := yarn.Ask{ID: 1, Priority: 1, Resource: mem(128), Count: 1}
		if _, _, err := w.Allocate(t0, id, yarn.AllocateRequest{Asks: []yarn.Ask{good, bad}}); !errors.Is(err, yarn.ErrInvalidResource) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	// The refused requests left no trace, and a resource nobody counts is dropped.
	resp := w.granted(id, yarn.AllocateRequest{Asks: []yarn.Ask{{ID: 2, Priority: 1, Count: 1, Resource: yarn.Resource{
		MemoryMiB: 1, VCores: 1, Custom: map[string]int64{"yarn.io/gpu": 2, "acme.com/fpga": 1}}}}})
	if len(resp.Granted) != 1 || !resp.Granted[0].Resource.Equal(yarn.Resource{MemoryMiB: 128, VCores: 1, Custom: map[string]int64{"yarn.io/gpu": 2}}) {
		t.Errorf("granted %+v", resp.Granted)
	}
	if _, err := w.Submit(t0, yarn.Submission{ID: w.NewApplication().ID, Resource: mem(4000)}, "ann"); !errors.Is(err, yarn.ErrInvalidResource) {
		t.Errorf("too large a master: %v", err)
	}
}

func TestUnknownQueueFailsTheApplication(t *testing.T) {
	w := newWorld(t, Config{}, one)
	id := w.submit(yarn.Submission{Resource: mem(128), Queue: "nope"})
	if r := w.report(id); r.State != yarn.StateFailed || !strings.Contains(r.Diagnostics, "unknown queue: nope") {
		t.Errorf("report %+v", r)
	}
	if as := w.took(); len(as) != 0 {
		t.Errorf("actions %v", as)
	}
}

func TestMasterIsTriedAgain(t *testing.T) {
	for _, keep := range []bool{false, true} {
		w := newWorld(t, Config{}, one, two)
		first := w.running(sub(keep))
		got := w.granted(first, yarn.AllocateRequest{Asks: []yarn.Ask{{ID: 1, Priority: 1, Resource: mem(256), Count: 3}}}).Granted
		running, ended, idle := got[0], got[1], got[2]
		w.ContainerStarted(running.ID)
		w.ContainerStarted(ended.ID)
		w.completed(ended.ID, ended.Node, 3)
		w.took()
		w.completed(masterOf(first), w.findMaster(first), 1)
		second := yarn.AttemptID{Application: first.Application, Attempt: 2}
		as := w.took()
		stopped := func(id yarn.ContainerID) bool {
			return slices.ContainsFunc(as, func(a Action) bool { s, ok := a.(StopContainer); return ok && s.ID == id })
		}
		if stopped(running.ID) == keep || !stopped(idle.ID) {
			t.Errorf("keep=%v: %v", keep, as)
		}
		if _, ok := as[len(as)-1].(StartMaster); !ok {
			t.Errorf("keep=%v: no second master in %v", keep, as)
		}
		if r := w.report(first); r.State != yarn.StateAccepted || r.Attempt != second || !strings.Contains(r.Diagnostics, "exitCode: 1") {
			t.Errorf("keep=%v: %+v", keep, r)
		}
		if w.Alive(first) || !w.Alive(second) {
			t.Error("the wrong attempt lives")
		}
		if _, _, err := w.Allocate(t0, first, yarn.AllocateRequest{ResponseID: 2}); !errors.Is(err, yarn.ErrAttemptGone) {
			t.Errorf("the old master is answered: %v", err)
		}
		reg := w.register(second)
		completed := w.allocate(second, yarn.AllocateRequest{}).Completed
		if keep {
			if len(reg.Kept) != 1 || reg.Kept[0].ID != running.ID || len(reg.NMTokens) != 1 || len(completed) != 1 || completed[0].ExitStatus != 3 {
				t.Errorf("second attempt got %+v, %+v", reg, completed)
			}
		} else if len(reg.Kept)+len(completed) != 0 {
			t.Errorf("second attempt got %+v, %+v", reg, completed)
		}
		w.completed(masterOf(second), w.findMaster(second), 137)
		r := w.report(first)
		if r.State != yarn.StateFailed || r.Final != yarn.FinalFailed || !strings.Contains(r.Diagnostics, "failed 2 times") || !strings.Contains(r.Diagnostics, "exitCode: 137") {
			t.Errorf("keep=%v: %+v", keep, r)
		}
		for _, n := range w.Nodes() {
			if !n.Used.IsZero() {
				t.Errorf("keep=%v: left on %v: %v", keep, n.ID, n.Used)
			}
		}
	}
}

func (w *world) findMaster(id yarn.AttemptID) yarn.NodeID {
	return w.container(masterOf(id)).node.id
}

func TestSomeFailuresAreNotHeldAgainstTheApplication(t *testing.T) {
	w := newWorld(t, Config{}, one)
	id := w.submit(yarn.Submission{Resource: mem(128), MaxAttempts: 1})
	for _, exit := range []yarn.ExitStatus{yarn.ExitAborted, yarn.ExitPreempted, yarn.ExitDisksFailed, yarn.ExitKilledByRM} {
		w.completed(masterOf(id), one, exit)
		id.Attempt++
		if r := w.report(id); r.State.Terminal() || r.Attempt != id {
			t.Fatalf("after %v: %+v", exit, r)
		}
	}
	w.completed(masterOf(id), one, 1)
	if r := w.report(id); r.State != yarn.StateFailed {
		t.Errorf("after the program's own failure: %+v", r)
	}
}

func TestAttemptWindowForgets(t *testing.T) {
	w := newWorld(t, Config{}, one)
	id := w.submit(yarn.Submission{Resource: mem(128), AttemptWindow: time.Hour})
	for range 3 {
		w.completed(masterOf(id), one, 1)
		id.Attempt++
		w.now = w.now.Add(2 * time.Hour)
	}
	if r := w.report(id); r.State.Terminal() || r.Attempt != id {
		t.Errorf("%+v", r)
	}
}

func TestTimePasses(t *testing.T) {
	w := newWorld(t, Config{MasterExpiry: time.Minute, GrantExpiry: 10 * time.Minute, MaxAttempts: 1}, one)
	silent := w.running(sub(false))
	unstarted := w.submit(sub(false))
	limited := w.running(yarn.Submission{Resource: mem(128), Lifetime: 30 * time.Second})
	leaving := w.running(sub(false))
	_, as, _ := w.Finish(w.now, leaving, yarn.FinalSucceeded, "", "")
	w.did(as)
	busy := w.running(sub(false))
	c := w.granted(busy, yarn.AllocateRequest{Asks: []yarn.Ask{{ID: 1, Priority: 1, Resource: mem(128), Count: 1}}}).Granted[0]
	var answered int32 = 2
	var done []yarn.ContainerStatus
	for range 11 {
		w.now = w.now.Add(time.Minute - 1)
		r := w.allocate(busy, yarn.AllocateRequest{ResponseID: answered})
		answered = r.ResponseID
		done = append(done, r.Completed...)
		w.now = w.now.Add(1)
		w.did(w.Tick(w.now))
	}
	for _, x := range []struct {
		id    yarn.AttemptID
		state yarn.ApplicationState
		says  string
	}{
		{silent, yarn.StateFailed, "timed out"},
		{unstarted, yarn.StateFailed, "timed out"},
		{limited, yarn.StateKilled, "lifetime"},
		{leaving, yarn.StateFinished, ""},
		{busy, yarn.StateRunning, ""},
	} {
		if r := w.report(x.id); r.State != x.state || !strings.Contains(r.Diagnostics, x.says) {
			t.Errorf("%s: %v %q, want %v", x.id, r.State, r.Diagnostics, x.state)
		}
	}
	if len(done) != 1 || done[0].ID != c.ID || done[0].ExitStatus != yarn.ExitAborted {
		t.Errorf("the container that nobody started: %+v", done)
	}
	if w.Alive(leaving) {
		t.Error("a master that never left is still alive")
	}
}

func TestLostNode(t *testing.T) {
	w := newWorld(t, Config{}, one)
	id := w.running(sub(false))
	w.did(w.AddNode(t0, two, "", room))
	ask := func(n int) yarn.AllocateRequest {
		return yarn.AllocateRequest{Asks: []yarn.Ask{{ID: 1, Priority: 1, Resource: mem(1024), Count: n}}, BlacklistAdd: []string{one.Host}}
	}
	resp := w.allocate(id, ask(2))
	if len(resp.Nodes) != 1 || resp.Nodes[0].ID != two {
		t.Fatalf("%+v", resp)
	}
	resp = w.allocate(id, yarn.AllocateRequest{ResponseID: 1})
	if len(resp.Granted) != 2 || resp.Granted[0].Node != two || resp.Granted[1].Node != two {
		t.Fatalf("%+v", resp)
	}
	w.did(w.DropNode(t0, two, yarn.NodeLost))
	resp = w.allocate(id, yarn.AllocateRequest{ResponseID: 2})
	if len(resp.Completed) != 2 || resp.Completed[0].ExitStatus != yarn.ExitAborted || len(resp.Nodes) != 1 || resp.Nodes[0].State != yarn.NodeLost || resp.ClusterNodes != 1 {
		t.Fatalf("%+v", resp)
	}
	w.did(w.AddNode(t0, two, "", room))
	req := ask(1)
	req.ResponseID = 3
	if resp = w.granted(id, req); len(resp.Granted) != 1 || len(resp.NMTokens) != 0 {
		t.Fatalf("after the node came back: %+v", resp)
	}
}

// A grant that the master has not heard of when its node is lost is wanted again: the master lowers
// its count only by what it hears of.
func TestUntoldGrantIsWantedAgain(t *testing.T) {
	w := newWorld(t, Config{OnHeartbeat: true}, one)
	id := w.submit(sub(false))
	w.did(w.NodeHeartbeat(t0, one))
	w.register(id)
	w.allocate(id, yarn.AllocateRequest{Asks: []yarn.Ask{{ID: 1, Priority: 1, Resource: mem(1024), Count: 1}}})
	w.did(w.AddNode(t0, two, "", room))
	w.did(w.NodeHeartbeat(t0, two))
	w.did(w.DropNode(t0, two, yarn.NodeLost))
	w.did(w.NodeHeartbeat(t0, one))
	resp := w.allocate(id, yarn.AllocateRequest{ResponseID: 1})
	if len(resp.Completed) != 0 || len(resp.Granted) != 1 || resp.Granted[0].Node != one {
		t.Errorf("%+v", resp)
	}
}

func TestReleaseAndKill(t *testing.T) {
	w := newWorld(t, Config{}, one)
	id, other := w.running(sub(false)), w.running(sub(false))
	c := w.granted(id, yarn.AllocateRequest{Asks: []yarn.Ask{{ID: 1, Priority: 1, Resource: mem(128), Count: 1}}}).Granted[0]
	if _, _, err := w.Allocate(t0, other, yarn.AllocateRequest{Releases: []yarn.ContainerID{c.ID}}); !errors.Is(err, ErrInvalidRelease) {
		t.Errorf("release of a foreign container: %v", err)
	}
	w.took()
	resp := w.allocate(id, yarn.AllocateRequest{ResponseID: 2, Releases: []yarn.ContainerID{c.ID, c.ID}})
	if len(resp.Completed) != 1 || resp.Completed[0].ExitStatus != yarn.ExitAborted || resp.Completed[0].Diagnostics != releasedDiagnostics {
		t.Errorf("%+v", resp)
	}
	if s, ok := w.took()[0].(StopContainer); !ok || s.ID != c.ID {
		t.Error("its node was not told")
	}
	for i, want := range []bool{false, true} {
		done, as, err := w.Kill(t0, id.Application, "enough")
		w.did(as)
		if err != nil || done != want {
			t.Errorf("kill %d: %v %v", i, done, err)
		}
	}
	if r := w.report(id); r.State != yarn.StateKilled || r.Final != yarn.FinalKilled || r.Diagnostics != "enough" {
		t.Errorf("%+v", r)
	}
	if _, _, err := w.Kill(t0, yarn.ApplicationID{Sequence: 99}, ""); !errors.Is(err, yarn.ErrUnknownApplication) {
		t.Errorf("kill of an unknown application: %v", err)
	}
}

func TestRestart(t *testing.T) {
	w := newWorld(t, Config{}, one)
	id := w.running(sub(false))
	got := w.granted(id, yarn.AllocateRequest{Asks: []yarn.Ask{{ID: 1, Priority: 1, Resource: mem(128), Count: 2}, {ID: 2, Priority: 2, Resource: mem(4096), Count: 1}}}).Granted
	w.ContainerStarted(got[0].ID)
	w.did(w.Restart(t0))
	if _, _, err := w.Allocate(t0, id, yarn.AllocateRequest{ResponseID: 2}); !errors.Is(err, yarn.ErrNotRegistered) {
		t.Fatalf("heartbeat after a restart: %v", err)
	}
	if reg := w.register(id); len(reg.Kept) != 1 || reg.Kept[0].ID != got[0].ID || len(reg.NMTokens) != 1 {
		t.Errorf("%+v", reg)
	}
	w.did(w.AddNode(t0, two, "", room))
	if resp := w.granted(id, yarn.AllocateRequest{}); len(resp.Granted) != 0 {
		t.Errorf("an ask outlived the restart: %+v", resp.Granted)
	}
}

func TestReports(t *testing.T) {
	w := newWorld(t, Config{}, one)
	id := w.running(yarn.Submission{Name: "n", Type: "TFOS", Resource: mem(512), Tags: []string{"x"}})
	w.allocate(id, yarn.AllocateRequest{Progress: 0.5, TrackingURL: "http://x"})
	r := w.report(id)
	if r.Name != "n" || r.User != "ann" || r.Queue != Queue || r.State != yarn.StateRunning || r.Host != "h" || r.Port != 7 || r.Progress != 0.5 ||
		r.TrackingURL != "http://x" || r.Containers != 1 || r.Used.MemoryMiB != 512 || !r.Started.Equal(t0) {
		t.Errorf("%+v", r)
	}
	if cs, err := w.Containers(id); err != nil || len(cs) != 1 || cs[0].State != yarn.ContainerRunning {
		t.Errorf("%+v, %v", cs, err)
	}
	w.completed(masterOf(id), one, 9)
	if cs, err := w.Containers(id); err != nil || len(cs) != 1 || cs[0].ExitStatus != 9 || cs[0].State != yarn.ContainerComplete {
		t.Errorf("%+v, %v", cs, err)
	}
	as, err := w.Attempts(id.Application)
	if err != nil || len(as) != 2 || as[0].State != yarn.AttemptFailed || as[1].State != yarn.AttemptLaunched {
		t.Errorf("%+v, %v", as, err)
	}
	if len(w.Reports()) != 1 {
		t.Error("one application expected")
	}
}

// TestNodesThatAreForSomeContainersOnly: what is apart from its master stays so, whatever the sizes
// are.
func TestNodesThatAreForSomeContainersOnly(t *testing.T) {
	w := newWorld(t, Config{MinMemoryMiB: 128})
	w.did(w.AddNodeFor(w.now, two, "", room, OneTask))
	id := w.submit(yarn.Submission{Resource: mem(256)})
	for _, a := range w.took() {
		if a, ok := a.(StartMaster); ok {
			t.Fatalf("a master starts on a task's node: %+v", a)
		}
	}
	w.did(w.AddNodeFor(w.now, one, "", room, Masters))
	w.ContainerStarted(masterOf(id))
	w.register(id)
	first := w.granted(id, yarn.AllocateRequest{Asks: []yarn.Ask{{ID: 1, Priority: 1, Resource: mem(256), Count: 3}}})
	if len(first.Granted) != 1 || first.Granted[0].Node != two {
		t.Fatalf("granted: %+v", first.Granted)
	}
	w.completed(first.Granted[0].ID, two, 0)
	if again := w.allocate(id, yarn.AllocateRequest{ResponseID: first.ResponseID}).Granted; len(again) != 1 || again[0].Node != two {
		t.Errorf("granted once the first has ended: %+v", again)
	}
}
