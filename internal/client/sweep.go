package client

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"time"

	"go.uber.org/zap"

	"tfos/internal/client/once"
	"tfos/internal/dfs"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/yarn"
)

// What is kept of jobs that have ended: their files, result and event log, for tfos status, resume
// and replay.
const (
	keptFor     = 30 * 24 * time.Hour
	keptAtMost  = 500                 // the newest
	keptUnknown = 90 * 24 * time.Hour // of whose end nobody knows: YARN has forgotten it, and it left no result
)

// Bounds of one sweep, which a submission waits for.
const (
	sweepTimeout = 5 * time.Second
	sweepAtMost  = 20 // directories, so that a backlog is worked off by many submissions
)

// sweepJobs removes what is left of old jobs. It is best effort: the next submission sweeps again.
func (c *Cluster) sweepJobs(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	if err := once.Sweep(ctx, c.FS, launch.OnceDir(c.Home), now.Add(-onceKept), sweepAtMost); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.Log.Debug("look for old keys", zap.Error(err))
	}
	dirs, err := c.FS.List(ctx, launch.JobsDir(c.Home))
	if err != nil {
		c.Log.Debug("look for old jobs", zap.Error(err))
		return
	}
	old := outdatedJobs(dirs, now)
	if len(old) == 0 {
		return
	}
	known, err := c.RM.Applications(ctx, yarn.ApplicationsQuery{Types: []string{launch.ApplicationType}, Users: []string{c.User}})
	if err != nil {
		c.Log.Debug("ask which jobs still run", zap.Error(err))
		return
	}
	for _, d := range old[:min(len(old), sweepAtMost)] {
		if !c.ended(ctx, d, known, now) {
			continue
		}
		if err := c.remember(ctx, d); err != nil {
			c.Log.Debug("an old job stays, whose key cannot be settled", zap.String("dir", d.Name), zap.Error(err))
			continue
		}
		if err := c.FS.Remove(ctx, d.Name, true); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.Log.Debug("remove an old job", zap.String("dir", d.Name), zap.Error(err))
			return
		}
	}
}

// remember records the end of a job that is about to be forgotten with its key, if nobody has.
func (c *Cluster) remember(ctx context.Context, dir dfs.Info) error {
	b, err := c.readFile(ctx, path.Join(dir.Name, launch.JobFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	j, err := job.Parse(launch.JobFile, b, nil)
	if err != nil || j.Once == "" { // of another tfos, perhaps
		return nil
	}
	t, err := c.book(j.Once).Last(ctx)
	if err != nil || t.Application != path.Base(dir.Name) || t.Outcome != nil {
		return err
	}
	e := &entrant{c: c}
	if t.Outcome, err = e.Result(ctx, t); err != nil || t.Outcome == nil {
		return err
	}
	return c.book(j.Once).Settle(ctx, t)
}

// outdatedJobs are the directories that are kept no longer if their jobs have ended, the oldest
// first. A directory's time is that of the job's end, when its master put the result there.
func outdatedJobs(dirs []dfs.Info, now time.Time) []dfs.Info {
	dirs = slices.DeleteFunc(slices.Clone(dirs), func(d dfs.Info) bool {
		_, err := yarn.ParseApplicationID(path.Base(d.Name))
		return err != nil || !d.IsDir()
	})
	slices.SortStableFunc(dirs, func(a, b dfs.Info) int { return a.ModTime.Compare(b.ModTime) })
	surplus := len(dirs) - keptAtMost
	n := 0
	for n < len(dirs) && (n < surplus || now.Sub(dirs[n].ModTime) > keptFor) {
		n++
	}
	return dirs[:n]
}

// ended reports whether the job of a directory is over. Another cluster may share the home
// directory, so that the ResourceManager's not knowing a job says little.
func (c *Cluster) ended(ctx context.Context, dir dfs.Info, known []yarn.Report, now time.Time) bool {
	for _, r := range known {
		if r.ID.String() == path.Base(dir.Name) {
			return r.State.Terminal()
		}
	}
	_, err := c.FS.Stat(ctx, path.Join(dir.Name, launch.ResultFile))
	return err == nil || errors.Is(err, fs.ErrNotExist) && now.Sub(dir.ModTime) > keptUnknown
}
