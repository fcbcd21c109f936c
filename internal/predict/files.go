package predict

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"tfos/internal/dfs"
	"tfos/internal/predict/plan"
)

// maxPlan bounds a plan's file: a few hundred bytes for each input file and shard.
const maxPlan = 4 << 30

// ReadPlan reads the plan beside an output.
func ReadPlan(ctx context.Context, d dfs.FS, dir string) (plan.Plan, error) {
	name := path.Join(dir, plan.File)
	b, err := dfs.ReadFile(ctx, d, name, maxPlan)
	if err != nil {
		return plan.Plan{}, fmt.Errorf("read %s: %w", d.URI(name), err)
	}
	return plan.Parse(b)
}

// Fetch copies a directory to one of the local disk, in place of what is there.
func Fetch(ctx context.Context, d dfs.FS, dir, local string) error {
	if err := os.RemoveAll(local); err != nil {
		return err
	}
	return fetch(ctx, d, dir, local)
}

func fetch(ctx context.Context, d dfs.FS, dir, local string) error {
	list, err := d.List(ctx, dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(local, 0o755); err != nil {
		return err
	}
	for _, info := range list {
		to := filepath.Join(local, path.Base(info.Name))
		if info.IsDir() {
			err = fetch(ctx, d, info.Name, to)
		} else {
			err = fetchFile(ctx, d, info.Name, to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func fetchFile(ctx context.Context, d dfs.FS, name, local string) (err error) {
	from, err := d.Open(ctx, name)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(local)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}
