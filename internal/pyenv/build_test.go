package pyenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lay writes files below a directory that it makes.
func lay(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func sumOf(t *testing.T, name string) string {
	t.Helper()
	r, err := ReadRequirements(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return r.Sum()
}

// TestWhatAnEnvironmentIsBuiltAgainFor: the list, the lists and packages on this machine that it
// names, and a lock; nothing else that lies beside it.
func TestWhatAnEnvironmentIsBuiltAgainFor(t *testing.T) {
	dir := lay(t, map[string]string{
		"list.txt":         "-r more/base.txt\n--constraint=limits.txt\n./ours[x] ; python_version > '3'\nnumpy==2.4.6\nx @ file:wheels/x.whl\n# ./comment\n",
		"more/base.txt":    "-cother.txt\nsix\n",
		"more/other.txt":   "six==1.17\n",
		"limits.txt":       "numpy<3\n",
		"ours/setup.py":    "x",
		"ours/.git/HEAD":   "x",
		"wheels/x.whl":     "x",
		"numpy/data":       "x",
		"comment":          "x",
		"train.py":         "x",
		"p/pyproject.toml": "[project]\nname = 'p'\ndependencies = ['six']\nreadme = './README.md'\n",
		"p/uv.lock":        "x",
		"p/README.md":      "x",
	})
	lists := []string{filepath.Join(dir, "list.txt"), filepath.Join(dir, "p")}
	for _, c := range []struct {
		change        string
		list, project bool
	}{
		{"list.txt", true, false}, {"more/base.txt", true, false}, {"more/other.txt", true, false}, {"limits.txt", true, false},
		{"ours/setup.py", true, false}, {"wheels/x.whl", true, false}, {"p/pyproject.toml", false, true}, {"p/uv.lock", false, true},
		{"ours/.git/HEAD", false, false}, {"numpy/data", false, false}, {"comment", false, false}, {"train.py", false, false}, {"p/README.md", false, false},
	} {
		before := []string{sumOf(t, lists[0]), sumOf(t, lists[1])}
		name := filepath.Join(dir, c.change)
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		for i, want := range []bool{c.list, c.project} {
			if got := sumOf(t, lists[i]) != before[i]; got != want {
				t.Errorf("%s has changed: %s is built again: %v, want %v", c.change, lists[i], got, want)
			}
		}
	}
}

// uvSays puts a uv in front of PATH, and returns the file in which it writes what it is told to
// install.
func uvSays(t *testing.T) (said string) {
	t.Helper()
	bin := t.TempDir()
	said = filepath.Join(bin, "said")
	script := fmt.Sprintf(`#!/bin/sh
echo "$@" >>%[1]s
[ $1 = export ] && exec echo six==1.17
for list; do :; done
cat $list >>%[1]s
grep -q missing $list && echo "no such package" >&2 && exit 1
exit 0
`, said)
	if err := os.WriteFile(filepath.Join(bin, "uv"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return said
}

// TestAnEnvironmentIsBuilt of a list, and of a project's dependencies, by uv where there is one.
// What pip does is in test/e2e.
func TestAnEnvironmentIsBuilt(t *testing.T) {
	said := uvSays(t)
	dir := lay(t, map[string]string{
		"list.txt":            "greet==1.0\n",
		"missing.txt":         "missing\n",
		"p.toml":              "[project]\nrequires-python = '>=3.6'\ndependencies = ['a', 'b>1']\n",
		"dynamic.toml":        "[project]\ndynamic = ['dependencies']\n",
		"poetry.toml":         "[tool.poetry.dependencies]\nsix = '*'\n",
		"newer.toml":          "[project]\nrequires-python = '>=4'\n",
		"wrong.toml":          "[project\n",
		"lock/pyproject.toml": "[project]\ndependencies = ['six']\n",
		"lock/uv.lock":        "version = 1\n",
	})
	for _, c := range []struct{ list, told, err string }{
		{list: "list.txt", told: "pip install --quiet --python ENV/bin/python -r DIR/list.txt\ngreet==1.0\n"},
		{list: "p.toml", told: "pip install --quiet --python ENV/bin/python -r ENV/requirements.txt\na\nb>1\n"},
		{list: "lock", told: "export --quiet --frozen --no-dev --no-emit-project\npip install --quiet --python ENV/bin/python -r ENV/requirements.txt\nsix==1.17\n"},
		{list: "missing.txt", err: "the packages could not be installed: uv: exit status 1\nno such package"},
		{list: "dynamic.toml", err: "its dependencies are dynamic"},
		{list: "poetry.toml", err: "no [project]"},
		{list: "newer.toml", err: "it wants Python >=4, and python3 is 3."},
		{list: "wrong.toml", err: "TOMLDecodeError"},
	} {
		os.Remove(said)
		r, err := ReadRequirements(t.Context(), filepath.Join(dir, c.list))
		if err != nil {
			t.Fatal(err)
		}
		env := t.TempDir()
		err = r.Build(t.Context(), env)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || errors.Is(err, ErrInstall) != (c.list == "missing.txt") {
				t.Errorf("%s: %v, want one with %q", c.list, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		told, _ := os.ReadFile(said)
		if got := strings.NewReplacer(env, "ENV", dir, "DIR").Replace(string(told)); got != c.told {
			t.Errorf("%s: uv was told\n%swant\n%s", c.list, got, c.told)
		}
		if _, err := Open(t.Context(), env); err != nil {
			t.Errorf("%s: %v", c.list, err)
		}
	}
	for list, want := range map[string]string{"none.txt": "no such file", "-e.txt": "installed in place"} {
		if list == "-e.txt" {
			dir = lay(t, map[string]string{list: "-e .\n"})
		}
		if _, err := ReadRequirements(t.Context(), filepath.Join(dir, list)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want one with %q", list, err, want)
		}
	}
}

// TestALockWantsUV: pip would take other versions than it names.
func TestALockWantsUV(t *testing.T) {
	var path []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, "uv")); err != nil {
			path = append(path, dir)
		}
	}
	t.Setenv("PATH", strings.Join(path, ":"))
	dir := lay(t, map[string]string{"pyproject.toml": "[project]\n", "uv.lock": "x"})
	r, err := ReadRequirements(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Build(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "there is no uv to read it") {
		t.Errorf("without uv: %v", err)
	}
}
