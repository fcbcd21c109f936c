package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"tfos/internal/control"
	"tfos/internal/dfs"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// world is a cluster whose every answer a test decides. Its job advances by the functions of
// script, one after the other, each a second after the one before.
type world struct {
	t  *testing.T
	fs *dfs.Memory

	mu       sync.Mutex
	max      yarn.Resource
	nodes    []yarn.NodeReport
	queues   []string
	asked    []string         // queues that were asked for by name
	reports  int              // how often somebody asked how a job is
	limits   map[string]int64 // MiB that a queue may have; none: as much as there is
	types    []yarn.ResourceType
	since32  bool
	down     error // every call to the ResourceManager fails with it
	apps     map[yarn.ApplicationID]yarn.Report
	sent     []yarn.Submission
	gone     string             // address of an agent that cannot be reached
	busy     error              // no application id is given
	deaf     error              // no submission arrives
	fresh    bool               // each submission has an id of its own
	verdict  func(*yarn.Report) // on a submission
	killed   []string
	stopped  []string
	scaled   []control.ScaleWish
	stubborn bool // the master does not end when it is asked to
	vanishes bool // the cluster is embedded, and ends when the master is asked to
	lonely   error
	views    []status.View
	changed  chan struct{} // closed at each change of views
	over     bool          // the master is gone
	logs     map[string]*growing
	kept     map[string]string // container/stream → content
}

// growing is a log on its way.
type growing struct {
	data    []byte
	ended   bool
	changed chan struct{}
	breaks  []int64 // offsets at which a stream breaks once
}

func newWorld(t *testing.T) *world {
	w := &world{t: t,
		max:     yarn.Resource{MemoryMiB: 8192, VCores: 4},
		nodes:   []yarn.NodeReport{{State: yarn.NodeRunning, Capability: yarn.Resource{MemoryMiB: 8192, VCores: 8}}, {State: yarn.NodeRunning, Capability: yarn.Resource{MemoryMiB: 8192, VCores: 8}}},
		queues:  []string{"default", "ml"},
		types:   []yarn.ResourceType{{Name: yarn.MemoryName}, {Name: yarn.VCoresName}},
		apps:    map[yarn.ApplicationID]yarn.Report{},
		changed: make(chan struct{}),
		logs:    map[string]*growing{},
		kept:    map[string]string{},
	}
	w.fs = dfs.NewMemory(dfs.MemoryOptions{User: "ann"})
	if err := w.fs.Mkdir(t.Context(), "/user/ann", 0o755); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) cluster() *Cluster {
	return &Cluster{RM: w, FS: w.fs, Peers: w, Logs: w, Log: zap.NewNop(), User: "ann", Home: "/user/ann", Where: "rm:8032", Collects: true, Conf: []byte("<configuration/>"),
		Resolve: func(_ context.Context, uri string) (dfs.FS, string, error) {
			_, name, ok := strings.Cut(uri, "://")
			if !ok {
				return nil, "", fmt.Errorf("%s: %w", uri, dfs.ErrUnsupported)
			}
			return w.fs, name, nil
		},
		gone: func() bool { defer w.lock()(); return w.vanishes && w.down != nil }}
}

var anID = yarn.ApplicationID{ClusterTimestamp: 1700000000000, Sequence: 7}

func (w *world) lock() func() { w.mu.Lock(); return w.mu.Unlock }

func (w *world) NewApplication(context.Context) (yarn.NewApplication, error) {
	defer w.lock()()
	if w.busy != nil {
		return yarn.NewApplication{}, w.busy
	}
	id := anID
	if w.fresh {
		id.Sequence += int32(len(w.sent))
	}
	return yarn.NewApplication{ID: id, Max: w.max}, w.down
}

func (w *world) refuseSubmit(err error) {
	defer w.lock()()
	w.deaf = err
}

// id is the newest application. The caller holds mu.
func (w *world) id() yarn.ApplicationID {
	if w.fresh && len(w.sent) > 0 {
		return w.sent[len(w.sent)-1].ID
	}
	return anID
}

