package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/client/exit"
	"tfos/internal/client/stage"
	"tfos/internal/launch"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// How often the ResourceManager is asked for a job: often at first, for a person waits, and when
// the end is near.
const (
	firstPoll = 100 * time.Millisecond
	lastPoll  = time.Second
	rarePoll  = 5 * time.Second
	eager     = 10 * time.Second // how long the first
	settling  = time.Minute      // from when on the pauses grow, with the time that a job is followed
)

// untilNextPoll is the pause between two questions to the ResourceManager by one who has followed a
// job for so long. Of a job's end the master tells: the question is for a master that died. A
// hundred who follow ask 20 times a second.
func untilNextPoll(followed time.Duration) time.Duration {
	if followed < eager {
		return firstPoll
	}
	return min(time.Duration(float64(lastPoll)*max(1, float64(followed)/float64(settling))), rarePoll)
}

// patience is how long the ResourceManager may be gone while a job is followed. The job runs on
// meanwhile.
const patience = 5 * time.Minute

// Outcome is how a job ended.
type Outcome struct {
	View status.View
	Code exit.Code
}

// ErrInterrupted is the cause to cancel Follow with when the person at the keyboard has had enough.
var ErrInterrupted = errors.New("interrupted")

// Follow shows a job until it has ended: its tasks, and the output of the task whose log people
// want to see. When ctx ends first, it returns the cause; the job goes on, and if that was an
// interruption the error says how to come back to it.
func (c *Cluster) Follow(ctx context.Context, s *Submitted, ui UI) (Outcome, error) {
	f := &follower{c: c, s: s, ui: ui, hurry: make(chan struct{}), began: time.Now()}
	o, err := f.follow(ctx)
	if errors.Is(err, ErrInterrupted) {
		err = exit.Errorf(exit.Interrupted, "%w: %s goes on without you", ErrInterrupted, s.ID).
			Try("%-50s  follows it\n%-50s  ends it", c.command("attach "+s.ID.String()), c.command("kill "+s.ID.String()))
	}
	return o, err
}

// follower follows one job. The fields below hurry belong to the goroutine of follow.
type follower struct {
	c     *Cluster
	s     *Submitted
	ui    UI
	hurry chan struct{} // closed when the master said that the job is over

	state     yarn.ApplicationState
	attempt   int32 // of the master that YARN called running last; 0: none yet
	view      status.View
	watching  bool
	hurried   bool
	lostSince time.Time // when the ResourceManager stopped answering; zero: it answers
	began     time.Time // when following did
	waits     time.Time // since when a master's container is waited for; zero: it is not
	reason    string    // for that, as it was told last, without its numbers
}

// answer is what the ResourceManager said, or that it did not.
type answer struct {
	report yarn.Report
	err    error
}

func (f *follower) follow(ctx context.Context) (Outcome, error) {
	var workers sync.WaitGroup
	defer workers.Wait()
	within, cancel := context.WithCancel(ctx)
	defer cancel()

	answers, views := make(chan answer), make(chan status.View)
	workers.Go(func() { f.poll(within, answers) })
	tail := newTail(f.c, f.s.ID, f.s.key, f.s.Job.Leader(), f.ui.Log)
	workers.Go(func() { tail.run(within) })

	for {
		select {
		case <-ctx.Done():
			return Outcome{View: f.view}, context.Cause(ctx)
		case v := <-views:
			f.show(v)
			tail.update(v)
		case a := <-answers:
			if errors.Is(a.err, yarn.ErrUnknownApplication) {
				if v, left := f.c.result(ctx, f.s.ID); left == nil && v.ExitCode != nil {
					return f.ended(ctx, tail, Outcome{View: v, Code: exit.Code(*v.ExitCode)})
				}
			}
			if err := f.heard(a); err != nil {
				return Outcome{View: f.view}, err
			}
			if a.err != nil {
				continue
			}
			if f.overdue(ctx, a.report) {
				if err := f.c.giveUpWaiting(ctx, f.s); err != nil {
					return Outcome{View: f.view}, err
				}
				continue
			}
			if a.report.State == yarn.StateRunning && !f.watching {
				f.watching = true
				workers.Go(func() { f.watch(within, a.report, views) })
			}
			if a.report.State.Terminal() {
				return f.ended(ctx, tail, f.c.outcome(ctx, a.report, f.view))
			}
		}
	}
}

// ended shows the last of a job.
func (f *follower) ended(ctx context.Context, tail *tail, o Outcome) (Outcome, error) {
	f.show(o.View)
	if err := tail.finish(ctx, o.View); err != nil {
		f.ui.Note(fmt.Sprintf("the end of %s's output cannot be shown: %v", tail.task, err))
	}
	return o, nil
}

