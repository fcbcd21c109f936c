package client

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"tfos/internal/client/exit"
	"tfos/internal/client/term"
	"tfos/internal/control"
	"tfos/internal/hadoop/tfile"
	"tfos/internal/job"
	"tfos/internal/pause"
	"tfos/internal/status"
	"tfos/internal/yarn"
)

// Master, in place of a task, stands for the application master in LogsOptions.
const masterName = "master"

// LogsOptions selects what CopyLogs copies.
type LogsOptions struct {
	Task    job.Task       // zero: every task
	Master  bool           // the application master's log, and no task's
	Streams []string       // control.Stdout, …; empty: stdout and stderr
	Follow  bool           // go on until the job ends
	Grep    *regexp.Regexp // only lines that match; nil: all
	Since   time.Time      // only what was printed since then, by the clock of each node; zero: all
	Colour  bool           // out is a Painter, and takes the prefixes of followed lines in colours
	Note    func(string)   // hears of tasks whose log is missing among others; nil: nobody does
}

// Painter is a writer that shows text in one of a few colours, n standing for which.
type Painter interface{ Paint(n int, text string) }

// chosen is the lines of some whole ones that are wanted.
func (o LogsOptions) chosen(lines []byte) []byte {
	if o.Grep == nil {
		return lines
	}
	var chosen []byte
	for line := range bytes.Lines(lines) {
		if o.Grep.Match(bytes.TrimRight(line, "\r\n")) {
			chosen = append(chosen, line...)
		}
	}
	return chosen
}

// ParseLogs reads which log a person wants: "worker/0", or "master". Empty means every task. since
// is how far back it is to go; 0: to its beginning.
func ParseLogs(which, stream, grep string, since time.Duration, follow bool) (LogsOptions, error) {
	o := LogsOptions{Follow: follow}
	switch {
	case since < 0:
		return o, exit.Errorf(exit.Usage, "--since %s: want how long ago, as in 10m", since)
	case since > 0 && (which == masterName || stream == control.AgentLog):
		return o, exit.Errorf(exit.Usage, "--since goes by when a program printed: lines of the master's and the agents' logs have their time in them")
	case since > 0:
		o.Since = time.Now().Add(-since)
	}
	if grep != "" {
		var err error
		if o.Grep, err = regexp.Compile(grep); err != nil {
			return o, exit.Errorf(exit.Usage, "--grep %s: %w", grep, err).Try("want a regular expression of Go's, as in --grep 'loss|accuracy'; (?i) before it takes upper case for lower")
		}
	}
	switch stream {
	case "":
		o.Streams = []string{control.Stdout, control.Stderr}
	case control.Stdout, control.Stderr, control.AgentLog:
		o.Streams = []string{stream}
	default:
		return o, exit.Errorf(exit.Usage, "--stream %s: want %s, %s or %s", stream, control.Stdout, control.Stderr, control.AgentLog)
	}
	switch which {
	case "":
	case masterName:
		if o.Master = true; follow {
			return o, exit.Errorf(exit.Usage, "the master's log can be had after the job's end only, not followed")
		}
	default:
		task, err := job.ParseTask(which)
		if err != nil {
			return o, exit.Errorf(exit.Usage, "%w", err).Try("or %q for the application master's own log", masterName)
		}
		o.Task = task
	}
	return o, nil
}

func (o LogsOptions) wants(t status.Task) bool {
	return o.Task == (job.Task{}) || o.Task == t.ID()
}