func (w *world) Submit(_ context.Context, s yarn.Submission) error {
	defer w.lock()()
	if err := cmp.Or(w.down, w.deaf); err != nil {
		return err
	}
	if err := s.Validate(); err != nil {
		return err
	}
	if _, known := w.apps[s.ID]; known {
		return nil
	}
	w.sent = append(w.sent, s)
	if w.fresh {
		w.views, w.over = nil, false
	}
	r := yarn.Report{ID: s.ID, Name: s.Name, User: "ann", Queue: s.Queue, Type: s.Type, State: yarn.StateAccepted, Started: time.Now()}
	r.Attempt = yarn.AttemptID{Application: s.ID, Attempt: 1}
	if w.verdict != nil {
		w.verdict(&r)
	}
	w.apps[s.ID] = r
	return nil
}

func (w *world) Report(_ context.Context, id yarn.ApplicationID) (yarn.Report, error) {
	defer w.lock()()
	w.reports++
	if w.down != nil {
		return yarn.Report{}, w.down
	}
	r, ok := w.apps[id]
	if !ok {
		return r, fmt.Errorf("%s: %w", id, yarn.ErrUnknownApplication)
	}
	return r, nil
}

func (w *world) Attempts(_ context.Context, id yarn.ApplicationID) ([]yarn.AttemptReport, error) {
	a := yarn.AttemptID{Application: id, Attempt: 1}
	return []yarn.AttemptReport{{ID: a, Container: yarn.ContainerID{Attempt: a, ID: 1}}}, nil
}

func (w *world) Applications(_ context.Context, q yarn.ApplicationsQuery) ([]yarn.Report, error) {
	defer w.lock()()
	var rs []yarn.Report
	for _, r := range w.apps {
		if slices.Contains(q.Types, r.Type) && (len(q.Users) == 0 || slices.Contains(q.Users, r.User)) &&
			(len(q.Tags) == 0 || slices.ContainsFunc(q.Tags, func(tag string) bool { return slices.Contains(r.Tags, tag) })) {
			rs = append(rs, r)
		}
	}
	return rs, w.down
}

func (w *world) Kill(_ context.Context, id yarn.ApplicationID, why string) error {
	defer w.lock()()
	w.killed = append(w.killed, why)
	w.end(id, yarn.StateKilled, yarn.FinalKilled, why)
	return w.down
}

func (w *world) Nodes(context.Context) ([]yarn.NodeReport, error) { return w.nodes, w.down }

func (w *world) NodeLabels(context.Context) ([]yarn.NodeLabel, error) { return nil, w.down }

func (w *world) Queue(_ context.Context, name string) (yarn.Queue, error) {
	w.asked = append(w.asked, name)
	if w.down == nil && !slices.Contains(w.queues, name) {
		return yarn.Queue{}, fmt.Errorf("queue %q: %w", name, yarn.ErrUnknownQueue)
	}
	q := yarn.Queue{Name: name, Path: "root." + name, Running: true, MaxCapacity: 1}
	if mib, ok := w.limits[name]; ok {
		q.Scheduler, q.Most = yarn.CapacityScheduler, map[string]yarn.Resource{"": {MemoryMiB: mib, VCores: 100}}
	}
	return q, w.down
}

func (w *world) Queues(context.Context) (yarn.Queue, error) {
	root := yarn.Queue{Name: "root", Path: "root", Running: true, Children: []yarn.Queue{
		{Name: "dept", Path: "root.dept", Running: true, Children: []yarn.Queue{{Name: "a", Path: "root.dept.a", Running: true}, {Name: "b", Path: "root.dept.b"}}},
		{Name: "auto", Path: "root.auto", Running: true},
	}}
	for _, q := range w.queues {
		root.Children = append(root.Children, yarn.Queue{Name: q, Path: "root." + q, Running: true})
	}
	return root, w.down
}

func (w *world) SubmitQueues(context.Context) ([]string, error) { return w.queues, w.down }

func (w *world) Since32(context.Context) (bool, error) { return w.since32, nil }

func (w *world) ResourceTypes(context.Context) ([]yarn.ResourceType, error) { return w.types, w.down }

// end ends the application, and its master with it. The caller holds mu.
func (w *world) end(id yarn.ApplicationID, s yarn.ApplicationState, f yarn.FinalStatus, diagnostics string) {
	r := w.apps[id]
	if r.State.Terminal() {
		return
	}
	r.State, r.Final, r.Diagnostics, r.Finished = s, f, diagnostics, time.Now()
	w.apps[id] = r
	w.over = true
	w.wake()
}

