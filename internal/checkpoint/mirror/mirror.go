// Package mirror keeps a task's local directory of checkpoints on another filesystem: before the
// program starts it fetches what that needs to go on, and while it runs, and once more when it has
// ended, it copies what is complete.
//
// What is fetched or copied is verified first, arrives under another name, and takes its place when
// all of it is there. Package unit decides what goes together, and when. A copy holds a MiB in
// memory, whatever its size, and is made by a thread that gives way to others. One process copies
// to a directory; any number may fetch from it.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"tfos/internal/checkpoint"
	"tfos/internal/checkpoint/store"
	"tfos/internal/checkpoint/unit"
	"tfos/internal/dfs"
	"tfos/internal/pause"
)

// Options are what a Mirror is made of.
type Options struct {
	Local  string // directory on this machine's disk
	Remote string // URI of the directory that it is kept in
	ID     string // no two mirrors have the same at the same time
	// Others is a role of whose tasks each but the first has a directory of its own in Remote,
	// ROLE-INDEX: that is none of this mirror's. Empty: there are none.
	Others string
	// Use finds the filesystem of a URI, and the name in it; release gives it back.
	Use    func(ctx context.Context, uri string) (f dfs.FS, name string, release func(), err error)
	Fetch  bool // the program goes on from what is there
	Upload bool // what the program writes is copied there
	// Shared: others go on from the same. What is here and not there is none of it, and is put
	// aside before a start. See Share.
	Shared bool
	Follow bool // what is new there is fetched while the program runs
	Tell   func(checkpoint.News)
	// Explain says an error of the other filesystem to people; nil: it says what it says.
	Explain func(error) string
	Log     *zap.Logger
}

// Mirror keeps one directory. Prepare and Run are not for use at the same time.
type Mirror struct {
	o      Options
	here   place
	local  *store.Directory
	urgent atomic.Bool
	poke   chan struct{} // capacity 1: urgent was set

	tracker *unit.Tracker
	listing checkpoint.Listing // of what was here at the last look
	states  map[string]string  // content of the state files there, by directory, as far as it is known
	saved   bool               // all that was here when the program ended last is there
	open    bool               // a copy may be ready and not in its place
	copied  bool               // something was copied
	failing bool               // the last attempt did not succeed, and that was told
	pauses  *pause.Pauses      // between attempts
	rest    time.Duration      // the pause before the next attempt; 0: the last one worked
}

// Times.
const (
	lookEvery   = time.Second // between two looks at the local directory
	urgentEvery = 200 * time.Millisecond
	// restPause is for how long what is written all the time must not change to be complete.
	restPause   = 100 * time.Millisecond
	followEvery = 10 * time.Second // between two looks at the other one
	firstPause  = 500 * time.Millisecond
	lastPause   = 30 * time.Second
	// endPause is the longest pause between two attempts once the program has ended: there is a
	// deadline then.
	endPause = 2 * time.Second
)

// New makes a Mirror. It starts nothing.
func New(o Options) *Mirror {
	if o.Tell == nil {
		o.Tell = func(checkpoint.News) {}
	}
	if o.Explain == nil {
		o.Explain = error.Error
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	disk := dfs.NewLocal("/")
	m := &Mirror{
		o: o, here: place{disk, path.Clean(o.Local)}, poke: make(chan struct{}, 1), tracker: unit.NewTracker(), states: map[string]string{},
	}
	m.local = m.directory(disk, o.Local)
	return m
}

// Share has the program's next start go on from the same as others, or no longer: the job has
// another size. It is not for use while Prepare or Run is.
func (m *Mirror) Share(shared bool) { m.o.Shared = shared }

// directory is one that is copied, here or there. Libraries nest theirs deep, and what lies at the
// bottom counts.
func (m *Mirror) directory(f dfs.FS, dir string) *store.Directory {
	o := store.Options{Workers: 1, Depth: 100}
	if m.o.Others != "" {
		o.Leave = func(dir string) bool {
			index, of := strings.CutPrefix(dir, m.o.Others+"-")
			n, err := strconv.Atoi(index)
			return of && err == nil && n > 0 && strconv.Itoa(n) == index
		}
	}
	return store.New(f, dir, o)
}

// Hurry has the directory looked at more often: the program will end soon.
func (m *Mirror) Hurry() {
	m.urgent.Store(true)
	select {
	case m.poke <- struct{}{}:
	default:
	}
}

// Run copies what the program writes, until it is told by ended how that ended. Then it copies what
// is left, and returns when that is done. If ctx ends before, or the token is refused, it says
// which checkpoint is lost; so does the error.
func (m *Mirror) Run(ctx context.Context, ended <-chan unit.Life) error {
	runtime.LockOSThread() // and never unlocks it: the thread ends with the goroutine
	if err := background(); err != nil {
		m.o.Log.Debug("copies do not give way to others", zap.Error(err))
	}
	m.begin(lastPause)
	look := time.NewTimer(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return m.lost(ctx, unit.CutOff, ctx.Err())
		case life := <-ended:
			return m.finish(ctx, life)
		case <-look.C:
		case <-m.poke:
		}
		m.turn(ctx, ended)
		look.Reset(m.interval())
	}
}