// CopyLogs writes what the tasks of a job wrote: from their agents while the job runs, afterwards
// from where the cluster keeps logs. Several logs are told apart by a heading each, or by a prefix
// of every line when they are followed.
func (c *Cluster) CopyLogs(ctx context.Context, id yarn.ApplicationID, o LogsOptions, out io.Writer) error {
	r, err := c.report(ctx, id)
	if err != nil {
		return err
	}
	if o.Master {
		return c.copyMaster(ctx, r, o, out)
	}
	for o.Follow && r.State < yarn.StateRunning && !c.hasMaster(ctx, r) { // there will be a log
		if err := pause.For(ctx, lastPoll); err != nil {
			return err
		}
		if r, err = c.report(ctx, id); err != nil {
			return err
		}
	}
	if r.State.Terminal() {
		return c.copyAllKept(ctx, r, o, out)
	}
	if !c.hasMaster(ctx, r) {
		return exit.Errorf(exit.Usage, "%s has not started yet: there is no log", id).Try("%s shows where it stands", c.command("status "+id.String()))
	}
	v, err := c.look(ctx, r)
	if err != nil {
		// A master that has just ended its job does not answer any more, and YARN may not have
		// known that before.
		if r, again := c.report(ctx, id); again == nil && r.State.Terminal() {
			return c.copyAllKept(ctx, r, o, out)
		}
		return exit.Errorf(exit.Infrastructure, "ask the master of %s where its tasks are: %w", id, err).Try(outOfReach)
	}
	key, err := c.key(ctx, id)
	if err != nil {
		return err
	}
	if o.Follow {
		return c.followLogs(ctx, r, key, v, o, out)
	}
	return c.eachLog(v, o, out, func(t status.Task, stream string, write func([]byte) error) error {
		if t.Agent == "" {
			return fs.ErrNotExist
		}
		a, err := c.Peers.Agent(t.Agent, key)
		if err != nil {
			return err
		}
		defer a.Close()
		at, err := position(ctx, a, stream, o.Since)
		if err == nil {
			err = a.Logs(ctx, control.LogsRequest{Stream: stream, Offset: at}, func(ch control.LogChunk) error { return write(ch.Data) })
		}
		if errors.Is(err, control.ErrUnreachable) { // its container may have just ended
			return c.keptLog(ctx, r, t, stream, o.Since, write)
		}
		return err
	})
}

// position is where in a log that begins which was printed since a time.
func position(ctx context.Context, a Agent, stream string, since time.Time) (int64, error) {
	if since.IsZero() {
		return 0, nil
	}
	var marks []byte
	err := a.Logs(ctx, control.LogsRequest{Stream: control.Times}, func(ch control.LogChunk) error {
		marks = append(marks, ch.Data...)
		return nil
	})
	return control.Since(marks, stream, since), err
}

// leftOut is the line in a log that was too large.
var leftOut = regexp.MustCompile(`^tfos: ([0-9]+) bytes of this log are left out here, it is limited to`)

// eachLog calls read for each selected log, under a heading if there are several.
func (c *Cluster) eachLog(v status.View, o LogsOptions, out io.Writer, read func(t status.Task, stream string, write func([]byte) error) error) error {
	found, empty, later := 0, 0, 0
	var missing []string // tasks that ran, and of which nothing was read
	var away []string    // those of which it is known where their logs are, with that
	var errs []error
	single := o.Task != (job.Task{}) && len(o.Streams) == 1
	for _, t := range v.Tasks {
		if !o.wants(t) {
			continue
		}
		found++
		before := empty
		var where elsewhereLog
		for _, stream := range o.Streams {
			head := []byte(fmt.Sprintf("==> %s %s <==\n", t.ID(), stream))
			if single {
				head = nil
			}
			write := func(data []byte) error {
				if head != nil {
					if _, err := out.Write(head); err != nil {
						return err
					}
					head = nil
				}
				_, err := out.Write(data)
				return err
			}
			err := o.through(write, func(write func([]byte) error) error { return read(t, stream, write) })
			switch {
			case errors.Is(err, tfile.ErrFormat):
				errs = append(errs, fmt.Errorf("%s/%d %s: %w", t.Role, t.Index, stream, err))
			case errors.Is(err, fs.ErrNotExist):
				empty++
				if errors.Is(err, errLater) {
					later++
				}
				where, _ = errors.AsType[elsewhereLog](err)
			case err != nil:
				errs = append(errs, fmt.Errorf("%s/%d %s: %w", t.Role, t.Index, stream, err))
			}
		}
		switch {
		case empty-before < len(o.Streams) || t.Container == "":
		case where != "":
			away = append(away, t.ID().String()+" at "+string(where))
		default:
			missing = append(missing, t.ID().String())
		}
	}
	switch {
	case found == 0 && o.Task != (job.Task{}):
		return exit.Errorf(exit.Usage, "%s has no task %s", v.ID, o.Task).Try("%s lists them", c.command("status "+v.ID))
	case found == 0:
		return exit.Errorf(exit.Refused, "%s left no list of its tasks", v.ID).
			Try("%s shows its master's log, if the cluster keeps logs", c.command("logs "+v.ID+" "+masterName))
	case len(errs) > 0:
		return exit.Errorf(exit.Infrastructure, "read logs of %s: %w", v.ID, errors.Join(errs...))
	case empty == found*len(o.Streams) && later > 0:
		which := "all tasks"
		if o.Task != (job.Task{}) {
			which = o.Task.String()
		}
		return exit.Errorf(exit.Refused, "%s: the container of %s has ended, and the cluster collects its log when the whole job has ended", v.ID, which).
			Try("try again then; tfos logs -f shows a task's output while it is written")
	case empty == found*len(o.Streams) && len(away) > 0:
		return exit.Errorf(exit.Refused, "the logs of nodes in Spark's executors stay there: %s", strings.Join(away, ", ")).
			Try("look there, as long as Spark keeps the directory of the executor")
	case empty == found*len(o.Streams):
		return exit.Errorf(exit.Refused, "there is no log of %s to be had (any more)", v.ID).
			Try("has it started? does the cluster keep logs (yarn.log-aggregation-enable), and for how long?")
	}
	if len(away) > 0 && o.Note != nil {
		o.Note("the logs of nodes in Spark's executors stay there: " + strings.Join(away, ", "))
	}
	if len(missing) > 0 && o.Note != nil {
		o.Note(fmt.Sprintf("there is no log of %s to be had: a node that was away brings its part when it is back", strings.Join(missing, ", ")))
	}
	return nil
}

