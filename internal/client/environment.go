package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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
// find their programs first. An environment is built or packed once for as long as it does not
// change. say tells what takes its time.
func PackEnvironments(ctx context.Context, j job.Job, say func(string)) (job.Job, error) {
	for _, env := range []struct {
		dir     *string
		name    string
		archive func(ctx context.Context, dir string, say func(string)) (string, error)
	}{{&j.Venv, job.VenvName, packed}, {&j.Conda, job.CondaName, packed}, {&j.Packages, job.VenvName, built}} {
		if *env.dir == "" {
			continue
		}
		packed, err := env.archive(ctx, *env.dir, say)
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
	if err != nil {
		return "", unfit(err, "want the directory of a virtual environment or of a conda prefix, the one that holds bin/python")
	}
	return cached(e.Sum(), say, func(_ string, w io.Writer) error {
		say("packing the environment " + dir)
		return pack(ctx, e, w)
	})
}

func pack(ctx context.Context, e *pyenv.Environment, w io.Writer) error {
	if err := e.Pack(ctx, w); err != nil {
		return exit.Errorf(exit.Usage, "%w", err)
	}
	return nil
}

// built is the archive of an environment that this user's pip or uv makes of a list of packages.
func built(ctx context.Context, list string, say func(string)) (string, error) {
	r, err := pyenv.ReadRequirements(ctx, list)
	if err != nil {
		return "", unfit(fmt.Errorf("requirements: %w", err), "want a list of packages as pip reads it, or a pyproject.toml")
	}
	return cached(r.Sum(), say, func(cache string, w io.Writer) error {
		say(fmt.Sprintf("building the environment of %s with %s", list, r.Tool()))
		dir, err := os.MkdirTemp(cache, ".*.tmp")
		if err != nil {
			return stage.TempError(err)
		}
		defer os.RemoveAll(dir)
		if err := r.Build(ctx, dir); errors.Is(err, pyenv.ErrInstall) {
			return exit.Errorf(exit.Infrastructure, "requirements: %w", err).Try("does each package have such a version for this Python? is the index within reach?")
		} else if err != nil {
			return exit.Errorf(exit.Usage, "requirements: %w", err)
		}
		e, err := pyenv.Open(ctx, dir)
		if err != nil {
			return unfit(fmt.Errorf("requirements: %w", err), "look at what was installed")
		}
		return pack(ctx, e, w)
	})
}

// unfit is the error of an environment that cannot be packed.
func unfit(err error, try string) error {
	if errors.Is(err, pyenv.ErrEditable) {
		try = "install it into the environment: pip install without -e"
	}
	return exit.Errorf(exit.Usage, "%w", err).Try("%s", try)
}

// cached is the archive with a sum in this user's cache. If it is not there, write makes it, and
// finds room for more beside it.
func cached(sum string, say func(string), write func(cache string, w io.Writer) error) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	cache = filepath.Join(cache, "tfos", "environments")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", exit.Errorf(exit.Usage, "keep packed environments: %w", err).Try("set XDG_CACHE_HOME to a directory that you may write to, with room in it")
	}
	forget(cache, time.Now().Add(-keepPacked))
	name := filepath.Join(cache, sum+".tar.gz")
	if now := time.Now(); os.Chtimes(name, now, now) == nil {
		return name, nil
	}
	began := time.Now()
	temp, err := os.CreateTemp(cache, ".*.tmp")
	if err != nil {
		return "", stage.TempError(err)
	}
	defer os.Remove(temp.Name()) // once it is renamed there is none
	if err := cmp.Or(write(cache, temp), temp.Close()); err != nil {
		return "", err
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
		if info, err := entry.Info(); err == nil && info.ModTime().Before(since) {
			_ = os.RemoveAll(filepath.Join(cache, entry.Name())) // a directory, if a build was killed
		}
	}
}
