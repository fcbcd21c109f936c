package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strings"

	"go.uber.org/zap"

	"tfos/internal/job"
	"tfos/internal/launch"
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

// beside says which applications run that have a job's tag. That it cannot be known is no reason
// not to submit.
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
		if _, err := c.FS.Stat(ctx, path.Join(c.jobDir(r.ID), launch.ResultFile)); err == nil {
			continue // its master is about to end
		}
		if !r.State.Terminal() {
			ui.Note(fmt.Sprintf("%s (%s) of %s has not ended, and has the same checkpoint.dir, %s: if both train, they overwrite each other's checkpoints",
				r.ID, r.Name, r.User, j.Checkpoint.Dir))
		}
	}
}
