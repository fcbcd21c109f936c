// Package desk is where Spark's tasks ask, at the driver, which worker takes their rows.
//
// What they are told is decided by package feed's Roster. This package holds the connections: a
// feeder keeps one to the desk for as long as it feeds its stream, so that one that is gone is
// known.
package desk

import (
	"bufio"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/control"
	"tfos/internal/feed"
)

const (
	// waitMost is how long a feeder waits for its worker before it is told to ask again, by which
	// it learns that the driver lives.
	waitMost = 15 * time.Second
	// waitLost is how long one waits that could not reach its worker, before it is sent there
	// again: so long may it take until the worker's loss is known here.
	waitLost = 2 * time.Second
)

// Desk answers from Run on.
type Desk struct {
	gate *control.Gate
	log  *zap.Logger

	mu      sync.Mutex
	roster  *feed.Roster  // guarded by mu
	changed chan struct{} // guarded by mu: closed when roster has changed
	closed  bool          // guarded by mu
}

// New prepares a Desk on a listener, which it closes in the end. The identity is of PartyDriver.
func New(l net.Listener, id control.Identity, log *zap.Logger) (*Desk, error) {
	gate, err := control.NewGate(l, id, log, control.PartyFeeder)
	if err != nil {
		return nil, err
	}
	return &Desk{gate: gate, log: log, roster: feed.NewRoster(), changed: make(chan struct{})}, nil
}

// Addr is where it listens.
func (d *Desk) Addr() net.Addr { return d.gate.Addr() }

// Run answers until Close; then it is nil.
func (d *Desk) Run() error { return d.gate.Run(d.serve) }

// Close ends Run. It is safe to call more than once.
func (d *Desk) Close() {
	d.update(func(*feed.Roster) { d.closed = true })
	d.gate.Close()
}

// Set takes note of where a worker stands.
func (d *Desk) Set(w feed.Worker) { d.update(func(r *feed.Roster) { r.Set(w) }) }

// Finish takes note that the job has ended. The first word counts.
func (d *Desk) Finish(why feed.Outlook, text string) {
	d.update(func(r *feed.Roster) { r.Finish(string(why), text) })
}

// Terminated reports whether every worker wants no more rows.
func (d *Desk) Terminated() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.roster.Terminated()
}

func (d *Desk) update(f func(*feed.Roster)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d.roster)
	close(d.changed)
	d.changed = make(chan struct{})
}

// serve answers one feeder until it leaves.
func (d *Desk) serve(c net.Conn) {
	r := bufio.NewReader(c)
	var o feed.Opening
	for {
		f, err := feed.ReadFrame(r)
		if err == nil && f.Kind == feed.KindDone {
			d.update(func(r *feed.Roster) { r.Done(o.Stream, o.Attempt) })
			continue
		}
		var next feed.Opening
		if err == nil {
			err = f.As(feed.KindOpen, &next)
		}
		if err == nil {
			o = next
			err = d.answer(c, o)
		}
		if err != nil {
			d.log.Debug("feeder left", zap.String("stream", o.Stream), zap.Error(err))
			d.update(func(r *feed.Roster) { r.Leave(o.Stream, o.Attempt) })
			return
		}
	}
}

// answer tells a feeder where to feed its stream, or why not.
func (d *Desk) answer(c net.Conn, o feed.Opening) error {
	most := time.NewTimer(waitMost)
	defer most.Stop()
	lost := time.NewTimer(waitLost)
	defer lost.Stop()
	avoid := o.Lost
	for {
		d.mu.Lock()
		v := d.roster.Assign(o)
		changed, closed := d.changed, d.closed
		d.mu.Unlock()
		switch {
		case closed:
			return net.ErrClosed
		case v.Why != feed.Wait && (v.Why != "" || v.Place.Address != avoid):
			return reply(c, v)
		}
		select {
		case <-changed:
		case <-lost.C:
			avoid = ""
		case <-most.C:
			return reply(c, feed.Verdict{Why: feed.Wait})
		}
	}
}

func reply(c net.Conn, v feed.Verdict) error {
	kind, head := feed.KindPlace, any(v.Place)
	if v.Why != "" {
		kind, head = feed.KindOver, feed.Word{Why: v.Why, Text: v.Text}
	}
	b, err := feed.AppendFrame(nil, kind, head, 0)
	if err == nil {
		_, err = c.Write(b)
	}
	return err
}
