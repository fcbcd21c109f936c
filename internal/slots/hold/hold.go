// Package hold is the executor's side of slots: it holds one, and runs there what the driver's
// embedded YARN starts.
//
// It dials the driver, fetches from there what a container needs, and keeps files that are named by
// their hash for the next one. It needs nothing on its host but the agent's binary. What it started
// ends before it does.
package hold

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/control"
	"tfos/internal/hadoop/uri"
	"tfos/internal/miniyarn/container"
	"tfos/internal/slots"
	"tfos/internal/yarn"
)

// Options say which slot is held, and for whom.
type Options struct {
	Address  string // of the driver's Server, host:port
	Identity control.Identity
	Offer    slots.Offer
	Dir      string   // of the containers' files; the caller removes it
	Logs     string   // of their logs, which stay
	Cache    string   // files by their SHA-256, which stay
	Env      []string // what containers have of the executor's environment
	// Said hears what becomes of the offer.
	Said func(slots.Verdict)
	Log  *zap.Logger
}

const dialWait = 20 * time.Second

// Hold offers the slot, and serves the driver until that needs it no more: then the last verdict is
// slots.Over, or slots.Refuse if it was never taken. An error says that the driver cannot be
// reached, or is gone.
func Hold(ctx context.Context, o Options) (slots.Verdict, error) {
	h := &holder{o: o, runs: map[yarn.ContainerID]*run{}}
	var err error
	if h.tls, err = o.Identity.ClientConfig(control.PartyDriver); err != nil {
		return "", err
	}
	h.runner = container.New(container.Options{Fetch: h.fetch, Env: o.Env, IgnoreUsage: true, Logger: o.Log})
	v, err := h.hold(ctx)
	h.stopAll()
	h.wg.Wait()
	return v, errors.Join(err, h.runner.Close())
}

type holder struct {
	o      Options
	tls    *tls.Config
	runner *container.Runner
	wg     sync.WaitGroup // containers

	writing sync.Mutex
	out     *json.Encoder // guarded by writing
	conn    net.Conn

	mu   sync.Mutex
	runs map[yarn.ContainerID]*run // guarded by mu
}

// run is a container that runs here.
type run struct {
	stop    context.CancelCauseFunc
	signals chan yarn.Signal
	over    chan struct{}
}

// call opens a connection to the driver.
func (h *holder) call(ctx context.Context, c slots.Call) (net.Conn, error) {
	within, cancel := context.WithTimeout(ctx, dialWait)
	defer cancel()
	conn, err := (&tls.Dialer{Config: h.tls}).DialContext(within, "tcp", h.o.Address)
	if err != nil {
		return nil, fmt.Errorf("reach the driver at %s: %w", h.o.Address, err)
	}
	if err := json.NewEncoder(conn).Encode(c); err != nil {
		return nil, errors.Join(fmt.Errorf("reach the driver at %s: %w", h.o.Address, err), conn.Close())
	}
	return conn, nil
}

func (h *holder) hold(ctx context.Context) (slots.Verdict, error) {
	offer := h.o.Offer
	offer.Logs = h.o.Logs
	conn, err := h.call(ctx, slots.Call{Offer: &offer})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	h.conn, h.out = conn, json.NewEncoder(conn)
	beating, still := context.WithCancel(ctx)
	defer still()
	go h.beat(beating) // it ends with the connection
	d := json.NewDecoder(bufio.NewReader(conn))
	for {
		var o slots.Order
		if err := conn.SetReadDeadline(time.Now().Add(slots.Silence)); err != nil {
			return "", err
		}
		if err := d.Decode(&o); err != nil {
			if ctx.Err() != nil {
				return "", context.Cause(ctx)
			}
			return "", fmt.Errorf("the driver at %s is gone: %w", h.o.Address, err)
		}
		switch {
		case o.Start != nil:
			h.start(ctx, *o.Start)
		case o.Stop != nil:
			h.stop(*o.Stop)
		case o.Signal != nil:
			h.signal(*o.Signal)
		}
		if o.Verdict != "" {
			h.o.Said(o.Verdict)
		}
		if o.Verdict == slots.Over || o.Verdict == slots.Refuse {
			return o.Verdict, nil
		}
	}
}

// beat says that the slot is there.
func (h *holder) beat(ctx context.Context) {
	t := time.NewTicker(slots.Beat)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		h.report(slots.Report{})
	}
}

// report tells the driver something. If it cannot be told, the connection ends.
func (h *holder) report(r slots.Report) {
	h.writing.Lock()
	defer h.writing.Unlock()
	err := h.conn.SetWriteDeadline(time.Now().Add(slots.Silence))
	if err == nil {
		err = h.out.Encode(r)
	}
	if err != nil {
		h.conn.Close()
	}
}

