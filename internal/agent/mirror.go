package agent

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"tfos/internal/checkpoint"
	"tfos/internal/checkpoint/mirror"
	"tfos/internal/checkpoint/unit"
	"tfos/internal/control"
	"tfos/internal/dfs"
	"tfos/internal/fileserver"
	"tfos/internal/job"
	"tfos/internal/launch"
	"tfos/internal/supervise"
)

const (
	// fetchWait bounds how long a program waits for its checkpoints. After it the agent ends:
	// another node may reach them, unless what is in the way is the same everywhere.
	fetchWait = 10 * time.Minute
	// flushWait bounds how long the end of a program that nobody asked to end is held back, for
	// what it wrote last to be copied.
	flushWait = 5 * time.Minute
	// flushMargin is how long after the grace period copies may go on: the master waits a little
	// longer than that too.
	flushMargin = 5 * time.Second
	// abandonAfter is how long a copy has to notice that there is no more time. It may hang in a
	// filesystem.
	abandonAfter = time.Second
)

// mirroring is the part of an owner's state by which the task's local checkpoints are kept
// elsewhere.
type mirroring struct {
	mirror    *mirror.Mirror // nil: they are not, or none was needed yet
	from      mirror.From    // as the newest preparation found it
	prepared  job.Incarnation
	preparing context.CancelFunc // of the preparation under way; nil: there is none
	failed    error              // why the program cannot get its checkpoints
	copying   *copying           // while the program runs, and until what it wrote last is copied; nil: nothing is
}

// copying is one run of a mirror.
type copying struct {
	ended   chan unit.Life  // capacity 1: how the program ended
	exit    *supervise.Exit // nil: it runs
	by      time.Time       // when all must be over; zero: nobody said
	timer   *time.Timer     // for by; nil while the program runs
	cancel  context.CancelFunc
	expired bool
}

// flushes reports whether a program has ended whose checkpoints are still copied.
func (m *mirroring) flushes() bool { return m.copying != nil && m.copying.exit != nil }

// due tells when there is no more time for that; nil: never.
func (m *mirroring) due() <-chan time.Time {
	if m.copying == nil || m.copying.timer == nil {
		return nil
	}
	return m.copying.timer.C
}

// prepares reports whether the program's local directory is as it is to be, and has it made so if
// not.
func (o *owner) prepares(c control.Start) bool {
	if c.Mirror == nil || o.prepared == c.Incarnation {
		return true
	}
	if o.preparing != nil {
		return false // it is another's perhaps: this one's turn comes after it
	}
	if o.mirror == nil {
		o.mirror = o.newMirror(*c.Mirror)
	}
	o.mirror.Share(c.Mirror.Shared)
	m, newest := o.mirror, ""
	if uri := c.Env[launch.EnvResumeCheckpoint]; uri != "" {
		newest = launch.CheckpointURI(uri)
	}
	o.preparing = o.call(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, fetchWait)
		defer cancel()
		from, err := m.Prepare(ctx, newest)
		o.a.post(func(o *owner) {
			o.preparing = nil
			switch {
			case err == nil:
				o.from, o.prepared = from, c.Incarnation
			case errors.Is(err, context.Canceled):
			case o.next != nil && o.next.Incarnation == c.Incarnation && denied(err):
				o.a.log.Error("the program is not started: it may not have its checkpoints", zap.Error(err))
				o.incarnation, o.started, o.next = c.Incarnation, true, nil
				o.a.link.Exited(control.Exited{Incarnation: c.Incarnation, Ended: job.Ended{Code: 127, Reason: "it cannot get its checkpoints: " + fileserver.Explain(err)}})
			default:
				o.a.log.Error("the program does not start: it cannot get its checkpoints", zap.Error(err))
				o.failed = err
				o.end(0)
			}
			o.proceed()
		})
	})
	return false
}

// denied reports whether a filesystem refuses what it would refuse on any node.
func denied(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, dfs.ErrCredentials)
}

// unprepare gives up the preparation under way.
func (o *owner) unprepare() {
	if o.preparing != nil {
		o.preparing()
	}
}

func (o *owner) newMirror(c control.Mirror) *mirror.Mirror {
	return mirror.New(mirror.Options{
		Local: o.a.checkpointDir(), Remote: c.URI, ID: o.a.container, Use: o.a.storage.Use,
		Fetch: c.Fetch, Upload: c.Upload, Shared: c.Shared, Follow: c.Follow, Others: c.Others,
		Tell:    func(n checkpoint.News) { o.a.post(func(o *owner) { o.tellMirror(n) }) },
		Explain: fileserver.Explain, Log: o.a.log.Named("mirror"),
	})
}

