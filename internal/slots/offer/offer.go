// Package offer is the driver's side of slots: a job's embedded YARN has a node for each slot that
// somebody offers.
//
// A node of that YARN comes with the connection of who holds the slot and goes with it, so that the
// master sees containers granted, lost and completed as on any YARN. Which offers are taken is
// decided in package slots.
package offer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/control"
	"tfos/internal/hadoop/uri"
	"tfos/internal/miniyarn"
	"tfos/internal/miniyarn/sched"
	"tfos/internal/slots"
	"tfos/internal/yarn"
)

// Cluster is what a Server needs of the embedded YARN.
type Cluster interface {
	Join(miniyarn.NodeOptions) (yarn.NodeID, error)
	DropNode(yarn.NodeID) error
}

// Options configure a Server.
type Options struct {
	Listener net.Listener // the Server closes it
	Cluster  Cluster
	Slots    int           // that the job wants
	Capacity yarn.Resource // of each slot: the job's largest container
	Agent    string        // file of the agent's binary
	Dir      string        // whoever holds a slot may fetch the files below it
	Lost     func(slot int)
	Log      *zap.Logger
}

// Server takes offers from Run on.
type Server struct {
	o         Options
	gate      *control.Gate
	authority *control.Authority

	mu       sync.Mutex
	roster   *slots.Roster // guarded by mu
	changed  chan struct{} // guarded by mu: closed when roster has changed
	attended int           // guarded by mu: slots that were taken, and whose holders are not gone yet
}

// New prepares a Server, with an authority of its own: who holds a slot gets nothing else of the
// job by that.
func New(o Options) (*Server, error) {
	authority, err := control.NewAuthority()
	if err != nil {
		return nil, err
	}
	id, err := authority.Issue(control.Subject{Party: control.PartyDriver})
	if err != nil {
		return nil, err
	}
	gate, err := control.NewGate(o.Listener, id, o.Log, control.PartySlot)
	if err != nil {
		return nil, err
	}
	return &Server{o: o, gate: gate, authority: authority, roster: slots.NewRoster(o.Slots), changed: make(chan struct{})}, nil
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.gate.Addr() }

// Identity is for those who hold slots, in PEM.
func (s *Server) Identity(valid time.Duration) ([]byte, error) {
	id, err := s.authority.IssueFor(control.Subject{Party: control.PartySlot}, valid)
	if err != nil {
		return nil, err
	}
	return id.PEM()
}

// Run takes offers until Close; then it is nil.
func (s *Server) Run() error { return s.gate.Run(s.serve) }

// Close ends Run, and with it what runs in the slots. It is safe to call more than once.
func (s *Server) Close() { s.gate.Close() }

// Finish says to all who hold slots, and to those who come, that they are not needed any more. It
// waits until the first of these are gone, for stopWait at most.
func (s *Server) Finish() {
	s.update(func(r *slots.Roster) { r.Finish() })
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.attended > 0 {
		changed := s.changed
		s.mu.Unlock()
		<-changed
		s.mu.Lock()
	}
}

// Missing is how many slots nobody offers.
func (s *Server) Missing() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roster.Missing()
}

