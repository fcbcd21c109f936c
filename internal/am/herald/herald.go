// Package herald tells people of a job's events: it sends messages to webhooks and hands them to
// commands, for the targets of the job file.
//
// Nobody waits for it but the job's end, and that for a few seconds. What cannot be delivered is
// tried a few times, then logged and forgotten. No URL and no command reaches a log: they are often
// secrets.
package herald

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"tfos/internal/job"
	"tfos/internal/notify"
	"tfos/internal/pause"
)

// How often one message is tried, how long one try may take, and how many messages may wait for one
// target.
const (
	tries      = 6
	tryTimeout = 15 * time.Second
	backlog    = 64
)

// Herald sends to the targets of one job. Safe for concurrent use.
type Herald struct {
	log    *zap.Logger
	client *http.Client
	queues []queue
	wg     sync.WaitGroup // of messages that are not delivered, nor given up
}

type queue struct {
	target   job.Target
	messages chan notify.Message // capacity backlog
}

// New makes a Herald. It sends from Run on.
func New(targets []job.Target, log *zap.Logger) *Herald {
	h := &Herald{log: log, client: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a webhook is where it is said to be
	}}
	for _, t := range targets {
		h.queues = append(h.queues, queue{t, make(chan notify.Message, backlog)})
	}
	return h
}

// Wants reports whether somebody wants to be told of an event.
func (h *Herald) Wants(e job.Event) bool {
	return slices.ContainsFunc(h.queues, func(q queue) bool { return slices.Contains(q.target.On, e) })
}

// Tell has a message sent to all who want it. It does not wait.
func (h *Herald) Tell(m notify.Message) {
	for _, q := range h.queues {
		if !slices.Contains(q.target.On, m.Event) {
			continue
		}
		h.wg.Add(1)
		select {
		case q.messages <- m:
		default:
			h.wg.Done()
			h.log.Warn("not told: too many messages wait for this target", zap.String("target", q.target.Name), zap.String("event", string(m.Event)))
		}
	}
}

// Run sends until ctx ends.
func (h *Herald) Run(ctx context.Context) {
	var each sync.WaitGroup
	defer each.Wait()
	for _, q := range h.queues {
		each.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case m := <-q.messages:
					h.deliver(ctx, q.target, m)
					h.wg.Done()
				}
			}
		})
	}
}

// Rest waits until all is sent or given up, but not beyond a time. It reports whether it is.
// Nothing is told meanwhile.
func (h *Herald) Rest(limit time.Duration) bool {
	done := make(chan struct{})
	go func() {
		h.wg.Wait()
		close(done)
	}()
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-done:
		return true
	case <-late.C:
		return false
	}
}

// deliver tries until it is done, hopeless or too often.
func (h *Herald) deliver(ctx context.Context, t job.Target, m notify.Message) {
	log := h.log.With(zap.String("target", t.Name), zap.String("event", string(m.Event)))
	pauses := pause.Growing(time.Second, 30*time.Second)
	for try := 1; ; try++ {
		err := h.try(ctx, t, m)
		switch {
		case err == nil:
			log.Info("told", zap.Int("tries", try))
			return
		case ctx.Err() != nil || errors.Is(err, errHopeless) || try == tries:
			log.Warn("not told", zap.Int("tries", try), zap.Error(err))
			return
		case try == 1:
			log.Info("not told yet, it is tried again", zap.Error(err))
		}
		if pauses.Wait(ctx) != nil {
			return
		}
	}
}

// errHopeless says that another try would end alike.
var errHopeless = errors.New("it is not tried again")

func (h *Herald) try(ctx context.Context, t job.Target, m notify.Message) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	if t.Webhook != "" {
		return h.post(ctx, t, m)
	}
	return run(ctx, t.Command, m)
}

// post sends a message to a webhook.
func (h *Herald) post(ctx context.Context, t job.Target, m notify.Message) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.Webhook, bytes.NewReader(m.Body(t.Format)))
	if err != nil {
		return errHopeless // the error has the URL
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "tfos")
	answer, err := h.client.Do(r)
	if err != nil {
		if e, is := errors.AsType[*url.Error](err); is {
			err = e.Err // without the URL
		}
		return fmt.Errorf("%s does not answer: %w", t.Host(), err)
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // so that the connection can be used again
	switch code := answer.StatusCode; {
	case code < 300:
		return nil
	case code < 500 && code != http.StatusRequestTimeout && code != http.StatusTooManyRequests:
		return fmt.Errorf("%s answers %s: %w", t.Host(), answer.Status, errHopeless)
	default:
		return fmt.Errorf("%s answers %s", t.Host(), answer.Status)
	}
}

// run hands a message to a command, which has nothing of the master's secrets: it gets no file that
// is open here, and of the environment only what a shell needs.
func run(ctx context.Context, command string, m notify.Message) error {
	cmd := exec.CommandContext(ctx, "/bin/bash", "-c", command, "tfos")
	cmd.Stdin = bytes.NewReader(append(m.Body(job.FormatJSON), '\n'))
	for _, name := range []string{"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.Env = append(cmd.Env, m.Env()...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("its command: %w", err)
	}
	return nil
}