// through has read write a log of which only the wanted lines come to write.
func (o LogsOptions) through(write func([]byte) error, read func(write func([]byte) error) error) error {
	if o.Grep == nil {
		return read(write)
	}
	var failed error
	lines := term.LineBuffer{Write: func(lines []byte) {
		if chosen := o.chosen(lines); len(chosen) > 0 && failed == nil {
			failed = write(chosen)
		}
	}}
	err := read(func(data []byte) error {
		lines.Add(data)
		return failed
	})
	lines.Flush()
	return cmp.Or(err, failed)
}

// copyAllKept copies the logs of a job that has ended.
func (c *Cluster) copyAllKept(ctx context.Context, r yarn.Report, o LogsOptions, out io.Writer) error {
	v := c.outcome(ctx, r, status.View{}).View
	return c.eachLog(v, o, out, func(t status.Task, stream string, write func([]byte) error) error {
		return c.keptLog(ctx, r, t, stream, o.Since, write)
	})
}

// keptLog reads what a container that has ended printed since a time. Shortly after its end a
// cluster may still be collecting it.
func (c *Cluster) keptLog(ctx context.Context, r yarn.Report, t status.Task, stream string, since time.Time, write func([]byte) error) error {
	if t.Container == "" {
		return fs.ErrNotExist
	}
	began := time.Now()
	for {
		err := c.readKept(ctx, LogFile{Application: r.ID, User: r.User, Container: t.Container, Node: t.Node, Stream: stream}, 0, since, write)
		// The end is by the ResourceManager's clock, which may be hours from ours.
		collecting := c.Collects && time.Since(began) < logPatience && (r.Finished.IsZero() || time.Since(r.Finished) < logPatience)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || !collecting {
			return err
		}
		if !r.State.Terminal() && time.Since(began) >= endingPatience {
			return errLater
		}
		if err := pause.For(ctx, lastPoll); err != nil {
			return err
		}
		if !r.State.Terminal() { // its end may be what ended the container
			if r, err = c.report(ctx, r.ID); err != nil {
				return err
			}
		}
	}
}

// readKept reads a kept log from an offset of its file on: the lines that were printed since a
// time. Of a log whose agent kept no times that is all of it.
func (c *Cluster) readKept(ctx context.Context, f LogFile, offset int64, since time.Time, write func([]byte) error) error {
	if since.IsZero() {
		return c.Logs.Read(ctx, f, offset, write)
	}
	times := f
	times.Stream = control.Times
	var marks []byte
	if err := c.Logs.Read(ctx, times, 0, func(data []byte) error {
		marks = append(marks, data...)
		return nil
	}); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	from, at := control.Since(marks, f.Stream, since), offset
	var failed error
	lines := term.LineBuffer{Write: func(lines []byte) {
		for line := range bytes.Lines(lines) {
			at += int64(len(line))
			if m := leftOut.FindSubmatch(line); m != nil {
				left, _ := strconv.ParseInt(string(m[1]), 10, 64)
				at += left - int64(len("\n")+len(line)) // it stands for so many, and has an end of line before it
			}
			if at > from && failed == nil {
				failed = write(line)
			}
		}
	}}
	err := c.Logs.Read(ctx, f, offset, func(data []byte) error {
		lines.Add(data)
		return failed
	})
	lines.Flush()
	return cmp.Or(err, failed)
}

