package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"tfos/internal/client/exit"
	"tfos/internal/client/stage"
	"tfos/internal/hadoop/token"
	"tfos/internal/miniyarn"
	"tfos/internal/yarn"
)

// What lies in the directory of an embedded cluster.
const (
	localLock = "lock" // locked as long as the cluster lives
	localConf = "conf" // for whoever wants to reach it
	localYARN = "yarn"
	localLogs = "logs"
	localHome = "home"
)

// logsKept is how long the logs of a failed local job are kept for the person who wants to know
// why.
const logsKept = 24 * time.Hour

// Local is an embedded cluster, and the way to it.
type Local struct {
	*Cluster
	dir  string
	lock *os.File
	yarn *miniyarn.Cluster

	failed context.Context // ends when the embedded YARN does
	ended  chan error      // what it ended with; capacity 1
}

// StartLocal starts an embedded cluster in a directory of its own below root, where Locals finds
// it. Close it.
func StartLocal(ctx context.Context, root string, log *zap.Logger) (*Local, error) {
	return startLocal(ctx, root, nil, miniyarn.Options{}, log)
}

// startLocal is StartLocal with a Hadoop configuration besides the cluster's own, and with what is
// not as usual.
func startLocal(ctx context.Context, root string, conf []string, o miniyarn.Options, log *zap.Logger) (_ *Local, err error) {
	if err := makeOwn(root); err != nil {
		return nil, err
	}
	name, err := userName(noEnv)
	if err != nil {
		return nil, err
	}
	sweep(root, time.Now(), log)
	l := &Local{ended: make(chan error, 1)}
	if l.dir, err = os.MkdirTemp(root, time.Now().Format("20060102-150405-")); err != nil {
		return nil, stage.TempError(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(startError(err), os.RemoveAll(l.dir))
		}
	}()
	if l.lock, err = lock(filepath.Join(l.dir, localLock), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, err
	}
	o.Dir, o.LogDir, o.Logger = filepath.Join(l.dir, localYARN), filepath.Join(l.dir, localLogs), log.Named("yarn")
	l.yarn, err = miniyarn.New(o)
	if err != nil {
		return nil, errors.Join(err, l.lock.Close())
	}
	// The cluster outlives an interruption: the job is stopped in order first.
	within, fail := context.WithCancelCause(context.WithoutCancel(ctx))
	l.failed = within
	go func() {
		err := l.yarn.Run(context.WithoutCancel(ctx))
		l.ended <- err
		if err != nil {
			fail(exit.Errorf(exit.Infrastructure, "the embedded YARN ended: %w", err))
		}
	}()
	if err = l.yarn.WriteConf(filepath.Join(l.dir, localConf), name); err == nil {
		l.Cluster, err = connectDir(ctx, l.dir, conf, log)
	}
	if err != nil {
		return nil, errors.Join(err, l.yarn.Close(), l.lock.Close())
	}
	return l, nil
}

func startError(err error) error {
	return exit.Errorf(exit.Infrastructure, "start the embedded cluster: %w", err)
}

// Run runs a job to its end. An interruption stops it.
func (l *Local) Run(ctx context.Context, p *Prepared, ui UI, o RunOptions) error {
	if p.Job.Once != "" {
		return exit.Errorf(exit.Usage, "once: %s: an embedded cluster ends with its job, and remembers nothing of it", p.Job.Once).Try("leave --once out, or run it on a cluster")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(l.failed, func() { cancel(context.Cause(l.failed)) })
	defer stop()
	o.KillOnExit, o.LogsAt = true, filepath.Join(l.dir, localLogs)
	return l.Cluster.Run(ctx, p, ui, o)
}

// Session runs a job for another program. The logs stay where Close keeps them.
func (l *Local) Session(ctx context.Context, p *Prepared, o SessionOptions) error {
	o.logsAt = filepath.Join(l.dir, localLogs)
	return l.Cluster.Session(ctx, p, o)
}

// Close ends the cluster and everything in it, and removes its files, save for the logs if they are
// to be kept.
func (l *Local) Close(keepLogs bool) error {
	errs := []error{l.Cluster.Close(), l.yarn.Close(), <-l.ended}
	if keepLogs {
		errs = append(errs, removeButLogs(l.dir))
	} else {
		errs = append(errs, os.RemoveAll(l.dir))
	}
	return errors.Join(append(errs, l.lock.Close())...)
}

// Locals prepares the way to each embedded cluster that runs in another process of this user, the
// newest first. There is at least one. Close them all.
func Locals(ctx context.Context, root string, log *zap.Logger) (_ []*Cluster, err error) {
	if err := own(root, true); errors.Is(err, fs.ErrNotExist) {
		return nil, errNoLocal
	} else if err != nil {
		return nil, err
	}
	dirs, err := filepath.Glob(filepath.Join(root, "*", localConf))
	if err != nil {
		return nil, err
	}
	var clusters []*Cluster
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll(clusters))
		}
	}()
	slices.Sort(dirs) // by the time in their names
	for _, d := range slices.Backward(dirs) {
		dir := filepath.Dir(d)
		if !alive(dir) {
			continue
		}
		cluster, err := connectDir(ctx, dir, nil, log)
		if err != nil {
			return nil, err
		}
		clusters = append(clusters, cluster)
	}
	if len(clusters) == 0 {
		return nil, errNoLocal
	}
	return clusters, nil
}

