package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/client/exit"
	"tfos/internal/client/stage"
	"tfos/internal/launch"
	"tfos/internal/pause"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// masterPatience is how long a running job's master may take to show itself to someone who asks
// once.
const masterPatience = 5 * time.Second

// Status is one job now: as its master sees it while it runs, as its master left it afterwards, and
// otherwise as YARN knows it, without tasks.
func (c *Cluster) Status(ctx context.Context, id yarn.ApplicationID) (status.View, error) {
	r, err := c.report(ctx, id)
	if exit.Of(err) == exit.Infrastructure { // the master can know better, and say so without YARN
		if v, unseen := c.look(ctx, yarn.Report{ID: id}); unseen == nil && v.ExitCode == nil {
			return v, nil
		}
	}
	if err != nil {
		return status.View{}, err
	}
	if r.State.Terminal() {
		return c.outcome(ctx, r, status.View{}).View, nil
	}
	if !c.hasMaster(ctx, r) {
		return merge(status.View{}, r), context.Cause(ctx)
	}
	v, silent := c.look(ctx, r)
	if silent == nil {
		v.Queue = cmp.Or(r.Queue, v.Queue) // where YARN put it, or moved it
		v.TrackingURL = r.TrackingURL
		return v, nil
	}
	if ctx.Err() == nil {
		c.Log.Debug("the master cannot be asked", zap.Error(silent))
	}
	if r, err = c.report(ctx, id); err != nil { // the master may have ended meanwhile, in order
		return status.View{}, err
	}
	if r.State.Terminal() {
		return c.outcome(ctx, r, status.View{}).View, nil
	}
	return c.unheard(ctx, r, silent), context.Cause(ctx)
}

// unheard is a job whose master cannot be asked.
func (c *Cluster) unheard(ctx context.Context, r yarn.Report, why error) status.View {
	v := merge(status.View{}, r)
	if r.State == yarn.StateRunning {
		v.Diagnostics = cmp.Or(v.Diagnostics, "the master cannot be asked, which alone knows the tasks: "+why.Error())
	} else if c.hasMaster(ctx, r) {
		v.State = status.Running
		v.Diagnostics = "the ResourceManager has just restarted: it has not heard of the job's master yet, which cannot be asked from here either: " + why.Error()
	}
	return v
}

// errSeen ends a watch that has seen enough.
var errSeen = errors.New("seen")

// look gets one view from a job's master.
func (c *Cluster) look(ctx context.Context, r yarn.Report) (status.View, error) {
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, masterPatience)
	defer cancel()
	key, err := c.key(ctx, r.ID)
	if err != nil {
		return status.View{}, err
	}
	var seen status.View
	err = c.watch(ctx, r, key, false, func(v status.View) error {
		seen = v
		return errSeen
	}, func(error) {})
	if errors.Is(err, errSeen) {
		return seen, nil
	}
	if errors.Is(err, context.DeadlineExceeded) && parent.Err() == nil {
		err = fmt.Errorf("%s does not answer within %v", cmp.Or(registeredAddress(r), "it"), masterPatience)
	}
	return status.View{}, cmp.Or(err, errors.New("the master shows nothing"))
}

// Watch shows a job until it has ended, or show fails.
func (c *Cluster) Watch(ctx context.Context, id yarn.ApplicationID, show func(status.View) error) error {
	for seen := false; ; seen = true {
		r, err := c.report(ctx, id)
		if err != nil {
			if seen && c.gone != nil && c.gone() { // the embedded cluster has ended with its job
				return nil
			}
			return err
		}
		if r.State.Terminal() {
			return show(c.outcome(ctx, r, status.View{}).View)
		}
		if c.hasMaster(ctx, r) {
			if key, err := c.key(ctx, id); err == nil {
				if err := c.watchUntilEnd(ctx, r, func(end context.Context) error {
					return c.watch(end, r, key, false, func(v status.View) error {
						v.Queue = cmp.Or(r.Queue, v.Queue)
						return show(v)
					}, func(error) {})
				}); err != nil {
					return err
				}
				continue
			}
		}
		if err := show(merge(status.View{}, r)); err != nil {
			return err
		}
		if err := pause.For(ctx, lastPoll); err != nil {
			return err
		}
	}
}

