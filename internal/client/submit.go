package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"tfos/internal/client/exit"
	"tfos/internal/client/once"
	"tfos/internal/client/preflight"
	"tfos/internal/client/stage"
	"tfos/internal/client/term"
	"tfos/internal/control"
	"tfos/internal/dfs"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/pause"
	"tfos/internal/yarn"
	"tfos/python"
)

// acceptTimeout is how long the ResourceManager may take to accept a submission or refuse it.
const acceptTimeout = time.Minute

// Binaries are the programs that tfos ships to the cluster.
type Binaries struct {
	Master, Agent string
	Builtin       string // for jobs with a built-in program: it need not be there for others
}

// FindBinaries looks for the programs in the directories dirs, in turn.
func FindBinaries(dirs ...string) (Binaries, error) {
	for _, dir := range dirs {
		b := Binaries{Master: filepath.Join(dir, launch.MasterBinary), Agent: filepath.Join(dir, launch.AgentBinary), Builtin: filepath.Join(dir, launch.BuiltinBinary)}
		if isFile(b.Master) && isFile(b.Agent) {
			return b, nil
		}
	}
	return Binaries{}, exit.Errorf(exit.Usage, "%s and %s, which tfos ships to the cluster, are not in %s", launch.MasterBinary, launch.AgentBinary,
		strings.Join(dirs, " or ")).Try("keep the four binaries together (make build puts them into bin/), or set TFOS_HOME to their directory")
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// Prepared is a job whose local side is in order: its files are there and packed.
type Prepared struct {
	Job     job.Job
	Version string             // of tfos
	Level   string             // of the master's and the agents' log
	Resume  *launch.StartPoint // nil: the job starts from nothing
	vcores  string             // for the manifest
	// deadline is for the manifest, too: that of the first submission.
	deadline time.Time
	set      *stage.Set

	configured bool // the cluster's configuration is among the files
}

// Prepare looks at everything that can be wrong with a job on this machine. Close the result.
func Prepare(j job.Job, b Binaries, version, level string) (*Prepared, error) {
	deadline, err := deadlineOf(j, time.Now())
	if err != nil {
		return nil, err
	}
	modules, err := python.Archive()
	if err != nil {
		return nil, err
	}
	items := []stage.Item{
		{Source: b.Master, Name: launch.MasterBinary},
		{Source: b.Agent, Name: launch.TaskAgent},
		{Source: "python.zip", Name: launch.TaskPython, Archive: true, Content: modules},
	}
	if slices.ContainsFunc(j.Roles, func(r job.Role) bool { return r.Builtin != "" }) {
		if !isFile(b.Builtin) {
			return nil, exit.Errorf(exit.Usage, "%s, which has the programs of tfos' own, is not in %s", launch.BuiltinBinary, filepath.Dir(b.Agent)).
				Try("keep the four binaries together (make build puts them into bin/)")
		}
		items = append(items, stage.Item{Source: b.Builtin, Name: launch.TaskBuiltin})
	}
	for _, f := range j.Files {
		items = append(items, stage.Item{Source: f.Source, Name: f.Name})
	}
	for _, f := range j.Archives {
		items = append(items, stage.Item{Source: f.Source, Name: f.Name, Archive: true})
	}
	set, err := stage.Collect(items)
	if err != nil {
		return nil, err
	}
	return &Prepared{Job: j, Version: version, Level: level, set: set, deadline: deadline}, nil
}

// Close removes temporary files.
func (p *Prepared) Close() error { return p.set.Close() }

// Submitted is a job that YARN accepted.
type Submitted struct {
	ID    yarn.ApplicationID
	Job   job.Job
	Queue string
	key   control.Identity
	try   once.Try // of its key; number 0: it has none
	found bool     // another call submitted it

	authority *control.Authority // nil: another call has it
}

// Submit checks a job against the cluster, brings its files there, and hands it to the
// ResourceManager. It returns once that has accepted it. Nothing of a job that it refuses is left
// on the cluster, save for complete files in the cache.
func (c *Cluster) Submit(ctx context.Context, p *Prepared, ui UI) (_ *Submitted, err error) {
	w, err := c.stage(ctx, p, ui)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.removeJobDir(ctx, w.ID)
		}
	}()
	var sweep sync.WaitGroup
	defer sweep.Wait()
	sweep.Go(func() { c.sweepJobs(ctx, time.Now()) })
	r, err := c.hand(ctx, w.submission)
	var unsure *unsureError
	if errors.As(err, &unsure) {
		return nil, c.giveBack(ctx, w.ID, unsure.error)
	}
	if err != nil {
		return nil, err
	}
	if err := c.fits(ctx, w.Job, &w.facts, r.Queue); err != nil {
		return nil, c.giveBack(ctx, w.ID, err)
	}
	return &w.Submitted, nil
}

