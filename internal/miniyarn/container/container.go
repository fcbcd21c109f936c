// Package container runs containers as a NodeManager with the DefaultContainerExecutor does: it
// brings their files in place, writes the launch script, starts it as a process group of its own,
// watches its memory, and says how it ended.
//
// It decides nothing about whether a container may run. Directories, environment, expansion, exit
// statuses and diagnostics follow Hadoop 3.4, so that what works here works there. Containers do
// not outlive the process that runs them, however that process ends.
package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/yarn"
)

// Launch is one container to run.
type Launch struct {
	ID        yarn.ContainerID
	Node      yarn.NodeID
	User      string
	Resource  yarn.Resource
	Master    bool      // of its application
	Submitted time.Time // the application; told to the master
	Context   yarn.LaunchContext
	Tokens    []byte             // content of the container's token file
	Dir       string             // the node's directory for files and working directories
	LogDir    string             // the node's directory for logs
	Started   func()             // called once the processes run
	Signals   <-chan yarn.Signal // sent to the container's processes
}

// Exit is how a container ended.
type Exit struct {
	Status      yarn.ExitStatus
	Diagnostics string
}

// Stop is the cause to cancel a container's context with: the container ends with this status,
// whatever its processes say.
type Stop struct {
	Status      yarn.ExitStatus
	Diagnostics string
	AtOnce      bool // by SIGKILL, without a SIGTERM before
}

// Error makes a Stop fit for context.CancelCauseFunc.
func (s *Stop) Error() string { return s.Diagnostics }

// Fetch opens a file that lies in another filesystem than the local one, and tells its modification
// time.
type Fetch func(ctx context.Context, uri string) (Source, error)

// Options configures a Runner. Zero fields mean what their comments name.
type Options struct {
	Fetch       Fetch         // files whose URI is not file:; nil: they cannot be localized
	KillDelay   time.Duration // from SIGTERM to SIGKILL; 250 ms, as a NodeManager's
	MemoryPoll  time.Duration // between looks at the memory of containers; 1 s
	Env         []string      // that containers have besides their own; nil: none
	IgnoreUsage bool          // let containers use more memory than they were granted
	Logger      *zap.Logger   // nil: none
}

// Runner runs containers. It is safe for concurrent use.
type Runner struct {
	opts  Options
	cache cache
	procs spawner
	usage monitor

	mu     sync.Mutex
	closed bool // guarded by mu, so that no run is added once Close waits
	runs   sync.WaitGroup
}

// New makes a Runner. It starts nothing before the first container does.
func New(o Options) *Runner {
	if o.KillDelay == 0 {
		o.KillDelay = 250 * time.Millisecond
	}
	if o.MemoryPoll == 0 {
		o.MemoryPoll = time.Second
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	r := &Runner{opts: o}
	r.cache.fetch = o.Fetch
	r.usage.interval = o.MemoryPoll
	return r
}

var errClosed = errors.New("the node is shutting down")

// Run runs one container to its end. Cancelling the context stops it; a *Stop as the cause says
// with which status.
func (r *Runner) Run(ctx context.Context, l Launch) Exit {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return Exit{yarn.ExitAborted, errClosed.Error()}
	}
	r.runs.Add(1)
	r.mu.Unlock()
	defer r.runs.Done()

	log := r.opts.Logger.With(zap.Stringer("container", l.ID))
	exit := r.run(ctx, l, layoutOf(l))
	log.Debug("container ended", zap.Int32("status", int32(exit.Status)))
	if err := os.RemoveAll(layoutOf(l).work); err != nil {
		log.Warn("a container's directory could not be removed", zap.Error(err))
	}
	return exit
}

func (r *Runner) run(ctx context.Context, l Launch, at layout) Exit {
	var d diagnostics
	if err := at.make(); err != nil {
		d.add("%v", err)
		return Exit{yarn.ExitLaunchFailed, d.String()}
	}
	files, counters, err := r.localize(ctx, l, at)
	if stop := stopped(ctx); stop != nil {
		d.add("%s", stop.Diagnostics)
		d.add("Container is killed before being launched.")
		return Exit{stop.Status, d.String()}
	}
	if err != nil {
		d.add("%v", err)
		return Exit{yarn.ExitInvalid, d.String()}
	}
	if err := writeLaunch(l, at, files, counters); err != nil {
		d.add("%v", err)
		return Exit{yarn.ExitLaunchFailed, d.String()}
	}
	return r.exec(ctx, l, at)
}

// stopped is the reason for which ctx was cancelled, or nil while it was not.
func stopped(ctx context.Context) *Stop {
	if ctx.Err() == nil {
		return nil
	}
	var stop *Stop
	if errors.As(context.Cause(ctx), &stop) {
		return stop
	}
	return &Stop{Status: yarn.ExitAborted, Diagnostics: "the node is shutting down"}
}

// EndApplication removes what an application kept on a node, its logs aside. No container of it may
// run any more.
func (r *Runner) EndApplication(dir, user string, app yarn.ApplicationID) error {
	appDir := appDir(dir, user, app)
	r.cache.forget(appDir)
	return os.RemoveAll(appDir)
}

// Close waits until the running containers, which their owner must have stopped, have ended, and
// lets go of everything. It may be called more than once.
func (r *Runner) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.runs.Wait()
	r.usage.close()
	return r.procs.close()
}

// layout is where a container's things lie.
type layout struct {
	user   string // usercache/<user>
	app    string // appcache/<application> under it
	work   string // the container's working directory
	log    string // its log directory
	public string // the node's cache of files for everyone
}

func appDir(dir, user string, app yarn.ApplicationID) string {
	return filepath.Join(dir, "usercache", user, "appcache", app.String())
}

// LogDir is where the logs of one container lie under a node's log directory.
func LogDir(root string, id yarn.ContainerID) string {
	return filepath.Join(root, id.Attempt.Application.String(), id.String())
}

func layoutOf(l Launch) layout {
	app := appDir(l.Dir, l.User, l.ID.Attempt.Application)
	return layout{
		user:   filepath.Join(l.Dir, "usercache", l.User),
		app:    app,
		work:   filepath.Join(app, l.ID.String()),
		log:    LogDir(l.LogDir, l.ID),
		public: filepath.Join(l.Dir, "filecache"),
	}
}

func (at layout) make() error {
	for _, dir := range []string{filepath.Join(at.work, "tmp"), at.log} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return fmt.Errorf("make the container's directories: %w", err)
		}
	}
	return nil
}