func (h *holder) start(ctx context.Context, s slots.Start) {
	ctx, stop := context.WithCancelCause(ctx)
	r := &run{stop: stop, signals: make(chan yarn.Signal), over: make(chan struct{})}
	h.mu.Lock()
	h.runs[s.Container] = r
	h.mu.Unlock()
	h.wg.Go(func() {
		defer stop(nil)
		exit := h.runner.Run(ctx, container.Launch{
			ID: s.Container, Node: s.Node, User: s.User, Context: s.Context, Tokens: s.Tokens, Dir: h.o.Dir, LogDir: h.o.Logs, Signals: r.signals,
			Started: func() { h.report(slots.Report{Started: &s.Container}) },
		})
		h.mu.Lock()
		delete(h.runs, s.Container)
		h.mu.Unlock()
		close(r.over)
		h.report(slots.Report{Exited: &slots.Exited{Container: s.Container, Status: exit.Status, Diagnostics: exit.Diagnostics}})
	})
}

func (h *holder) find(id yarn.ContainerID) *run {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.runs[id]
}

func (h *holder) stop(s slots.Stop) {
	if r := h.find(s.Container); r != nil {
		r.stop(&container.Stop{Status: s.Status, Diagnostics: s.Diagnostics, AtOnce: s.AtOnce})
	}
}

// signal passes a signal on, once the container's processes run.
func (h *holder) signal(s slots.Signal) {
	r := h.find(s.Container)
	if r == nil {
		return
	}
	h.wg.Go(func() {
		select {
		case r.signals <- s.Signal:
		case <-r.over:
		}
	})
}

func (h *holder) stopAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.runs {
		r.stop(&container.Stop{Status: yarn.ExitAborted, Diagnostics: "the slot is given up"})
	}
}

// hashed finds the SHA-256 that names a file of the job's cache.
var hashed = regexp.MustCompile(`^[0-9a-f]{64}\b`)

// fetch is container.Fetch: from the driver, or from what was kept of it.
func (h *holder) fetch(ctx context.Context, name string) (container.Source, error) {
	hash := hashed.FindString(path.Base(uri.Parse(name).Path))
	kept := filepath.Join(h.o.Cache, hash)
	have := hash != "" && whole(kept, hash)
	conn, err := h.call(ctx, slots.Call{Fetch: name, Have: have})
	if err != nil {
		return container.Source{}, err
	}
	in := bufio.NewReader(conn)
	line, err := in.ReadBytes('\n')
	var f slots.File
	if err == nil {
		err = json.Unmarshal(line, &f)
	}
	if err == nil && f.Error != "" {
		err = errors.New(f.Error)
	}
	if err != nil {
		return container.Source{}, errors.Join(fmt.Errorf("fetch %s from the driver: %w", name, err), conn.Close())
	}
	s := container.Source{Body: body{&exactly{in, f.Size}, conn}, ModTime: time.UnixMilli(f.Modified)}
	if hash == "" {
		return s, nil
	}
	if !have {
		err = keep(s.Body, kept, hash)
	}
	if err = errors.Join(err, conn.Close()); err != nil {
		return container.Source{}, fmt.Errorf("fetch %s from the driver: %w", name, err)
	}
	s.Body, err = os.Open(kept)
	return s, err
}

// body is what a connection brings.
type body struct {
	io.Reader
	io.Closer
}

// exactly reads so many bytes, and not fewer.
type exactly struct {
	in   io.Reader
	left int64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.in.Read(p[:min(int64(len(p)), e.left)])
	if e.left -= int64(n); err == io.EOF && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// whole reports whether a kept file is what its hash says.
func whole(name, hash string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	if err != nil || hex.EncodeToString(h.Sum(nil)) != hash {
		return false
	}
	now := time.Now()
	_ = os.Chtimes(name, now, now) // Sweep goes by it
	return true
}

// keep writes a file that is there only if it is what its hash says.
func keep(in io.Reader, name, hash string) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), in)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != hash {
		return fmt.Errorf("what came has the hash %s", got)
	}
	return os.Rename(f.Name(), name)
}

// unused is how long a kept file stays that nobody wants.
const unused = 7 * 24 * time.Hour

// Sweep removes kept files that nobody wanted for a week. It is best effort: others sweep, too.
func Sweep(cache string, now time.Time) {
	entries, err := os.ReadDir(cache)
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && now.Sub(info.ModTime()) > unused {
			_ = os.Remove(filepath.Join(cache, e.Name()))
		}
	}
}