// waitingJob is a job that is staged whole, and not submitted.
type waitingJob struct {
	Submitted
	submission yarn.Submission
	facts      preflight.Facts // with the queue that it names, which may not be where YARN will put it
}

// stage checks a job against the cluster and brings everything there that its submission names.
func (c *Cluster) stage(ctx context.Context, p *Prepared, ui UI) (_ *waitingJob, err error) {
	app, err := c.newApplication(ctx)
	if err != nil {
		return nil, err
	}
	id := app.ID
	if p.Job, err = c.enlarge(ctx, p.Job, app.Max, ui); err != nil {
		return nil, err
	}
	facts, err := c.facts(ctx, app.Max)
	if err != nil {
		return nil, err
	}
	if err := preflight.Check(&p.Job, facts); err != nil {
		return nil, err
	}
	named := facts
	if p.Job.Queue != "" {
		if err := c.inQueue(ctx, &named, p.Job.Queue); err != nil {
			return nil, err
		}
	}
	p.vcores = counting(p.Job, named)
	tag := c.directoryTag(ctx, p.Job)
	c.beside(ctx, p.Job, tag, ui)
	if !p.configured { // a job that is submitted again has it
		if err := p.set.Add(stage.Item{Source: "the Hadoop configuration", Name: launch.TaskConf, Content: c.Conf}); err != nil {
			return nil, err
		}
		p.configured = true
	}
	began := time.Now()
	staged, err := p.set.Upload(ctx, stage.Place{FS: c.FS, Cache: launch.CacheDir(c.Home), User: c.User, Resolve: c.Resolve}, ui.Staging)
	if err != nil {
		return nil, err
	}
	ui.Note(fmt.Sprintf("uploaded %s of %s to %s in %.1f s", term.Bytes(staged.Uploaded), term.Bytes(staged.Total),
		c.FS.URI(launch.CacheDir(c.Home)), time.Since(began).Seconds()))

	defer func() {
		if err != nil {
			c.removeJobDir(ctx, id)
		}
	}()
	w := &waitingJob{Submitted: Submitted{ID: id, Job: p.Job, Queue: p.Job.Queue}, facts: named}
	if w.submission, w.authority, w.key, err = c.stageJob(ctx, id, p, staged); err != nil {
		return nil, err
	}
	if tag != "" {
		w.submission.Tags = append(slices.Clone(w.submission.Tags), tag)
	}
	return w, nil
}

// newApplication asks the cluster for an application id, and how large a container may be.
func (c *Cluster) newApplication(ctx context.Context) (yarn.NewApplication, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	app, err := c.RM.NewApplication(ctx)
	if err != nil {
		return app, c.unreachable("ask the ResourceManager for an application", err)
	}
	return app, nil
}

// enlarge returns the job with containers that are large enough: the master's for the tasks, and
// all where the cluster limits virtual memory.
func (c *Cluster) enlarge(ctx context.Context, j job.Job, most yarn.Resource, ui UI) (job.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ratio := c.VirtualRatio
	if ratio > 0 && c.OldVirtual {
		switch since, err := c.RM.Since32(ctx); {
		case err != nil:
			return j, c.unreachable("ask the ResourceManager how old it is", err)
		case since:
			ratio = 0
		}
	}
	j, notes := preflight.Master(j)
	j, more := preflight.Virtual(j, ratio, most.MemoryMiB)
	for _, note := range append(notes, more...) {
		ui.Note(note)
	}
	return j, nil
}

