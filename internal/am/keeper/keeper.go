// Package keeper looks after a job's checkpoints for its master: it finds new ones, verifies them,
// says which is the newest whole one, sets broken ones aside, and deletes those that the job does
// not keep and what writers left behind who died.
//
// One goroutine does one thing at a time, reading through a few small buffers: a checkpoint of any
// size costs the master no more memory than a small one. What it finds it tells as membership's
// events. An Inspect goes before everything else: processes wait for it.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"go.uber.org/zap"

	"tfos/internal/checkpoint"
	"tfos/internal/checkpoint/mirror"
	"tfos/internal/checkpoint/store"
	"tfos/internal/dfs"
	"tfos/internal/launch"
	"tfos/internal/membership"
	"tfos/internal/pause"
)

// Resolver finds the filesystem that a URI names, and the name in it.
type Resolver interface {
	Resolve(ctx context.Context, uri string) (dfs.FS, string, error)
}

// Options are what a keeper is made of.
type Options struct {
	Dir      string            // checkpoint.dir, as the job file has it; empty: the job has none
	Keep     checkpoint.Policy // which of them stay
	Local    bool              // they come from tasks' local directories, by package mirror
	Resolver Resolver
	Tell     func(membership.Event) // called from Run's goroutine
	Log      *zap.Logger
}

// Keeper looks after one directory. Its functions are safe for concurrent use.
type Keeper struct {
	o    Options
	asks chan membership.Inspect // capacity 1: the newest that was not taken yet

	// Only Run's goroutine touches what follows.
	dir      *store.Directory // nil: not found yet
	files    dfs.FS           // that it is in
	name     string           // its name there
	began    time.Time
	before   map[string]state   // of the checkpoints that were there when it began; nil: not known yet
	told     map[string]verdict // by name: what was told last
	restored string             // the name that the last Inspect was answered with: a program may be reading it
	// stumped holds what could not be read, and is not tried again before it changes.
	stumped map[string]state
	swept   time.Time
}

// state tells a checkpoint from one of the same name that was written later.
type state struct {
	size int64
	time int64 // ms since the epoch
}

type verdict struct {
	state
	text string
}

// Bounds of what is done at a time.
const (
	firstScan = 5 * time.Second // between two looks for new checkpoints, after one was found
	lastScan  = time.Minute     // when none was found for long
	sweepRest = time.Minute     // between two looks for what dead writers left; the filesystem takes as long to know that they are
	// inspectTimeout bounds the answer to an Inspect. The machine's own patience is longer.
	inspectTimeout = 8 * time.Minute
	listTimeout    = 2 * time.Minute
	awayRest       = 5 * time.Second // between two looks at a filesystem that does not answer
	// workers is how many pieces are read at once: a master has one core and shares its node.
	workers   = 2
	pieceSize = 8 << 20 // bytes
	// skew is how much older a checkpoint that was there before may be than this keeper, and yet be
	// taken for one of this job's.
	skew = 5 * time.Minute
)

// notVerified is the verdict on a checkpoint that was there before the job. Of those only the
// newest are looked into, when a program is to restore one: there may be years of them.
const notVerified = "not verified"

// New makes a Keeper. It starts nothing.
func New(o Options) *Keeper {
	return &Keeper{o: o, asks: make(chan membership.Inspect, 1), told: make(map[string]verdict), stumped: make(map[string]state)}
}

// Inspect has the directory looked at. The answer to an earlier one that was not begun is not
// given.
func (k *Keeper) Inspect(i membership.Inspect) {
	for {
		select {
		case k.asks <- i:
			return
		default:
		}
		select {
		case <-k.asks:
		default:
		}
	}
}

// Run looks after the directory until ctx ends. known is what a master before this one found out.
func (k *Keeper) Run(ctx context.Context, known []membership.CheckpointSeen) {
	if k.o.Dir == "" {
		return
	}
	k.began = time.Now()
	for _, c := range known {
		k.told[strings.TrimPrefix(c.Path, k.path(""))] = verdict{state{c.Bytes, c.Time.UnixMilli()}, c.Verdict}
	}
	pause := firstScan
	next := time.NewTimer(pause)
	defer next.Stop()
	var ask *membership.Inspect
	for {
		if ask == nil {
			select {
			case <-ctx.Done():
				return
			case i := <-k.asks:
				ask = &i
			case <-next.C:
				found := false
				found, ask = k.scan(ctx)
				if pause = min(2*pause, lastScan); found {
					pause = firstScan
				}
				next.Reset(pause)
				continue
			}
		}
		k.inspect(ctx, *ask)
		ask = nil
		pause = firstScan
		next.Reset(pause)
	}
}

// open finds the directory.
func (k *Keeper) open(ctx context.Context) error {
	if k.dir != nil {
		return nil
	}
	files, name, err := k.o.Resolver.Resolve(ctx, launch.CheckpointURI(k.o.Dir))
	if err != nil {
		return err
	}
	k.files, k.name = files, name
	k.dir = store.New(files, name, store.Options{Workers: workers, PieceSize: pieceSize})
	return nil
}

