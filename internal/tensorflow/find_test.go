package tensorflow

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// install puts empty libraries into a directory.
func install(t *testing.T, dir, core string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{core, framework} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFind wants the libraries of the first place that has them, whatever the form of that place
// is.
func TestFind(t *testing.T) {
	const packaged = "lib/python3.11/site-packages/tensorflow"
	for _, c := range []struct {
		name      string
		installed []string          // directories with the libraries
		env       map[string]string // "@" stands for the temporary directory
		want      string            // the directory of the libraries; empty: not found
	}{
		{name: "an archive of Python", installed: []string{"task/env/" + packaged}, want: "task/env/" + packaged},
		{name: "the C library's archive", installed: []string{"task/libtensorflow/lib"}, want: "task/libtensorflow/lib"},
		{name: "a virtual environment", installed: []string{"venv/" + packaged}, env: map[string]string{"VIRTUAL_ENV": "@/venv"}, want: "venv/" + packaged},
		{name: "a conda environment", installed: []string{"conda/" + packaged}, env: map[string]string{"CONDA_PREFIX": "@/conda"}, want: "conda/" + packaged},
		{name: "the job's archive before the node's environment", installed: []string{"task/env/" + packaged, "venv/" + packaged},
			env: map[string]string{"VIRTUAL_ENV": "@/venv"}, want: "task/env/" + packaged},
		{name: "said", installed: []string{"task/env/" + packaged, "said/" + packaged}, env: map[string]string{EnvPath: "@/said"}, want: "said/" + packaged},
		{name: "said, the package", installed: []string{"said/tensorflow"}, env: map[string]string{EnvPath: "@/said/tensorflow"}, want: "said/tensorflow"},
		{name: "said in the container", installed: []string{"task/env/" + packaged}, env: map[string]string{EnvPath: "env"}, want: "task/env/" + packaged},
		{name: "said, and not there", installed: []string{"task/env/" + packaged}, env: map[string]string{EnvPath: "@/said"}},
		{name: "the Python of a job", installed: []string{"py/" + packaged}, env: map[string]string{"PYTHON": "@/py/bin/python"}, want: "py/" + packaged},
		{name: "nowhere", env: map[string]string{"VIRTUAL_ENV": "@/venv"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", filepath.Join(dir, "bin")) // no python3 of this machine
			for _, d := range []string{"task", "py/bin"} {
				if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "py/bin/python"), []byte("#!/bin/sh\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			for _, at := range c.installed {
				core := cores[0]
				if strings.Contains(at, "libtensorflow") {
					core = cores[1]
				}
				install(t, filepath.Join(dir, at), core)
			}
			got, err := Find(func(name string) string { return strings.ReplaceAll(c.env[name], "@", dir) }, filepath.Join(dir, "task"))
			if c.want == "" {
				if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), EnvPath) {
					t.Errorf("found %v, %v", got, err)
				}
				return
			}
			if err != nil || filepath.Dir(got.Core) != filepath.Join(dir, c.want) || got.Framework != filepath.Join(dir, c.want, framework) {
				t.Errorf("found %v, %v, want those in %s", got, err, c.want)
			}
		})
	}
}

// TestHalfALibraryIsNone: without the framework the core cannot be loaded.
func TestHalfALibraryIsNone(t *testing.T) {
	dir := t.TempDir()
	install(t, dir, cores[0])
	if err := os.Remove(filepath.Join(dir, framework)); err != nil {
		t.Fatal(err)
	}
	if f, ok := in(dir); ok {
		t.Errorf("found %v", f)
	}
}