// facts asks what can speak against a job.
func (c *Cluster) facts(ctx context.Context, most yarn.Resource) (f preflight.Facts, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	f = preflight.Facts{Max: most, MinMiB: c.MinMiB, Shared: map[string]bool{}}
	if f.Nodes, err = c.RM.Nodes(ctx); err != nil {
		return f, c.unreachable("ask the ResourceManager for its nodes", err)
	}
	labels, err := c.RM.NodeLabels(ctx)
	if err != nil {
		return f, c.unreachable("ask the ResourceManager for its nodes' labels", err)
	}
	for _, l := range labels {
		if !l.Exclusive {
			f.Shared[l.Name] = true
		}
	}
	if f.Types, err = c.RM.ResourceTypes(ctx); err != nil && !errors.Is(err, yarn.ErrUnsupported) {
		return f, c.unreachable("ask the ResourceManager what it counts", err)
	}
	return f, nil
}

// counting is what speaks against a job if the scheduler counts vcores, which its master will
// learn; empty: nothing does.
func counting(j job.Job, f preflight.Facts) string {
	f.VCores = true
	if e, ok := errors.AsType[*exit.Error](preflight.Check(&j, f)); ok {
		return e.What + ", and its scheduler counts vcores: " + e.Advice
	}
	return ""
}

// fits completes facts with the queue where YARN put a job, and refuses one which that can never
// hold. Only YARN knows the queue: it places jobs as its rules say, whether they name one or not.
func (c *Cluster) fits(ctx context.Context, j job.Job, f *preflight.Facts, queue string) error {
	if f.Queue == nil || queue != f.Queue.FullName() && queue != f.Queue.Name {
		f.Queue = nil
		if err := c.inQueue(ctx, f, queue); err != nil {
			return err
		}
	}
	return preflight.Check(&j, *f)
}

// inQueue completes facts with a queue, if the ResourceManager lists it.
func (c *Cluster) inQueue(ctx context.Context, f *preflight.Facts, name string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	switch q, err := c.RM.Queue(ctx, name); {
	case err == nil:
		f.Queue = &q
	case !errors.Is(err, yarn.ErrUnknownQueue): // else rules may place the job elsewhere, or make it
		return c.unreachable(fmt.Sprintf("ask for queue %q", name), err)
	}
	return nil
}

// newKeys makes what lets a job's processes, and this user, trust each other and nobody else.
func newKeys() (*control.Authority, control.Identity, error) {
	authority, err := control.NewAuthority()
	if err != nil {
		return nil, control.Identity{}, err
	}
	key, err := authority.Issue(control.Subject{Party: control.PartyClient})
	return authority, key, err
}

