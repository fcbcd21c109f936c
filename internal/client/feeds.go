package client

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.uber.org/zap"

	"tfos/internal/control"
	"tfos/internal/feed"
	"tfos/internal/feed/desk"
	"tfos/internal/job"
	"tfos/internal/listen"
	"tfos/internal/pause"
	"tfos/internal/status"
)

// feeds are those of a session's job. The feed of each task's agent is watched: feeders hear at the
// desk where it is and whether it wants rows, programs that keep pace hear how far they may go, and
// the program that started the session hears what became of them.
type feeds struct {
	c    *Cluster
	s    *Submitted
	desk *desk.Desk
	say  func(event)
	stop context.CancelCauseFunc // stops the job, in order
	logs diskLogs                // of its nodes
	ctx  context.Context         // of those who watch
	wg   sync.WaitGroup          // they, and the desk

	mu      sync.Mutex
	ended   []string              // guarded by mu: queues that get nothing more
	tasks   map[job.Task]*fedTask // guarded by mu: those of view
	pace    *feed.Pace            // guarded by mu
	view    status.View           // guarded by mu: how the job stands
	running bool                  // guarded by mu: it was said that all programs take rows, or have ended well
	quiet   bool                  // guarded by mu: it was said that no worker wants more rows
	failed  string                // guarded by mu: a program's own words; empty: none failed
}

// fedTask is what is seen of a task.
type fedTask struct {
	watch *feedWatch  // nil: it has no agent
	live  bool        // its program was seen to take rows, or was there to
	stand feed.Worker // as the desk knows it
}

// feedWatch watches the feed of one agent.
type feedWatch struct {
	agent  string // host:port
	cancel context.CancelFunc
	wake   chan struct{} // capacity 1: has something when there is an order
	reader int           // guarded by feeds.mu: the program's connection that keeps pace; 0: none does
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

// open answers the feeders of a job from now on, until close.
func (f *feeds) open(l net.Listener) error {
	id, err := f.s.authority.Issue(control.Subject{Party: control.PartyDriver})
	if err != nil {
		return err
	}
	if f.desk, err = desk.New(l, id, f.c.Log.Named("desk")); err != nil {
		return err
	}
	f.tasks = map[job.Task]*fedTask{}
	var fed []string
	for _, t := range f.s.Job.Tasks() {
		if f.takesRows(t.Role) {
			fed = append(fed, t.String())
		}
	}
	f.pace = feed.NewPace(fed)
	f.wg.Go(func() {
		if err := f.desk.Run(); err != nil {
			f.c.Log.Error("feeders are not answered", zap.Error(err))
		}
	})
	return nil
}

// close ends what open began. Those who watch end with their context.
func (f *feeds) close() {
	f.desk.Close()
	f.wg.Wait()
}

// takesRows reports whether rows go to the tasks of a role: to those that train.
func (f *feeds) takesRows(role string) bool {
	r, ok := f.s.Job.Role(role)
	return ok && !r.Service && role != job.Evaluator
}

// ticket is what Spark's tasks need to feed the job: where the desk is, and who they are (PEM, a
// secret).
func (f *feeds) ticket(host string) (address, identity string, err error) {
	id, err := f.s.authority.IssueFor(control.Subject{Party: control.PartyFeeder}, feederValid)
	if err != nil {
		return "", "", err
	}
	pem, err := id.PEM()
	if err != nil {
		return "", "", err
	}
	address, err = listen.Address(host, f.desk.Addr())
	return address, string(pem), err
}

// end says to every agent, and to those that come, that these queues get nothing more.
func (f *feeds) end(queues []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, q := range queues {
		if !slices.Contains(f.ended, q) {
			f.ended = append(f.ended, q)
		}
	}
	f.orderAll()
}

// orderAll orders all agents what they are to do now. f.mu is held.
func (f *feeds) orderAll() {
	for _, t := range f.tasks {
		if t.watch != nil {
			t.watch.order()
		}
	}
}

// paced changes how the programs stand that keep pace, and orders what comes of it. f.mu is held.
func (f *feeds) paced(task job.Task, change func()) {
	reader, limit := f.pace.Limit(task.String())
	change()
	if r, l := f.pace.Limit(task.String()); r != reader || l != limit {
		f.orderAll()
	}
}

// update takes in how the job stands.
func (f *feeds) update(v status.View) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.view = v
	for _, seen := range v.Tasks {
		task := seen.ID()
		t := f.tasks[task]
		if t == nil {
			t = new(fedTask)
			f.tasks[task] = t
		}
		if t.watch != nil && t.watch.agent != seen.Agent {
			t.watch.cancel()
			if t.watch = nil; seen.Agent == "" {
				f.lost(task)
			}
		}
		if t.watch == nil && seen.Agent != "" {
			t.watch = f.watch(task, seen.Agent)
		}
		if seen.State == status.Succeeded {
			f.stand(task, feed.Worker{Outlook: feed.Terminated, Why: "the program has ended"})
		}
	}
	f.announce()
}

