package yarntest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tfos/internal/hadoop/token"
	"tfos/internal/yarn"
	"tfos/internal/yarn/ledger"
	"tfos/internal/yarn/yarnrpc"
)

// testLife follows an application from its submission to its good end, in the ResourceManager's
// words.
func testLife(t *testing.T, s *suite) {
	began := time.Now().Add(-time.Minute) // clocks differ
	a := s.submit(t, func(sub *yarn.Submission) {
		sub.Name = "life"
		sub.Tags = []string{"Tfos-Life"} // found in lower case
		sub.Lifetime = time.Hour
		sub.AttemptWindow = time.Minute
		sub.LogInclude = "std.*"
	})
	ctx := s.context(t)
	must(t, s.client.Submit(ctx, a.submission)) // the same again is nothing new

	stranger := yarnrpc.NewMaster(s.options(t, s.Scheduler), token.Token{})
	if _, err := stranger.Register(ctx, yarn.Registration{}); !errors.Is(err, yarn.ErrUnauthorized) {
		t.Errorf("registering without a token: %v", err)
	}
	must(t, stranger.Close())

	if _, err := a.master.Allocate(ctx, a.ledger.Next(0)); !errors.Is(err, yarn.ErrNotRegistered) {
		t.Errorf("a heartbeat before registering: %v", err)
	}
	a.ledger.Resync()
	a.register()
	if !small.Fits(a.registered.Max) || !s.isQueue(a.registered.Queue) || !a.registered.CountsVCores || len(a.registered.Kept) != 0 {
		t.Errorf("registered: %+v", a.registered)
	}
	if _, err := a.master.Register(ctx, yarn.Registration{Host: "again"}); !errors.Is(err, yarn.ErrOutOfStep) {
		t.Errorf("registering twice: %v", err)
	}

	a.progress = 0.25
	a.beat()
	var r yarn.Report
	// Hadoop's ResourceManager answers a heartbeat before it books what the master said with it.
	s.until(t, "the report to have the progress", func() bool { r = a.report(); return r.Progress == 0.25 })
	if r.ID != a.id || r.Name != "life" || r.Type != "TFOSTEST" || r.User != s.User || !s.isQueue(r.Queue) || r.State != yarn.StateRunning ||
		r.Final != yarn.FinalUndefined || r.Host != "test.example" || r.Port != 1234 || r.OriginalURL != "http://test.example:80/ui" ||
		r.Attempt != a.container.Attempt || r.Containers != 1 || !slices.Equal(r.Tags, []string{"tfos-life"}) {
		t.Errorf("report while it runs: %+v", r)
	}
	if r.Started.Before(began) || !r.Finished.IsZero() || !small.Fits(r.Used) {
		t.Errorf("started %v, finished %v, uses %v", r.Started, r.Finished, r.Used)
	}
	s.testLists(t, a)
	s.testLook(t, a)

	must(t, a.master.Finish(ctx, yarn.FinalSucceeded, "all went well", "http://history.example/x"))
	must(t, a.master.Finish(ctx, yarn.FinalSucceeded, "all went well", "http://history.example/x"))
	r = a.finished()
	if r.State != yarn.StateFinished || r.Final != yarn.FinalSucceeded || r.Finished.Before(r.Started) ||
		!strings.Contains(r.Diagnostics, "all went well") {
		t.Errorf("report of its end: %+v", r)
	}
	if r.OriginalURL != "http://history.example/x" && !strings.HasSuffix(r.TrackingURL, "history.example/x") {
		t.Errorf("the history's address did not stay: %q, %q", r.OriginalURL, r.TrackingURL)
	}
	if err := s.client.Kill(ctx, a.id, ""); err != nil {
		t.Errorf("kill of an application that ended: %v", err)
	}
	if after := a.report(); after.State != yarn.StateFinished {
		t.Errorf("killing what had ended changed its state to %v", after.State)
	}
}

// testLists looks for a running application by all that a list can be narrowed by.
func (s *suite) testLists(t *testing.T, a *application) {
	for name, q := range map[string]struct {
		query yarn.ApplicationsQuery
		found bool
	}{
		"by type":          {yarn.ApplicationsQuery{Types: []string{"TFOSTEST"}}, true},
		"by another type":  {yarn.ApplicationsQuery{Types: []string{"OTHER"}}, false},
		"by tag":           {yarn.ApplicationsQuery{Tags: []string{"TFOS-life"}}, true},
		"by another tag":   {yarn.ApplicationsQuery{Tags: []string{"tfos-death"}}, false},
		"by state":         {yarn.ApplicationsQuery{States: []yarn.ApplicationState{yarn.StateRunning, yarn.StateFailed}}, true},
		"by another state": {yarn.ApplicationsQuery{States: []yarn.ApplicationState{yarn.StateKilled}}, false},
		"by user":          {yarn.ApplicationsQuery{Users: []string{s.User}}, true},
		"by another user":  {yarn.ApplicationsQuery{Users: []string{"nobody-known"}}, false},
		"by queue":         {yarn.ApplicationsQuery{Queues: []string{s.Queue}}, true},
		"by all":           {yarn.ApplicationsQuery{}, true},
		"type and state":   {yarn.ApplicationsQuery{Types: []string{"TFOSTEST"}, States: []yarn.ApplicationState{yarn.StateKilled}}, false},
	} {
		apps, err := s.client.Applications(s.context(t), q.query)
		must(t, err)
		if got := slices.ContainsFunc(apps, func(r yarn.Report) bool { return r.ID == a.id }); got != q.found {
			t.Errorf("list %s: found %v, want %v", name, got, q.found)
		}
	}
}

