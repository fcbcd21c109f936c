package input

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"tfos/internal/dfs"
	"tfos/internal/dfs/glob"
	"tfos/internal/lease"
)

const (
	// stateDir holds the states, in the checkpoints' directory. Whoever lists checkpoints passes
	// over what begins with a dot.
	stateDir = ".tfos"
	prefix   = "input-"
	suffix   = ".json"
	// keptStates is how many are there: the newest. A checkpoint that is older than that begins its
	// epoch anew.
	keptStates = 100
	// maxState bounds the size of a state that is read, bytes.
	maxState = 1 << 30
)

// Beside stores states beside the checkpoints in a directory, a URI or a path in the default
// filesystem. Without one nothing is stored: the machine's memory is all there is.
type Beside struct {
	Resolver glob.Resolver
	Dir      string
}

func (b Beside) dir(ctx context.Context) (dfs.FS, string, error) {
	fs, name, err := b.Resolver.Resolve(ctx, b.Dir)
	return fs, path.Join(name, stateDir), err
}

func stateName(dir string, step int64) string {
	return path.Join(dir, prefix+strconv.FormatInt(step, 10)+suffix)
}

// Save stores the state of a step, in place of one that was there.
func (b Beside) Save(ctx context.Context, s lease.Saved) error {
	if b.Dir == "" {
		return nil
	}
	fs, dir, err := b.dir(ctx)
	if err != nil {
		return err
	}
	content, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := fs.Mkdir(ctx, dir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	if err := create(ctx, fs, stateName(dir, s.Step), content); err != nil {
		return err
	}
	return prune(ctx, fs, dir)
}

// prune removes the states of the lowest steps, but for as many as are kept.
func prune(ctx context.Context, fs dfs.FS, dir string) error {
	entries, err := fs.List(ctx, dir)
	if err != nil {
		return err
	}
	var steps []int64
	for _, e := range entries {
		text, ok := strings.CutPrefix(path.Base(e.Name), prefix)
		number, ok2 := strings.CutSuffix(text, suffix)
		if step, err := strconv.ParseInt(number, 10, 64); ok && ok2 && err == nil {
			steps = append(steps, step)
		}
	}
	slices.Sort(steps)
	for len(steps) > keptStates {
		if err := fs.Remove(ctx, stateName(dir, steps[0]), false); err != nil {
			return err
		}
		steps = steps[1:]
	}
	return nil
}

// Load reads the state of a step.
func (b Beside) Load(ctx context.Context, step int64) (*lease.Saved, error) {
	if b.Dir == "" {
		return nil, nil
	}
	store, dir, err := b.dir(ctx)
	if err != nil {
		return nil, err
	}
	name := stateName(dir, step)
	text, err := content(ctx, store, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := lease.ParseSaved(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if s.Step != step {
		return nil, fmt.Errorf("%s is of step %d", name, s.Step)
	}
	return &s, nil
}
