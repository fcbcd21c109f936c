package yarntest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfos/internal/hadoop/token"
	"tfos/internal/yarn"
	"tfos/internal/yarn/ledger"
	"tfos/internal/yarn/yarnrpc"
)

// masterScript hands the container's tokens out and waits for the file "run" to vanish, or for its
// own file of what to exit with: the next attempt may start at once.
const masterScript = `#!/bin/bash
cp "$HADOOP_TOKEN_FILE_LOCATION" "$1/$CONTAINER_ID.tmp" && mv "$1/$CONTAINER_ID.tmp" "$1/$CONTAINER_ID.tokens" || exit 1
while [ -e "$1/run" ] && [ ! -e "$1/$CONTAINER_ID.code" ]; do sleep 0.1; done
exit $(cat "$1/$CONTAINER_ID.code" 2>/dev/null || cat "$1/code")
`

// application is one application, its master being the test.
type application struct {
	*suite
	t          *testing.T
	dir        string // of this application alone
	submission yarn.Submission
	id         yarn.ApplicationID

	container  yarn.ContainerID // the master's own
	master     *yarnrpc.Master
	nodes      *yarnrpc.Nodes
	ledger     *ledger.Ledger
	registered yarn.Registered
	progress   float32

	tokens    map[yarn.NodeID]int // how often a node's token came
	granted   []yarn.Container    // wanted ones
	last      ledger.Outcome
	answer    yarn.AllocateResponse // the newest
	changed   map[yarn.NodeID]yarn.NodeReport
	completed map[yarn.ContainerID]yarn.ContainerStatus
}

// submit submits an application with changes to its usual submission, and returns when its master's
// container runs.
func (s *suite) submit(t *testing.T, change func(*yarn.Submission)) *application {
	t.Helper()
	a := s.prepare(t, change)
	must(t, s.client.Submit(s.context(t), a.submission))
	t.Cleanup(a.end)
	a.await()
	return a
}

// prepare makes all that submit needs, and does not submit.
func (s *suite) prepare(t *testing.T, change func(*yarn.Submission)) *application {
	t.Helper()
	dir, err := os.MkdirTemp(s.Dir, "app")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	app, err := s.client.NewApplication(s.context(t))
	must(t, err)
	a := &application{suite: s, t: t, dir: dir, id: app.ID}
	a.write("run", "")
	a.write("code", "0")
	a.submission = yarn.Submission{
		ID: app.ID, Name: "yarntest", Queue: s.Queue, Type: "TFOSTEST", MaxAttempts: 1, Resource: small,
		Launch: yarn.LaunchContext{
			Files:   map[string]yarn.LocalResource{"master.sh": a.file("master.sh", masterScript)},
			Command: []string{"./master.sh", a.dir, "1><LOG_DIR>/stdout", "2><LOG_DIR>/stderr"},
		},
	}
	if change != nil {
		change(&a.submission)
	}
	return a
}

// write puts a file into the application's directory.
func (a *application) write(name, content string) {
	a.t.Helper()
	must(a.t, os.WriteFile(filepath.Join(a.dir, name), []byte(content), 0o644))
}

// file writes a file and describes it as a NodeManager wants it.
func (a *application) file(name, content string) yarn.LocalResource {
	a.t.Helper()
	a.write(name, content)
	info, err := os.Stat(filepath.Join(a.dir, name))
	must(a.t, err)
	return yarn.LocalResource{URI: fileURI(filepath.Join(a.dir, name)), Size: info.Size(), ModTime: info.ModTime(), Visibility: yarn.Application}
}