// begin begins a time in which the pauses between attempts grow up to longest.
func (m *Mirror) begin(longest time.Duration) {
	m.pauses, m.rest = pause.Growing(firstPause, longest), 0
}

func (m *Mirror) interval() time.Duration {
	switch {
	case m.rest > 0:
		return m.rest
	case m.o.Follow && !m.o.Upload:
		return followEvery
	case m.urgent.Load():
		return urgentEvery
	}
	return lookEvery
}

// turn does what there is to do now.
func (m *Mirror) turn(ctx context.Context, ended <-chan unit.Life) {
	if m.o.Follow {
		m.report(m.follow(ctx))
	}
	if !m.o.Upload || m.scan(ctx) != nil {
		return
	}
	if m.tracker.Restless() {
		if pause.For(ctx, restPause) != nil || m.scan(ctx) != nil {
			return
		}
	}
	m.close()
	passed := map[string]bool{}
	for len(ended) == 0 && ctx.Err() == nil {
		more, err := m.step(ctx, unit.Runs, passed)
		if m.report(err); err != nil || !more {
			return
		}
	}
}

// finish copies what is left.
func (m *Mirror) finish(ctx context.Context, life unit.Life) error {
	if !m.o.Upload {
		return nil
	}
	m.begin(endPause)
	passed := map[string]bool{}
	for {
		err := m.scan(ctx)
		for more := true; err == nil && more; {
			more, err = m.step(ctx, life, passed)
		}
		if m.report(err); err == nil {
			break
		}
		if hopeless(err) {
			return m.lost(ctx, life, err)
		}
		if pause.For(ctx, m.interval()) != nil {
			return m.lost(ctx, life, err)
		}
	}
	if life == unit.CutOff {
		for _, u := range m.tracker.Doubtful() {
			m.tell(checkpoint.News{What: checkpoint.Broken, Checkpoint: u.Name, Step: u.Step(), Problem: "the program may have been cut off while it wrote this: it is not copied"})
		}
	}
	for _, c := range m.listing.Checkpoints {
		if c.Unfinished != "" {
			m.tell(checkpoint.News{What: checkpoint.Broken, Checkpoint: c.Name, Step: c.Step, Problem: c.Unfinished + ": it is not copied"})
		}
	}
	m.saved = len(m.tracker.Waiting(life)) == 0
	if m.copied {
		// It is empty, unless another mirror has left something. Who copies next makes it again.
		_ = m.there(ctx, func(there place) error { return there.fs.Remove(ctx, there.at(checkpoint.Staging), false) })
	}
	return nil
}

// hopeless reports whether a further attempt would end alike: a token that was refused once stays
// refused, and the container gets no other.
func hopeless(err error) bool { return errors.Is(err, dfs.ErrCredentials) }

// lost says what is here alone.
func (m *Mirror) lost(ctx context.Context, life unit.Life, cause error) error {
	m.saved = false
	if !m.o.Upload {
		return nil
	}
	if err := m.scan(context.WithoutCancel(ctx)); err != nil {
		m.o.Log.Warn("it is not known what is lost", zap.Error(err))
		return nil
	}
	waiting := m.tracker.Waiting(life)
	if len(waiting) == 0 {
		return nil
	}
	u := waiting[0]
	problem := fmt.Sprintf("it could not be copied to %s in time: %s", m.o.Remote, m.o.Explain(cause))
	m.tell(checkpoint.News{What: checkpoint.Lost, Checkpoint: u.Name, Step: u.Step(), Bytes: u.Bytes(), Problem: problem})
	return fmt.Errorf("%s is lost: %s", u.Name, problem)
}

