package offer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"tfos/internal/miniyarn/container"
	"tfos/internal/slots"
	"tfos/internal/yarn"
)

// stopWait is how long a holder may take to stop a container before its connection is given up.
const stopWait = 15 * time.Second

// holder is who holds a slot: the executor of its node.
type holder struct {
	conn net.Conn
	gone chan struct{} // closed by read when nothing more comes, after why is set
	why  error

	host, logs string // where its containers' logs are; set before it gets any

	writing sync.Mutex
	out     *json.Encoder // guarded by writing

	mu   sync.Mutex
	runs map[yarn.ContainerID]*run // guarded by mu
}

// run is a container that was started in the slot.
type run struct {
	started func()
	exited  chan container.Exit // capacity 1
}

func newHolder(c net.Conn) *holder {
	return &holder{conn: c, gone: make(chan struct{}), out: json.NewEncoder(c), runs: map[yarn.ContainerID]*run{}}
}

// read takes reports until the connection ends, or is silent for too long.
func (h *holder) read(d *json.Decoder) {
	defer close(h.gone)
	for {
		var r slots.Report
		h.why = h.conn.SetReadDeadline(time.Now().Add(slots.Silence))
		if h.why == nil {
			h.why = d.Decode(&r)
		}
		if h.why != nil {
			return
		}
		if r.Started != nil {
			if c := h.find(*r.Started); c != nil {
				c.started()
			}
		}
		if r.Exited != nil {
			if c := h.find(r.Exited.Container); c != nil {
				select {
				case c.exited <- container.Exit{Status: r.Exited.Status, Diagnostics: r.Exited.Diagnostics}:
				default: // it ends once
				}
			}
		}
	}
}

func (h *holder) find(id yarn.ContainerID) *run {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.runs[id]
}

func (h *holder) order(o slots.Order) error {
	h.writing.Lock()
	defer h.writing.Unlock()
	if err := h.conn.SetWriteDeadline(time.Now().Add(slots.Silence)); err != nil {
		return err
	}
	return h.out.Encode(o)
}

// dismiss says the last word, and waits until who holds the slot is gone.
func (h *holder) dismiss(v slots.Verdict) error {
	if err := h.order(slots.Order{Verdict: v}); err != nil {
		return err
	}
	late := time.NewTimer(stopWait)
	defer late.Stop()
	select {
	case <-h.gone:
		return nil
	case <-late.C:
		return errors.New("who holds the slot does not go")
	}
}

// Run implements miniyarn.Executor: one container to its end, or the slot's.
func (h *holder) Run(ctx context.Context, l container.Launch) container.Exit {
	r := &run{started: func() {}, exited: make(chan container.Exit, 1)}
	if l.Started != nil {
		r.started = l.Started
	}
	h.mu.Lock()
	h.runs[l.ID] = r
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.runs, l.ID)
	}()
	h.leaveWord(l)
	start := slots.Start{Container: l.ID, Node: l.Node, User: l.User, Context: fetched(l.Context), Tokens: l.Tokens}
	if err := h.order(slots.Order{Start: &start}); err != nil {
		h.conn.Close()
	}
	cancelled, signals := ctx.Done(), l.Signals
	var late <-chan time.Time
	for {
		var o slots.Order
		select {
		case exit := <-r.exited:
			return exit
		case <-h.gone:
			return lostWith(ctx, h.why)
		case <-late:
			h.conn.Close()
			late = nil
			continue
		case s := <-signals:
			o.Signal = &slots.Signal{Container: l.ID, Signal: s}
		case <-cancelled:
			t := time.NewTimer(stopWait)
			defer t.Stop()
			cancelled, signals, late = nil, nil, t.C
			why := stopOf(ctx)
			o.Stop = &slots.Stop{Container: l.ID, Status: why.Status, Diagnostics: why.Diagnostics, AtOnce: why.AtOnce}
		}
		if err := h.order(o); err != nil {
			h.conn.Close()
		}
	}
}

// leaveWord says in the container's directory of logs here where its logs are. It is best effort:
// what is missed is that tfos logs says so.
func (h *holder) leaveWord(l container.Launch) {
	at := container.LogDir(l.LogDir, l.ID)
	if os.MkdirAll(at, 0o700) == nil {
		_ = os.WriteFile(filepath.Join(at, slots.Elsewhere), []byte(h.host+":"+container.LogDir(h.logs, l.ID)), 0o600)
	}
}

// stopOf is why a container is stopped.
func stopOf(ctx context.Context) *container.Stop {
	if stop, ok := errors.AsType[*container.Stop](context.Cause(ctx)); ok {
		return stop
	}
	return &container.Stop{Status: yarn.ExitAborted, Diagnostics: "the node is shutting down"}
}

// lostWith is how a container ended whose slot is gone.
func lostWith(ctx context.Context, why error) container.Exit {
	if ctx.Err() != nil { // it was being stopped
		stop := stopOf(ctx)
		return container.Exit{Status: stop.Status, Diagnostics: stop.Diagnostics}
	}
	return container.Exit{Status: yarn.ExitAborted, Diagnostics: fmt.Sprintf("the executor of Spark that held the slot is gone: %v", why)}
}

// EndApplication implements miniyarn.Executor: who holds the slot removes what it keeps when it
// goes.
func (h *holder) EndApplication(string, string, yarn.ApplicationID) error { return nil }

// Close implements miniyarn.Executor.
func (h *holder) Close() error { return nil }

// fetched is a container whose local files are to be fetched from this machine.
func fetched(c yarn.LaunchContext) yarn.LaunchContext {
	files := make(map[string]yarn.LocalResource, len(c.Files))
	for name, f := range c.Files {
		if path, local := strings.CutPrefix(f.URI, "file:"); local {
			f.URI = remote + ":" + path
		}
		files[name] = f
	}
	c.Files = files
	return c
}
