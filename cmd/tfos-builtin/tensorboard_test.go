package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestFindBoard: the environment that the job brings has the TensorBoard that runs, before the one
// of the node.
func TestFindBoard(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", filepath.Join(dir, "node"))
	make := func(name string, mode os.FileMode) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	none := func(string) string { return "" }
	finds := func(want ...string) {
		t.Helper()
		got, err := findBoard(none, dir)
		if !slices.Equal(got, want) || (err == nil) != (len(want) > 0) {
			t.Errorf("found %q, %v, want %q", got, err, want)
		}
	}
	finds()
	make("node/tensorboard", 0o755)
	finds(filepath.Join(dir, "node", "tensorboard"))
	make("env/bin/python3", 0o755)
	make("env/lib/python3.12/site-packages/tensorboard/main.py", 0o644)
	finds(filepath.Join(dir, "env", "bin", "python3"), "-m", "tensorboard.main")
}
