package client

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/client/term"
	"tfos/internal/control"
	"tfos/internal/job"
	"tfos/internal/pause"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// How long the end of a task's output is waited for once a job has ended: first from the agent,
// which ends when it has sent all, then from where logs are kept.
const (
	agentPatience = 2 * time.Second
	logPatience   = 15 * time.Second
)

// tail copies one task's output as it grows, from one container after the other.
type tail struct {
	c     *Cluster
	id    yarn.ApplicationID
	key   control.Identity
	task  job.Task
	write func(lines []byte)
	names []string          // of the streams
	since time.Time         // only what was printed since then; zero: all
	again func(status.Task) // hears of each later incarnation; nil: nobody does

	targets chan status.Task // capacity 1: only the newest matters
	last    chan status.View // the job has ended
	done    chan struct{}    // closed when everything is written
	missing error            // why the end of the output is not; to be read after done
}

func newTail(c *Cluster, id yarn.ApplicationID, key control.Identity, task job.Task, write func([]byte)) *tail {
	return &tail{c: c, id: id, key: key, task: task, write: write, names: []string{control.Stdout, control.Stderr},
		targets: make(chan status.Task, 1), last: make(chan status.View), done: make(chan struct{})}
}

// update tells where the task is now. It never waits.
func (t *tail) update(v status.View) {
	task, ok := v.Find(t.task)
	if !ok || task.Agent == "" || task.Container == "" {
		return
	}
	select {
	case <-t.targets: // not taken yet, and out of date
	default:
	}
	t.targets <- task // only one goroutine sends, so there is room
}

// finish returns when everything that the task wrote is copied, or cannot be had: then its error
// says why.
func (t *tail) finish(ctx context.Context, v status.View) error {
	select {
	case t.last <- v:
		<-t.done
	case <-t.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return t.missing
}

// stream is one log of one container on its way here. It belongs to the goroutine that copies it.
type stream struct {
	container string
	name      string
	offset    int64 // of the next byte, for the agent
	placed    bool  // offset is after what is too old
	file      int64 // the same in the file that is kept
	whole     bool  // everything was copied
	lines     term.LineBuffer
}

// run copies until finish was called or ctx ends.
func (t *tail) run(ctx context.Context) {
	defer close(t.done)
	var streams []*stream
	live := &copying{}
	var seen job.Incarnation
	for {
		select {
		case <-ctx.Done():
			live.stop(0)
			return
		case task := <-t.targets:
			moved := len(streams) == 0 || streams[0].container != task.Container
			if moved {
				live.stop(0) // the container before is gone, and its agent with it
				flush(streams)
			}
			if t.again != nil && seen > 0 && task.Incarnation > seen {
				t.again(task)
			}
			seen = task.Incarnation
			if !moved {
				continue
			}
			streams = t.streams(task.Container)
			live = t.follow(ctx, streams, task.Agent)
		case v := <-t.last:
			live.stop(agentPatience)
			t.missing = t.drain(ctx, v, streams)
			return
		}
	}
}

func (t *tail) streams(container string) []*stream {
	var ss []*stream
	for _, name := range t.names {
		ss = append(ss, &stream{container: container, name: name, lines: term.LineBuffer{Write: t.write}})
	}
	return ss
}

// copying is goroutines that copy from an agent.
type copying struct {
	cancel context.CancelFunc
	ending chan struct{} // closed when the agent is about to end: a stream that breaks is not opened again
	ended  chan struct{} // closed when all have ended
}

// stop ends the copying, after up to patience if it does not end by itself.
func (c *copying) stop(patience time.Duration) {
	if c.cancel == nil {
		return
	}
	close(c.ending)
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-c.ended:
	case <-t.C:
	}
	c.cancel()
	<-c.ended
}

// follow starts copying streams from an agent.
func (t *tail) follow(ctx context.Context, streams []*stream, address string) *copying {
	ctx, cancel := context.WithCancel(ctx)
	c := &copying{cancel: cancel, ending: make(chan struct{}), ended: make(chan struct{})}
	var workers sync.WaitGroup
	for _, s := range streams {
		workers.Go(func() { t.copyLive(ctx, s, address, c.ending) })
	}
	go func() {
		defer close(c.ended)
		workers.Wait()
	}()
	return c
}

// copyLive copies a stream from an agent until that has sent all, opening it again where it broke.
func (t *tail) copyLive(ctx context.Context, s *stream, address string, ending <-chan struct{}) {
	for pauses := pause.Growing(firstPause, lastPause); ; {
		err := t.copyOnce(ctx, s, address)
		if err == nil {
			s.whole = true
			return
		}
		t.c.Log.Debug("log stream broke", zap.String("stream", s.name), zap.Stringer("task", t.task), zap.Error(err))
		again := time.NewTimer(pauses.Next())
		select {
		case <-again.C:
		case <-ending:
			again.Stop()
			return
		case <-ctx.Done():
			again.Stop()
			return
		}
	}
}

func (t *tail) copyOnce(ctx context.Context, s *stream, address string) error {
	a, err := t.c.Peers.Agent(address, t.key)
	if err != nil {
		return err
	}
	defer a.Close()
	if !s.placed {
		if s.offset, err = position(ctx, a, s.name, t.since); err != nil {
			return err
		}
		s.placed = true
	}
	return a.Logs(ctx, control.LogsRequest{Stream: s.name, Offset: s.offset, Follow: true}, func(c control.LogChunk) error {
		s.offset, s.file = c.Offset+int64(len(c.Data)), c.File
		s.lines.Add(c.Data)
		return nil
	})
}

// drain copies what is left when the job has ended.
func (t *tail) drain(ctx context.Context, v status.View, streams []*stream) error {
	ctx, cancel := context.WithTimeout(ctx, logPatience)
	defer cancel()
	task, _ := v.Find(t.task)
	if task.Container != "" && (len(streams) == 0 || streams[0].container != task.Container) {
		flush(streams)
		streams = t.streams(task.Container) // the job was over before we saw its task run there
	}
	defer flush(streams)
	for _, s := range streams {
		if s.whole {
			continue
		}
		if err := t.copyKept(ctx, s, LogFile{Application: t.id, User: v.User, Container: s.container, Node: task.Node, Stream: s.name}); err != nil {
			return err
		}
	}
	return nil
}

func flush(streams []*stream) {
	for _, s := range streams {
		s.lines.Flush()
	}
}

// copyKept copies the rest of a log from where it is kept after its container ended.
func (t *tail) copyKept(ctx context.Context, s *stream, f LogFile) error {
	since := t.since
	if s.file > 0 { // what is left is what comes after
		since = time.Time{}
	}
	for {
		err := t.c.readKept(ctx, f, s.file, since, func(data []byte) error {
			s.file += int64(len(data))
			s.lines.Add(data)
			return nil
		})
		if err == nil || !errors.Is(err, fs.ErrNotExist) || !t.c.Collects {
			return err
		}
		if pause.For(ctx, lastPoll) != nil {
			return err
		}
	}
}