// scan looks at the local directory. One that was removed says nothing of what the program wants.
func (m *Mirror) scan(ctx context.Context) error {
	if _, err := m.here.fs.Stat(ctx, m.here.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	l, err := m.local.List(ctx)
	if err != nil {
		m.o.Log.Debug("the directory of checkpoints cannot be listed", zap.Error(err))
		return err
	}
	m.listing = l
	m.tracker.Scan(unit.Of(l))
	return nil
}

// close notes what nobody writes.
func (m *Mirror) close() {
	for _, u := range m.tracker.Still() {
		if !slices.ContainsFunc(u.Files, func(f checkpoint.File) bool { return written(m.here.at(f.Name)) }) {
			m.tracker.Closed(u)
		}
	}
}

// step copies one unit, or, when there is none, has state files and deletions follow. It reports
// whether there may be more. passed are units that changed meanwhile: they wait for the next look.
func (m *Mirror) step(ctx context.Context, life unit.Life, passed map[string]bool) (more bool, err error) {
	c, ok := m.tracker.Next(time.Now(), life, func(name string) bool { return passed[name] })
	if !ok {
		return false, m.follows(ctx, life)
	}
	u, problem := c.Unit, ""
	if u.Known != nil {
		v, err := m.local.Verify(ctx, *u.Known, nil)
		if errors.Is(err, store.ErrChanged) {
			passed[u.Name] = true
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if problem = v.Problem; v.Broken() {
			m.tracker.Refuse(u)
			m.tell(checkpoint.News{What: checkpoint.Broken, Checkpoint: u.Name, Step: u.Step(), Problem: v.Problem})
			return true, nil
		}
	}
	began := time.Now()
	err = m.there(ctx, func(there place) error { return publish(ctx, m.here, there, c, m.o.ID) })
	if errors.Is(err, errChanged) {
		passed[u.Name] = true
		return true, nil
	}
	if err != nil {
		m.open = true
		return false, fmt.Errorf("copy %s to %s: %w", u.Name, m.o.Remote, err)
	}
	m.copied = true
	m.tracker.Copied(time.Now(), u)
	m.tell(checkpoint.News{What: checkpoint.Uploaded, Checkpoint: u.Name, Step: u.Step(), Bytes: c.Bytes(), Took: time.Since(began), Problem: problem})
	return true, nil
}

// there does something in the other directory, in which nothing of us is half done.
func (m *Mirror) there(ctx context.Context, do func(place) error) error {
	f, dir, release, err := m.o.Use(ctx, m.o.Remote)
	if err != nil {
		return err
	}
	defer release()
	if m.open {
		if err := Settle(ctx, f, dir); err != nil {
			return err
		}
		m.open = false
	}
	return do(place{f, dir})
}

// follows has the state files and what the program deleted follow the checkpoints.
func (m *Mirror) follows(ctx context.Context, life unit.Life) error {
	for _, s := range m.listing.States {
		moved, ok := s.State.Moved(s.Dir, m.tracker.Has)
		content := string(moved.Marshal())
		if !ok || m.states[s.Dir] == content {
			continue
		}
		err := m.there(ctx, func(there place) error {
			return dfs.WriteFile(ctx, there.fs, there.at(path.Join(s.Dir, checkpoint.StateFile)), []byte(content), 0)
		})
		if err != nil {
			return fmt.Errorf("copy %s to %s: %w", path.Join(s.Dir, checkpoint.StateFile), m.o.Remote, err)
		}
		m.states[s.Dir] = content
	}
	for _, c := range m.tracker.Deleted(life) {
		if err := m.there(ctx, func(there place) error { return removeAll(ctx, there, c.Stale) }); err != nil {
			return fmt.Errorf("delete %s in %s: %w", c.Unit.Name, m.o.Remote, err)
		}
		m.tracker.Forget(c.Unit)
		m.o.Log.Info("deleted as the program did", zap.String("checkpoint", c.Unit.Name))
	}
	return nil
}

// report says when it begins to fail and when that is over, and sets the pause before the next
// attempt.
func (m *Mirror) report(err error) {
	switch {
	case err == nil:
		m.pauses.Reset()
		if m.rest = 0; m.failing {
			m.failing = false
			m.tell(checkpoint.News{What: checkpoint.Recovers, Step: checkpoint.Unknown})
		}
	default:
		m.rest = m.pauses.Next()
		if !m.failing && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			m.failing = true
			m.tell(checkpoint.News{What: checkpoint.Failing, Step: checkpoint.Unknown, Problem: m.o.Explain(err)})
		}
	}
}

func (m *Mirror) tell(n checkpoint.News) {
	log := m.o.Log.With(zap.String("checkpoint", n.Checkpoint), zap.Int64("step", n.Step))
	switch n.What {
	case checkpoint.Fetched, checkpoint.Uploaded:
		if n.Problem != "" {
			log = log.With(zap.String("not judged", n.Problem))
		}
		log.Info("checkpoint "+string(n.What), zap.Int64("bytes", n.Bytes), zap.Duration("took", n.Took), zap.String("dir", m.o.Remote))
	case checkpoint.Recovers:
		m.o.Log.Info("checkpoints can be copied again", zap.String("dir", m.o.Remote))
	case checkpoint.Failing:
		m.o.Log.Warn("checkpoints cannot be copied, tries again", zap.String("dir", m.o.Remote), zap.String("problem", n.Problem))
	default:
		log.Warn("checkpoint "+string(n.What), zap.String("problem", n.Problem))
	}
	m.o.Tell(n)
}

// below reports whether a checkpoint lies in what a URI below Remote names, and its name.
func (m *Mirror) below(uri string) (string, bool) {
	return strings.CutPrefix(uri, strings.TrimRight(m.o.Remote, "/")+"/")
}
