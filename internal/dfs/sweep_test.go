package dfs

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestSweepOfTheLocalDisk: what a writer that died left behind goes, old as it is; what one that
// lives holds stays.
func TestSweepOfTheLocalDisk(t *testing.T) {
	dir := t.TempDir()
	l := NewLocal(dir)
	living, err := l.Create(t.Context(), filepath.Join(dir, "file"), CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer living.Abort()
	dead, young := filepath.Join(dir, temporaryPrefix+"dead"), filepath.Join(dir, temporaryPrefix+"young")
	for _, name := range []string{dead, young} {
		if err := os.WriteFile(name, []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-2 * newborn)
	all, err := filepath.Glob(filepath.Join(dir, temporaryPrefix+"*"))
	if err != nil || len(all) != 3 {
		t.Fatal(all, err)
	}
	for _, name := range all {
		if name != young {
			if err := os.Chtimes(name, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	gone, err := l.Sweep(t.Context(), dir)
	if err != nil || !slices.Equal(gone, []string{dead}) {
		t.Errorf("swept %q, %v, want the dead writer's", gone, err)
	}
	if err := living.Close(); err != nil {
		t.Errorf("the living one: %v", err)
	}
}