// testLook looks at the attempt and its container, which is how logs are found.
func (s *suite) testLook(t *testing.T, a *application) {
	attempts, err := s.client.Attempts(s.context(t), a.id)
	must(t, err)
	if len(attempts) != 1 || attempts[0].ID != a.container.Attempt || attempts[0].State != yarn.AttemptRunning ||
		attempts[0].Container != a.container || attempts[0].Host != "test.example" {
		t.Errorf("attempts: %+v", attempts)
	}
	containers, err := s.client.Containers(s.context(t), a.container.Attempt)
	must(t, err)
	if len(containers) != 1 || containers[0].ID != a.container || containers[0].State != yarn.ContainerRunning ||
		containers[0].Node.IsZero() || containers[0].NodeHTTP == "" || !small.Fits(containers[0].Resource) {
		t.Errorf("containers: %+v", containers)
	}
}

// testResponseIDs repeats and garbles heartbeats.
func testResponseIDs(t *testing.T, s *suite) {
	a := s.submit(t, nil)
	a.register()
	ctx := s.context(t)
	one := []yarn.Ask{{ID: 1, Priority: 1, Resource: small, Count: 1}}
	three := []yarn.Ask{{ID: 1, Priority: 1, Resource: small, Count: 3}}

	r, err := a.master.Allocate(ctx, yarn.AllocateRequest{ResponseID: 0, Asks: one})
	must(t, err)
	if r.ResponseID != 1 {
		t.Fatalf("the answer to the first heartbeat has id %d", r.ResponseID)
	}
	again, err := a.master.Allocate(ctx, yarn.AllocateRequest{ResponseID: 0, Asks: three})
	must(t, err)
	if again.ResponseID != 1 {
		t.Errorf("the answer to a repeated heartbeat has id %d", again.ResponseID)
	}
	if _, err := a.master.Allocate(ctx, yarn.AllocateRequest{ResponseID: 57}); !errors.Is(err, yarn.ErrOutOfStep) {
		t.Errorf("a heartbeat with an id from the future: %v", err)
	}
	granted := 0
	count := func() {
		r, err = a.master.Allocate(ctx, yarn.AllocateRequest{ResponseID: r.ResponseID})
		must(t, err)
		granted += len(r.Granted)
	}
	s.until(t, "nothing was granted", func() bool { count(); return granted > 0 })
	// An ask for one more comes after whatever the repeated heartbeat might have asked for.
	r, err = a.master.Allocate(ctx, yarn.AllocateRequest{ResponseID: r.ResponseID, Asks: []yarn.Ask{{ID: 2, Priority: 2, Resource: small, Count: 1}}})
	must(t, err)
	granted += len(r.Granted)
	s.until(t, "nothing more was granted", func() bool { count(); return granted > 1 })
	if granted != 2 {
		t.Errorf("%d containers were granted: the repeated heartbeat was read", granted)
	}
}

// testKill ends an application from outside.
func testKill(t *testing.T, s *suite) {
	a := s.submit(t, nil)
	a.register()
	a.ask(yarn.Ask{ID: 1, Priority: 1, Resource: small, Count: 1})
	a.start(a.granted[0], "sleep")
	a.up(a.granted[0])
	must(t, s.client.Kill(s.context(t), a.id, "enough"))
	r := a.report()
	if r.State != yarn.StateKilled || r.Final != yarn.FinalKilled || !strings.Contains(r.Diagnostics, "enough") {
		t.Errorf("report after kill: %+v", r)
	}
	s.until(t, "a killed application's master is not told", func() bool {
		_, err := a.master.Allocate(s.context(t), a.ledger.Next(0))
		if err != nil && !errors.Is(err, yarn.ErrAttemptGone) {
			t.Fatalf("heartbeat of a killed application: %v", err)
		}
		return err != nil
	})
	s.until(t, "a killed application's process lives", func() bool { return !alive(a.pid(a.granted[0])) })
}

