package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"tfos/internal/checkpoint"
	"tfos/internal/checkpoint/mirror"
	"tfos/internal/checkpoint/store"
	"tfos/internal/client/exit"
	"tfos/internal/client/stage"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/yarn"
)

// endPatience is with YARN, to say that an application has ended whose result is known.
const endPatience = 30 * time.Second

// Earlier is a job that has ended, as its staging directory keeps it.
type Earlier struct {
	ID    yarn.ApplicationID
	File  []byte            // the job file, with the flags of then applied
	files []launch.Resource // of the job, where they were staged
}

// Earlier finds the job of an application that has ended. Its errors say why there is nothing to
// resume.
func (c *Cluster) Earlier(ctx context.Context, id yarn.ApplicationID) (*Earlier, error) {
	r, err := c.settled(ctx, id)
	switch {
	case errors.Is(err, yarn.ErrUnknownApplication): // forgotten, as YARN does in time: the directory may be there still
	case err != nil:
		return nil, err
	case !r.State.Terminal():
		return nil, exit.Errorf(exit.Usage, "%s (%s) has not ended, it is %s: there is nothing to resume", id, r.Name, stateOf(r)).
			Try("%s follows it, %s ends it", c.command("status --watch "+id.String()), c.command("kill "+id.String()))
	case r.User != c.User:
		return nil, exit.Errorf(exit.Refused, "%s (%s) is %s's: only who submitted a job can resume it by its id", id, r.Name, r.User).
			Try("with its job file and the right to its checkpoints it can be resumed as tfos resume JOB.yaml")
	}
	e := &Earlier{ID: id}
	if e.File, err = c.keptFile(ctx, id, launch.JobFile); err != nil {
		return nil, err
	}
	b, err := c.keptFile(ctx, id, launch.ManifestFile)
	if err != nil {
		return nil, err
	}
	m, err := launch.ParseManifest(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", id, err)
	}
	e.files = m.Files
	return e, nil
}

// settled is what YARN says of an application. One whose master has staged its result is about to
// end, and waited for: tfos status says how a job ended a moment before YARN does.
func (c *Cluster) settled(ctx context.Context, id yarn.ApplicationID) (yarn.Report, error) {
	r, err := c.report(ctx, id)
	if err != nil || r.State.Terminal() {
		return r, err
	}
	if _, err := c.FS.Stat(ctx, path.Join(c.jobDir(id), launch.ResultFile)); err != nil {
		return r, nil
	}
	if ended, ok := c.awaitEnd(ctx, id, endPatience); ok {
		return ended, nil
	}
	return r, context.Cause(ctx)
}

// keptFile reads what an ended job left in its directory.
func (c *Cluster) keptFile(ctx context.Context, id yarn.ApplicationID, file string) ([]byte, error) {
	name := path.Join(c.jobDir(id), file)
	b, err := c.readFile(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, exit.Errorf(exit.Usage, "%s: nothing is kept of it, there is no %s: %w", id, c.FS.URI(name), err).
			Try("a job is kept for %d days after its end, and no more than %d jobs; with its job file: tfos resume JOB.yaml", int(keptFor.Hours()/24), keptAtMost)
	case err != nil:
		return nil, stage.Explain(c.FS, "read", name, err)
	}
	return b, nil
}

// Reuse makes a job take its files from where the earlier job staged them, and checks that they are
// there unchanged. What overlay names anew stays as it is.
func (c *Cluster) Reuse(ctx context.Context, e *Earlier, j *job.Job, overlay job.Overlay) error {
	files, archives := j.Files, j.Archives
	named := func(key string) bool {
		return slices.ContainsFunc(overlay, func(s job.Setting) bool { return s.Key == key })
	}
	j.Files, j.Archives = nil, nil
	reuse := func(files []job.File, flag string) error {
		for _, f := range files {
			r, err := c.staged(ctx, e, f.Name, flag)
			if err != nil {
				return err
			}
			f.Source = r.URI
			if r.Archive { // a directory among the files was packed
				j.Archives = append(j.Archives, f)
			} else {
				j.Files = append(j.Files, f)
			}
		}
		return nil
	}
	if named("files") {
		j.Files = files
	} else if err := reuse(files, "--files"); err != nil {
		return err
	}
	if named("archives") {
		j.Archives = append(j.Archives, archives...)
		return nil
	}
	return reuse(archives, "--archives")
}

