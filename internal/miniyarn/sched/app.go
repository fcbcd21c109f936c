package sched

import (
	"fmt"
	"slices"
	"time"

	"tfos/internal/yarn"
)

// app is one application, from submission on.
type app struct {
	sub         yarn.Submission
	user        string
	resource    yarn.Resource // of the master, normalized
	state       yarn.ApplicationState
	final       yarn.FinalStatus
	diagnostics string
	submitted   time.Time
	launched    time.Time // first master granted
	finished    time.Time
	attempt     *attempt      // the current or last one; nil only if the submission was rejected
	past        []*attempt    // those before it
	failures    []time.Time   // of attempts that count against the maximum
	containers  []*container  // live ones of all attempts, in the order of granting
	nodes       []yarn.NodeID // whose state changed, which no master was told yet
}

func (a *app) over() bool {
	return a.state.Terminal() && (a.attempt == nil || a.attempt.stage == ended)
}

// stage is how far an attempt has come.
type stage int

const (
	waiting      stage = iota // for its master's container
	launching                 // the container is granted
	registered                // the master heartbeats
	unregistered              // the master said that it is done, its process has not ended
	ended
)

// attempt is one run of an application's master.
type attempt struct {
	id            yarn.AttemptID
	stage         stage
	state         yarn.AttemptState // as reported
	master        *container        // nil until it is granted
	lastContainer int64             // sequence number
	lastHeard     time.Time
	started       time.Time
	finished      time.Time
	diagnostics   string

	host        string
	port        int32
	trackingURL string
	progress    float32

	asks       []ask // by priority, then id; none with a count of zero
	blacklist  []string
	fresh      []*container           // granted, not told yet
	completed  []yarn.ContainerStatus // not told yet
	tokenNodes []yarn.NodeID          // whose NMToken was told
	last       yarn.AllocateResponse  // the answer to the last heartbeat, and its response id
}

// NewApplication hands out an application id.
func (s *Scheduler) NewApplication() yarn.NewApplication {
	s.lastApp++
	return yarn.NewApplication{ID: yarn.ApplicationID{ClusterTimestamp: s.cfg.ClusterTimestamp, Sequence: s.lastApp}, Max: s.Max()}
}

// Submit takes an application. An id that is known already is a repeated call, and no error. An
// unknown queue fails the application rather than the call.
func (s *Scheduler) Submit(now time.Time, sub yarn.Submission, user string) ([]Action, error) {
	if sub.ID.IsZero() {
		return nil, fmt.Errorf("%w: the submission names no application id", yarn.ErrRefused)
	}
	if s.byID[sub.ID] != nil {
		return nil, nil
	}
	if sub.NodeLabel != "" {
		return nil, labelError(sub.NodeLabel)
	}
	r, err := s.normalize(sub.Resource)
	if err != nil {
		return nil, err
	}
	if sub.Queue == "" {
		sub.Queue = Queue
	}
	a := &app{sub: sub, user: user, resource: r, state: yarn.StateAccepted, submitted: now}
	s.apps = append(s.apps, a)
	s.byID[sub.ID] = a
	s.lastApp = max(s.lastApp, sub.ID.Sequence)
	if sub.Queue != Queue && sub.Queue != "root."+Queue {
		a.state, a.final, a.finished = yarn.StateFailed, yarn.FinalFailed, now
		a.diagnostics = fmt.Sprintf("Application %s submitted by user %s to unknown queue: %s", sub.ID, user, sub.Queue)
		return s.settle(now), nil
	}
	s.newAttempt(a, now)
	return s.settle(now), nil
}

func (s *Scheduler) newAttempt(a *app, now time.Time) {
	number := int32(1)
	if a.attempt != nil {
		a.past = append(a.past, a.attempt)
		number = a.attempt.id.Attempt + 1
	}
	next := &attempt{id: yarn.AttemptID{Application: a.sub.ID, Attempt: number}, state: yarn.AttemptScheduled, started: now, lastHeard: now}
	if a.attempt != nil && a.sub.KeepContainers { // what its predecessor never learned
		next.completed = a.attempt.completed
		a.attempt.completed = nil
	}
	a.attempt = next
	a.state = yarn.StateAccepted
}

