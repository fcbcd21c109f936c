package client

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfos/internal/client/exit"
)

// TestEnvironmentIsPackedOnce: a job gets an archive and commands that find it; the second job gets
// the same archive without packing.
func TestEnvironmentIsPackedOnce(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	dir := filepath.Join(t.TempDir(), "env")
	if out, err := exec.Command("python3", "-m", "venv", "--without-pip", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	old := filepath.Join(cache, "tfos", "environments", "old.tar.gz")
	if err := os.MkdirAll(filepath.Dir(old), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, old, "x")
	long := time.Now().Add(-2 * keepPacked)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	var said []string
	pack := func() string {
		j, err := PackEnvironments(t.Context(), parsed(t, "venv: "+dir+"\ncommand: python train.py\nroles: {worker: {}, ps: {builtin: ps}, chief: {command: x}}\n"), func(line string) { said = append(said, line) })
		if err != nil {
			t.Fatal(err)
		}
		const first = `export PATH="$PWD/venv/bin:$PATH"; `
		if j.Command != first+"python train.py" || j.Roles[0].Command != j.Command || j.Roles[1].Command != "" || j.Roles[2].Command != first+"x" || j.Venv != "" {
			t.Errorf("the job has the commands %q, %+v", j.Command, j.Roles)
		}
		if len(j.Archives) != 1 || j.Archives[0].Name != "venv" {
			t.Fatalf("archives %+v", j.Archives)
		}
		return j.Archives[0].Source
	}
	first := pack()
	packings := len(said)
	if second := pack(); second != first || packings == 0 || len(said) != packings {
		t.Errorf("packed as %s and %s; said %q", first, second, said)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("an environment that nobody has used for long is still there")
	}
	_, err := PackEnvironments(t.Context(), parsed(t, "conda: "+cache+"\ncommand: x\nroles: {worker: {}}\n"), func(string) {})
	if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "is no environment") {
		t.Errorf("a directory that is no environment: %v", err)
	}
}

// TestRequirementsThatCannotBeBuilt: an index that does not answer may do so later; a list that is
// wrong stays so.
func TestRequirementsThatCannotBeBuilt(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "uv"), []byte("#!/bin/sh\necho no answer >&2; exit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "list.txt"), "six\n")
	writeFile(t, filepath.Join(dir, "wrong.toml"), "[tool.poetry]\n")
	writeFile(t, filepath.Join(dir, "place.txt"), "-e .\n")
	for list, want := range map[string]struct {
		code exit.Code
		text string
	}{
		"list.txt": {exit.Infrastructure, "no answer"}, "wrong.toml": {exit.Usage, "no [project]"}, "none.txt": {exit.Usage, "no such file"}, "place.txt": {exit.Usage, "pip install without -e"},
	} {
		j := parsed(t, "requirements: "+filepath.Join(dir, list)+"\ncommand: x\nroles: {worker: {}}\n")
		if _, err := PackEnvironments(t.Context(), j, func(string) {}); exit.Of(err) != want.code || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%s: %d %v, want %d and %q", list, exit.Of(err), err, want.code, want.text)
		}
	}
	if left, err := os.ReadDir(filepath.Join(cache, "tfos", "environments")); err != nil || len(left) != 0 {
		t.Errorf("%v, %v are left in the cache", left, err)
	}
}