// testSecondAttempt lets the master die: the next one finds the first one's containers.
func testSecondAttempt(t *testing.T, s *suite) {
	a := s.submit(t, func(sub *yarn.Submission) { sub.MaxAttempts, sub.KeepContainers = 2, true })
	a.register()
	c := a.ask(yarn.Ask{ID: 5, Priority: 5, Resource: small, Count: 1})[0]
	a.start(c, "sleep")
	a.up(c)
	a.known(c)
	a.secondAttempt(nil)
	a.register()
	kept := slices.Clone(a.registered.Kept)
	if len(kept) == 0 { // its node told of it late
		a.beatUntil("the container was lost", func() bool { return len(a.ledger.Snapshot().Held) > 0 })
	} else {
		if kept[0].ID != c.ID || kept[0].Node != c.Node || kept[0].Priority != c.Priority {
			t.Errorf("kept %+v, was %+v", kept[0], c)
		}
		a.ledger.Adopt(kept[0].ID)
	}
	if a.tokens[c.Node] != 1 {
		t.Errorf("the token of node %s came %d times", c.Node, a.tokens[c.Node])
	}
	statuses, err := a.nodes.Statuses(s.context(t), c.Node, c.ID)
	if err != nil || len(statuses) != 1 || statuses[0].State != yarn.ContainerRunning {
		t.Errorf("the first attempt's container: %+v, %v", statuses, err)
	}
	must(t, a.nodes.Stop(s.context(t), c.Node, c.ID))
	if st := a.ended(c); st.ExitStatus != yarn.ExitKilledByAM {
		t.Errorf("stopped by the second attempt: %+v", st)
	}
}

// secondAttempt lets the first master die and waits for the next one, which has not registered
// then. meanwhile, if there is such, is done once nobody speaks for the first any more.
func (a *application) secondAttempt(meanwhile func()) {
	a.t.Helper()
	first, dead := a.container, a.master
	a.write("code.tmp", "7")
	must(a.t, os.Rename(filepath.Join(a.dir, "code.tmp"), filepath.Join(a.dir, first.String()+".code")))
	if meanwhile != nil {
		meanwhile()
	}
	a.until(a.t, "the first master did not end", func() bool { return a.report().Attempt.Attempt == 2 })
	a.master = nil
	a.await()
	if a.container.Attempt.Attempt != 2 || first.Attempt.Attempt != 1 {
		a.t.Fatalf("attempts %v and %v", first.Attempt, a.container.Attempt)
	}
	if _, err := dead.Allocate(a.context(a.t), yarn.AllocateRequest{}); !errors.Is(err, yarn.ErrAttemptGone) {
		a.t.Errorf("heartbeat of the attempt that is over: %v", err)
	}
	must(a.t, dead.Close())
}

// known waits until the ResourceManager knows that a container runs. It hears so with the node's
// next heartbeat, and takes those that it does not know to run away from an attempt that ends.
// Nothing shows that it knows; but a container that ended on the same node later was told of later.
func (a *application) known(c yarn.Container) {
	a.t.Helper()
	ask := yarn.Ask{ID: 99, Priority: 99, Resource: small, Count: 1}
	for tries := 0; ; tries++ {
		probe := a.ask(ask)[0]
		if probe.Node == c.Node {
			a.start(probe, "exit", "0")
			a.ended(probe)
			return
		}
		a.ledger.Release(probe.ID)
		if tries == 20 {
			a.t.Fatalf("%d containers in a row were granted on other nodes than %s", tries, c.Node)
		}
	}
}

// testRestart restarts the ResourceManager under a running application.
func testRestart(t *testing.T, s *suite) {
	a := s.submit(t, nil)
	a.register()
	c := a.ask(yarn.Ask{ID: 1, Priority: 1, Resource: small, Count: 1})[0]
	a.start(c, "sleep")
	a.up(c)

	s.Restart(t)
	// What runs is called accepted until its master has registered again, in the attempt that it
	// is.
	if r := a.report(); r.State != yarn.StateAccepted || r.Attempt.Attempt != 1 {
		t.Errorf("right after the restart: %+v", r)
	}
	a.ledger.SetAsk(yarn.Ask{ID: 2, Priority: 2, Resource: small, Count: 1})
	synced := false
	s.until(t, "no container came after the restart", func() bool {
		resp, err := a.master.Allocate(s.context(t), a.ledger.Next(0))
		switch {
		case errors.Is(err, yarn.ErrNotRegistered):
			a.register()
			a.ledger.Resync()
			synced = true
			return false
		case err != nil:
			must(t, err)
		}
		a.take(resp.NMTokens)
		var out ledger.Outcome
		out, err = a.ledger.Answered(resp)
		must(t, err)
		a.granted = append(a.granted, out.Granted...)
		for _, st := range out.Completed {
			t.Fatalf("a container was lost to the restart: %+v", st)
		}
		return len(a.granted) == 2
	})
	if !synced {
		t.Error("the ResourceManager did not ask the master to register again")
	}
	a.start(a.granted[1], "exit", "0")
	if st := a.ended(a.granted[1]); st.ExitStatus != 0 {
		t.Errorf("a container of the new ResourceManager: %+v", st)
	}
	must(t, a.nodes.Stop(s.context(t), c.Node, c.ID))
	a.ended(c)
}
