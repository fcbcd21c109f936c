package agent

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"tfos/internal/clusterspec"
	"tfos/internal/control"
	"tfos/internal/endpoint"
	"tfos/internal/job"
	"tfos/internal/pause"
)

// peersEvery is the least time between two reports of what happened to the connections to the
// peers.
const peersEvery = 5 * time.Second

// The pauses before a generation is applied again some of whose hosts were not found.
const (
	againMin = time.Second
	againMax = 30 * time.Second
)

// peers is the part of an owner's state by which its program reaches the other tasks.
type peers struct {
	call      func(func(context.Context)) context.CancelFunc // has a call made beside the loop, which never waits; it ends with the loop at the latest
	options   endpoint.Options
	endpoints Endpoints          // nil: they are being made
	stuck     error              // why they cannot be made
	reason    string             // why they are not of the kind that the job wants; empty: they are
	ordered   string             // why the master has all tasks take forward; empty: it has not
	old       Endpoints          // the ones before, which a program that has not ended yet was started with; nil: none
	spec      clusterspec.Spec   // the newest that the master published
	applied   job.Generation     // the newest that endpoints have
	over      context.CancelFunc // gives up the update under way; nil: there was none
	again     *pause.Pauses      // before the newest generation is applied again
	toldPeers control.Peers      // as the master knows them
	toldAt    time.Time
}

// reach has the endpoints made that the job wants, for a program that is to listen on a port which
// the agent holds.
func (o *owner) reach(port int) {
	o.options = endpoint.Options{Self: o.a.task, Logger: o.a.log, Proof: o.a.proof, Host: o.a.o.Host, Roles: o.a.o.Roles, Port: port, Dir: o.a.ours()}
	o.makeEndpoints(o.a.o.Endpoints)
}

// makeEndpoints has some made. Where redirect does not work there is forward, which works
// everywhere.
func (o *owner) makeEndpoints(k job.Endpoints) {
	make, options := o.a.o.NewEndpoints, o.options
	o.call(func(ctx context.Context) {
		reason := ""
		e, err := make(ctx, k, options)
		if err != nil && k == job.EndpointsRedirect && ctx.Err() == nil {
			reason = err.Error()
			e, err = make(ctx, job.EndpointsForward, options)
		}
		if !o.a.post(func(o *owner) { o.made(e, reason, err) }) && err == nil {
			o.closing(e)
		}
	})
}

func (o *owner) made(e Endpoints, reason string, err error) {
	if err != nil {
		o.a.log.Error("peers cannot be reached", zap.Error(err))
		o.stuck = err
		o.proceed()
		return
	}
	if reason != "" {
		o.a.log.Warn("redirect does not work here, takes forward", zap.String("reason", reason))
		o.reason = reason
	}
	o.endpoints = e
	if o.ordered != "" && e.Kind() == job.EndpointsRedirect {
		o.fallBack(o.ordered)
		return
	}
	o.toldPeers = control.Peers{}
	o.tellPeers()
	o.update()
	o.proceed()
}

// update has the newest generation applied. One before it that is being applied is not waited for:
// endpoints cut off who moved before they look for anybody, and drop what is old.
func (o *owner) update() {
	o.again.Reset()
	o.apply(0)
}

// apply applies the newest generation after a pause.
func (o *owner) apply(rest time.Duration) {
	if o.over != nil {
		o.over()
	}
	e, spec := o.endpoints, o.spec
	if e == nil || spec.Generation == 0 {
		return
	}
	o.over = o.call(func(ctx context.Context) {
		if pause.For(ctx, rest) != nil {
			return
		}
		if err := e.Update(ctx, spec); ctx.Err() == nil {
			o.a.post(func(o *owner) { o.updated(e, spec.Generation, err) })
		}
	})
}

// updated is a generation that was applied, for as many of its members as have hosts that could be
// found.
func (o *owner) updated(e Endpoints, g job.Generation, err error) {
	if e != o.endpoints || g < o.spec.Generation {
		return
	}
	o.applied = g
	o.learn(e.View())
	log := o.a.log.With(zap.Int("generation", int(g)))
	switch {
	case err != nil:
		if o.again.Taken() == 0 {
			log.Warn("some peers cannot be reached, tries again", zap.Error(err))
		}
		o.apply(o.again.Next())
	case o.again.Taken() > 0:
		log.Info("all peers can be reached now")
	}
	o.proceed()
}

// reached reports whether the peers are where a process of a generation expects them, or it is of
// no use to wait for that.
func (o *owner) reached(g job.Generation) bool {
	return o.stuck != nil || o.endpoints != nil && o.applied >= g
}

// forward is the master's order to take forward, because some other task had to.
func (o *owner) forward(reason string) {
	if o.ordered == "" && !o.retiring {
		o.ordered = reason
		if o.endpoints != nil && o.endpoints.Kind() == job.EndpointsRedirect {
			o.fallBack(reason)
		}
	}
}

// fallBack takes forward instead of redirect. A program that runs starts once more, to the master
// as the same incarnation: the program is not to blame.
func (o *owner) fallBack(reason string) {
	o.a.log.Warn("takes forward instead of redirect", zap.String("reason", reason), zap.Bool("running", o.program != nil))
	o.coverage = coverage{}
	if o.program == nil {
		o.closing(o.endpoints)
	} else {
		if o.next == nil && !o.stopped {
			o.next = &o.last
		}
		o.old = o.endpoints
		o.stop(o.grace)
	}
	o.endpoints, o.applied, o.reason = nil, 0, reason
	o.makeEndpoints(job.EndpointsForward)
}

// reportPeers tells the master what has changed since the last time, every few seconds at most.
func (o *owner) reportPeers() {
	if o.endpoints != nil && time.Since(o.toldAt) >= peersEvery {
		o.tellPeers()
	}
}

func (o *owner) tellPeers() {
	o.toldAt = time.Now()
	news := control.Peers{Endpoints: o.endpoints.Kind(), Reason: o.reason}
	for _, is := range o.endpoints.Counters() {
		was := slices.IndexFunc(o.toldPeers.Counters, func(t clusterspec.Counters) bool { return t.Task == is.Task })
		if used := is.Connections+is.Refused > 0; used && (was < 0 || o.toldPeers.Counters[was] != is) {
			news.Counters = append(news.Counters, is)
		}
	}
	if len(news.Counters) > 0 || news.Endpoints != o.toldPeers.Endpoints {
		slices.SortFunc(news.Counters, func(a, b clusterspec.Counters) int { return a.Task.Compare(b.Task) })
		o.toldPeers = o.toldPeers.With(news)
		o.a.link.Peers(news)
	}
}

// closeEndpoints removes what was made. The program has ended.
func (o *owner) closeEndpoints() {
	for _, e := range []Endpoints{o.old, o.endpoints} {
		if e != nil {
			o.closing(e)
		}
	}
}

func (o *owner) closing(e Endpoints) {
	if err := e.Close(); err != nil {
		o.a.log.Warn("files of the endpoints may be left", zap.Error(err))
	}
}