// inspect answers an Inspect.
func (k *Keeper) inspect(ctx context.Context, i membership.Inspect) {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	if list, err := k.list(ctx); err == nil {
		k.arrived(list)
	}
	answer := membership.Inspected{Number: i.Number, Step: checkpoint.Unknown}
	found, err := k.newest(ctx, i.Busy)
	for away := err; k.bars(err) == membership.BarAway && pause.For(ctx, awayRest) == nil; { // it may come back
		if found, err = k.newest(ctx, i.Busy); err != nil && ctx.Err() != nil {
			err = away
		}
	}
	switch {
	case err != nil:
		answer.Problem, answer.Barred = err.Error(), k.bars(err)
		k.o.Log.Warn("the newest whole checkpoint is not known", zap.String("dir", k.o.Dir), zap.String("barred", string(answer.Barred)), zap.Error(err))
	case found.Newest == nil && k.onDisk():
		answer.Problem = "there is no checkpoint in " + k.o.Dir + " on the master's disk" // on the program's there may be
	case found.Newest != nil:
		k.restored = found.Newest.Name
		answer.Newest, answer.Step = k.path(found.Newest.Name), found.Newest.Step
	}
	k.o.Tell(answer)
}

// bars says whether an error means that a program would find no checkpoint either: TensorFlow takes
// a directory that it cannot read for an empty one.
func (k *Keeper) bars(err error) membership.Bar {
	switch {
	case k.onDisk():
	case errors.Is(err, fs.ErrPermission), errors.Is(err, dfs.ErrCredentials), errors.Is(err, dfs.ErrNotDirectory):
		return membership.BarRefused
	case errors.Is(err, dfs.ErrUnreachable):
		return membership.BarAway
	}
	return ""
}

// onDisk reports whether the directory is on the master's disk, and a program may find another
// under its name.
func (k *Keeper) onDisk() bool { return strings.HasPrefix(launch.CheckpointURI(k.o.Dir), "file:") }

// newest finds the newest whole checkpoint, and sets newer ones aside unless a program may be
// writing them.
func (k *Keeper) newest(ctx context.Context, busy bool) (store.Found, error) {
	if err := k.open(ctx); err != nil {
		return store.Found{}, err
	}
	var found store.Found
	var err error
	if k.o.Local && !busy { // what an agent that died had copied whole is a checkpoint too
		found, err = mirror.Newest(ctx, k.files, k.name, k.dir, checkpoint.Checkpoint.Exported)
	} else {
		found, err = k.dir.Newest(ctx, checkpoint.Checkpoint.Exported)
	}
	if err != nil {
		return store.Found{}, err
	}
	if found.Newest != nil {
		k.seen(*found.Newest, found.Verdict)
	}
	if busy {
		return found, nil
	}
	_, err = k.dir.Recover(ctx, found)
	var unstated *store.Unstated
	if errors.As(err, &unstated) {
		k.o.Log.Warn("TensorFlow does not find the newest checkpoint", zap.String("dir", k.o.Dir), zap.String("problem", unstated.What))
	} else if err != nil {
		return store.Found{}, err
	}
	for _, b := range found.Broken {
		k.seen(b.Checkpoint, checkpoint.Verdict{Problem: b.Problem})
		k.gone(b.Checkpoint.Name, "set aside: "+b.Problem)
		k.o.Log.Warn("broken checkpoint set aside", zap.String("checkpoint", k.path(b.Checkpoint.Name)), zap.String("problem", b.Problem))
	}
	return found, nil
}

// scan looks for new checkpoints and verifies them, the newest first. It stops for an Inspect,
// which it returns.
func (k *Keeper) scan(ctx context.Context) (found bool, ask *membership.Inspect) {
	list, err := k.list(ctx)
	if err != nil {
		k.o.Log.Debug("checkpoints cannot be listed", zap.String("dir", k.o.Dir), zap.Error(err))
		return false, nil
	}
	k.arrived(list)
	there := make(map[string]bool, len(list))
	for _, c := range list {
		there[c.Name] = true
	}
	for name := range k.told {
		if !there[name] {
			k.gone(name, "")
		}
	}
	for i := len(list) - 1; i >= 0; i-- {
		c := list[i]
		if c.Unfinished != "" || k.told[c.Name].state == stateOf(c) || k.stumped[c.Name] == stateOf(c) {
			continue
		}
		if k.wasThere(c) && k.began.Sub(c.Time) > skew {
			k.say(c, notVerified)
			continue
		}
		found = true
		if ask := k.verify(ctx, c); ask != nil || ctx.Err() != nil {
			return found, ask
		}
	}
	if found {
		k.prune(ctx)
	}
	k.sweep(ctx)
	return found, nil
}

