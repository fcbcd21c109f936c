package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"tfos/internal/checkpoint"
	"tfos/internal/checkpoint/unit"
	"tfos/internal/dfs"
)

// chunk is how much is held in memory of a file that is copied, in bytes.
const chunk = 1 << 20

// errChanged is a file that was written or went while it was copied: the next look tells what
// became of it.
var errChanged = errors.New("it changed while it was copied")

// place is a directory of a filesystem.
type place struct {
	fs  dfs.FS
	dir string
}

func (p place) at(name string) string { return path.Join(p.dir, name) }

// publish copies a unit, and has its files take their places once all of them have arrived.
func publish(ctx context.Context, from, to place, c unit.Copy, id string) error {
	if len(c.Changed) == 0 {
		return removeAll(ctx, to, c.Stale)
	}
	next := to.at(path.Join(checkpoint.Staging, nextPrefix+id))
	if err := remove(ctx, to.fs, next); err != nil {
		return err
	}
	if err := copyFiles(ctx, from, place{to.fs, path.Join(next, arrivedDir)}, c.Changed); err != nil {
		return err
	}
	plan, err := unit.PlanOf(c).Encode()
	if err != nil {
		return err
	}
	if err := dfs.WriteFile(ctx, to.fs, path.Join(next, planFile), plan, 0); err != nil {
		return err
	}
	ready := to.at(path.Join(checkpoint.Staging, readyPrefix+id))
	if err := to.fs.Rename(ctx, next, ready, false); err != nil {
		return err
	}
	return finish(ctx, to.fs, to.dir, ready)
}

// removeAll removes files, and the directories that this leaves empty.
func removeAll(ctx context.Context, from place, names []string) error {
	for _, name := range names {
		if err := remove(ctx, from.fs, from.at(name)); err != nil {
			return err
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if err := from.fs.Remove(ctx, from.at(dir), false); errors.Is(err, dfs.ErrNotEmpty) {
				break
			} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// copyFiles copies files to a directory, as large as they were when they were listed.
func copyFiles(ctx context.Context, from, to place, files []checkpoint.File) error {
	made := map[string]bool{}
	buffer := make([]byte, chunk)
	for _, f := range files {
		name := to.at(f.Name)
		if dir := path.Dir(name); !made[dir] {
			made[dir] = true
			if err := to.fs.Mkdir(ctx, dir, 0o755); err != nil {
				return err
			}
		}
		if err := copyFile(ctx, from, to, f, buffer); err != nil {
			return fmt.Errorf("copy %s: %w", f.Name, err)
		}
	}
	return nil
}

func copyFile(ctx context.Context, from, to place, f checkpoint.File, buffer []byte) error {
	r, err := from.fs.Open(ctx, from.at(f.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", errChanged, err)
	}
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := to.fs.Create(ctx, to.at(f.Name), dfs.CreateOptions{Overwrite: true})
	if err != nil {
		return err
	}
	defer w.Abort()
	for left := f.Size; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(r, buffer[:min(left, int64(len(buffer)))])
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return errChanged
		}
		if err != nil {
			return err
		}
		if _, err := w.Write(buffer[:n]); err != nil {
			return err
		}
		left -= int64(n)
	}
	info, err := from.fs.Stat(ctx, from.at(f.Name))
	if errors.Is(err, fs.ErrNotExist) || err == nil && (info.Size != f.Size || !info.ModTime.Equal(f.Time)) {
		return errChanged
	}
	if err != nil {
		return err
	}
	return w.Close()
}
