package mirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"tfos/internal/checkpoint"
	"tfos/internal/checkpoint/unit"
	"tfos/internal/dfs"
	"tfos/internal/pause"
)

// From is where a program that starts now goes on.
type From struct {
	Checkpoint string // name of the newest checkpoint that is not broken, relative to the local directory; empty: there is none of a kind that tfos knows
	Step       int64  // checkpoint.Unknown
}

// Prepare makes the local directory what the program needs to go on. newest, if not empty, is the
// URI of the checkpoint that the job goes on from: nothing newer of its kind is fetched. As long as
// the other filesystem does not answer it tries again, until ctx ends: a program that starts
// without its checkpoints begins anew. The error is ctx's if that was canceled, else the last
// attempt's; a token that is refused ends them at once.
func (m *Mirror) Prepare(ctx context.Context, newest string) (From, error) {
	m.begin(lastPause)
	m.urgent.Store(false)
	pin, _ := m.below(newest)
	for {
		from, err := m.prepare(ctx, pin)
		if m.report(err); err == nil {
			return from, nil
		}
		if hopeless(err) {
			return From{}, fmt.Errorf("fetch checkpoints from %s: %w", m.o.Remote, err)
		}
		if pause.For(ctx, m.interval()) != nil {
			if errors.Is(ctx.Err(), context.Canceled) {
				return From{}, ctx.Err()
			}
			return From{}, fmt.Errorf("fetch checkpoints from %s: %w", m.o.Remote, err)
		}
	}
}

func (m *Mirror) prepare(ctx context.Context, pin string) (From, error) {
	if err := m.here.fs.Mkdir(ctx, m.here.dir, 0o755); err != nil {
		return From{}, err
	}
	if !m.o.Fetch {
		return From{Step: checkpoint.Unknown}, nil
	}
	if err := m.tidy(ctx, pin); err != nil {
		return From{}, err
	}
	if err := m.there(ctx, func(there place) error { return m.fetch(ctx, there, pin) }); err != nil {
		return From{}, err
	}
	found, err := m.local.Newest(ctx, checkpoint.Checkpoint.Exported)
	if err != nil {
		return From{}, err
	}
	from := From{Step: checkpoint.Unknown}
	if found.Newest != nil {
		from = From{found.Newest.Name, found.Newest.Step}
	}
	return from, nil
}

// tidy takes out of the way what the program must not find: half copies, what is broken, and what
// others do not have.
func (m *Mirror) tidy(ctx context.Context, pin string) error {
	if err := remove(ctx, m.here.fs, m.here.at(checkpoint.Staging)); err != nil {
		return err
	}
	if m.o.Upload {
		m.open = true // by a mirror before this one
		if err := m.there(ctx, func(there place) error { return clean(ctx, there) }); err != nil {
			return err
		}
	}
	if m.o.Shared && !m.saved {
		return m.putAside(ctx)
	}
	found, err := m.local.Newest(ctx, checkpoint.Checkpoint.Exported)
	if err != nil {
		return err
	}
	if m.o.Shared && pin != "" && (found.Newest == nil || found.Newest.Name != pin) {
		return m.putAside(ctx)
	}
	for _, b := range found.Broken {
		m.tell(checkpoint.News{What: checkpoint.Broken, Checkpoint: b.Checkpoint.Name, Step: b.Checkpoint.Step, Problem: b.Problem + ": set aside"})
	}
	if len(found.Broken) > 0 {
		_, err = m.local.Recover(ctx, found)
	}
	return err
}

// clean removes what mirrors that died had begun to copy.
func clean(ctx context.Context, there place) error {
	entries, err := list(ctx, there.fs, there.at(checkpoint.Staging))
	for _, e := range entries {
		if err == nil && strings.HasPrefix(path.Base(e.Name), nextPrefix) {
			err = remove(ctx, there.fs, e.Name)
		}
	}
	return err
}

// putAside empties the directory. What was to be copied and was not is kept beside it as long as
// the container lives.
func (m *Mirror) putAside(ctx context.Context) error {
	m.tracker, m.states = unit.NewTracker(), map[string]string{}
	entries, err := m.here.fs.List(ctx, m.here.dir)
	if err != nil || len(entries) == 0 {
		return err
	}
	if m.o.Upload {
		to := fmt.Sprintf("%s.unsaved-%d", m.here.dir, time.Now().UnixNano())
		if err := m.here.fs.Rename(ctx, m.here.dir, to, false); err != nil {
			return err
		}
	} else if err := remove(ctx, m.here.fs, m.here.dir); err != nil {
		return err
	}
	return m.here.fs.Mkdir(ctx, m.here.dir, 0o755)
}

