package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"tfos/internal/client/exit"
	"tfos/internal/feed"
	"tfos/internal/status"
)

// feederValid is how long a feeder's certificate is. A driver asks for a new one each time it
// feeds; an inference may be evaluated days later.
const feederValid = 7 * 24 * time.Hour

// SessionOptions say how a session talks to the program that started it.
type SessionOptions struct {
	In  io.Reader // its wishes, a JSON document a line; the job ends with it
	Out io.Writer // what happens, a JSON document a line
	// Host is the name of this host for feeders; they connect to Listener.
	Host     string
	Listener net.Listener
	Slots    *Slots // nil: containers are not in executors of Spark
	logsAt   string // where its logs lie once it is over; empty: tfos logs shows them
}

// session is a job that another program runs, like Spark's driver: it hears what happens to the
// job, feeds it, and the job ends when that program does.
type session struct {
	c    *Cluster
	out  events
	host string                  // ours, as Spark's tasks know it
	stop context.CancelCauseFunc // stops the job, in order
	left chan struct{}           // closed when the program that started the session is gone
	logs diskLogs                // of its nodes

	mu    sync.Mutex
	feeds *feeds // guarded by mu: nil: the job is not submitted yet
}

// event is something that the program which started a session hears.
type event struct {
	Event       string        `json:"event"` // slots, slot, submitted, note, running, failed, terminated, feeder, synced, ended
	Application string        `json:"application,omitempty"`
	Text        string        `json:"text,omitempty"`
	Advice      string        `json:"advice,omitempty"`
	Code        *int          `json:"code,omitempty"` // ended: of package exit
	Task        string        `json:"task,omitempty"`
	Tasks       []sessionTask `json:"tasks,omitempty"`
	Address     string        `json:"address,omitempty"`     // feeder: of the desk; slots: of who takes them
	Identity    string        `json:"identity,omitempty"`    // feeder, slots: PEM, a secret
	SHA256      string        `json:"sha256,omitempty"`      // slots: of the agent's binary
	Slot        *int          `json:"slot,omitempty"`        // slot: that is lost
	TensorBoard string        `json:"tensorboard,omitempty"` // running: the URL of the one that a node runs
}

type sessionTask struct {
	Role    string `json:"role"`
	Index   int    `json:"index"`
	Node    string `json:"node"`
	Address string `json:"address"`
}

// wish is something that it wants.
type wish struct {
	Do     string   `json:"do"` // feeder, sync, end, stop
	Queues []string `json:"queues"`
	Reason string   `json:"reason"`
}

// events writes events, one at a time.
type events struct {
	mu sync.Mutex
	w  io.Writer // guarded by mu
}