// watchUntilEnd ends a watch once YARN says that the job has ended: a master that died shows
// nothing any more.
func (c *Cluster) watchUntilEnd(ctx context.Context, r yarn.Report, watch func(context.Context) error) error {
	within, cancel := context.WithCancelCause(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel(nil)
	asking.Go(func() {
		for began := time.Now(); pause.For(within, max(lastPoll, untilNextPoll(time.Since(began)))) == nil; {
			if r, err := c.RM.Report(within, r.ID); err == nil && r.State.Terminal() || errors.Is(err, yarn.ErrUnknownApplication) {
				cancel(errSeen)
				return
			}
		}
	})
	if err := watch(within); err != nil && !errors.Is(err, errSeen) {
		return err
	}
	_, _ = c.awaitEnd(ctx, r.ID, killPatience)
	return context.Cause(ctx)
}

// Summary is one job in a list. Its JSON keys are stable.
type Summary struct {
	ID          string       `json:"id"`
	Name        string       `json:"name"`
	User        string       `json:"user"`
	Queue       string       `json:"queue"`
	State       status.State `json:"state"`
	Progress    float64      `json:"progress"` // 0 to 1
	Started     time.Time    `json:"started"`
	Finished    *time.Time   `json:"finished"`
	TrackingURL string       `json:"tracking_url"`
}

// applications are the jobs that the ResourceManager remembers, the newest first: this user's, or
// everyone's.
func (c *Cluster) applications(ctx context.Context, everyone bool) ([]yarn.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	q := yarn.ApplicationsQuery{Types: []string{launch.ApplicationType}}
	if !everyone {
		q.Users = []string{c.User}
	}
	reports, err := c.RM.Applications(ctx, q)
	if err != nil {
		return nil, c.unreachable("ask for the list of jobs", err)
	}
	slices.SortFunc(reports, func(a, b yarn.Report) int {
		return -cmp.Or(cmp.Compare(a.ID.ClusterTimestamp, b.ID.ClusterTimestamp), cmp.Compare(a.ID.Sequence, b.ID.Sequence))
	})
	return reports, nil
}

// List is the jobs that the ResourceManager remembers, the newest first: this user's, or
// everyone's.
func (c *Cluster) List(ctx context.Context, everyone bool) ([]Summary, error) {
	reports, err := c.applications(ctx, everyone)
	if err != nil {
		return nil, err
	}
	list := make([]Summary, 0, len(reports))
	for _, r := range reports {
		if r.User == c.User && c.hasMaster(ctx, r) {
			r.State = yarn.StateRunning // as it will be once the ResourceManager has heard of its master again
		}
		s := Summary{ID: r.ID.String(), Name: r.Name, User: r.User, Queue: r.Queue, State: stateOf(r), Progress: float64(r.Progress),
			Started: r.Started, TrackingURL: r.TrackingURL}
		if r.State.Terminal() {
			finished := r.Finished
			s.Finished = &finished
		}
		list = append(list, s)
	}
	return list, nil
}

// ParseApplication reads an application id that a person typed.
func ParseApplication(s string) (yarn.ApplicationID, error) {
	id, err := yarn.ParseApplicationID(s)
	if err != nil {
		return id, exit.Errorf(exit.Usage, "%w", fmt.Errorf("%q is no application id: want application_<number>_<number>", s)).
			Try("tfos list shows them")
	}
	return id, nil
}

// EventLog reads the event log that a job's master leaves when the job ends.
func (c *Cluster) EventLog(ctx context.Context, id yarn.ApplicationID) ([]byte, error) {
	name := path.Join(c.jobDir(id), launch.EventsFile)
	b, err := c.readFile(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, exit.Errorf(exit.Usage, "%s has no event log at %s: %w", id, c.FS.URI(name), err).
			Try("its master leaves one when the job ends in order; %s shows whether it has", c.command("status "+id.String()))
	case err != nil:
		return nil, stage.Explain(c.FS, "read", name, err)
	}
	return b, nil
}
