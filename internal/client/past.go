package client

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"tfos/internal/client/exit"
	"tfos/internal/client/stage"
	"tfos/internal/launch"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// Past is an ended job in a list. Its JSON keys are stable.
type Past struct {
	ID          string       `json:"id"`
	Name        string       `json:"name"`
	State       status.State `json:"state"`
	ExitCode    int          `json:"exit_code"`
	Started     time.Time    `json:"started"`
	Finished    time.Time    `json:"finished"`
	Restarts    int          `json:"restarts"` // of tasks
	ResumedFrom string       `json:"resumed_from"`
	Diagnostics string       `json:"diagnostics"`
}

// History is this user's ended jobs as their staging directories keep them, the newest first and at
// most so many: also those that YARN has forgotten.
func (c *Cluster) History(ctx context.Context, atMost int) ([]Past, error) {
	ids, err := c.keptJobs(ctx)
	if err != nil {
		return nil, stage.Explain(c.FS, "look for ended jobs in", launch.JobsDir(c.Home), err)
	}
	var known []yarn.Report
	asked := false
	var jobs []Past
	for part := range slices.Chunk(ids, historyReads) { // the oldest need not be read
		views := make([]status.View, len(part))
		reads, within := errgroup.WithContext(ctx)
		for i, id := range part {
			reads.Go(func() (err error) {
				if views[i], err = c.result(within, id); errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				return err
			})
		}
		if err := reads.Wait(); err != nil {
			return nil, exit.Errorf(exit.Infrastructure, "read the results of ended jobs: %w", err)
		}
		for i, id := range part {
			if v := &views[i]; v.ExitCode == nil {
				if !asked { // YARN ended some, whose masters could leave no result
					asked, known = true, c.knownToYARN(ctx)
				}
				if at := slices.IndexFunc(known, func(r yarn.Report) bool { return r.ID == id && r.State.Terminal() }); at >= 0 {
					*v = merge(status.View{}, known[at])
					if err := c.leave(ctx, id, *v); err != nil {
						c.Log.Debug("leave the result of an ended job", zap.Stringer("application", id), zap.Error(err))
					}
				}
			}
			if v := views[i]; v.ExitCode != nil && len(jobs) < atMost {
				jobs = append(jobs, past(id, v))
			}
		}
		if len(jobs) == atMost {
			break
		}
	}
	return jobs, nil
}

// keptJobs is this user's applications that have a staging directory, the newest first.
func (c *Cluster) keptJobs(ctx context.Context) ([]yarn.ApplicationID, error) {
	dirs, err := c.FS.List(ctx, launch.JobsDir(c.Home))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var ids []yarn.ApplicationID
	for _, d := range dirs {
		if id, err := yarn.ParseApplicationID(path.Base(d.Name)); err == nil && d.IsDir() {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b yarn.ApplicationID) int { return b.Compare(a) })
	return ids, nil
}

func past(id yarn.ApplicationID, v status.View) Past {
	p := Past{ID: id.String(), Name: v.Name, State: v.State, ExitCode: *v.ExitCode, Started: v.Started, Restarts: len(v.Restarts),
		ResumedFrom: v.ResumedFrom, Diagnostics: v.Diagnostics}
	if v.Finished != nil {
		p.Finished = *v.Finished
	}
	p.Started = cmp.Or(p.Started, p.Finished) // it was never begun
	return p
}

// knownToYARN is this user's jobs as the ResourceManager knows them, if it can be asked.
func (c *Cluster) knownToYARN(ctx context.Context) []yarn.Report {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	known, err := c.RM.Applications(ctx, yarn.ApplicationsQuery{Types: []string{launch.ApplicationType}, Users: []string{c.User}})
	if err != nil {
		c.Log.Debug("ask which jobs have ended", zap.Error(err))
	}
	return known
}

// PastView is how an ended job was left, without a word from YARN.
func (c *Cluster) PastView(ctx context.Context, id yarn.ApplicationID) (status.View, error) {
	v, err := c.result(ctx, id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return v, exit.Errorf(exit.Usage, "%s: no result is kept of it in %s", id, c.FS.URI(c.jobDir(id))).
			Try("%s lists those that are kept; %s shows one that runs", c.command("history"), c.command("status "+id.String()))
	case err != nil:
		return v, stage.Explain(c.FS, "read the result in", c.jobDir(id), err)
	}
	return v, nil
}