// endingPatience is how long a job whose task has ended may take to end as well, and the cluster to
// collect its log then.
const endingPatience = 2 * time.Second

// errLater says that a container has ended whose log the cluster collects when the whole job has
// ended. Until then it lies on its node.
var errLater = fmt.Errorf("its container has ended, and the cluster collects its log when the whole job has: %w", fs.ErrNotExist)

// copyMaster copies the application master's logs of every attempt.
func (c *Cluster) copyMaster(ctx context.Context, r yarn.Report, o LogsOptions, out io.Writer) error {
	attempts, err := c.RM.Attempts(ctx, r.ID)
	if err != nil {
		return c.unreachable("ask for the attempts of "+r.ID.String(), err)
	}
	v := status.View{ID: r.ID.String()}
	for _, a := range attempts {
		v.Tasks = append(v.Tasks, status.Task{Role: masterName, Index: int(a.ID.Attempt), Container: a.Container.String()})
	}
	return c.eachLog(v, o, out, func(t status.Task, stream string, write func([]byte) error) error {
		return c.keptLog(ctx, r, t, stream, o.Since, write)
	})
}

// followLogs copies the selected logs as they grow, until the job ends.
func (c *Cluster) followLogs(ctx context.Context, r yarn.Report, key control.Identity, v status.View, o LogsOptions, out io.Writer) error {
	var mu sync.Mutex // guards out
	tails := map[job.Task]*tail{}
	var workers sync.WaitGroup
	defer workers.Wait()
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	update := func(v status.View) {
		for _, t := range v.Tasks {
			if !o.wants(t) {
				continue
			}
			tl := tails[t.ID()]
			if tl == nil { // new tasks come while the job grows
				p := prefix{out: out}
				if o.Task == (job.Task{}) {
					p.text = t.ID().String() + " | "
				}
				if o.Colour {
					p.colour = len(tails) + 1
				}
				tl = newTail(c, r.ID, key, t.ID(), func(lines []byte) {
					mu.Lock()
					defer mu.Unlock()
					p.write(o.chosen(lines))
				})
				tl.names, tl.since = o.Streams, o.Since
				tl.again = func(t status.Task) {
					mu.Lock()
					defer mu.Unlock()
					p.write(fmt.Appendf(nil, "==> %s incarnation %d on %s <==\n", t.ID(), t.Incarnation, t.Node))
				}
				tails[t.ID()] = tl
				workers.Go(func() { tl.run(within) })
			}
			tl.update(v)
		}
	}
	update(v)
	if len(tails) == 0 {
		return exit.Errorf(exit.Usage, "%s has no task %s", r.ID, o.Task).Try("%s lists them", c.command("status "+r.ID.String()))
	}
	last := v
	if err := c.Watch(ctx, r.ID, func(v status.View) error {
		last = v
		if v.ExitCode == nil {
			update(v)
		}
		return nil
	}); err != nil {
		return err
	}
	var errs []error
	for _, t := range slices.SortedFunc(maps.Values(tails), func(a, b *tail) int { return a.task.Compare(b.task) }) {
		if err := t.finish(ctx, last); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("%s: %w", t.task, err))
		}
	}
	c.Log.Debug("job ended", zap.Stringer("application", r.ID))
	if len(errs) > 0 {
		return exit.Errorf(exit.Infrastructure, "read the end of the logs of %s: %w", r.ID, errors.Join(errs...))
	}
	return nil
}

// prefix writes lines behind the name of the task that they are of.
type prefix struct {
	out    io.Writer
	text   string // empty: as they are
	colour int    // 0: none
}

func (p prefix) write(lines []byte) {
	if p.text == "" {
		p.out.Write(lines)
		return
	}
	for line := range bytes.Lines(lines) {
		line = bytes.TrimRight(line, "\r\n")
		if painter, ok := p.out.(Painter); ok && p.colour > 0 {
			painter.Paint(p.colour, p.text)
			fmt.Fprintf(p.out, "%s\n", line)
			continue
		}
		fmt.Fprintf(p.out, "%s%s\n", p.text, line)
	}
}