// announce says, once, that all programs are up. f.mu is held.
func (f *feeds) announce() {
	up := func(t status.Task) bool {
		return t.State == status.Running && f.tasks[t.ID()].live || t.State == status.Succeeded
	}
	if f.running || len(f.view.Tasks) == 0 || slices.ContainsFunc(f.view.Tasks, func(t status.Task) bool { return !up(t) }) {
		return
	}
	f.running = true
	e := event{Event: "running", TensorBoard: f.view.TensorBoard}
	for _, t := range f.view.Tasks {
		e.Tasks = append(e.Tasks, sessionTask{Role: t.Role, Index: t.Index, Node: t.Node, Address: t.Address})
	}
	f.say(e)
}

// watch watches the feed of a task's agent.
func (f *feeds) watch(task job.Task, agent string) *feedWatch {
	ctx, cancel := context.WithCancel(f.ctx)
	w := &feedWatch{agent: agent, cancel: cancel, wake: make(chan struct{}, 1)}
	f.wg.Go(func() {
		for pauses := pause.Growing(firstPause, lastPause); ; {
			err := f.watchOnce(ctx, task, w)
			f.mu.Lock()
			other := ctx.Err() != nil // agent is the task's, or there is nothing to watch any more
			if !other {
				f.lost(task)
			}
			f.mu.Unlock()
			if other {
				return
			}
			f.c.Log.Debug("the feed cannot be watched", zap.Stringer("task", task), zap.Error(err))
			if pauses.Wait(ctx) != nil {
				return
			}
		}
	})
	return w
}

func (f *feeds) watchOnce(ctx context.Context, task job.Task, w *feedWatch) error {
	a, err := f.c.Peers.Agent(w.agent, f.s.key)
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
			return f.orderFor(task, w), nil
		case <-ctx.Done():
			return control.FeedOrder{}, ctx.Err()
		}
	}
	w.order()
	return a.Feed(ctx, next, func(s control.FeedState) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s.Live && !f.tasks[task].live {
			f.tasks[task].live = true
			f.announce()
		}
		w.reader = s.Reader
		f.paced(task, func() { f.pace.Set(task.String(), feed.Standing{Reader: w.name(), Rows: s.Rows, Ended: s.Ended}) })
		f.stand(task, feed.Worker{Address: net.JoinHostPort(host, strconv.Itoa(s.Port)), Host: host, Outlook: feed.Outlook(s.Outlook), Why: s.Why})
		return nil
	})
}

// orderFor is what a task's agent is ordered.
func (f *feeds) orderFor(task job.Task, w *feedWatch) control.FeedOrder {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := control.FeedOrder{Ended: slices.Clone(f.ended)}
	if reader, limit := f.pace.Limit(task.String()); reader != "" && reader == w.name() {
		o.Reader, o.Rows, o.Final, o.Lost = w.reader, limit.Rows, limit.Final, limit.Lost
	}
	return o
}

// lost takes note that a task has no agent that answers. f.mu is held.
func (f *feeds) lost(task job.Task) {
	w := f.tasks[task].stand
	if w.Outlook == "" {
		w.Outlook = feed.Open
	}
	w.Address = ""
	f.stand(task, w)
	f.paced(task, func() { f.pace.Set(task.String(), feed.Standing{}) })
}

// stand takes note of where a worker stands. f.mu is held.
func (f *feeds) stand(task job.Task, w feed.Worker) {
	w.Task = task.String()
	if f.tasks[task].stand == w {
		return
	}
	f.tasks[task].stand = w
	if w.Outlook == feed.Failed && f.failed == "" {
		f.failed = fmt.Sprintf("%s failed:\n%s%s", task, w.Why, f.logs.elsewhere(f.s.ID, f.view, task))
		f.say(event{Event: "failed", Task: task.String(), Text: f.failed}) // before a feeder may hear of it
		f.desk.Finish(feed.Failed, f.failed)
		f.stop(fmt.Errorf("%s failed: %s", task, lastLine(w.Why)))
	}
	if !f.takesRows(task.Role) {
		return
	}
	if w.Outlook == feed.Terminated {
		f.paced(task, func() { f.pace.Leave(task.String()) })
	}
	f.desk.Set(w)
	if !f.quiet && f.desk.Terminated() {
		f.quiet = true
		f.say(event{Event: "terminated"})
	}
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// failure is a program's own words; empty: none failed.
func (f *feeds) failure() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}
