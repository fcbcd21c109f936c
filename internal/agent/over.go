package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	"tfos/internal/control"
	"tfos/internal/hadoop/conf"
	"tfos/internal/launch"
	"tfos/internal/storage"
	"tfos/internal/yarn"
	"tfos/internal/yarn/yarnrpc"
)

const (
	// orphanAfter is how long there is no master before the ResourceManager is asked whether the
	// application still is.
	orphanAfter = 30 * time.Second
	// askAgain is the time between two questions.
	askAgain = 30 * time.Second
	// askWait bounds one: the master is not looked for meanwhile.
	askWait = 3 * time.Second
	// sessionAtLeast is more than the time between two attempts to reach a master: who did not look
	// for so long had one.
	sessionAtLeast = 90 * time.Second
)

// orphan finds masters as find does, and ends the search for them once the application is over.
// YARN does not end its containers on nodes whose NodeManager was away then: the program of an
// orphan would go on, on a GPU that YARN takes for free, and write its checkpoints beside those of
// the job that was submitted again. One goroutine uses it.
type orphan struct {
	find func(ctx context.Context) (string, error)
	// over say, one after the other, why the application is over; empty: that one does not know.
	over []func(ctx context.Context) (string, error)
	log  *zap.Logger

	since, last, asked time.Time // there is no master since; it was looked for last; over was asked last
}

func (o *orphan) master(ctx context.Context) (string, error) {
	now := time.Now()
	if now.Sub(o.last) > sessionAtLeast {
		o.since = now
	}
	o.last = now
	if now.Sub(o.since) >= orphanAfter && now.Sub(o.asked) >= askAgain {
		o.asked = now
		for _, over := range o.over {
			asking, done := context.WithTimeout(ctx, askWait)
			why, err := over(asking)
			done()
			if err != nil {
				o.log.Debug("it is not known whether the application still is", zap.Error(err))
			}
			if err == nil && why != "" {
				return "", fmt.Errorf("%w: %s", control.ErrOver, why)
			}
		}
	}
	return o.find(ctx)
}

// lookForResult looks into the job's staging directory for its result. The master leaves it, or,
// for a master that could not, whoever submits a job to the same directory of checkpoints.
func lookForResult(s *storage.Storage, staging string) func(ctx context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		fsys, name, release, err := s.Use(ctx, strings.TrimRight(staging, "/")+"/"+launch.ResultFile)
		if err != nil {
			return "", err
		}
		defer release()
		switch _, err := fsys.Stat(ctx, name); {
		case errors.Is(err, fs.ErrNotExist):
			return "", nil
		case err != nil:
			return "", err
		}
		return "its result is there, " + fsys.URI(name), nil
	}
}

// askYARN asks the ResourceManager of a Hadoop configuration, which it reads at once: a NodeManager
// that has lost a container deletes its directory, with the configuration in it. Where the
// ResourceManager wants to see a token the answer is an error: agents have none.
func askYARN(app yarn.ApplicationID, s storage.Options) func(ctx context.Context) (string, error) {
	options, unknown := resourceManager(s)
	return func(ctx context.Context) (string, error) {
		if unknown != nil {
			return "", unknown
		}
		rm := yarnrpc.NewClient(options, nil)
		defer rm.Close()
		r, err := rm.Report(ctx, app)
		if err != nil || !r.State.Terminal() {
			return "", err
		}
		return fmt.Sprintf("the ResourceManager says that %s is %s", app, r.State), nil
	}
}

// resourceManager is where a Hadoop configuration has it.
func resourceManager(s storage.Options) (yarnrpc.Options, error) {
	b, err := os.ReadFile(s.Conf)
	if err != nil {
		return yarnrpc.Options{}, fmt.Errorf("read the Hadoop configuration: %w", err)
	}
	c := conf.New(conf.Environment{Env: func(name string) (string, bool) { v := s.Getenv(name); return v, v != "" }})
	if err := c.AddResource(s.Conf, b, nil); err != nil {
		return yarnrpc.Options{}, err
	}
	o, err := yarnrpc.ClientOptions(c)
	o.User = s.User
	return o, err
}