var errNoLocal = exit.Errorf(exit.Usage, "no local cluster of yours is running").Try("one lives as long as tfos run --master local")

// LocalOf is the way to the embedded cluster of this user that knows an application. Where none
// does it is the newest that still runs, which can say so.
func LocalOf(ctx context.Context, root string, id yarn.ApplicationID, log *zap.Logger) (*Cluster, error) {
	clusters, err := Locals(ctx, root, log)
	if err != nil {
		return nil, err
	}
	found := slices.IndexFunc(clusters, func(c *Cluster) bool {
		_, err := c.report(ctx, id)
		return err == nil
	})
	if found < 0 {
		found = slices.IndexFunc(clusters, func(c *Cluster) bool { return !c.gone() })
	}
	if found < 0 {
		return nil, errors.Join(errNoLocal, closeAll(clusters))
	}
	one := clusters[found]
	return one, closeAll(slices.Delete(clusters, found, found+1))
}

func closeAll(clusters []*Cluster) error {
	var errs []error
	for _, c := range clusters {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// noEnv is an empty environment: a local cluster belongs to the user that the system
// knows.
func noEnv(string) string { return "" }

// connectDir is the way to the embedded cluster in a directory, whose files must be nobody else's:
// they say which servers we talk to. Files that it lacks may come from further directories.
func connectDir(ctx context.Context, dir string, further []string, log *zap.Logger) (*Cluster, error) {
	at := filepath.Join(dir, localConf)
	if err := errors.Join(own(dir, true), own(at, true)); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(at)
	if err != nil {
		return nil, exit.Errorf(exit.Infrastructure, "reach the embedded cluster in %s: %w", dir, err)
	}
	for _, f := range files {
		if err := own(filepath.Join(at, f.Name()), false); err != nil {
			return nil, err
		}
	}
	name, err := userName(noEnv)
	if err != nil {
		return nil, err
	}
	c, err := loadConf(append(further, at), noEnv, name)
	if err != nil {
		return nil, err
	}
	tokens, err := os.ReadFile(filepath.Join(at, miniyarn.TokenFile))
	if err != nil {
		return nil, exit.Errorf(exit.Infrastructure, "reach the embedded cluster in %s: %w", dir, err)
	}
	creds, err := token.Decode(tokens)
	if err != nil {
		return nil, exit.Errorf(exit.Infrastructure, "reach the embedded cluster in %s: %w", dir, err)
	}
	cluster, err := connect(ctx, c, name, filepath.Join(dir, localHome), func() (token.Token, bool) { return creds.OfKind(token.KindRM) }, log)
	if err != nil {
		return nil, err
	}
	cluster.Local, cluster.Logs = true, diskLogs{filepath.Join(dir, localLogs)}
	cluster.gone = func() bool { return !alive(dir) }
	return cluster, os.MkdirAll(cluster.Home, 0o700)
}

// makeOwn makes a directory that is this user's alone.
func makeOwn(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return stage.TempError(err)
	}
	return own(dir, true)
}

// own refuses a directory, or a file, that is not this user's alone: who made it could plant things
// in it.
func own(name string, dir bool) error {
	info, err := os.Lstat(name)
	if err != nil {
		return exit.Errorf(exit.Infrastructure, "look at the embedded cluster: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	what := "file"
	if dir {
		what = "directory"
	}
	if info.IsDir() != dir || !dir && !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || !ok || int(st.Uid) != os.Getuid() {
		return exit.Errorf(exit.Usage, "%s, where the embedded cluster keeps its files, is not a %s of yours alone", name, what).
			Try("remove it, or set TMPDIR to another place")
	}
	return nil
}

// lock takes a lock on a file, which it makes. It ends with the process, or when the file is
// closed.
func lock(name string, how int) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), how); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
	}
	return f, nil
}

// alive reports whether the process of a local cluster still runs.
func alive(dir string) bool {
	name := filepath.Join(dir, localLock)
	if _, err := os.Lstat(name); err != nil {
		return false
	}
	f, err := lock(name, unix.LOCK_SH|unix.LOCK_NB)
	if err != nil {
		return errors.Is(err, unix.EWOULDBLOCK)
	}
	f.Close()
	return false
}

// sweep removes what clusters left whose process was killed, and old logs.
func sweep(root string, now time.Time, log *zap.Logger) {
	entries, err := os.ReadDir(root)
	if err != nil {
		log.Debug("look for old local clusters", zap.Error(err))
		return
	}
	for _, e := range entries {
		dir := filepath.Join(root, e.Name())
		info, err := e.Info()
		// A cluster that is just starting has no lock yet.
		if err != nil || !e.IsDir() || alive(dir) || now.Sub(info.ModTime()) < time.Minute {
			continue
		}
		if now.Sub(info.ModTime()) > logsKept {
			err = os.RemoveAll(dir)
		} else {
			err = removeButLogs(dir)
		}
		if err != nil {
			log.Debug("remove an old local cluster", zap.String("dir", dir), zap.Error(err))
		}
	}
}

// removeButLogs removes a cluster's files, and all of it if there are no logs.
func removeButLogs(dir string) error {
	var errs []error
	for _, name := range []string{localConf, localYARN, localHome, localLock} {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, name)))
	}
	if logs, err := os.ReadDir(filepath.Join(dir, localLogs)); len(logs) == 0 && (err == nil || errors.Is(err, fs.ErrNotExist)) {
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}