func (w *world) wake() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// running has the master up.
func (w *world) running() {
	defer w.lock()()
	r := w.apps[w.id()]
	r.State, r.Host, r.Port = yarn.StateRunning, "nm1", 4711
	w.apps[w.id()] = r
	w.write(launch.MasterFile, launch.Master{Address: "nm1:4711", Attempt: 1})
}

// publish shows a view.
func (w *world) publish(v status.View) {
	defer w.lock()()
	w.views = append(w.views, v)
	w.wake()
}

// finish ends the job as its master would: result first, then YARN.
func (w *world) finish(v status.View, s yarn.ApplicationState, f yarn.FinalStatus) {
	defer w.lock()()
	w.write(launch.ResultFile, v)
	w.views = append(w.views, v)
	w.end(w.id(), s, f, v.Diagnostics)
}

func (w *world) write(name string, v any) {
	b, err := json.Marshal(v)
	if err == nil {
		err = dfs.WriteFile(context.Background(), w.fs, path.Join(launch.JobDir("/user/ann", w.id()), name), b, 0o600)
	}
	if err != nil {
		w.t.Error(err)
	}
}

func (w *world) Master(address string, _ control.Identity) (Master, error) {
	if address != "nm1:4711" {
		return nil, fmt.Errorf("%s: %w", address, control.ErrUnreachable)
	}
	return fakeMaster{w}, nil
}

type fakeMaster struct{ w *world }

