package mirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"tfos/internal/checkpoint"
	"tfos/internal/checkpoint/unit"
	"tfos/internal/dfs"
)

// A copy arrives in a directory of its own: the files, then a plan of where they go. With the
// directory's rename from next to ready the copy is made, and only then its files take their
// places. Whoever finds one that is ready finishes it; one that is not goes.
const (
	nextPrefix  = "next-"
	readyPrefix = "ready-"
	arrivedDir  = "files"
	stalePrefix = "stale-"
	planFile    = "plan.json"
	maxPlan     = 16 << 20 // bytes
)

// Settle finishes what mirrors that died had copied whole into a directory and those directly below
// it, which tasks have that train alone. It may be done twice, also at the same time.
func Settle(ctx context.Context, f dfs.FS, dir string) error {
	entries, err := list(ctx, f, dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && !checkpoint.Skip(path.Base(e.Name)) {
			if err := settle(ctx, f, e.Name); err != nil {
				return err
			}
		}
	}
	return settle(ctx, f, dir)
}

// settle does it for one directory.
func settle(ctx context.Context, f dfs.FS, dir string) error {
	staging := path.Join(dir, checkpoint.Staging)
	entries, err := list(ctx, f, staging)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(path.Base(e.Name), readyPrefix) {
			if err := finish(ctx, f, dir, e.Name); err != nil {
				return fmt.Errorf("finish a copy in %s: %w", e.Name, err)
			}
		}
	}
	return nil
}

// list is a directory's entries; one that does not exist has none.
func list(ctx context.Context, f dfs.FS, dir string) ([]dfs.Info, error) {
	entries, err := f.List(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return entries, err
}

// finish moves the files of a copy to their places. Another may have done so, and others after it:
// whatever it does to the directory it does with a file of the copy, or with what it moves there,
// and thus does nothing if the copy is gone.
func finish(ctx context.Context, f dfs.FS, dir, ready string) error {
	b, err := dfs.ReadFile(ctx, f, path.Join(ready, planFile), maxPlan)
	if errors.Is(err, fs.ErrNotExist) {
		return remove(ctx, f, ready) // another has finished it, and is about to remove it
	}
	if err != nil {
		return err
	}
	plan, err := unit.ParsePlan(b)
	if err != nil {
		return err
	}
	for i, name := range plan.Stale {
		err := f.Rename(ctx, path.Join(dir, name), path.Join(ready, stalePrefix+strconv.Itoa(i)), true)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	made := map[string]bool{dir: true}
	for _, name := range plan.Files {
		to := path.Join(dir, name)
		if parent := path.Dir(to); !made[parent] {
			made[parent] = true
			if err := f.Mkdir(ctx, parent, 0o755); err != nil {
				return err
			}
		}
		err := f.Rename(ctx, path.Join(ready, arrivedDir, name), to, true)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it is there already
			return err
		}
	}
	return remove(ctx, f, ready)
}

// remove removes what may be gone.
func remove(ctx context.Context, f dfs.FS, name string) error {
	err := f.Remove(ctx, name, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