// poll asks the ResourceManager again and again, and hands on its answers.
func (f *follower) poll(ctx context.Context, answers chan<- answer) {
	began, hurry := time.Now(), f.hurry
	for {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		r, err := f.c.RM.Report(call, f.s.ID)
		cancel()
		select {
		case answers <- answer{r, err}:
		case <-ctx.Done():
			return
		}
		pause := untilNextPoll(time.Since(began))
		if hurry == nil {
			pause = firstPoll
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-hurry:
			hurry = nil // and from now on quick
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// watch hands on what the master shows.
func (f *follower) watch(ctx context.Context, r yarn.Report, views chan<- status.View) {
	err := f.c.watch(ctx, r, f.s.key, true, func(v status.View) error {
		select {
		case views <- v:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}, func(err error) {
		f.ui.Note(fmt.Sprintf("the job's master cannot be reached from here: %v", err))
		f.ui.Note("the job goes on, and its end will be seen; then this shows its output: " + f.c.command("logs "+f.s.ID.String()))
	})
	if err != nil && ctx.Err() == nil {
		f.c.Log.Debug("watch ended", zap.Error(err))
	}
}

// heard takes note of an answer, and is an error when there is no use in waiting for the next.
func (f *follower) heard(a answer) error {
	if errors.Is(a.err, yarn.ErrUnknownApplication) {
		return exit.Errorf(exit.Infrastructure, "%s: the ResourceManager has forgotten it: %w", f.s.ID, a.err).
			Try("a ResourceManager that restarts without recovery (yarn.resourcemanager.recovery.enabled) loses its jobs: submit it again")
	}
	if a.err != nil {
		now := time.Now()
		if f.lostSince.IsZero() {
			f.lostSince = now
			f.ui.Note(fmt.Sprintf("the ResourceManager does not answer, trying again for %v: %v", patience, a.err))
		}
		if now.Sub(f.lostSince) >= patience {
			return exit.Errorf(exit.Infrastructure, "%s: no answer from the ResourceManager for %v: %w", f.s.ID, patience, a.err).
				Try("the job may go on: %s shows it when the ResourceManager is back", f.c.command("status "+f.s.ID.String()))
		}
		return nil
	}
	if !f.lostSince.IsZero() {
		f.lostSince = time.Time{}
		f.ui.Note("the ResourceManager answers again")
	}
	if a.report.State != f.state {
		f.note(a.report)
	}
	f.wait(a.report)
	return nil
}

// overdue reports whether the job's timeout has passed while it waits for its first master, which
// looks after that itself.
func (f *follower) overdue(ctx context.Context, r yarn.Report) bool {
	limit := f.s.Job.Timeout
	return limit > 0 && r.State < yarn.StateRunning && time.Since(f.began) >= limit && r.Attempt.Attempt <= 1 && !f.c.hasMaster(ctx, r)
}

// giveUpWaiting ends an application that never began. Its result says why, also to others who
// follow it: YARN would only say that it was killed.
func (c *Cluster) giveUpWaiting(ctx context.Context, s *Submitted) error {
	code, now := int(exit.TimedOut), time.Now()
	v := status.View{ID: s.ID.String(), Name: s.Job.Name, User: c.User, Queue: s.Queue, State: status.Failed, ExitCode: &code, Finished: &now,
		Diagnostics: fmt.Sprintf("the job waited for its master's container longer than %v and was taken back (timeout)", s.Job.Timeout)}
	if err := c.leave(ctx, s.ID, v); err != nil {
		return stage.Explain(c.FS, "leave the result in", c.jobDir(s.ID), err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := c.RM.Kill(ctx, s.ID, v.Diagnostics); err != nil {
		c.Log.Debug("an overdue application cannot be killed yet", zap.Error(err))
	}
	return nil
}

// patientFor is how long a master's container is waited for without a word of the reason: most come
// at once.
const patientFor = 5 * time.Second

// wait tells what a master's container waits for. The numbers in a reason change all the time on a
// busy cluster, and are no news.
func (f *follower) wait(r yarn.Report) {
	if r.State != yarn.StateAccepted {
		f.waits, f.reason = time.Time{}, ""
		return
	}
	now := time.Now()
	if f.waits.IsZero() {
		f.waits = now
	}
	said := waiting(r)
	reason, _, _ := strings.Cut(said, "Details :")
	if reason != f.reason && now.Sub(f.waits) >= patientFor {
		f.reason = reason
		f.ui.Note("YARN says: " + said)
	}
}

// waiting is what YARN says of a job whose master has no container yet.
func waiting(r yarn.Report) string {
	if r.State >= yarn.StateRunning {
		return ""
	}
	return strings.Join(strings.Fields(yarn.Brief(r.Diagnostics)), " ")
}

// note tells that YARN sees the job elsewhere now.
func (f *follower) note(r yarn.Report) {
	f.state = r.State
	again := r.Attempt.Attempt == f.attempt // of a master that was seen running before
	switch {
	case f.state == yarn.StateAccepted && f.attempt == 0:
		f.ui.Note(fmt.Sprintf("accepted in queue %s, waiting for the master's container", cmp.Or(r.Queue, f.s.Queue)))
	case f.state == yarn.StateAccepted && again:
		f.ui.Note("the ResourceManager has restarted; the job goes on")
	case f.state == yarn.StateAccepted:
		f.ui.Note(fmt.Sprintf("the master has ended; attempt %d waits for its container", r.Attempt.Attempt))
	case f.state == yarn.StateRunning && again:
		f.ui.Note("the ResourceManager knows the job's master again")
	case f.state == yarn.StateRunning:
		f.ui.Note("master running on " + r.Host)
		f.attempt = r.Attempt.Attempt
	}
}

func (f *follower) show(v status.View) {
	f.view = v
	f.ui.Status(v)
	if v.ExitCode != nil && !f.hurried {
		f.hurried = true
		close(f.hurry)
	}
}

// outcome is how a job ended, by the document that its master left, else by what YARN says.
func (c *Cluster) outcome(ctx context.Context, r yarn.Report, last status.View) Outcome {
	v, err := c.result(ctx, r.ID)
	if err != nil {
		c.Log.Debug("no result", zap.Stringer("application", r.ID), zap.Error(err))
		v = last
	}
	if v.ExitCode != nil {
		v.Queue = cmp.Or(r.Queue, v.Queue)
		return Outcome{View: v, Code: exit.Code(*v.ExitCode)}
	}
	c.Log.Debug("how YARN says that it ended", zap.Stringer("application", r.ID), zap.String("diagnostics", r.Diagnostics))
	v = merge(v, r)
	return Outcome{View: v, Code: exit.Code(*v.ExitCode)}
}

// result reads the document that a job's master left at its end.
func (c *Cluster) result(ctx context.Context, id yarn.ApplicationID) (status.View, error) {
	var v status.View
	b, err := c.readFile(ctx, path.Join(c.jobDir(id), launch.ResultFile))
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("read the result of %s: %w", id, err)
	}
	return v, nil
}

// merge puts what YARN says over what the master said last. A job that YARN ended has no word of
// its own.
func merge(v status.View, r yarn.Report) status.View {
	v.ID, v.Name, v.Queue, v.User = r.ID.String(), r.Name, r.Queue, r.User
	v.TrackingURL = r.TrackingURL
	if v.Started.IsZero() {
		v.Started = r.Started
	}
	if v.Progress == 0 {
		v.Progress = float64(r.Progress)
	}
	v.State = stateOf(r)
	if !r.State.Terminal() {
		v.Diagnostics = cmp.Or(waiting(r), v.Diagnostics)
		return v
	}
	finished, code := r.Finished, int(codeOf(r))
	v.Finished, v.ExitCode = &finished, &code
	if r.Diagnostics != "" {
		v.Diagnostics = masterEnd(r)
	}
	v.Tasks = append([]status.Task(nil), v.Tasks...)
	for i := range v.Tasks {
		if s := v.Tasks[i].State; s == status.Pending || s == status.Starting || s == status.Running {
			v.Tasks[i].State = status.Stopped
		}
	}
	return v
}

// masterEnd is what YARN says of a job that it ended, begun with what its master died of, if that
// can be helped.
func masterEnd(r yarn.Report) string {
	said := yarn.WithoutFrames(r.Diagnostics) // with them, as yarn application -status shows it, nobody reads it
	status, ok := yarn.MasterExit(r.Diagnostics)
	if !ok || r.State != yarn.StateFailed {
		return said
	}
	switch status {
	case yarn.ExitVMemExceeded:
		return "the master's container was killed beyond virtual memory limits (exit status -103), for its address space: give it more (master.memory), " +
			"or have yarn.nodemanager.vmem-check-enabled turned off. " + said
	case yarn.ExitPMemExceeded:
		return "the master's container was killed beyond physical memory limits (exit status -104): give it more (master.memory). " + said
	}
	return said
}

// stateOf says in our words where YARN sees an application.
func stateOf(r yarn.Report) status.State {
	switch {
	case r.State < yarn.StateRunning:
		return status.Pending
	case r.State == yarn.StateRunning:
		return status.Running
	case r.State == yarn.StateKilled, r.Final == yarn.FinalKilled:
		return status.Stopped
	case r.State == yarn.StateFinished && r.Final == yarn.FinalSucceeded:
		return status.Succeeded
	}
	return status.Failed
}

// codeOf is the exit code of a job whose master left no word.
func codeOf(r yarn.Report) exit.Code {
	switch {
	case r.State == yarn.StateKilled, r.Final == yarn.FinalKilled:
		return exit.Killed
	case rejected(r):
		return exit.Refused
	case r.State == yarn.StateFailed: // every attempt of the master did
		return exit.Infrastructure
	case r.Final == yarn.FinalSucceeded:
		return exit.OK
	}
	return exit.JobFailed
}
