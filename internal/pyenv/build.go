package pyenv

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Requirements are the packages that an environment is built of: a requirements file of pip's, or a
// pyproject.toml, of which the dependencies count and not the project.
type Requirements struct {
	file   string // absolute
	uvLock bool   // uv.lock lies beside it, and says which versions
	sum    string
}

// ErrInstall says that the packages could not be installed: one does not exist, or the index is out
// of reach.
var ErrInstall = errors.New("the packages could not be installed")

// ReadRequirements looks at a file, or at the pyproject.toml of a directory.
func ReadRequirements(ctx context.Context, name string) (*Requirements, error) {
	name, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		name = filepath.Join(name, "pyproject.toml")
	}
	r := &Requirements{file: name}
	python, err := output(ctx, filepath.Dir(name), "python3", "-I", "-c", "import os, sys; print(os.path.realpath(sys.executable), sys.version)")
	if err != nil {
		return nil, fmt.Errorf("python3, which the environment is to be made with: %w", err)
	}
	h := sha256.New()
	fmt.Fprintln(h, packing, python)
	if err := addList(h, name, filepath.Dir(name), map[string]bool{}); err != nil {
		return nil, err
	}
	if r.project() {
		lock, err := os.ReadFile(r.lock())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		r.uvLock = err == nil
		h.Write(lock)
	}
	r.sum = hex.EncodeToString(h.Sum(nil))
	return r, nil
}

func (r *Requirements) project() bool { return filepath.Ext(r.file) == ".toml" }

func (r *Requirements) lock() string { return filepath.Join(filepath.Dir(r.file), "uv.lock") }

// Sum names what is built: the same packages for the same Python have the same sum. Of versions
// that the file leaves open it knows nothing.
func (r *Requirements) Sum() string { return r.sum }

// Tool is what installs the packages: the user's uv if there is one, else pip.
func (r *Requirements) Tool() string {
	if _, err := exec.LookPath("uv"); err == nil {
		return "uv"
	}
	return "pip"
}

// addList adds a list of packages to a sum, with what it names on this machine: other lists by
// their text, packages and directories of such by what their files are called, how large they are
// and when they were changed. Paths start in dir, those of other lists where the list lies.
func addList(h hash.Hash, name, dir string, seen map[string]bool) error {
	if seen[name] {
		return nil
	}
	seen[name] = true
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	fmt.Fprintf(h, "%q %q\n", name, text)
	for line := range strings.Lines(string(text)) {
		if line, _, _ = strings.Cut(line, " #"); strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		list := false // the next word is one
		for word := range strings.FieldsFuncSeq(line, func(c rune) bool { return strings.ContainsRune(" \t\r\n='\",;[]()", c) }) {
			short, isShort := strings.CutPrefix(word, "-r")
			if !isShort {
				short, isShort = strings.CutPrefix(word, "-c")
			}
			switch {
			case word == "-e" || word == "--editable":
				return fmt.Errorf("%s: %s: %w", name, strings.TrimSpace(line), ErrEditable)
			case word == "-r" || word == "-c" || word == "--requirement" || word == "--constraint":
				list = true
				continue
			case isShort:
				word, list = short, true
			}
			if list {
				list = false
				if strings.Contains(word, "://") {
					continue
				}
				if err := addList(h, from(filepath.Dir(name), word), dir, seen); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				continue
			}
			path, isURL := strings.CutPrefix(word, "file:")
			if path = strings.TrimPrefix(path, "//"); !isURL && (filepath.Ext(name) == ".toml" || !strings.ContainsAny(path, "/.")) {
				continue // a project names its own files, too, and a package may be called as a directory is
			}
			if err := addPath(h, from(dir, path)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// from is where a path leads that starts in dir.
func from(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// addPath adds a file to a sum, or those of a directory. A word that is no path adds nothing.
func addPath(h hash.Hash, name string) error {
	if _, err := os.Stat(name); err != nil {
		return nil
	}
	return filepath.WalkDir(name, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "__pycache__") {
			return fs.SkipDir
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			fmt.Fprintf(h, "%q %d %d\n", name, info.Size(), info.ModTime().UnixNano())
		}
		return nil
	})
}

// Build makes a virtual environment of python3 in dir, and installs the packages. Where the file
// leaves a version open, the user's uv or pip chooses.
func (r *Requirements) Build(ctx context.Context, dir string) error {
	uv, here, list := r.Tool() == "uv", filepath.Dir(r.file), r.file
	python := filepath.Join(dir, "bin", "python")
	environment, install := []string{"python3", "-I", "-m", "venv", dir}, []string{python, "-I", "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "-r"}
	if uv {
		environment, install = append(environment, "--without-pip"), []string{"uv", "pip", "install", "--quiet", "--python", python, "-r"}
	}
	if r.project() {
		dependencies, err := output(ctx, here, "python3", "-I", "-c", readProject, r.file)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", r.file, err)
		case r.uvLock && !uv:
			return fmt.Errorf("%s says which versions %s wants, and there is no uv to read it", r.lock(), r.file)
		case r.uvLock:
			if dependencies, err = output(ctx, here, "uv", "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project"); err != nil {
				return fmt.Errorf("%s: %w", r.lock(), err)
			}
		}
		list = filepath.Join(dir, "requirements.txt")
		if err := os.WriteFile(list, dependencies, 0o600); err != nil {
			return err
		}
		defer os.Remove(list)
	}
	if _, err := output(ctx, here, environment...); err != nil {
		return fmt.Errorf("make a virtual environment: %w", err)
	}
	if _, err := output(ctx, here, append(install, list)...); err != nil {
		return fmt.Errorf("%s: %w: %w", r.file, ErrInstall, err)
	}
	return nil
}

// readProject has Python print a project's dependencies. Old Pythons read TOML by what pip brings.
const readProject = `import sys
try:
  import tomllib
except ImportError:
  from pip._vendor import tomli as tomllib
with open(sys.argv[1], "rb") as f:
  project = tomllib.load(f).get("project")
if project is None:
  sys.exit("it has no [project]; other tools export a list: poetry export, pdm export")
if "dependencies" in project.get("dynamic", []):
  sys.exit("its dependencies are dynamic: name the list that they come from")
if "requires-python" in project:
  from pip._vendor.packaging.specifiers import SpecifierSet
  version = "%d.%d.%d" % sys.version_info[:3]
  if not SpecifierSet(project["requires-python"]).contains(version, prereleases=True):
    sys.exit("it wants Python %s, and python3 is %s" % (project["requires-python"], version))
print("\n".join(project.get("dependencies", [])))`

// output is what a command prints. Its error has the end of what the command complained of.
func output(ctx context.Context, dir string, command ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PIP_USER=0", "PIP_TARGET=", "PIP_PREFIX=") // which sites set for those who have no environment
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", filepath.Base(command[0]), err, lastLines(complaint.String()+out.String()))
	}
	return out.Bytes(), nil
}

// lastLines is the end of a text, as much of it as a person reads.
func lastLines(s string) string {
	const most = 20
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}
