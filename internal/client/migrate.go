package client

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"tfos/internal/client/exit"
	"tfos/internal/migrate"
)

// Migrate reads a file of another launcher, for a job file that lies in the directory dir.
func Migrate(file, dir string, getenv func(string) string) (migrate.Result, error) {
	var none migrate.Result
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return none, exit.Errorf(exit.Usage, "%s does not exist", file)
	case err != nil:
		return none, exit.Errorf(exit.Usage, "%w", err)
	}
	here, err := leads(dir, ".")
	if err != nil {
		return none, err
	}
	beside, err := leads(dir, filepath.Dir(file))
	if err != nil {
		return none, err
	}
	user, err := userName(getenv)
	if err != nil {
		return none, err
	}
	r, err := migrate.Convert(migrate.Source{
		Name: filepath.ToSlash(file), Data: data, Here: here, Beside: beside,
		Env: environment(getenv, user),
		Open: func(name string) ([]byte, error) { // beside the file too, as class paths have it
			data, err := os.ReadFile(name)
			if errors.Is(err, fs.ErrNotExist) && !filepath.IsAbs(name) {
				return os.ReadFile(filepath.Join(filepath.Dir(file), name))
			}
			return data, err
		},
	})
	if err != nil {
		return none, exit.Errorf(exit.Usage, "%w", err)
	}
	return r, nil
}

// leads is the way from one directory to another.
func leads(from, to string) (string, error) {
	if filepath.IsAbs(to) && !filepath.IsAbs(from) {
		return filepath.ToSlash(to), nil // as the user wrote it
	}
	a, err := filepath.Abs(from)
	if err != nil {
		return "", exit.Errorf(exit.Usage, "%w", err)
	}
	b, err := filepath.Abs(to)
	if err != nil {
		return "", exit.Errorf(exit.Usage, "%w", err)
	}
	rel, err := filepath.Rel(a, b)
	if err != nil {
		return "", exit.Errorf(exit.Usage, "%w", err)
	}
	return filepath.ToSlash(rel), nil
}
