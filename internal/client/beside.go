package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"go.uber.org/zap"

	"tfos/internal/dfs"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// Applications that keep checkpoints in the same directory have the same tag in YARN, whoever
// submits them: two that run at once overwrite each other's.

// directoryTag is a job's; empty: it has no directory that others could have, or no room for
// another tag.
func (c *Cluster) directoryTag(ctx context.Context, j job.Job) string {
	if j.Checkpoint.Dir == "" || len(j.Tags) >= job.MaxTags {
		return ""
	}
	uri := launch.CheckpointURI(j.Checkpoint.Dir)
	if strings.HasPrefix(uri, "file:") { // on each node it is another
		return ""
	}
	f, name, err := c.Resolve(ctx, uri)
	if err != nil {
		return "" // that is said elsewhere
	}
	sum := sha256.Sum256([]byte(f.URI(name)))
	return "tfos-checkpoints-" + hex.EncodeToString(sum[:8])
}

// beside says which applications run that have a job's tag, and tells the orphans of those that
// ended that they did. That it cannot be known is no reason not to submit.
func (c *Cluster) beside(ctx context.Context, j job.Job, tag string, ui UI) {
	if tag == "" {
		return
	}
	found, err := c.RM.Applications(ctx, yarn.ApplicationsQuery{Types: []string{launch.ApplicationType}, Tags: []string{tag}})
	if err != nil {
		c.Log.Debug("it is not known who else writes to checkpoint.dir", zap.Error(err))
		return
	}
	for _, r := range found {
		result := path.Join(c.jobDir(r.ID), launch.ResultFile)
		_, err := c.FS.Stat(ctx, result)
		switch left := err == nil; {
		case r.State.Terminal() && r.User == c.User && !left:
			c.leaveResult(ctx, r, result)
		case !r.State.Terminal() && !left: // with a result, its master is about to end
			ui.Note(fmt.Sprintf("%s (%s) of %s has not ended, and has the same checkpoint.dir, %s: if both train, they overwrite each other's checkpoints",
				r.ID, r.Name, r.User, j.Checkpoint.Dir))
		}
	}
}

// leaveResult leaves the result of a job whose master could not. An agent of it on a node that YARN
// has lost may run on and write checkpoints, and cannot ask a ResourceManager that wants a token:
// it looks for the result, as long as there is the job's directory.
func (c *Cluster) leaveResult(ctx context.Context, r yarn.Report, result string) {
	if _, err := c.FS.Stat(ctx, path.Dir(result)); err != nil {
		return
	}
	b, err := json.Marshal(merge(status.View{}, r))
	if err == nil {
		err = dfs.WriteFile(ctx, c.FS, result, b, 0o600)
	}
	if err != nil {
		c.Log.Debug("leave the result of an ended job", zap.Stringer("application", r.ID), zap.Error(err))
	}
}