// fetch brings what is there, newer than what is here, and wanted.
func (m *Mirror) fetch(ctx context.Context, there place, pin string) error {
	remote := m.directory(there.fs, there.dir)
	l, err := remote.List(ctx)
	if err != nil {
		return err
	}
	before, err := m.local.List(ctx)
	if err != nil {
		return err
	}
	here := unit.Of(before)
	fetched := map[string]bool{}
	for _, choices := range unit.Wanted(unit.Of(l)) {
		if i := slices.IndexFunc(choices, func(u unit.Unit) bool { return u.Name == pin }); i > 0 {
			choices = choices[i:]
		}
		for _, u := range unit.Newer(choices, here) {
			came, err := m.bring(ctx, there, u)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errChanged) {
				continue // deleted meanwhile, by those who keep a number of them
			}
			if err != nil {
				return fmt.Errorf("fetch %s: %w", u.Name, err)
			}
			if came {
				fetched[u.Name] = true
				break
			}
		}
	}
	if len(fetched) == 0 {
		return nil
	}
	return m.arrived(ctx, l, fetched)
}

// bring fetches a unit to its place, unless it is broken.
func (m *Mirror) bring(ctx context.Context, there place, u unit.Unit) (fetched bool, err error) {
	began := time.Now()
	staging := place{m.here.fs, m.here.at(checkpoint.Staging)}
	if err := remove(ctx, staging.fs, staging.dir); err != nil {
		return false, err
	}
	if err := copyFiles(ctx, there, staging, u.Files); err != nil {
		return false, err
	}
	var verdict checkpoint.Verdict
	if u.Known != nil {
		if verdict, err = m.judge(ctx, staging, u); err != nil {
			return false, err
		}
		if verdict.Broken() {
			m.tell(checkpoint.News{What: checkpoint.Broken, Checkpoint: u.Name, Step: u.Step(), Problem: fmt.Sprintf("in %s: %s: not fetched", m.o.Remote, verdict.Problem)})
			return false, nil
		}
	}
	for _, f := range u.Files {
		to := m.here.at(f.Name)
		if err := m.here.fs.Mkdir(ctx, path.Dir(to), 0o755); err != nil {
			return false, err
		}
		if err := m.here.fs.Rename(ctx, staging.at(f.Name), to, true); err != nil {
			return false, err
		}
	}
	m.tell(checkpoint.News{What: checkpoint.Fetched, Checkpoint: u.Name, Step: u.Step(), Bytes: u.Bytes(), Took: time.Since(began), Problem: verdict.Problem})
	return true, remove(ctx, staging.fs, staging.dir)
}

// judge verifies what was fetched. A state file has it found that has no name of its own
// (checkpoint.Legacy).
func (m *Mirror) judge(ctx context.Context, p place, u unit.Unit) (checkpoint.Verdict, error) {
	c := *u.Known
	if c.Format == checkpoint.Legacy {
		state := checkpoint.State{Latest: path.Base(c.Name)}
		if err := dfs.WriteFile(ctx, p.fs, p.at(path.Join(path.Dir(c.Name), checkpoint.StateFile)), state.Marshal(), 0); err != nil {
			return checkpoint.Verdict{}, err
		}
	}
	d := m.directory(p.fs, p.dir)
	l, err := d.List(ctx)
	if err != nil {
		return checkpoint.Verdict{}, err
	}
	i := slices.IndexFunc(l.Checkpoints, func(k checkpoint.Checkpoint) bool { return k.Name == c.Name })
	if i < 0 {
		return checkpoint.Verdict{Problem: "its files are not those of a checkpoint"}, nil
	}
	return d.Verify(ctx, l.Checkpoints[i], nil)
}

// arrived notes what need not be copied back, and has the state files name what is here.
func (m *Mirror) arrived(ctx context.Context, remote checkpoint.Listing, fetched map[string]bool) error {
	l, err := m.local.List(ctx)
	if err != nil {
		return err
	}
	have := func(name string) bool {
		return fetched[name] || slices.ContainsFunc(l.Checkpoints, func(c checkpoint.Checkpoint) bool { return c.Name == name && c.Unfinished == "" })
	}
	dirs := map[string]bool{} // of what was fetched: what lies elsewhere here is newer
	for name := range fetched {
		dirs[path.Join("/", path.Dir(name))] = true
	}
	for _, s := range remote.States {
		if !dirs[path.Join("/", s.Dir)] {
			continue
		}
		moved, ok := s.State.Moved(s.Dir, have)
		if !ok {
			continue
		}
		content := moved.Marshal()
		if err := dfs.WriteFile(ctx, m.here.fs, m.here.at(path.Join(s.Dir, checkpoint.StateFile)), content, 0); err != nil {
			return err
		}
		m.states[s.Dir] = string(content)
	}
	if l, err = m.local.List(ctx); err != nil { // a state file has some found
		return err
	}
	for _, u := range unit.Of(l) {
		if fetched[u.Name] {
			m.tracker.Copied(time.Now(), u)
		}
	}
	return nil
}

// kept is how many checkpoints of a kind stay here of those that are fetched one after the other.
const kept = 2

// follow fetches what is new, and deletes what that makes old.
func (m *Mirror) follow(ctx context.Context) error {
	if err := m.there(ctx, func(there place) error { return m.fetch(ctx, there, "") }); err != nil {
		return err
	}
	l, err := m.local.List(ctx)
	if err != nil {
		return err
	}
	var old []checkpoint.Checkpoint
	for _, choices := range unit.Wanted(unit.Of(l)) {
		for _, u := range choices[min(kept, len(choices)):] {
			old = append(old, *u.Known)
		}
	}
	return m.local.Do(ctx, checkpoint.Delete(l, old))
}
