package tensorflow

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// EnvPath is the variable by which a job says where TensorFlow is.
const EnvPath = "LIBTENSORFLOW"

// Files are the two shared libraries that TensorFlow is.
type Files struct {
	Core      string // libtensorflow_cc.so.2 of a Python package, or libtensorflow.so.2 of the C library's archive
	Framework string // libtensorflow_framework.so.2, beside it
}

const framework = "libtensorflow_framework.so.2"

// cores are the names of the library with the C API: the Python package's, and the archive's.
var cores = []string{"libtensorflow_cc.so.2", "libtensorflow.so.2"}

// below are the places where the libraries may lie in a directory: beside it, as the C library's
// archive has them, in a Python package, and in an environment that has it.
var below = func() []string {
	places := []string{".", "lib", "tensorflow"}
	for _, packages := range Packages {
		places = append(places, packages+"/tensorflow")
	}
	return places
}()

// Packages are the patterns of where an environment of Python has its packages.
var Packages = []string{"lib/python3*/site-packages", "lib64/python3*/site-packages", "lib/python3*/dist-packages", "local/lib/python3*/dist-packages"}

// ErrNotFound says that there is no TensorFlow.
var ErrNotFound = errors.New("TensorFlow is not there")

// Find looks for TensorFlow, in this order: where LIBTENSORFLOW says, and then nowhere else; in
// the directories of dir, which are a job's unpacked archives; in the environment that VIRTUAL_ENV
// or CONDA_PREFIX names; in that of the Python that PYTHON names; in that of the python3 in PATH.
func Find(getenv func(string) string, dir string) (Files, error) {
	if named := getenv(EnvPath); named != "" {
		if !filepath.IsAbs(named) {
			named = filepath.Join(dir, named)
		}
		if f, ok := in(named); ok {
			return f, nil
		}
		return Files{}, fmt.Errorf("%w: %s=%s holds neither %s nor %s, with %s beside it: name an environment of Python with the package tensorflow, that package's directory, "+
			"or the unpacked archive of the C library libtensorflow", ErrNotFound, EnvPath, named, cores[0], cores[1], framework)
	}
	var looked []string
	for _, place := range Environments(getenv, dir) {
		if f, ok := in(place); ok {
			return f, nil
		}
		looked = append(looked, place)
	}
	return Files{}, fmt.Errorf("%w: no %s with %s beside it in %s: give the job an environment of Python with the package tensorflow (--archives env.tar.gz#env), "+
		"or say where it is on every node (--env %s=/opt/tensorflow)", ErrNotFound, strings.Join(cores, " or "), framework, strings.Join(looked, ", "), EnvPath)
}

// Environments are the directories that may be a job's environment of Python, in the order of Find,
// LIBTENSORFLOW left out.
func Environments(getenv func(string) string, dir string) []string {
	var found []string
	add := func(place string) {
		if place != "" && !slices.Contains(found, place) {
			found = append(found, place)
		}
	}
	entries, _ := os.ReadDir(dir) // one that cannot be read holds no TensorFlow either
	for _, e := range entries {
		place := filepath.Join(dir, e.Name())
		if info, err := os.Stat(place); err == nil && info.IsDir() {
			add(place)
		}
	}
	add(getenv("VIRTUAL_ENV"))
	add(getenv("CONDA_PREFIX"))
	for _, python := range []string{getenv("PYTHON"), "python3"} {
		found, err := exec.LookPath(python)
		if python == "" || err != nil {
			continue
		}
		add(filepath.Dir(filepath.Dir(found)))
		if real, err := filepath.EvalSymlinks(found); err == nil {
			add(filepath.Dir(filepath.Dir(real)))
		}
	}
	return found
}

// in looks in one directory.
func in(dir string) (Files, bool) {
	for _, pattern := range below {
		dirs, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			continue // the directory's own name is no pattern
		}
		for _, d := range dirs {
			beside := filepath.Join(d, framework)
			if !isFile(beside) {
				continue
			}
			for _, core := range cores {
				if name := filepath.Join(d, core); isFile(name) {
					return Files{Core: name, Framework: beside}, true
				}
			}
		}
	}
	return Files{}, false
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}
