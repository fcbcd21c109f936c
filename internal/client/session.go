package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/client/exit"
	"tfos/internal/control"
	"tfos/internal/feed"
	"tfos/internal/feed/desk"
	"tfos/internal/job"
	"tfos/internal/pause"
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
	s    *Submitted // as long as it is nil, so is desk: the job is not submitted yet
	desk *desk.Desk
	out  *events
	host string                  // ours, as Spark's tasks know it
	stop context.CancelCauseFunc // stops the job, in order
	ctx  context.Context         // of those who watch feeds
	wg   sync.WaitGroup          // them
	left chan struct{}           // closed when the program that started the session is gone
	logs *diskLogs               // of nodes in executors of Spark, whose own are there; nil: tfos logs has them
	kept string                  // as SessionOptions.logsAt

	mu      sync.Mutex
	ended   []string                 // guarded by mu: queues that get nothing more
	watched map[job.Task]*feedWatch  // guarded by mu
	running bool                     // guarded by mu: all programs were seen to take rows, or were there to
	live    map[job.Task]bool        // guarded by mu: those that were
	failed  string                   // guarded by mu: a program's own words; empty: none failed
	quiet   bool                     // guarded by mu: it was said that no worker wants more rows
	view    status.View              // guarded by mu
	stands  map[job.Task]feed.Worker // guarded by mu
	pace    *feed.Pace               // guarded by mu
}

// feedWatch watches the feed of one agent.
type feedWatch struct {
	agent  string
	cancel context.CancelFunc
	wake   chan struct{} // capacity 1: has something when there is an order
	reader int           // guarded by session.mu: the program's connection that keeps pace; 0: none does
}

// name is a connection's, among those of all agents.
func (w *feedWatch) name() string {
	if w.reader == 0 {
		return ""
	}
	return fmt.Sprintf("%s#%d", w.agent, w.reader)
}

// order has the next order sent.
func (w *feedWatch) order() {
	select {
	case w.wake <- struct{}{}:
	default: // it will be sent
	}
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
	out := &events{w: o.Out}
	notes := sessionUI{say: out.say}
	watching, end := context.WithCancel(ctx)
	defer end()
	stopping, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s := &session{c: c, out: out, host: o.Host, stop: stop, ctx: watching, kept: o.logsAt, left: make(chan struct{}), watched: map[job.Task]*feedWatch{}, stands: map[job.Task]feed.Worker{}, live: map[job.Task]bool{}}
	go s.hear(o.In) // it ends with this process: nothing ends a read of a pipe
	release := func() {}
	if o.Slots != nil {
		s.logs = &diskLogs{o.logsAt}
		var err error
		if release, err = s.collect(stopping, *o.Slots, p.Job); err != nil {
			return err
		}
	}
	defer release()
	if err := s.submit(stopping, p, notes, o.Listener); err != nil {
		return err
	}
	notes.status = s.update
	outcome, err := s.follow(stopping, notes)
	err = s.conclude(outcome, err)
	release()
	end()
	select { // feeders that come now are still told that no rows are wanted, or why
	case <-s.left:
	case <-ctx.Done():
	}
	s.desk.Close()
	s.wg.Wait()
	return err
}

// submit submits the job, and answers its feeders from then on.
func (s *session) submit(ctx context.Context, p *Prepared, notes UI, l net.Listener) error {
	submitted, err := s.c.Submit(ctx, p, notes)
	if err != nil {
		return beforeSubmit(ctx, err)
	}
	id, err := submitted.authority.Issue(control.Subject{Party: control.PartyDriver})
	if err != nil {
		return err
	}
	d, err := desk.New(l, id, s.c.Log.Named("desk"))
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.s, s.desk = submitted, d
	s.pace = feed.NewPace(s.fed())
	s.mu.Unlock()
	s.out.say(event{Event: "submitted", Application: submitted.ID.String()})
	s.wg.Go(func() {
		if err := d.Run(); err != nil {
			s.c.Log.Error("feeders are not answered", zap.Error(err))
		}
	})
	return nil
}

// Ended says that a job ended before it began.
func Ended(w io.Writer, err error) {
	code := int(exit.Of(err))
	what := event{Event: "ended", Code: &code, Text: err.Error()}
	if e, ok := errors.AsType[*exit.Error](err); ok {
		what.Text, what.Advice = e.What, e.Advice
	}
	(&events{w: w}).say(what)
}

// follow follows the job to its end, and stops it when it is to be stopped.
func (s *session) follow(ctx context.Context, ui UI) (Outcome, error) {
	within := context.WithoutCancel(ctx)
	stopped := make(chan struct{})
	release := context.AfterFunc(ctx, func() {
		defer close(stopped)
		reason := context.Cause(ctx).Error()
		if err := s.c.Kill(within, s.s.ID, reason, func(string) {}); err != nil {
			s.out.say(event{Event: "note", Text: fmt.Sprintf("the job could not be stopped: %v", err)})
		}
	})
	o, err := s.c.Follow(within, s.s, ui)
	if !release() {
		<-stopped
	}
	return o, err
}

