package pyenv

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// entry is what an archive of a test holds; a target makes it a link.
type entry struct{ name, content, target string }

func tarGz(t *testing.T, entries []entry) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "env.tar.gz")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	gz := gzip.NewWriter(f)
	tw := tar.NewWriter(gz)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o755, Size: int64(len(e.content)), Typeflag: tar.TypeReg}
		if e.target != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.target
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

func zipped(t *testing.T, entries []entry) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "env.zip")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name}
		h.SetMode(0o755)
		content := e.content
		if e.target != "" {
			h.SetMode(0o777 | os.ModeSymlink)
			content = e.target
		}
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestInspect takes a program of this machine for Python: what it needs is in its file.
func TestInspect(t *testing.T) {
	sh, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, pack := range []func(*testing.T, []entry) string{tarGz, zipped} {
		f, err := Inspect(t.Context(), pack(t, []entry{
			{name: "./Python/bin/python3.11", content: string(sh)}, {name: "Python/bin/python", target: "python3.11"},
			{name: "Python/bin/python-config", content: "#!/bin/sh"}, {name: "Python/lib/python3.11/site-packages/tensorflow_cpu-2.21.0.dist-info/METADATA", content: "x"},
		}))
		if err != nil || f.Python == "" || f.Link != "" || f.Machine == "" || f.GLibC == "" || f.Static || f.TensorFlow != "2.21.0" {
			t.Errorf("%+v, %v", f, err)
		}
		f, err = Inspect(t.Context(), pack(t, []entry{{name: "bin/python3", target: "/usr/bin/python3"}, {name: "bin/python", target: "python3"}}))
		if want := (Facts{Python: "bin/python3", Link: "/usr/bin/python3"}); err != nil || f != want {
			t.Errorf("a linked Python: %+v, %v", f, err)
		}
		f, err = Inspect(t.Context(), pack(t, []entry{{name: "data/python.txt", content: "x"}, {name: "bin/pythonic", content: "x"}}))
		if err != nil || f != (Facts{}) {
			t.Errorf("no environment: %+v, %v", f, err)
		}
	}
	if _, err := Inspect(t.Context(), filepath.Join(t.TempDir(), "none.zip")); err == nil {
		t.Error("an archive that is not there was looked into")
	}
}

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"2.9", "2.34", true}, {"2.34", "2.9", false}, {"2.34", "2.34", false}, {"", "2.4", true}, {"2.4", "", false}, {"", "", false}, {"2.2", "2.2.5", true}, {"2.4", "PRIVATE", false}} {
		if got := Older(c.a, c.b); got != c.want {
			t.Errorf("%q older than %q: %v", c.a, c.b, got)
		}
	}
}