// sweep removes what writers left behind who died.
func (k *Keeper) sweep(ctx context.Context) {
	if time.Since(k.swept) < sweepRest {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	gone, err := k.dir.Sweep(ctx)
	if err != nil {
		k.o.Log.Debug("what dead writers left cannot be removed", zap.String("dir", k.o.Dir), zap.Error(err))
	}
	for _, name := range gone {
		k.o.Log.Info("removed a file that its writer, who died, had not finished", zap.String("file", name))
	}
	k.swept = time.Now()
}

// prune deletes what the job does not keep. The program may be writing, its state file too, so that
// is left alone: at worst it lists what is gone, which TensorFlow passes over.
func (k *Keeper) prune(ctx context.Context) {
	if k.o.Keep.Keep == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	plan, err := k.dir.PlanPrune(ctx, k.o.Keep, func(name string) bool { return name == k.restored })
	if err == nil {
		err = k.dir.Do(ctx, checkpoint.Delete(checkpoint.Listing{}, plan.Gone))
	}
	if err != nil { // the next new checkpoint has it tried again
		k.o.Log.Warn("old checkpoints cannot be deleted", zap.String("dir", k.o.Dir), zap.Error(err))
		return
	}
	for _, c := range plan.Gone {
		k.gone(c.Name, "deleted: "+k.o.Keep.String())
		k.o.Log.Info("old checkpoint deleted", zap.String("checkpoint", k.path(c.Name)), zap.Stringer("policy", k.o.Keep))
	}
}

func (k *Keeper) list(ctx context.Context) ([]checkpoint.Checkpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	if err := k.open(ctx); err != nil {
		return nil, err
	}
	l, err := k.dir.List(ctx)
	return l.Checkpoints, err
}

// verify verifies one checkpoint, however large, unless an Inspect comes, which it returns.
func (k *Keeper) verify(ctx context.Context, c checkpoint.Checkpoint) *membership.Inspect {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	var v checkpoint.Verdict
	go func() {
		var err error
		v, err = k.dir.Verify(within, c, nil)
		done <- err
	}()
	var ask *membership.Inspect
	var err error
	select {
	case i := <-k.asks:
		cancel()
		ask, err = &i, <-done
	case err = <-done:
	}
	switch {
	case err == nil:
		k.seen(c, v)
		if v.Broken() {
			k.o.Log.Warn("checkpoint is broken", zap.String("checkpoint", k.path(c.Name)), zap.String("problem", v.Problem))
		}
	case within.Err() != nil, errors.Is(err, store.ErrChanged), errors.Is(err, fs.ErrNotExist): // the next scan sees what became of it
	default:
		k.stumped[c.Name] = stateOf(c)
		k.o.Log.Warn("checkpoint cannot be verified", zap.String("checkpoint", k.path(c.Name)), zap.Error(err))
	}
	return ask
}

// arrived keeps what was there first.
func (k *Keeper) arrived(list []checkpoint.Checkpoint) {
	if k.before != nil {
		return
	}
	k.before = make(map[string]state, len(list))
	for _, c := range list {
		k.before[c.Name] = stateOf(c)
	}
}

// wasThere reports whether a checkpoint is as it was when this keeper began.
func (k *Keeper) wasThere(c checkpoint.Checkpoint) bool {
	was, known := k.before[c.Name]
	return known && was == stateOf(c)
}

// time is when a checkpoint was completed, by a clock that agrees with the master's on what was
// before the job. The filesystem has another, which may be hours away from it, or be set.
func (k *Keeper) time(c checkpoint.Checkpoint) time.Time {
	switch {
	case k.before == nil:
	case k.wasThere(c) && !c.Time.Before(k.began):
		return k.began.Add(-time.Millisecond)
	case !k.wasThere(c) && c.Time.Before(k.began):
		return k.began.Add(time.Second) // no program completes one sooner
	}
	return c.Time
}

func stateOf(c checkpoint.Checkpoint) state { return state{c.Size, c.Time.UnixMilli()} }

// seen tells of a checkpoint, unless that was told.
func (k *Keeper) seen(c checkpoint.Checkpoint, v checkpoint.Verdict) {
	k.say(c, v.String())
}

func (k *Keeper) say(c checkpoint.Checkpoint, text string) {
	now := verdict{stateOf(c), text}
	if k.told[c.Name] == now {
		return
	}
	k.told[c.Name] = now
	k.o.Tell(membership.CheckpointSeen{Path: k.path(c.Name), Step: c.Step, Bytes: c.Size, Time: k.time(c), Verdict: text, Format: string(c.Format), Exported: c.Exported()})
}

func (k *Keeper) gone(name, why string) {
	delete(k.told, name)
	k.o.Tell(membership.CheckpointGone{Path: k.path(name), Why: why})
}

// path is a checkpoint's name below the directory, as the job file writes that.
func (k *Keeper) path(name string) string {
	return fmt.Sprintf("%s/%s", strings.TrimRight(k.o.Dir, "/"), name)
}