// stageJob writes what is this job's alone, and describes the job to YARN.
func (c *Cluster) stageJob(ctx context.Context, id yarn.ApplicationID, p *Prepared, staged stage.Staged) (yarn.Submission, *control.Authority, control.Identity, error) {
	fail := func(err error) (yarn.Submission, *control.Authority, control.Identity, error) {
		return yarn.Submission{}, nil, control.Identity{}, err
	}
	authority, key, err := newKeys()
	if err != nil {
		return fail(err)
	}
	pem, err := key.PEM()
	if err != nil {
		return fail(err)
	}
	dir := c.jobDir(id)
	manifest, err := launch.Manifest{Version: p.Version, User: c.User, Staging: dir, Agent: staged.Resources[1], Files: staged.Resources[2:], Forgets: c.Forgets, VCores: p.vcores, Resume: p.Resume, Deadline: p.deadline}.Encode()
	if err != nil {
		return fail(err)
	}
	if err := c.FS.Mkdir(ctx, dir, 0o700); err != nil {
		return fail(stage.Explain(c.FS, "make the job's directory", dir, err))
	}
	small := []smallFile{
		{launch.JobFile, job.Marshal(p.Job)},
		{launch.ManifestFile, manifest},
	}
	// Each takes several round trips to HDFS, and none needs another.
	files := map[string]yarn.LocalResource{
		launch.MasterBinary: staged.Resources[0].Local(),
		launch.ConfFile:     staged.Resources[len(staged.Resources)-1].Local(), // Submit added it last
	}
	locals := make([]yarn.LocalResource, len(small))
	writes, within := errgroup.WithContext(ctx)
	for i, f := range small {
		writes.Go(func() (err error) {
			locals[i], err = c.writeJobFile(within, dir, f)
			return err
		})
	}
	writes.Go(func() error {
		_, err := c.writeJobFile(within, dir, smallFile{launch.ClientKeyFile, pem})
		return err
	})
	if err := writes.Wait(); err != nil {
		return fail(err)
	}
	for i, f := range small {
		files[f.name] = locals[i]
	}
	tokens, err := c.credentials(ctx, authority)
	if err != nil {
		return fail(err)
	}
	return c.submission(id, p, dir, files, tokens), authority, key, nil
}

// smallFile is a file of one job's own.
type smallFile struct {
	name string
	data []byte
}

// writeJobFile writes one of the job's own files, and describes it as NodeManagers will find it.
func (c *Cluster) writeJobFile(ctx context.Context, dir string, f smallFile) (yarn.LocalResource, error) {
	name := path.Join(dir, f.name)
	if err := dfs.WriteFile(ctx, c.FS, name, f.data, 0o600); err != nil {
		return yarn.LocalResource{}, stage.Explain(c.FS, "write", name, err)
	}
	info, err := c.FS.Stat(ctx, name)
	if err != nil {
		return yarn.LocalResource{}, stage.Explain(c.FS, "look at", name, err)
	}
	return yarn.LocalResource{URI: c.FS.URI(name), Size: info.Size, ModTime: info.ModTime, Visibility: yarn.Application}, nil
}

func (c *Cluster) submission(id yarn.ApplicationID, p *Prepared, dir string, files map[string]yarn.LocalResource, tokens []byte) yarn.Submission {
	j := p.Job
	env := map[string]string{
		launch.EnvApplication: id.String(),
		launch.EnvStaging:     launch.EscapeEnv(c.FS.URI(dir)),
		launch.EnvLogLevel:    p.Level,
	}
	if c.MasterPort != "" {
		env[launch.EnvPort] = c.MasterPort
	}
	return yarn.Submission{
		ID:             id,
		Name:           j.Name,
		Queue:          j.Queue,
		Type:           launch.ApplicationType,
		Priority:       j.Priority,
		Tags:           slices.Clone(j.Tags),
		MaxAttempts:    launch.MasterAttempts,
		AttemptWindow:  launch.MasterWindow,
		KeepContainers: !c.Forgets,
		Resource:       j.Master.YARN(),
		NodeLabel:      j.NodeLabel,
		Lifetime:       j.Lifetime,
		Launch: yarn.LaunchContext{
			Files:   files,
			Env:     env,
			Command: []string{"./" + launch.MasterBinary, "1><LOG_DIR>/" + control.Stdout, "2><LOG_DIR>/" + control.Stderr},
			Tokens:  tokens,
		},
	}
}

// unsureError says that it is not known whether YARN has an application.
type unsureError struct{ error }

func (u *unsureError) Unwrap() error { return u.error }

// hand gives the job to the ResourceManager, which takes it before it has looked at it, and waits
// for the verdict.
func (c *Cluster) hand(ctx context.Context, s yarn.Submission) (yarn.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	if err := c.RM.Submit(ctx, s); err != nil {
		if errors.Is(err, yarn.ErrRefused) || errors.Is(err, yarn.ErrInvalidResource) || yarn.MayNotSubmit(err.Error()) {
			return yarn.Report{}, c.refused(ctx, s, err)
		}
		return yarn.Report{}, c.unreachable("submit "+s.ID.String(), err)
	}
	return c.verdict(ctx, s)
}

