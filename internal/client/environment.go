package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tfos/internal/client/exit"
	"tfos/internal/client/stage"
	"tfos/internal/client/term"
	"tfos/internal/job"
	"tfos/internal/pyenv"
)

// keepPacked is how long a packed environment that nobody uses stays on this machine.
const keepPacked = 30 * 24 * time.Hour

// PackEnvironments returns the job with its environments among the archives, and with commands that
// find their programs first. An environment is packed once for as long as it does not change. say
// tells what takes its time.
func PackEnvironments(ctx context.Context, j job.Job, say func(string)) (job.Job, error) {
	for _, env := range []struct {
		dir  *string
		name string
	}{{&j.Venv, job.VenvName}, {&j.Conda, job.CondaName}} {
		if *env.dir == "" {
			continue
		}
		packed, err := packed(ctx, *env.dir, say)
		if err != nil {
			return j, err
		}
		j.Archives = append(slices.Clone(j.Archives), job.File{Source: packed, Name: env.name})
		j.Roles = slices.Clone(j.Roles)
		first := fmt.Sprintf(`export PATH="$PWD/%s/bin:$PATH"; `, env.name)
		if j.Command != "" {
			j.Command = first + j.Command
		}
		for i, r := range j.Roles {
			if r.Command != "" {
				j.Roles[i].Command = first + r.Command
			}
		}
		*env.dir = ""
	}
	return j, nil
}

// packed is the archive of an environment in this user's cache.
func packed(ctx context.Context, dir string, say func(string)) (string, error) {
	e, err := pyenv.Open(ctx, dir)
	switch {
	case errors.Is(err, pyenv.ErrEditable):
		return "", exit.Errorf(exit.Usage, "%w", err).Try("install it into the environment: pip install without -e")
	case err != nil:
		return "", exit.Errorf(exit.Usage, "%w", err).Try("want the directory of a virtual environment or of a conda prefix, the one that holds bin/python")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	cache = filepath.Join(cache, "tfos", "environments")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", exit.Errorf(exit.Usage, "keep packed environments: %w", err).Try("set XDG_CACHE_HOME to a directory that you may write to, with room in it")
	}
	forget(cache, time.Now().Add(-keepPacked))
	name := filepath.Join(cache, e.Sum()+".tar.gz")
	if now := time.Now(); os.Chtimes(name, now, now) == nil {
		return name, nil
	}
	say("packing the environment " + dir)
	began := time.Now()
	temp, err := os.CreateTemp(cache, ".*.tmp")
	if err != nil {
		return "", stage.TempError(err)
	}
	defer os.Remove(temp.Name()) // once it is renamed there is none
	if err := errors.Join(e.Pack(ctx, temp), temp.Close()); err != nil {
		return "", exit.Errorf(exit.Usage, "%w", err)
	}
	if err := os.Rename(temp.Name(), name); err != nil {
		return "", exit.Errorf(exit.Usage, "keep a packed environment: %w", err)
	}
	info, err := os.Stat(name)
	if err != nil {
		return "", exit.Errorf(exit.Usage, "keep a packed environment: %w", err)
	}
	say(fmt.Sprintf("packed %s in %.1f s; it is kept in %s", term.Bytes(info.Size()), time.Since(began).Seconds(), cache))
	return name, nil
}

// forget removes what has not been used since a time. It is best effort.
func forget(cache string, since time.Time) {
	entries, _ := os.ReadDir(cache)
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.Mode().Type() == fs.FileMode(0) && info.ModTime().Before(since) {
			_ = os.Remove(filepath.Join(cache, entry.Name()))
		}
	}
}