// conclude says how the job ended.
func (s *session) conclude(o Outcome, err error) error {
	code := int(o.Code)
	text := o.View.Diagnostics
	if err != nil {
		code, text = int(exit.Of(err)), err.Error()
	}
	s.mu.Lock()
	failed := s.failed
	s.mu.Unlock()
	if failed != "" { // the job was stopped for it
		code, text = int(exit.JobFailed), failed
	} else if code != int(exit.OK) {
		text += s.awayOf(o.View)
	}
	if code == int(exit.OK) {
		s.out.say(event{Event: "ended", Code: &code, Text: text}) // before a feeder may hear of it
		s.desk.Finish(feed.Terminated, "")
		return nil
	}
	s.out.say(event{Event: "ended", Code: &code, Text: text, Advice: s.c.whereLogs(s.s, o, s.kept)})
	s.desk.Finish(feed.Failed, text)
	return ErrEnded
}

// saidLogs is how many tasks a failure names the logs of at most.
const saidLogs = 3

// awayOf names, a line each, the places of logs that tfos logs cannot show: those of some tasks, or
// of the tasks that failed if none are given.
func (s *session) awayOf(v status.View, tasks ...job.Task) string {
	if s.logs == nil {
		return ""
	}
	var lines []string
	for _, t := range v.Tasks {
		if len(tasks) == 0 && t.State != status.Failed || len(tasks) > 0 && !slices.Contains(tasks, t.ID()) {
			continue
		}
		if where, ok := s.logs.away(LogFile{Application: s.s.ID, Container: t.Container}); ok && len(lines) < saidLogs {
			lines = append(lines, fmt.Sprintf("\n%s: %s", t.ID(), where.Error()))
		}
	}
	return strings.Join(lines, "")
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
		switch w.Do {
		case "feeder":
			s.feeder()
		case "sync": // what happened before has been said before
			s.out.say(event{Event: "synced"})
		case "end":
			s.endQueues(w.Queues)
		case "stop":
			s.stop(errors.New(w.Reason))
		default:
			s.out.say(event{Event: "note", Text: "an unknown wish: " + w.Do})
		}
	}
	s.stop(errLeft)
	close(s.left)
}

// feeder issues what Spark's tasks need to feed the job.
func (s *session) feeder() {
	s.mu.Lock()
	submitted, d := s.s, s.desk
	s.mu.Unlock()
	if submitted == nil {
		s.out.say(event{Event: "feeder", Text: "it has not begun"})
		return
	}
	id, err := submitted.authority.IssueFor(control.Subject{Party: control.PartyFeeder}, feederValid)
	var pem []byte
	if err == nil {
		pem, err = id.PEM()
	}
	_, port, splitErr := net.SplitHostPort(d.Addr().String())
	if err = errors.Join(err, splitErr); err != nil {
		s.out.say(event{Event: "feeder", Text: err.Error()})
		return
	}
	s.out.say(event{Event: "feeder", Address: net.JoinHostPort(s.host, port), Identity: string(pem)})
}

// endQueues says to every agent, and to those that come, that these queues get nothing more.
func (s *session) endQueues(queues []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range queues {
		if !slices.Contains(s.ended, q) {
			s.ended = append(s.ended, q)
		}
	}
	s.orderAll()
}

// orderAll orders all agents what they are to do now. s.mu is held.
func (s *session) orderAll() {
	for _, w := range s.watched {
		w.order()
	}
}

// paced changes how the programs stand that keep pace, and orders what comes of it. s.mu is held.
func (s *session) paced(task job.Task, change func()) {
	reader, limit := s.pace.Limit(task.String())
	change()
	if r, l := s.pace.Limit(task.String()); r != reader || l != limit {
		s.orderAll()
	}
}

// update takes in how the job stands.
func (s *session) update(v status.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view = v
	for _, t := range v.Tasks {
		task := t.ID()
		w := s.watched[task]
		switch {
		case t.Agent == "" && w != nil:
			w.cancel()
			delete(s.watched, task)
			s.lost(task)
		case t.Agent != "" && (w == nil || w.agent != t.Agent):
			if w != nil {
				w.cancel()
			}
			s.watch(task, t.Agent)
		}
		if t.State == status.Succeeded {
			s.stand(task, feed.Worker{Outlook: feed.Terminated, Why: "the program has ended"})
		}
	}
	s.announce()
}

