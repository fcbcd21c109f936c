package am

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/notify"
	"tfos/internal/status"
)

// How long the job's end waits for people to be told of it: before YARN knows the result, and
// afterwards, when YARN may end this process.
const (
	tellBefore = 5 * time.Second
	tellAfter  = 25 * time.Second
)

// Many tasks may be lost together: how long more are waited for, and the least time between two
// messages of restarts.
const (
	restartsGather = 2 * time.Second
	restartsEvery  = 30 * time.Second
)

// told is what people were told. It is part of the owner.
type told struct {
	restarts int       // how many there were
	at       time.Time // when
	more     time.Time // when there were more first; zero: there are none
}

// message is an event of the job, as it stands.
func (m *Master) message(e job.Event, text string, v status.View) notify.Message {
	step := int64(0)
	for _, t := range v.Tasks {
		step = max(step, t.Step)
	}
	url := m.finalURL()
	if m.o.Web != nil && v.ExitCode == nil {
		url = m.o.Proxies.URL()
	}
	return notify.Message{Event: e, Text: text, Application: v.ID, Attempt: m.o.Container.Attempt.Attempt, Name: v.Name, User: v.User, Queue: v.Queue, State: string(v.State), Step: step,
		ExitCode: v.ExitCode, At: m.o.Wall().UTC(), URL: url}
}

// tell tells those who want to know of an event.
func (o *owner) tell(e job.Event, text string) {
	if o.m.herald.Wants(e) {
		o.m.herald.Tell(o.m.message(e, text, o.view()))
	}
}

// tellRestarts tells of tasks that were lost since people were told last. All of those that a
// master finds are of one before, which has told.
func (o *owner) tellRestarts() {
	n, now := o.machine.Restarts(), o.clock.now()
	if n == o.told.restarts || !o.m.herald.Wants(job.EventRestart) {
		return
	}
	if o.told.more.IsZero() {
		o.told.more = now
	}
	if now.Sub(o.told.more) < restartsGather || now.Sub(o.told.at) < restartsEvery {
		return // heartbeats bring the owner here again
	}
	v := o.view()
	news := v.Restarts[max(0, len(v.Restarts)-(n-o.told.restarts)):]
	o.told = told{restarts: n, at: now}
	const most = 5
	var lines []string
	for _, r := range news[:min(most, len(news))] {
		lines = append(lines, fmt.Sprintf("%s (%s)", r.Task, strings.TrimSuffix(r.Cause+": "+r.Why, ": ")))
	}
	if len(news) > most {
		lines = append(lines, fmt.Sprintf("and %d more", len(news)-most))
	}
	o.m.herald.Tell(o.m.message(job.EventRestart, "starts again after a loss: "+strings.Join(lines, ", "), v))
}

// late tells that the job should have ended.
func (o *owner) late() {
	if _, over := o.machine.Result(); over {
		return
	}
	d := o.m.o.Job.Deadline
	o.log.Warn("the deadline has passed", zap.Stringer("deadline", d), zap.Time("at", o.m.o.Manifest.Deadline))
	o.turn(membership.DeadlinePassed{})
	o.tell(job.EventDeadline, fmt.Sprintf("has not ended by %s", d))
}

// overdue says that the deadline has passed; empty: it has not.
func (o *owner) overdue() string {
	if _, over := o.machine.Result(); over || !o.machine.Late() {
		return ""
	}
	return fmt.Sprintf("the deadline has passed (%s, %s), and the job has not ended", o.m.o.Job.Deadline, o.m.o.Manifest.Deadline.Format(time.RFC3339))
}

// watchDeadline says when the deadline passes, if no master before this one has, until the function
// that it returns is called.
func (m *Master) watchDeadline(said bool) (end func()) {
	at := m.o.Manifest.Deadline
	if at.IsZero() || said {
		return func() {}
	}
	t := time.AfterFunc(at.Sub(m.o.Wall()), func() { m.post(passed{}) })
	return func() { t.Stop() }
}

// tellEnd tells how the job ended.
func (m *Master) tellEnd(v status.View) {
	if v.ExitCode == nil {
		return
	}
	took := ""
	if v.Finished != nil && !v.Started.IsZero() {
		took = " after " + v.Finished.Sub(v.Started).Round(time.Second).String()
	}
	if *v.ExitCode == job.ExitSucceeded {
		m.herald.Tell(m.message(job.EventSuccess, "succeeded"+took, v))
		return
	}
	m.herald.Tell(m.message(job.EventFailure, fmt.Sprintf("ended with exit code %d%s: %s", *v.ExitCode, took, cmp.Or(v.Diagnostics, "no reason is known")), v))
}

// heralds runs what tells people, beyond the end of ctx: the end of the job is told as well. The
// function that it returns ends it.
func (m *Master) heralds(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { m.herald.Run(ctx) })
	return func() {
		cancel()
		wg.Wait()
	}
}
