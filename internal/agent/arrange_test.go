package agent

import (
	"archive/tar"
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tfos/internal/launch"
)

// TestArrange: files whose names a NodeManager in the C locale cannot make have them before the
// program starts.
func TestArrange(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	plain := filepath.Join(elsewhere, "1234")
	if err := os.WriteFile(plain, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	packed := filepath.Join(elsewhere, "5678.by-agent.tar.gz")
	f, err := os.Create(packed)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: "tief/Übung.txt", Mode: 0o644, Size: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x\n")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []interface{ Close() error }{w, z, f} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		launch.Resource{Name: "Grüße.py", URI: "file://" + plain}.Link():              plain,
		launch.Resource{Name: "a$HOME:`id`", URI: "file://" + plain}.Link():           plain,
		launch.Resource{Name: "däten", URI: "file://" + packed, Archive: true}.Link(): packed,
		"train.py": plain,
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // an agent that starts again finds all in place
		if err := arrange(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"Grüße.py": "hello", "a$HOME:`id`": "hello", "train.py": "hello", "däten/tief/Übung.txt": "x\n"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != want {
			t.Errorf("%s holds %q, %v", name, b, err)
		}
	}
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"Grüße.py", "a$HOME:`id`", "däten", "train.py"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("the directory holds %q, %v", names, err)
	}
	if err := os.Symlink(plain, filepath.Join(dir, launch.Resource{Name: "../ö"}.Link())); err != nil {
		t.Fatal(err)
	}
	if err := arrange(t.Context(), dir); err == nil {
		t.Error("a name led out of the directory")
	}
}