// announce says, once, that all programs are up. s.mu is held.
func (s *session) announce() {
	up := func(t status.Task) bool {
		return t.State == status.Running && s.live[t.ID()] || t.State == status.Succeeded
	}
	if s.running || len(s.view.Tasks) == 0 || slices.ContainsFunc(s.view.Tasks, func(t status.Task) bool { return !up(t) }) {
		return
	}
	s.running = true
	e := event{Event: "running", TensorBoard: s.view.TensorBoard}
	for _, t := range s.view.Tasks {
		e.Tasks = append(e.Tasks, sessionTask{Role: t.Role, Index: t.Index, Node: t.Node, Address: t.Address})
	}
	s.out.say(e)
}

// watch watches the feed of a task's agent. s.mu is held.
func (s *session) watch(task job.Task, agent string) {
	ctx, cancel := context.WithCancel(s.ctx)
	w := &feedWatch{agent: agent, cancel: cancel, wake: make(chan struct{}, 1)}
	s.watched[task] = w
	s.wg.Go(func() {
		for pauses := pause.Growing(firstPause, lastPause); ; {
			err := s.watchOnce(ctx, task, w)
			if ctx.Err() != nil {
				return
			}
			s.mu.Lock()
			s.lost(task)
			s.mu.Unlock()
			s.c.Log.Debug("the feed cannot be watched", zap.Stringer("task", task), zap.Error(err))
			if pauses.Wait(ctx) != nil {
				return
			}
		}
	})
}

func (s *session) watchOnce(ctx context.Context, task job.Task, w *feedWatch) error {
	a, err := s.c.Peers.Agent(w.agent, s.s.key)
	if err != nil {
		return err
	}
	defer a.Close()
	host, _, err := net.SplitHostPort(w.agent)
	if err != nil {
		return err
	}
	next := func(ctx context.Context) (control.FeedOrder, error) {
		select {
		case <-w.wake:
			return s.orderFor(task, w), nil
		case <-ctx.Done():
			return control.FeedOrder{}, ctx.Err()
		}
	}
	w.order()
	return a.Feed(ctx, next, func(f control.FeedState) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if ctx.Err() != nil { // another agent is the task's
			return ctx.Err()
		}
		if f.Live && !s.live[task] {
			s.live[task] = true
			s.announce()
		}
		w.reader = f.Reader
		s.paced(task, func() { s.pace.Set(task.String(), feed.Standing{Reader: w.name(), Rows: f.Rows, Ended: f.Ended}) })
		s.stand(task, feed.Worker{Address: net.JoinHostPort(host, strconv.Itoa(f.Port)), Host: host, Outlook: feed.Outlook(f.Outlook), Why: f.Why})
		return nil
	})
}

// orderFor is what a task's agent is ordered.
func (s *session) orderFor(task job.Task, w *feedWatch) control.FeedOrder {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := control.FeedOrder{Ended: slices.Clone(s.ended)}
	if reader, limit := s.pace.Limit(task.String()); reader != "" && reader == w.name() {
		o.Reader, o.Rows, o.Final, o.Lost = w.reader, limit.Rows, limit.Final, limit.Lost
	}
	return o
}

// lost takes note that a task has no agent that answers. s.mu is held.
func (s *session) lost(task job.Task) {
	w := s.stands[task]
	if w.Outlook == "" {
		w.Outlook = feed.Open
	}
	w.Address = ""
	s.stand(task, w)
	s.paced(task, func() { s.pace.Set(task.String(), feed.Standing{}) })
}

// stand takes note of where a worker stands. s.mu is held.
func (s *session) stand(task job.Task, w feed.Worker) {
	w.Task = task.String()
	if s.stands[task] == w {
		return
	}
	s.stands[task] = w
	if w.Outlook == feed.Failed && s.failed == "" {
		s.failed = fmt.Sprintf("%s failed:\n%s%s", task, w.Why, s.awayOf(s.view, task))
		s.out.say(event{Event: "failed", Task: task.String(), Text: s.failed}) // before a feeder may hear of it
		s.desk.Finish(feed.Failed, s.failed)
		s.stop(fmt.Errorf("%s failed: %s", task, lastLine(w.Why)))
	}
	if s.feeds(task.Role) {
		if w.Outlook == feed.Terminated {
			s.paced(task, func() { s.pace.Leave(task.String()) })
		}
		s.desk.Set(w)
		if !s.quiet && s.desk.Terminated() {
			s.quiet = true
			s.out.say(event{Event: "terminated"})
		}
	}
}

// feeds reports whether rows go to the tasks of a role: to those that train.
func (s *session) feeds(role string) bool {
	r, ok := s.s.Job.Role(role)
	return ok && !r.Service && role != job.Evaluator
}

// fed is the tasks that rows go to.
func (s *session) fed() []string {
	var tasks []string
	for _, t := range s.s.Job.Tasks() {
		if s.feeds(t.Role) {
			tasks = append(tasks, t.String())
		}
	}
	return tasks
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
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