func (m fakeMaster) Watch(ctx context.Context, _ bool, view func([]byte) error) error {
	for shown := 0; ; {
		m.w.mu.Lock()
		views, changed, over, err := m.w.views, m.w.changed, m.w.over, m.w.lonely
		m.w.mu.Unlock()
		if err != nil {
			return err
		}
		for ; shown < len(views); shown++ {
			b, err := json.Marshal(views[shown])
			if err != nil {
				return err
			}
			if err := view(b); err != nil {
				return err
			}
		}
		if over {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (m fakeMaster) Stop(_ context.Context, reason string) error {
	defer m.w.lock()()
	if m.w.lonely != nil {
		return m.w.lonely
	}
	m.w.stopped = append(m.w.stopped, reason)
	switch {
	case m.w.vanishes:
		m.w.down = errors.New("connection refused")
	case !m.w.stubborn:
		m.w.end(m.w.id(), yarn.StateFinished, yarn.FinalKilled, reason)
	}
	return nil
}

func (m fakeMaster) Debug(_ context.Context, page string, w io.Writer) error {
	return debugPage("the master", page, w)
}

// debugPage is the inside of a process that shows one page.
func debugPage(whose, page string, w io.Writer) error {
	if page != "" && page != "state" {
		return control.ErrNoPage
	}
	_, err := fmt.Fprintf(w, "%s of %s", page, whose)
	return err
}

func (m fakeMaster) Scale(_ context.Context, w control.ScaleWish) (control.ScaleAnswer, error) {
	defer m.w.lock()()
	if m.w.lonely != nil {
		return control.ScaleAnswer{}, m.w.lonely
	}
	m.w.scaled = append(m.w.scaled, w)
	switch {
	case w.Role != "worker":
		return control.ScaleAnswer{Refused: "the job has no role " + w.Role, Usage: true}, nil
	case m.w.stubborn:
		return control.ScaleAnswer{Was: 2, Refused: "the job is ending"}, nil
	}
	return control.ScaleAnswer{Was: 2}, nil
}

func (fakeMaster) Close() error { return nil }

func (w *world) Agent(address string, _ control.Identity) (Agent, error) {
	return fakeAgent{w, address}, nil
}

type fakeAgent struct {
	w       *world
	address string
}

// Feed implements client.Agent: no rows are fed.
func (fakeAgent) Feed(context.Context, func(context.Context) (control.FeedOrder, error), func(control.FeedState) error) error {
	return nil
}

// log is a stream of the agent at address. The caller holds mu.
func (w *world) log(address, stream string) *growing {
	key := address + " " + stream
	if w.logs[key] == nil {
		w.logs[key] = &growing{changed: make(chan struct{})}
	}
	return w.logs[key]
}

// print adds to a log.
func (w *world) print(address, stream, text string) {
	defer w.lock()()
	g := w.log(address, stream)
	g.data = append(g.data, text...)
	close(g.changed)
	g.changed = make(chan struct{})
}

// leave ends an agent: its streams end once they have sent all.
func (w *world) leave(address string) {
	defer w.lock()()
	for _, stream := range []string{control.Stdout, control.Stderr} {
		g := w.log(address, stream)
		g.ended = true
		close(g.changed)
		g.changed = make(chan struct{})
	}
}

func (a fakeAgent) Logs(ctx context.Context, r control.LogsRequest, chunk func(control.LogChunk) error) error {
	if a.address == a.w.gone {
		return control.ErrUnreachable
	}
	for at := r.Offset; ; {
		a.w.mu.Lock()
		g := a.w.log(a.address, r.Stream)
		data, ended, changed := g.data, g.ended, g.changed
		breaks := false
		if len(g.breaks) > 0 && int64(len(data)) > g.breaks[0] {
			data, breaks, g.breaks = data[:g.breaks[0]], true, g.breaks[1:]
		}
		a.w.mu.Unlock()
		if at < int64(len(data)) {
			if err := chunk(control.LogChunk{Data: data[at:], Offset: at}); err != nil {
				return err
			}
			at = int64(len(data))
		}
		switch {
		case breaks:
			return fmt.Errorf("agent: %w", control.ErrUnreachable)
		case ended || !r.Follow:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (fakeAgent) Debug(_ context.Context, page string, w io.Writer) error {
	return debugPage("an agent", page, w)
}
func (fakeAgent) Close() error { return nil }

func (w *world) Read(_ context.Context, f LogFile, offset int64, chunk func([]byte) error) error {
	defer w.lock()()
	s, ok := w.kept[f.Container+"/"+f.Stream]
	if !ok {
		return fs.ErrNotExist
	}
	return chunk([]byte(s[offset:]))
}

// script does things a second apart.
func (w *world) script(steps ...func()) {
	go func() {
		for _, step := range steps {
			time.Sleep(time.Second)
			step()
		}
	}()
}

// left lists what lies under a directory of the filesystem.
func (w *world) left(dir string) []string {
	var names []string
	list, err := w.fs.List(context.Background(), dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Error(err)
	}
	for _, i := range list {
		if i.IsDir() {
			names = append(names, w.left(i.Name)...)
		} else {
			names = append(names, i.Name)
		}
	}
	return names
}

// leftOfJob is what is left beside the cache.
func (w *world) leftOfJob() []string {
	return slices.DeleteFunc(w.left("/user/ann"), func(n string) bool { return strings.HasPrefix(n, "/user/ann/.tfos/cache/") })
}

// aJob is a job with a chief and a worker.
func aJob() job.Job {
	small := job.Resources{MemoryMiB: 1024, VCores: 1}
	return job.Job{Name: "digits", Command: "python train.py", Queue: "ml", Success: job.SuccessChief, Strategy: job.StrategyMirrored, Endpoints: job.EndpointsRedirect, Master: job.Resources{MemoryMiB: 512, VCores: 1},
		Recovery: job.Recovery{Window: time.Hour}, Gang: job.Gang{Timeout: time.Minute}, Stop: job.Stop{Grace: time.Second}, Notice: job.Notice{Signal: job.NoSignal},
		Roles: []job.Role{
			{Name: "chief", Instances: 1, Resources: small, Command: "python train.py"},
			{Name: "worker", Instances: 1, Resources: small, Command: "python train.py"},
		}}
}

// prepare puts small files in the place of the binaries.
func prepare(t *testing.T, j job.Job) *Prepared {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{launch.MasterBinary, launch.AgentBinary} {
		writeFile(t, path.Join(dir, name), "the program "+name)
	}
	b, err := FindBinaries(dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Prepare(j, b, "1.2.3", "info")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// training is a job that was submitted and runs.
func training(t *testing.T) (*world, *Cluster, *Submitted) {
	t.Helper()
	w := newWorld(t)
	c := w.cluster()
	var s shown
	submitted, err := c.SubmitOnly(t.Context(), prepare(t, aJob()), s.ui(), RunOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.running()
	w.publish(view(status.Running))
	return w, c, submitted
}
