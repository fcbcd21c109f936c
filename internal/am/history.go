package am

import (
	"slices"
	"time"

	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/page"
)

// history is the job's past for its page, as far as the machine does not remember it. A master that
// takes over begins a new one.
type history struct {
	generations []page.Generation
	curve       page.Curve
}

// mostGenerations bounds those that are remembered: the newest.
const mostGenerations = 200

func (h *history) publish(g job.Generation, now time.Time) {
	h.generations = append(h.generations, page.Generation{Generation: int64(g), At: now})
	h.generations = h.generations[max(0, len(h.generations)-mostGenerations):]
}

// record adds the job's step to the curve, with what a task has just reported. It looks at all
// tasks, once a second at most: 0.3 ms for 10,000.
func (o *owner) record(news control.Progress) {
	now := o.clock.now()
	if !o.history.curve.Due(now) {
		return
	}
	p := page.Point{At: now, Step: news.Step}
	for _, g := range o.progress {
		p.Step = max(p.Step, g.Step)
	}
	loss := o.progress[o.m.o.Job.Leader()].Loss
	if !loss.Known {
		loss = news.Loss
	}
	if loss.Known {
		p.Loss = &loss.Value
	}
	o.history.curve.Add(p)
}

// page is the job for its page.
func (o *owner) page() page.Document {
	return page.Document{Job: o.view(), History: page.History{
		Generations: slices.Clone(o.history.generations), Curve: o.history.curve.Points(),
	}}
}