// Kill ends an application. It reports whether the application had ended before, as the
// ResourceManager does: a client repeats the call until it has.
func (s *Scheduler) Kill(now time.Time, id yarn.ApplicationID, diagnostics string) (bool, []Action, error) {
	a := s.byID[id]
	if a == nil {
		return false, nil, unknownApplication(id)
	}
	if a.state.Terminal() {
		return true, nil, nil
	}
	s.end(a, now, yarn.StateKilled, yarn.FinalKilled, diagnostics)
	return false, s.settle(now), nil
}

// end closes an application: its containers leave the books, and the nodes are told to stop them.
func (s *Scheduler) end(a *app, now time.Time, state yarn.ApplicationState, final yarn.FinalStatus, diagnostics string) {
	if !a.state.Terminal() {
		a.state, a.final, a.diagnostics, a.finished = state, final, diagnostics, now
	}
	if t := a.attempt; t.stage != ended {
		s.closeAttempt(t, now, attemptEnd(state), diagnostics)
	}
	for _, c := range slices.Clone(a.containers) {
		s.unplace(c)
		c.noteEnd(now, yarn.ExitKilledAfterApp, diagnostics)
	}
	s.do(EndApplication{ID: a.sub.ID})
}

func attemptEnd(s yarn.ApplicationState) yarn.AttemptState {
	switch s {
	case yarn.StateKilled:
		return yarn.AttemptKilled
	case yarn.StateFailed:
		return yarn.AttemptFailed
	}
	return yarn.AttemptFinished
}

func (s *Scheduler) closeAttempt(t *attempt, now time.Time, state yarn.AttemptState, diagnostics string) {
	t.stage, t.state, t.finished, t.diagnostics = ended, state, now, diagnostics
	t.asks, t.fresh, t.last = nil, nil, yarn.AllocateResponse{}
}

// failAttempt ends an attempt whose master did not unregister, and starts the next one if there is
// one left. counts says whether the failure is held against the application.
func (s *Scheduler) failAttempt(a *app, now time.Time, diagnostics string, counts bool) {
	t := a.attempt
	if counts {
		a.failures = append(a.failures, now)
	}
	if w := a.sub.AttemptWindow; w > 0 {
		a.failures = slices.DeleteFunc(a.failures, func(at time.Time) bool { return now.Sub(at) > w })
	}
	limit := s.cfg.MaxAttempts
	if n := a.sub.MaxAttempts; n > 0 {
		limit = min(limit, n)
	}
	if len(a.failures) >= int(limit) {
		s.end(a, now, yarn.StateFailed, yarn.FinalFailed, fmt.Sprintf("Application %s failed %d times (global limit =%d; local limit is =%d) due to %s. Failing the application.",
			a.sub.ID, len(a.failures), s.cfg.MaxAttempts, limit, diagnostics))
		return
	}
	s.closeAttempt(t, now, yarn.AttemptFailed, diagnostics)
	for _, c := range slices.Clone(a.containers) {
		// Only what runs can be kept: nobody would start the others. That is also what the real one
		// does.
		if c.master || !a.sub.KeepContainers || !c.started {
			s.stop(c, yarn.ExitKilledByRM, "the application's master ended")
			c.noteEnd(now, yarn.ExitKilledByRM, diagnostics)
		}
	}
	s.newAttempt(a, now)
}

