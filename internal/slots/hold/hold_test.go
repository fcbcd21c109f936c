package hold

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"tfos/internal/control"
	"tfos/internal/miniyarn"
	"tfos/internal/miniyarn/container"
	"tfos/internal/slots"
	"tfos/internal/slots/offer"
	"tfos/internal/yarn"
)

const patience = 30 * time.Second

// world is a driver's Server, with a YARN that hands out its nodes.
type world struct {
	t      *testing.T
	server *offer.Server
	dir    string // that may be fetched from
	logs   string // the driver's, of containers
	cache  string
	joined chan miniyarn.NodeOptions
	left   chan yarn.NodeID
	lost   chan int
}

func (w *world) Join(n miniyarn.NodeOptions) (yarn.NodeID, error) {
	w.joined <- n
	return yarn.NodeID{Host: n.Host, Port: 1}, nil
}

func (w *world) DropNode(id yarn.NodeID) error {
	w.left <- id
	return nil
}

func newWorld(t *testing.T, want int) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), logs: t.TempDir(), cache: t.TempDir(), joined: make(chan miniyarn.NodeOptions, 9), left: make(chan yarn.NodeID, 9), lost: make(chan int, 9)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	agent := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(agent, []byte("the agent"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.server, err = offer.New(offer.Options{Listener: l, Cluster: w, Slots: want, Capacity: yarn.Resource{MemoryMiB: 100, VCores: 1}, Agent: agent, Dir: w.dir,
		Lost: func(slot int) { w.lost <- slot }, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- w.server.Run() }()
	t.Cleanup(func() {
		w.server.Close()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	return w
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

type ended struct {
	verdict slots.Verdict
	err     error
}

// hold offers a slot. The function gives it up.
func (w *world) hold(o slots.Offer) (chan slots.Verdict, chan ended, context.CancelFunc) {
	w.t.Helper()
	pem, err := w.server.Identity(time.Hour)
	if err != nil {
		w.t.Fatal(err)
	}
	id, err := control.ParseIdentity(pem)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	said, end := make(chan slots.Verdict, 9), make(chan ended, 1)
	h := Options{Address: w.server.Addr().String(), Identity: id, Offer: o, Dir: w.t.TempDir(), Logs: w.t.TempDir(), Cache: w.cache,
		Env: []string{"FROM_SPARK=yes"}, Said: func(v slots.Verdict) { said <- v }, Log: zap.NewNop()}
	go func() {
		v, err := Hold(ctx, h)
		end <- ended{v, err}
	}()
	return said, end, cancel
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

// file puts one where it may be fetched, and describes it.
func (w *world) file(name, content string) yarn.LocalResource {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		w.t.Fatal(err)
	}
	return yarn.LocalResource{URI: "file://" + path, Size: info.Size(), ModTime: info.ModTime(), Visibility: yarn.Private}
}

func (w *world) launch(id int64, command string, files map[string]yarn.LocalResource) (container.Launch, chan struct{}, chan yarn.Signal) {
	started, signals := make(chan struct{}, 1), make(chan yarn.Signal)
	return container.Launch{
		ID:   yarn.ContainerID{Attempt: yarn.AttemptID{Application: yarn.ApplicationID{ClusterTimestamp: 1, Sequence: 1}, Attempt: 1}, ID: id},
		Node: yarn.NodeID{Host: "127.0.0.1", Port: 1}, User: "u", Tokens: []byte("tokens"), LogDir: w.logs, Started: func() { started <- struct{}{} }, Signals: signals,
		Context: yarn.LaunchContext{Files: files, Command: []string{command}},
	}, started, signals
}

func TestASlotFromOfferToOver(t *testing.T) {
	w := newWorld(t, 1)
	said, end, _ := w.hold(slots.Offer{Slot: 0, Executor: "a", Held: true})
	node := next(t, w.joined, "node")
	if node.Host != "127.0.0.1" || node.Capacity.MemoryMiB != 100 {
		t.Errorf("node: %+v", node)
	}
	if v := next(t, said, "verdict"); v != slots.All {
		t.Errorf("verdict %q", v)
	}
	if err := w.server.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	const content = "kept"
	sum := sha256.Sum256([]byte(content))
	hash := hex.EncodeToString(sum[:])
	files := map[string]yarn.LocalResource{"plain": w.file("plain.txt", "as it is"), "cached": w.file(hash+".txt", content)}

	// What its files, its tokens and its environment are the exit code tells.
	l, started, _ := w.launch(1, `test \"$(cat plain cached container_tokens)\" = \"as it iskepttokens\" && test $FROM_SPARK$NM_HOST = yes127.0.0.1 && exit 7`, files)
	if e := node.Executor.Run(t.Context(), l); e.Status != 7 {
		t.Errorf("exit: %+v", e)
	}
	next(t, started, "word of the start")
	b, err := os.ReadFile(filepath.Join(container.LogDir(w.logs, l.ID), slots.Elsewhere))
	if host, dir, _ := strings.Cut(string(b), ":"); err != nil || host != "127.0.0.1" || !isDir(dir) {
		t.Errorf("where the logs are: %q, %v", b, err)
	}
	if b, err := os.ReadFile(filepath.Join(w.cache, hash)); err != nil || string(b) != content {
		t.Errorf("the cache has %q, %v", b, err)
	}

	// The next one finds what was kept, and what was damaged meanwhile is fetched again.
	if err := os.WriteFile(filepath.Join(w.cache, hash), []byte("spoilt"), 0o600); err != nil {
		t.Fatal(err)
	}
	files["cached"] = w.file(hash+".txt", content) // with another time, so that no container has it yet
	ready := filepath.Join(t.TempDir(), "ready")
	if err := syscall.Mkfifo(ready, 0o600); err != nil {
		t.Fatal(err)
	}
	l, _, signals := w.launch(2, `test $(cat cached) = kept; same=\$?; trap 'exit 8' QUIT; mkfifo f; echo \$same >`+ready+`; while :; do read -r _ <>f; done`, files)
	exited := make(chan container.Exit, 1)
	go func() { exited <- node.Executor.Run(t.Context(), l) }()
	if same, err := os.ReadFile(ready); err != nil || string(same) != "0\n" {
		t.Errorf("what was damaged in the cache was used: %q, %v", same, err)
	}
	signals <- yarn.SignalThreadDump
	if e := next(t, exited, "exit"); e.Status != 8 {
		t.Errorf("exit: %+v", e)
	}

	l, started, _ = w.launch(3, `exec sleep 1000000`, nil)
	ctx, stop := context.WithCancelCause(t.Context())
	go func() { exited <- node.Executor.Run(ctx, l) }()
	next(t, started, "start")
	stop(&container.Stop{Status: yarn.ExitKilledByAM, Diagnostics: "enough", AtOnce: true})
	if e := next(t, exited, "exit"); e.Status != yarn.ExitKilledByAM || !strings.Contains(e.Diagnostics, "enough") {
		t.Errorf("exit: %+v", e)
	}

	w.server.Finish()
	if e := next(t, end, "end"); e.verdict != slots.Over || e.err != nil {
		t.Errorf("end: %+v", e)
	}
	next(t, w.left, "word that the node has left")
	if len(w.lost) > 0 {
		t.Error("a slot that was given back counts as lost")
	}
	_, end, _ = w.hold(slots.Offer{Slot: 0, Executor: "a", Held: true})
	if e := next(t, end, "end of one that comes late"); e.verdict != slots.Over || e.err != nil {
		t.Errorf("end: %+v", e)
	}
}

// TestALostSlot: its container ends with it, and the next one to offer gets the slot.
func TestALostSlot(t *testing.T) {
	w := newWorld(t, 1)
	_, end, giveUp := w.hold(slots.Offer{Slot: 0, Executor: "a"})
	node := next(t, w.joined, "node")
	_, second, _ := w.hold(slots.Offer{Slot: 0, Executor: "b"}) // waits as long as the first is there
	pid := filepath.Join(t.TempDir(), "pid")
	l, started, _ := w.launch(1, `echo $$ >`+pid+`; exec sleep 1000000`, nil)
	exited := make(chan container.Exit, 1)
	go func() { exited <- node.Executor.Run(t.Context(), l) }()
	next(t, started, "start")
	giveUp()
	if e := next(t, end, "end"); !errors.Is(e.err, context.Canceled) {
		t.Errorf("end: %+v", e)
	}
	if e := next(t, exited, "exit"); e.Status != yarn.ExitAborted {
		t.Errorf("exit: %+v", e)
	}
	next(t, w.left, "word that the node has left")
	if slot := next(t, w.lost, "word that the slot is lost"); slot != 0 {
		t.Errorf("slot %d is lost", slot)
	}
	if n := next(t, w.joined, "second node"); n.Executor == node.Executor {
		t.Error("it is the first one again")
	}
	w.server.Finish()
	if e := next(t, second, "end of the second"); e.verdict != slots.Over || e.err != nil {
		t.Errorf("end: %+v", e)
	}
}

// TestOnlyFilesOfTheJobAreFetched: an executor has no business with the driver's other files.
func TestOnlyFilesOfTheJobAreFetched(t *testing.T) {
	w := newWorld(t, 1)
	w.hold(slots.Offer{Slot: 0, Executor: "a", Held: true})
	node := next(t, w.joined, "node")
	for i, name := range []string{"/etc/passwd", w.dir + "/../passwd", w.dir} {
		l, _, _ := w.launch(int64(i), "true", map[string]yarn.LocalResource{"f": {URI: "file://" + name, ModTime: time.Now()}})
		if e := node.Executor.Run(t.Context(), l); e.Status == 0 || !strings.Contains(e.Diagnostics, "no file") {
			t.Errorf("%s: %+v", name, e)
		}
	}
	w.server.Finish()
}

func TestSweep(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	for name, age := range map[string]time.Duration{"new": 0, "old": unused + time.Hour} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	Sweep(dir, now)
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 || filepath.Base(left[0]) != "new" {
		t.Errorf("left: %q, %v", left, err)
	}
}