// staged finds a file of the earlier job's where it was staged.
func (c *Cluster) staged(ctx context.Context, e *Earlier, name, flag string) (launch.Resource, error) {
	i := slices.IndexFunc(e.files, func(r launch.Resource) bool { return r.Name == name })
	if i < 0 {
		return launch.Resource{}, fmt.Errorf("%s: its manifest does not name its file %s", e.ID, name)
	}
	r := e.files[i]
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	d, at, err := c.Resolve(ctx, r.URI)
	if err != nil {
		return r, fmt.Errorf("%s: its file %s: %w", e.ID, name, err)
	}
	info, err := d.Stat(ctx, at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return r, exit.Errorf(exit.Usage, "%s ran with a file %s that is no longer at %s: %w", e.ID, name, r.URI, err).
			Try("give all of them anew with %s", flag)
	case err != nil:
		return r, stage.Explain(d, "look at", at, err)
	case info.Size != r.Size || info.ModTime.UnixMilli() != r.ModTime:
		return r, exit.Errorf(exit.Usage, "%s ran with a file %s that has changed since: %s was written %s", e.ID, name, r.URI, info.ModTime.UTC().Format(time.DateTime+" MST")).
			Try("give all of them anew with %s", flag)
	}
	return r, nil
}

// Resume finds where a job goes on: at the newest whole checkpoint of its directory. Broken ones
// that are newer are set aside, so that the job's program does not find them. e is the job that is
// resumed; nil: it is not known.
func (c *Cluster) Resume(ctx context.Context, p *Prepared, e *Earlier, ui UI) error {
	dir := p.Job.Checkpoint.Dir
	if dir == "" {
		return exit.Errorf(exit.Usage, "%s has no directory of checkpoints: there is nothing to resume from", p.Job.Name).
			Try("write checkpoint: {dir: hdfs://…} into its job file, or give --checkpoint-dir")
	}
	files, name, err := c.Resolve(ctx, launch.CheckpointURI(dir))
	if err != nil {
		return exit.Errorf(exit.Usage, "checkpoint.dir: %w", err)
	}
	checkpoints := store.New(files, name, store.Options{})
	var found store.Found
	if p.Job.Checkpoint.Local { // its agents may have been killed while a copy took its place
		found, err = mirror.Newest(ctx, files, name, checkpoints, checkpoint.Checkpoint.Exported)
	} else {
		found, err = checkpoints.Newest(ctx, checkpoint.Checkpoint.Exported)
	}
	if err != nil {
		return stage.Explain(files, "look for checkpoints in", name, err)
	}
	if found.Newest == nil {
		return nothingWhole(dir, found)
	}
	_, err = checkpoints.Recover(ctx, found)
	var unstated *store.Unstated
	if errors.As(err, &unstated) {
		ui.Note(unstated.What)
	} else if err != nil {
		return stage.Explain(files, "set broken checkpoints aside in", name, err)
	}
	for _, b := range found.Broken {
		ui.Note(fmt.Sprintf("set aside %s, which is broken: %s", below(dir, b.Checkpoint.Name), b.Problem))
	}
	newest := *found.Newest
	if found.Verdict.Unjudged {
		ui.Note(fmt.Sprintf("%s %s", below(dir, newest.Name), found.Verdict))
	}
	r := &launch.StartPoint{Checkpoint: below(dir, newest.Name), Step: newest.Step}
	from := ""
	if e != nil {
		r.From = e.ID.String()
		from = r.From + " "
	}
	at := ""
	if newest.Step != checkpoint.Unknown {
		at = fmt.Sprintf(" at step %d", newest.Step)
	}
	ui.Note(fmt.Sprintf("resumes %sfrom %s%s, of %s", from, r.Checkpoint, at, newest.Time.UTC().Format(time.DateTime+" MST")))
	p.Resume = r
	return nil
}

// below is a name in a directory that may be a URI.
func below(dir, name string) string { return strings.TrimRight(dir, "/") + "/" + name }

// nothingWhole says that there is no checkpoint to resume from, and why not.
func nothingWhole(dir string, found store.Found) error {
	if len(found.Broken) == 0 {
		return exit.Errorf(exit.Usage, "there is no checkpoint in %s: there is nothing to resume from", dir).
			Try("tfos run starts the job from the beginning; a plain path is looked at on this machine")
	}
	e := exit.Errorf(exit.Usage, "no checkpoint in %s is whole, of %d: there is nothing to resume from. The newest: %s", dir, len(found.Broken), found.Broken[0].Problem)
	return e.Try("tfos run starts the job from the beginning, in another directory")
}