func (a *Agent) checkpointDir() string { return filepath.Join(a.o.Dir, launch.TaskCheckpoints) }

func (o *owner) tellMirror(n checkpoint.News) {
	incarnation := o.incarnation
	if o.next != nil {
		incarnation = o.next.Incarnation
	}
	o.a.link.Mirror(control.MirrorNews{Incarnation: incarnation, News: n})
}

// mirrorEnv is what a program is told of its local checkpoints.
func (o *owner) mirrorEnv(env map[string]string, c control.Start) {
	if c.Mirror == nil {
		return
	}
	dir := o.a.checkpointDir()
	env["TFOS_CHECKPOINT_DIR"] = dir
	if !c.Mirror.Fetch {
		return
	}
	delete(env, launch.EnvResumeCheckpoint)
	delete(env, launch.EnvResumeStep)
	if o.from.Checkpoint == "" {
		return
	}
	env[launch.EnvResumeCheckpoint] = filepath.Join(dir, o.from.Checkpoint)
	if o.from.Step != checkpoint.Unknown {
		env[launch.EnvResumeStep] = strconv.FormatInt(o.from.Step, 10)
	}
}

// keep begins to copy what the program writes.
func (o *owner) keep(c control.Start) {
	if c.Mirror == nil {
		return
	}
	m, k := o.mirror, &copying{ended: make(chan unit.Life, 1)}
	k.cancel = o.call(func(ctx context.Context) {
		lost := m.Run(ctx, k.ended)
		o.a.post(func(o *owner) { o.flushed(k, lost) })
	})
	o.copying = k
}

// hurry has the mirror look more often.
func (o *owner) hurry() {
	if o.mirror != nil {
		o.mirror.Hurry()
	}
}

// hasten sets when all must be over: the program has grace to end, and what it wrote last to be
// copied.
func (o *owner) hasten(grace time.Duration) {
	k := o.copying
	if k == nil {
		return
	}
	o.hurry()
	by := time.Now().Add(grace)
	if !o.killed {
		by = by.Add(flushMargin)
	}
	if k.by.IsZero() || by.Before(k.by) {
		k.by = by
		if k.timer != nil && !k.expired {
			k.timer.Reset(time.Until(by))
		}
	}
}

// flush copies what is left before the program's end is reported. False: there is nothing to wait
// for.
func (o *owner) flush(x supervise.Exit) bool {
	k := o.copying
	if k == nil {
		return false
	}
	life := unit.CutOff
	if x.Code == 0 || x.Stopped && x.Signal == "" && x.Code < 128 {
		life = unit.Ended
	}
	if k.by.IsZero() {
		k.by = time.Now().Add(flushWait)
	}
	k.exit, k.timer = &x, time.NewTimer(time.Until(k.by))
	k.ended <- life
	return true
}

// flushed is a run of the mirror that has ended. lost says what of the program's is in this
// container alone; nil: nothing.
func (o *owner) flushed(k *copying, lost error) {
	if o.copying != k {
		return // it was given up
	}
	o.copying = nil
	if k.exit == nil {
		return // the agent ends
	}
	k.timer.Stop()
	o.concluded(unsaved(*k.exit, lost))
}

// unsaved makes the good end of a program whose newest checkpoint is lost a failure: the job's
// result would be an older one. Of a program that was told to end it is not the last word.
func unsaved(x supervise.Exit, lost error) supervise.Exit {
	if lost != nil && x.Code == 0 && !x.Stopped {
		x.Code = 1
		x.Stderr = append(slices.Clone(x.Stderr), "tfos: the program ended with exit code 0, but "+lost.Error())
	}
	return x
}

// flushedLate gives the copies up that there is no more time for.
func (o *owner) flushedLate() {
	k := o.copying
	k.cancel()
	if !k.expired {
		k.expired = true
		k.timer.Reset(abandonAfter)
		return
	}
	o.a.log.Error("a copy hangs: the program's last checkpoints may be in this container alone", zap.String("dir", o.a.checkpointDir()))
	o.copying, o.mirror = nil, nil // it may still be in use
	o.concluded(unsaved(*k.exit, errors.New("copying its newest checkpoints to checkpoint.dir hangs: they are lost")))
}
