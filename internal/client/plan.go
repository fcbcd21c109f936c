package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os/exec"
	"path"
	"strings"

	"golang.org/x/sync/errgroup"

	"tfos/internal/client/exit"
	"tfos/internal/client/plan"
	"tfos/internal/client/preflight"
	"tfos/internal/client/stage"
	"tfos/internal/dfs"
	"tfos/internal/pyenv"
	"tfos/internal/yarn"
)

// Plan asks the cluster what it would make of a job. Nothing is uploaded or submitted. An error
// says that the cluster cannot be asked at all.
func (c *Cluster) Plan(ctx context.Context, p *Prepared, ui UI) ([]plan.Finding, error) {
	app, err := c.newApplication(ctx)
	if err != nil {
		return nil, err
	}
	f := plan.Facts{User: c.User, Masters: c.Masters, Upload: p.set.Total(), Replication: c.Replication}
	if f.Job, err = c.enlarge(ctx, p.Job, app.Max, ui); err != nil {
		return nil, err
	}
	if f.Cluster, err = c.facts(ctx, app.Max); err != nil {
		return nil, err
	}
	if f.Job.Queue != "" {
		if err := c.inQueue(ctx, &f.Cluster, f.Job.Queue); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var asks errgroup.Group // each fills in fields of its own, and what it cannot find out stays unknown
	asks.Go(func() error {
		if tree, err := c.RM.Queues(ctx); err == nil {
			f.Tree = &tree
		}
		if names, err := c.RM.SubmitQueues(ctx); err == nil {
			f.Submit = append([]string{}, names...)
		}
		return nil
	})
	asks.Go(func() error {
		f.Limits = c.limits(ctx, f.Job.Queue, f.Cluster)
		return nil
	})
	asks.Go(func() error {
		f.Home = c.place(ctx, c.FS.URI(c.Home))
		if dir := f.Job.Checkpoint.Dir; strings.Contains(dir, "://") && !strings.HasPrefix(dir, "file:") {
			f.Checkpoint = c.place(ctx, dir)
		}
		if c.Token != nil {
			if _, err := c.Token(ctx); err != nil {
				f.Token = stage.Explain(c.FS, "get a delegation token for", c.Home, err)
			}
		}
		return nil
	})
	asks.Go(func() error {
		f.Here = here(ctx)
		for _, a := range f.Job.Archives {
			if name, local := stage.LocalPath(a.Source); local {
				facts, err := pyenv.Inspect(ctx, name)
				f.Archives = append(f.Archives, plan.Archive{Name: a.Name, Facts: facts, Err: err})
			}
		}
		return nil
	})
	_ = asks.Wait() // they report no error
	return plan.Of(f), nil
}

// limits reads the page about the scheduler; nil: there is none, or it does not have the queue.
func (c *Cluster) limits(ctx context.Context, queue string, f preflight.Facts) *plan.Limits {
	if queue == "" {
		queue = "default"
	}
	var all int64
	for _, n := range f.Nodes {
		if n.State == yarn.NodeRunning {
			all += n.Capability.MemoryMiB
		}
	}
	for _, url := range c.Web {
		page, err := get(ctx, url+"/ws/v1/cluster/scheduler")
		if err != nil {
			c.Log.Sugar().Debugf("ask for the scheduler's limits: %v", err)
			continue // of two ResourceManagers one answers
		}
		if l, ok, err := plan.LimitsOf(page, queue, all); err == nil && ok {
			return &l
		}
	}
	return nil
}

// maxPage bounds what is read of a page of the ResourceManager's, in bytes.
const maxPage = 16 << 20

func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxPage))
}

// place looks at a directory, or at the nearest one above that is there.
func (c *Cluster) place(ctx context.Context, uri string) plan.Place {
	d := plan.Place{URI: uri}
	files, name, err := c.Resolve(ctx, uri)
	if err != nil {
		d.Write = err
		return d
	}
	for {
		_, err := files.Stat(ctx, name)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || name == "/" {
			d.Write = err
			break
		}
		name, d.Missing = path.Dir(name), true
	}
	if d.Write == nil {
		d.Write = dfs.MayWrite(ctx, files, name)
	}
	if d.Write == nil {
		d.Space, d.SpaceErr = dfs.SpaceOf(ctx, files, name)
	}
	return d
}

// here is what this machine is like.
func here(ctx context.Context) plan.Machine {
	var m plan.Machine
	for _, ask := range []struct {
		args []string
		to   *string
	}{{[]string{"uname", "-m"}, &m.Arch}, {[]string{"getconf", "GNU_LIBC_VERSION"}, &m.GLibC}} {
		if out, err := exec.CommandContext(ctx, ask.args[0], ask.args[1:]...).Output(); err == nil {
			*ask.to = strings.TrimPrefix(strings.TrimSpace(string(out)), "glibc ")
		}
	}
	return m
}

// Verdict is the error of a job that will not run.
func Verdict(found []plan.Finding) error {
	n := 0
	for _, f := range found {
		if f.Severity == plan.Refused {
			n++
		}
	}
	switch n {
	case 0:
		return nil
	case 1:
		return exit.Errorf(exit.Refused, "the job will not run, for the reason above")
	}
	return exit.Errorf(exit.Refused, "the job will not run, for the %d reasons above", n)
}