// verdict waits until the ResourceManager has accepted an application that it was given, or
// refused it.
func (c *Cluster) verdict(ctx context.Context, s yarn.Submission) (yarn.Report, error) {
	for pauses := pause.Growing(firstPoll/5, lastPoll); ; {
		r, err := c.RM.Report(ctx, s.ID)
		switch {
		case err == nil && rejected(r):
			c.Log.Debug("why YARN refuses it", zap.String("diagnostics", r.Diagnostics))
			return r, c.refused(ctx, s, errors.New(firstLine(r.Diagnostics)))
		case err == nil && r.State >= yarn.StateAccepted:
			return r, nil
		case err != nil && ctx.Err() == nil && !errors.Is(err, yarn.ErrUnknownApplication):
			return r, &unsureError{c.unreachable("ask for "+s.ID.String(), err)}
		}
		if pauses.Wait(ctx) != nil {
			return r, &unsureError{exit.Errorf(exit.Infrastructure, "submit %s: not accepted: %w", s.ID, context.Cause(ctx))}
		}
	}
}

// giveBack takes back a submission whose fate is not known: its staging directory is about to go.
func (c *Cluster) giveBack(ctx context.Context, id yarn.ApplicationID, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if killErr := c.RM.Kill(ctx, id, "tfos took it back: "+firstLine(err.Error())); killErr != nil {
		return errors.Join(err, fmt.Errorf("take it back: %w", killErr))
	}
	return err
}

// rejected reports whether the ResourceManager refused the application after it had taken it: it
// failed without an attempt.
func rejected(r yarn.Report) bool {
	return r.State == yarn.StateFailed && r.Attempt.Attempt <= 0
}

// refused says what the ResourceManager said, and what can be done about it.
func (c *Cluster) refused(ctx context.Context, s yarn.Submission, err error) error {
	where := ""
	if s.Queue != "" {
		where = fmt.Sprintf(" in queue %q", s.Queue)
	}
	e := exit.Errorf(exit.Refused, "the cluster refused %s%s: %w", s.Name, where, err)
	root, unknown := c.RM.Queues(ctx)
	q, listed := root.Find(s.Queue)
	switch said := err.Error(); {
	case len(q.Children) > 0:
		return e.Try("queue %s is divided into others: use one of %s", q.FullName(), several(q.Leaves()))
	case yarn.MayNotSubmit(said):
		return e.Try("%s wants the right to submit to the queue: ask who administers it (acl_submit_applications in capacity-scheduler.xml, aclSubmitApps in fair-scheduler.xml), "+
			"or use another queue with --queue", c.User)
	case unknown != nil:
		return e.Try("yarn queue -list all shows the queues; choose with --queue, or queue: in the job file")
	case s.Queue == "" || !listed:
		return e.Try("the cluster has %s; choose with --queue, or queue: in the job file", several(root.Leaves()))
	case yarn.NoLeaf(said):
		return e.Try("queue %s is there for queues below it, and has none yet: name one as in %[1]s.%s, if it may be made", q.FullName(), c.User)
	case !q.Running:
		return e.Try("queue %s is stopped: use another one, or ask an administrator to start it", q.FullName())
	}
	return e.Try("another queue, or less for the master, may do; the message above is the ResourceManager's")
}

// several lists names, not more than a person reads.
func several(names []string) string {
	const most = 20
	if len(names) > most {
		return fmt.Sprintf("%s and %d more (yarn queue -list all shows them)", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// removeJobDir is best effort: the error that led here is the one to tell.
func (c *Cluster) removeJobDir(ctx context.Context, id yarn.ApplicationID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if err := c.FS.Remove(ctx, c.jobDir(id), true); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.Log.Sugar().Debugf("remove %s: %v", c.jobDir(id), err)
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