// await waits for the tokens of an attempt not seen before, and takes its place.
func (a *application) await() {
	a.t.Helper()
	a.until(a.t, "the master's container did not start", func() bool {
		r, err := a.client.Report(a.context(a.t), a.id)
		must(a.t, err)
		if r.State.Terminal() {
			a.t.Fatalf("%s ended before its master ran: %v, %s", a.id, r.State, r.Diagnostics)
		}
		files, err := filepath.Glob(filepath.Join(a.dir, "*.tokens"))
		must(a.t, err)
		for _, f := range files {
			id, err := yarn.ParseContainerID(strings.TrimSuffix(filepath.Base(f), ".tokens"))
			must(a.t, err)
			if id.Attempt.Attempt > a.container.Attempt.Attempt {
				a.container = id
				return true
			}
		}
		return false
	})
	data, err := os.ReadFile(filepath.Join(a.dir, a.container.String()+".tokens"))
	must(a.t, err)
	creds, err := token.Decode(data)
	must(a.t, err)
	amrm, ok := creds.OfKind(token.KindAMRM)
	if !ok {
		a.t.Fatalf("the master's credentials hold no %s", token.KindAMRM)
	}
	a.disconnect()
	a.master = yarnrpc.NewMaster(a.options(a.t, a.Scheduler), amrm)
	a.nodes = yarnrpc.NewNodes(a.options(a.t, nil))
	a.ledger = ledger.New()
	a.tokens, a.completed = map[yarn.NodeID]int{}, map[yarn.ContainerID]yarn.ContainerStatus{}
	a.changed = map[yarn.NodeID]yarn.NodeReport{}
	a.granted = nil
}

func (a *application) disconnect() {
	if a.master == nil {
		return
	}
	if err := errors.Join(a.master.Close(), a.nodes.Close()); err != nil {
		a.t.Errorf("close connections: %v", err)
	}
}

// end removes all trace of the application from the cluster.
func (a *application) end() {
	a.disconnect()
	if err := a.client.Kill(a.context(a.t), a.id, "the test is over"); err != nil {
		a.t.Errorf("kill %s: %v", a.id, err)
	}
}

// register registers the attempt and takes the tokens that come with it.
func (a *application) register() {
	a.t.Helper()
	var err error
	a.registered, err = a.master.Register(a.context(a.t), yarn.Registration{Host: "test.example", Port: 1234, TrackingURL: "http://test.example:80/ui"})
	must(a.t, err)
	a.take(a.registered.NMTokens)
}

func (a *application) take(tokens []yarn.NMToken) {
	for _, t := range tokens {
		a.tokens[t.Node]++
	}
	a.nodes.SetTokens(tokens...)
}

// beat sends one heartbeat.
func (a *application) beat() ledger.Outcome {
	a.t.Helper()
	resp, err := a.master.Allocate(a.context(a.t), a.ledger.Next(a.progress))
	must(a.t, err)
	a.take(resp.NMTokens)
	a.answer = resp
	for _, n := range resp.Nodes {
		a.changed[n.ID] = n
	}
	out, err := a.ledger.Answered(resp)
	must(a.t, err)
	a.granted = append(a.granted, out.Granted...)
	for _, s := range slices.Concat(out.Completed, out.Unknown) {
		a.completed[s.ID] = s
	}
	a.last = out
	return out
}

// beatUntil sends heartbeats until look says true.
func (a *application) beatUntil(what string, look func() bool) {
	a.t.Helper()
	a.until(a.t, what, func() bool { a.beat(); return look() })
}

// ask asks for containers and waits until all are there.
func (a *application) ask(asks ...yarn.Ask) []yarn.Container {
	a.t.Helper()
	n := len(a.granted)
	for _, ask := range asks {
		a.ledger.SetAsk(ask)
	}
	a.beatUntil(fmt.Sprintf("containers were not granted: %v", asks), func() bool { return a.ledger.Wanted() == 0 })
	return a.granted[n:]
}

// ended waits for a container's end.
func (a *application) ended(c yarn.Container) yarn.ContainerStatus {
	a.t.Helper()
	a.beatUntil(c.ID.String()+" did not end", func() bool { _, ok := a.completed[c.ID]; return ok })
	return a.completed[c.ID]
}

// report asks the ResourceManager for the application.
func (a *application) report() yarn.Report {
	a.t.Helper()
	r, err := a.client.Report(a.context(a.t), a.id)
	must(a.t, err)
	return r
}

// finished tells the master's script to exit and waits for the application's end.
func (a *application) finished() yarn.Report {
	a.t.Helper()
	must(a.t, os.Remove(filepath.Join(a.dir, "run")))
	var r yarn.Report
	a.until(a.t, "the application did not end", func() bool { r = a.report(); return r.State.Terminal() })
	return r
}