// Tick applies the passing of time: silent masters, containers that nobody started or that are
// preempted, applications past their lifetime, nodes that are drained.
func (s *Scheduler) Tick(now time.Time) []Action {
	for _, a := range s.apps {
		if a.over() {
			continue
		}
		if d := a.sub.Lifetime; d > 0 && now.Sub(a.submitted) >= d && !a.state.Terminal() {
			s.end(a, now, yarn.StateKilled, yarn.FinalKilled,
				fmt.Sprintf("Application is killed by ResourceManager as it has exceeded the lifetime period of %s.", d))
			continue
		}
		for _, c := range slices.Clone(a.containers) {
			if !c.master && !c.started && now.Sub(c.since) >= s.cfg.GrantExpiry {
				s.do(StopContainer{Node: c.node.id, ID: c.grant.ID, Exit: yarn.ExitKilledByRM, Diagnostics: expiredDiagnostics})
				s.complete(now, c, yarn.ExitAborted, expiredDiagnostics)
				continue
			}
			if !c.preempt.IsZero() && !now.Before(c.preempt) {
				s.takeBack(now, c)
			}
		}
		if t := a.attempt; t.stage == waiting || now.Sub(t.lastHeard) < s.cfg.MasterExpiry {
			continue
		}
		switch t := a.attempt; t.stage {
		case unregistered:
			s.end(a, now, a.state, a.final, a.diagnostics)
		case launching, registered:
			s.failAttempt(a, now, fmt.Sprintf("ApplicationMaster for attempt %s timed out", t.id), true)
		}
	}
	s.drain(now)
	return s.settle(now)
}

// Report describes an application.
func (s *Scheduler) Report(id yarn.ApplicationID) (yarn.Report, error) {
	a := s.byID[id]
	if a == nil {
		return yarn.Report{}, unknownApplication(id)
	}
	return a.report(), nil
}

// Reports describes all applications, in the order of submission.
func (s *Scheduler) Reports() []yarn.Report {
	reports := make([]yarn.Report, len(s.apps))
	for i, a := range s.apps {
		reports[i] = a.report()
	}
	return reports
}

func (a *app) report() yarn.Report {
	r := yarn.Report{
		ID: a.sub.ID, Name: a.sub.Name, Type: a.sub.Type, User: a.user, Queue: a.sub.Queue, Tags: a.sub.Tags,
		State: a.state, Final: a.final, Diagnostics: a.diagnostics, Port: -1,
		Started: a.submitted, Launched: a.launched, Finished: a.finished, Containers: len(a.containers),
	}
	for _, c := range a.containers {
		r.Used = r.Used.Add(c.grant.Resource)
	}
	if t := a.attempt; t != nil {
		r.Attempt, r.Host, r.Port, r.Progress = t.id, t.host, t.port, t.progress
		r.TrackingURL, r.OriginalURL = t.trackingURL, t.trackingURL
		if !a.state.Terminal() && t.stage <= launching && len(a.past) > 0 {
			r.Diagnostics = a.past[len(a.past)-1].diagnostics
		}
	}
	return r
}

// Attempts describes the attempts of an application, oldest first.
func (s *Scheduler) Attempts(id yarn.ApplicationID) ([]yarn.AttemptReport, error) {
	a := s.byID[id]
	if a == nil {
		return nil, unknownApplication(id)
	}
	var reports []yarn.AttemptReport
	for _, t := range append(slices.Clone(a.past), a.attempt) {
		if t != nil {
			r := yarn.AttemptReport{
				ID: t.id, State: t.state, Host: t.host, Port: t.port, TrackingURL: t.trackingURL, OriginalURL: t.trackingURL,
				Diagnostics: t.diagnostics, Started: t.started, Finished: t.finished,
			}
			if t.master != nil {
				r.Container = t.master.grant.ID
			}
			reports = append(reports, r)
		}
	}
	return reports, nil
}

// Containers describes the containers of an attempt that live, and its master's in any case. Those
// that an attempt took over are still their first owner's.
func (s *Scheduler) Containers(id yarn.AttemptID) ([]yarn.ContainerReport, error) {
	a := s.byID[id.Application]
	if a == nil {
		return nil, unknownApplication(id.Application)
	}
	var reports []yarn.ContainerReport
	for _, t := range append(slices.Clone(a.past), a.attempt) {
		if t != nil && t.id == id && t.master != nil && !t.master.ended.IsZero() {
			reports = append(reports, t.master.report())
		}
	}
	for _, c := range a.containers {
		if c.grant.ID.Attempt == id {
			reports = append(reports, c.report())
		}
	}
	return reports, nil
}

func unknownApplication(id yarn.ApplicationID) error {
	return fmt.Errorf("%w: %s", yarn.ErrUnknownApplication, id)
}

func labelError(label string) error {
	return fmt.Errorf("%w: there is no node label %s", yarn.ErrInvalidResource, label)
}