func (e *events) say(what event) {
	b, err := json.Marshal(what)
	if err != nil {
		panic("client: an event cannot be written: " + err.Error())
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.w.Write(append(b, '\n')) // whoever started the session may be gone; then its wishes end, too
}

// errLeft is why a job is stopped whose session's owner is gone.
var errLeft = errors.New("the program that ran the job is gone")

// ErrEnded is what a session returns whose job has not ended well. How it ended was an event.
var ErrEnded = errors.New("the job has not ended well")

// Session submits a job and runs it for another program, until the job has ended and that program
// has closed In, or is gone. The error is what was wrong before the job began, or ErrEnded.
func (c *Cluster) Session(ctx context.Context, p *Prepared, o SessionOptions) error {
	stopping, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s := &session{c: c, out: events{w: o.Out}, host: o.Host, stop: stop, left: make(chan struct{}), logs: diskLogs{o.logsAt}}
	go s.hear(o.In) // it ends with this process: nothing ends a read of a pipe
	release := func() {}
	if o.Slots != nil {
		var err error
		if release, err = s.collect(stopping, *o.Slots, p.Job); err != nil {
			return err
		}
	}
	defer release()
	submitted, err := c.Submit(stopping, p, sessionUI{say: s.out.say})
	if err != nil {
		return beforeSubmit(stopping, err)
	}
	watching, end := context.WithCancel(ctx)
	defer end()
	f := &feeds{c: c, s: submitted, say: s.out.say, stop: stop, logs: s.logs, ctx: watching}
	if err := f.open(o.Listener); err != nil {
		return err
	}
	s.mu.Lock()
	s.feeds = f
	s.mu.Unlock()
	s.out.say(event{Event: "submitted", Application: submitted.ID.String()})
	outcome, err := s.follow(stopping, submitted, sessionUI{say: s.out.say, status: f.update})
	err = s.conclude(f, outcome, err)
	release()
	end()
	select { // feeders that come now are still told that no rows are wanted, or why
	case <-s.left:
	case <-ctx.Done():
	}
	f.close()
	return err
}

// Ended says that a job ended before it began.
func Ended(w io.Writer, err error) {
	what := endedWith(exit.Of(err), err.Error())
	if e, ok := errors.AsType[*exit.Error](err); ok {
		what.Text, what.Advice = e.What, e.Advice
	}
	(&events{w: w}).say(what)
}

func endedWith(code exit.Code, text string) event {
	n := int(code)
	return event{Event: "ended", Code: &n, Text: text}
}

// follow follows the job to its end, and stops it when it is to be stopped.
func (s *session) follow(ctx context.Context, submitted *Submitted, ui UI) (Outcome, error) {
	within := context.WithoutCancel(ctx)
	stopped := make(chan struct{})
	release := context.AfterFunc(ctx, func() {
		defer close(stopped)
		reason := context.Cause(ctx).Error()
		if err := s.c.Kill(within, submitted.ID, reason, func(string) {}); err != nil {
			s.out.say(event{Event: "note", Text: fmt.Sprintf("the job could not be stopped: %v", err)})
		}
	})
	o, err := s.c.Follow(within, submitted, ui)
	if !release() {
		<-stopped
	}
	return o, err
}

// conclude says how the job ended.
func (s *session) conclude(f *feeds, o Outcome, err error) error {
	code, text := o.Code, o.View.Diagnostics
	if err != nil {
		code, text = exit.Of(err), err.Error()
	}
	if failed := f.failure(); failed != "" { // the job was stopped for it
		code, text = exit.JobFailed, failed
	} else if code != exit.OK {
		text += s.logs.elsewhere(f.s.ID, o.View)
	}
	e, outlook := endedWith(code, text), feed.Terminated
	if code != exit.OK {
		e.Advice, outlook, err = s.c.whereLogs(f.s, o, s.logs.dir), feed.Failed, ErrEnded
	}
	s.out.say(e) // before a feeder may hear of it
	f.desk.Finish(outlook, text)
	return err
}

// hear does what the program that started the session wishes, until that is gone: then it stops the
// job.
func (s *session) hear(in io.Reader) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var w wish
		if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
			s.out.say(event{Event: "note", Text: "a wish that is no JSON: " + err.Error()})
			continue
		}
		s.mu.Lock()
		f := s.feeds
		s.mu.Unlock()
		switch {
		case w.Do == "sync": // what happened before has been said before
			s.out.say(event{Event: "synced"})
		case w.Do == "stop":
			s.stop(errors.New(w.Reason))
		case w.Do == "feeder" && f == nil:
			s.out.say(event{Event: "feeder", Text: "it has not begun"})
		case w.Do == "feeder":
			e := event{Event: "feeder"}
			var err error
			if e.Address, e.Identity, err = f.ticket(s.host); err != nil {
				e = event{Event: "feeder", Text: err.Error()}
			}
			s.out.say(e)
		case w.Do == "end" && f == nil:
			s.out.say(event{Event: "note", Text: "it has not begun, and has no feed to end"})
		case w.Do == "end":
			f.end(w.Queues)
		default:
			s.out.say(event{Event: "note", Text: "an unknown wish: " + w.Do})
		}
	}
	s.stop(errLeft)
	close(s.left)
}

// sessionUI turns what is told to a person into events.
type sessionUI struct {
	say    func(event)
	status func(status.View)
}

// Note implements UI.
func (u sessionUI) Note(line string) { u.say(event{Event: "note", Text: line}) }

// Staging implements UI.
func (sessionUI) Staging(int64, int64) {}

// Status implements UI.
func (u sessionUI) Status(v status.View) {
	if u.status != nil {
		u.status(v)
	}
}

// Log implements UI: each task's output is in its log.
func (sessionUI) Log([]byte) {}

// Close implements UI.
func (sessionUI) Close() {}
