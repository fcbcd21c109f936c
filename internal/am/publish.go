package am

import "time"

// publication is when the newest cluster_spec goes to all agents. One goes at once; of those that
// follow it soon only the last does: where fifty tasks join one after another, fifty cluster_specs
// of a thousand members each would go to a thousand agents. Whose process starts does not wait.
type publication struct {
	at    time.Time     // when it is due; zero: all have it
	last  time.Time     // when one went to all
	every time.Duration // between two
}

// publishEvery is the least time between two cluster_specs for all, and publishEach what is added
// for each agent: to send one takes some 0.1 ms, and is not to take more than a quarter of the
// master's time. While mail waits the next one may take as long again, since more may have joined.
const (
	publishEvery = 200 * time.Millisecond
	publishEach  = 400 * time.Microsecond
)

// due notes that there is a new cluster_spec.
func (p *publication) due(now time.Time) {
	if p.at.IsZero() {
		p.at = now
		if next := p.last.Add(p.every); next.After(now) {
			p.at = next
		}
	}
}

// ready reports whether it is time to send the newest. More says that there is mail.
func (p *publication) ready(now time.Time, more bool) bool {
	at := p.at
	if more {
		at = at.Add(p.every)
	}
	return !p.at.IsZero() && !now.Before(at)
}

// distribute sends the newest cluster_spec to the agents that do not have it, when it is time.
func (o *owner) distribute() {
	now := o.clock.now()
	if !o.published.ready(now, !o.m.mail.empty()) {
		return
	}
	o.published = publication{last: now, every: max(publishEvery, time.Duration(len(o.agents))*publishEach)}
	for c, a := range o.agents {
		o.agents[c] = o.informed(a)
	}
}

// informed is an agent that was sent the newest cluster_spec, unless it has it.
func (o *owner) informed(a agent) agent {
	if o.spec.Generation > a.spec {
		a.session.Spec(o.spec)
		a.spec = o.spec.Generation
	}
	return a
}
