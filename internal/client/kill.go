package client

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"tfos/internal/client/exit"
	"tfos/internal/pause"
	"tfos/internal/yarn"
)

// How long a job may take to end when it is asked to, and when YARN is.
const (
	orderlyPatience = 45 * time.Second
	killPatience    = 30 * time.Second
)

// Kill ends a job: in order through its master, else through YARN. A job that has ended already is
// no error. note is told what happens.
func (c *Cluster) Kill(ctx context.Context, id yarn.ApplicationID, reason string, note func(string)) error {
	r, err := c.report(ctx, id)
	if err != nil {
		return err
	}
	if r.State.Terminal() {
		note(fmt.Sprintf("%s has ended already: %s", id, stateOf(r)))
		return nil
	}
	if c.hasMaster(ctx, r) {
		if err := c.stopInOrder(ctx, r, reason); err == nil {
			note(fmt.Sprintf("%s: the master stops its tasks", id))
			if r, ended := c.awaitEnd(ctx, id, orderlyPatience); ended {
				note(fmt.Sprintf("%s ended: %s", id, stateOf(r)))
				return nil
			}
			note(fmt.Sprintf("%s did not end within %v", id, orderlyPatience))
		} else {
			c.Log.Debug("the master cannot be asked to stop", zap.Error(err))
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := c.RM.Kill(call, id, reason); err != nil {
		return c.unreachable("kill "+id.String(), err)
	}
	if _, ended := c.awaitEnd(ctx, id, killPatience); !ended {
		return exit.Errorf(exit.Infrastructure, "%s: the ResourceManager was told to kill it, but has not within %v", id, killPatience).
			Try("%s shows where it stands", c.command("status "+id.String()))
	}
	note(fmt.Sprintf("%s killed", id))
	return nil
}

// stopInOrder tells the master to end the job.
func (c *Cluster) stopInOrder(ctx context.Context, r yarn.Report, reason string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout/3)
	defer cancel()
	key, err := c.key(ctx, r.ID)
	if err != nil {
		return err
	}
	m, err := c.master(ctx, r, key)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Stop(ctx, reason)
}

// awaitEnd waits until YARN sees a job's end, or has ended with the job: an embedded one stops what
// has not ended by itself.
func (c *Cluster) awaitEnd(ctx context.Context, id yarn.ApplicationID, patience time.Duration) (yarn.Report, bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for pauses := pause.Growing(firstPoll, lastPoll); ; {
		r, err := c.RM.Report(ctx, id)
		if err == nil && r.State.Terminal() {
			return r, true
		}
		if err != nil && c.gone != nil && c.gone() {
			return yarn.Report{ID: id, State: yarn.StateKilled}, true
		}
		if pauses.Wait(ctx) != nil {
			return yarn.Report{}, false
		}
	}
}