// Wait waits until all slots are there, or ctx ends.
func (s *Server) Wait(ctx context.Context) error {
	for {
		s.mu.Lock()
		all, changed := s.roster.All(), s.changed
		s.mu.Unlock()
		if all {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ask decides on an offer. While it waits, the channel is closed when the answer may be another
// one.
func (s *Server) ask(o slots.Offer) (slots.Verdict, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.roster.Offer(o, time.Now())
	if v == slots.Take {
		s.attended++
		s.tell()
	}
	return v, s.changed
}

// tell lets those who wait look again. s.mu is held.
func (s *Server) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) update(f func(*slots.Roster)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.roster)
	s.tell()
}

func (s *Server) serve(c net.Conn) {
	if err := c.SetDeadline(time.Now().Add(slots.Silence)); err != nil {
		return
	}
	d := json.NewDecoder(bufio.NewReader(c))
	var call slots.Call
	if err := d.Decode(&call); err != nil {
		s.o.Log.Debug("a caller left", zap.Error(err))
		return
	}
	var err error
	if call.Offer == nil {
		err = s.send(c, call)
	} else {
		err = s.attend(newHolder(c), d, *call.Offer)
	}
	s.o.Log.Debug("a caller is done", zap.Error(err))
}

// send answers a call for a file.
func (s *Server) send(c net.Conn, call slots.Call) error {
	if err := c.SetDeadline(time.Time{}); err != nil { // as long as it takes: TCP notices a caller that is gone
		return err
	}
	f, info, err := s.open(call.Fetch)
	if err != nil {
		return json.NewEncoder(c).Encode(slots.File{Error: err.Error()})
	}
	defer f.Close()
	err = json.NewEncoder(c).Encode(slots.File{Size: info.Size(), Modified: info.ModTime().UnixMilli()})
	if err == nil && !call.Have {
		_, err = io.Copy(c, io.LimitReader(f, info.Size()))
	}
	return err
}

// remote is the scheme by which a holder knows a file of the driver's machine.
const remote = "driver"

func (s *Server) open(name string) (*os.File, os.FileInfo, error) {
	file := s.o.Agent
	if name != slots.Agent {
		u := uri.Parse(name)
		inside, err := filepath.Rel(s.o.Dir, u.Path)
		if u.Scheme != remote || err != nil || !filepath.IsLocal(inside) {
			return nil, nil, fmt.Errorf("%s is no file of the job", name)
		}
		file = filepath.Join(s.o.Dir, inside)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", file)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// attend serves who offers a slot until that is gone.
func (s *Server) attend(h *holder, d *json.Decoder, o slots.Offer) error {
	var reading sync.WaitGroup
	reading.Go(func() { h.read(d) })
	defer reading.Wait()
	defer h.conn.Close()
	verdict, err := s.decide(h, o)
	if err != nil {
		return err
	}
	if verdict != slots.Take {
		return h.dismiss(verdict)
	}
	defer func() {
		lost := false
		s.update(func(r *slots.Roster) { lost, s.attended = r.Leave(o.Slot, time.Now()), s.attended-1 })
		if lost {
			s.o.Lost(o.Slot)
		}
	}()
	host, _, err := net.SplitHostPort(h.conn.RemoteAddr().String())
	if err != nil {
		return err
	}
	h.host, h.logs = host, o.Logs
	node, err := s.o.Cluster.Join(miniyarn.NodeOptions{Host: host, Capacity: s.o.Capacity, Use: sched.OneTask, Executor: h})
	if err != nil {
		return errors.Join(err, h.dismiss(slots.Over))
	}
	s.o.Log.Info("slot taken", zap.Int("slot", o.Slot), zap.String("executor", o.Executor), zap.Stringer("node", node))
	err = s.keep(h)
	h.conn.Close() // the node's containers end with it
	<-h.gone
	s.o.Log.Info("slot lost", zap.Int("slot", o.Slot), zap.Stringer("node", node), zap.Error(err))
	return errors.Join(err, s.o.Cluster.DropNode(node))
}

// decide waits until it is clear what becomes of an offer.
func (s *Server) decide(h *holder, o slots.Offer) (slots.Verdict, error) {
	beat := time.NewTicker(slots.Beat)
	defer beat.Stop()
	for {
		v, changed := s.ask(o)
		if v != slots.Wait {
			return v, nil
		}
		select {
		case <-changed:
		case <-h.gone:
			return v, h.why
		case <-beat.C:
			if err := h.order(slots.Order{}); err != nil {
				return v, err
			}
		}
	}
}

// keep tells who holds a slot what becomes of the job, until either is gone.
func (s *Server) keep(h *holder) error {
	beat := time.NewTicker(slots.Beat)
	defer beat.Stop()
	all := false
	for {
		s.mu.Lock()
		now, over, changed := s.roster.All(), s.roster.Finished(), s.changed
		s.mu.Unlock()
		var o slots.Order
		switch {
		case over:
			return h.dismiss(slots.Over)
		case now && !all:
			all, o.Verdict = true, slots.All
		}
		if err := h.order(o); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-beat.C:
		case <-h.gone:
			return h.why
		}
	}
}
