package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path"
	"strconv"
	"time"

	"go.uber.org/zap"

	"tfos/internal/control"
	"tfos/internal/launch"
	"tfos/internal/pause"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// dialPeers reaches a job's processes over TCP.
type dialPeers struct{}

func (dialPeers) Master(address string, key control.Identity) (Master, error) {
	return control.DialMaster(address, key, nil)
}

func (dialPeers) Agent(address string, key control.Identity) (Agent, error) {
	return control.DialAgent(address, key, nil)
}

// registeredAddress is what the master told YARN of itself; empty: nothing yet.
func registeredAddress(r yarn.Report) string {
	if r.Host == "" || r.Host == "N/A" || r.Port <= 0 {
		return ""
	}
	return net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port)))
}

// Pauses between attempts to reach a master, which may be moving to another node.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 3 * time.Second
	// troubleAfter is how long a master may be out of reach before a person hears of it: one that
	// moves is there again by then.
	troubleAfter = 6 * time.Second
)

// outOfReach is what to do about a master that cannot be asked.
const outOfReach = "try again: it may be moving to another node; if it stays so, a firewall may be between this host and the cluster's nodes"

// watch hands every view of a running job to show, until the master says that a view was the last,
// show fails, or ctx ends. It finds the master again as often as it takes, and calls trouble once
// for each time the master cannot be reached. With attend the job counts as attended meanwhile.
func (c *Cluster) watch(ctx context.Context, r yarn.Report, key control.Identity, attend bool, show func(status.View) error, trouble func(error)) error {
	troubled, lost := false, time.Now()
	for pauses := pause.Growing(firstPause, lastPause); ; {
		seen := false
		err := c.watchOnce(ctx, r, key, attend, func(v status.View) error {
			pauses.Reset()
			troubled, seen = false, true
			return show(v)
		})
		if seen {
			lost = time.Now()
		}
		var stop stopWatching
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &stop):
			return stop.error
		}
		c.Log.Debug("the master cannot be watched", zap.Error(err))
		if time.Since(lost) >= troubleAfter && !troubled {
			troubled = true
			trouble(err)
		}
		if err := pauses.Wait(ctx); err != nil {
			return err
		}
	}
}

// stopWatching is an error of whoever is shown the views, not of the connection.
type stopWatching struct{ error }

// hasMaster reports whether a job's master may answer. YARN knows that of a job that it calls
// running. Once it has restarted it calls every job accepted until its master, who runs on, has
// registered again; then the master's own word, where it listens, is of the attempt that YARN
// speaks of.
func (c *Cluster) hasMaster(ctx context.Context, r yarn.Report) bool {
	switch {
	case r.State == yarn.StateRunning:
		return true
	case r.State.Terminal() || r.Attempt.Attempt <= 0:
		return false
	}
	m, err := c.announced(ctx, r.ID)
	return err == nil && m.Attempt >= r.Attempt.Attempt
}

// announced is what a job's current master says of itself in the staging directory.
func (c *Cluster) announced(ctx context.Context, id yarn.ApplicationID) (launch.Master, error) {
	b, err := c.readFile(ctx, path.Join(c.jobDir(id), launch.MasterFile))
	if err != nil {
		return launch.Master{}, err
	}
	return launch.ParseMaster(b)
}

// master prepares a connection to a job's current master. Close the result.
func (c *Cluster) master(ctx context.Context, r yarn.Report, key control.Identity) (Master, error) {
	address, err := c.masterAddress(ctx, r)
	if err != nil {
		return nil, err
	}
	return c.Peers.Master(address, key)
}

func (c *Cluster) watchOnce(ctx context.Context, r yarn.Report, key control.Identity, attend bool, show func(status.View) error) error {
	m, err := c.master(ctx, r, key)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Watch(ctx, attend, func(b []byte) error {
		var v status.View
		if err := json.Unmarshal(b, &v); err != nil {
			return fmt.Errorf("read the master's view: %w", err)
		}
		if err := show(v); err != nil {
			return stopWatching{err}
		}
		return nil
	})
}
