package glob

import (
	"context"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tfos/internal/dfs"
)

// memory is one filesystem for every URI.
type memory struct{ dfs.FS }

func (m memory) Resolve(_ context.Context, uri string) (dfs.FS, string, error) {
	if _, rest, ok := strings.Cut(uri, "://"); ok {
		_, name, _ := strings.Cut(rest, "/")
		return m.FS, "/" + name, nil
	}
	return m.FS, uri, nil
}

func newMemory(t *testing.T, names ...string) memory {
	t.Helper()
	m := memory{dfs.NewMemory(dfs.MemoryOptions{User: "ann"})}
	for _, name := range names {
		if err := m.Mkdir(t.Context(), path.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := dfs.WriteFile(t.Context(), m.FS, name, []byte(name), 0); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestMatch(t *testing.T) {
	m := newMemory(t, "/d/a.txt", "/d/b.txt", "/d/c.csv", "/d/.hidden.txt", "/d/_temporary/x.txt", "/d/e/a.txt", "/d/e/f/a.txt", "/d/e/.crc/a.txt")
	for pattern, want := range map[string][]string{
		"/d/*.txt":          {"/d/a.txt", "/d/b.txt"},
		"/d/[ab].txt":       {"/d/a.txt", "/d/b.txt"},
		"/d/?.csv":          {"/d/c.csv"},
		"/d/a.txt":          {"/d/a.txt"},
		"/d/none":           nil,
		"/none/*":           nil,
		"/d/a.txt/*":        nil,
		"/d/*/a.txt":        {"/d/e/a.txt"},
		"/d/**/a.txt":       {"/d/a.txt", "/d/e/a.txt", "/d/e/f/a.txt"},
		"/d/e":              {"/d/e/a.txt", "/d/e/f/a.txt"},
		"/d/e/**":           {"/d/e/a.txt", "/d/e/f/a.txt"},
		"/d/.h*":            {"/d/.hidden.txt"},
		"/d/_temporary/*":   {"/d/_temporary/x.txt"},
		"hdfs://nn:1/d/c.*": {"hdfs://nn:1/d/c.csv"},
		"hdfs:///d/c.*":     {"hdfs:///d/c.csv"},
		"/d/":               {"/d/a.txt", "/d/b.txt", "/d/c.csv", "/d/e/a.txt", "/d/e/f/a.txt"},
	} {
		found, err := Matcher{m}.Match(t.Context(), pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		var got []string
		for _, f := range found {
			got = append(got, f.Path)
			if name := f.Path[strings.Index(f.Path, "/d/"):]; f.Size != int64(len(name)) {
				t.Errorf("%s: %s has %d bytes", pattern, f.Path, f.Size)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", pattern, diff)
		}
	}
	for _, pattern := range []string{"d/*", "hdfs://nn", "/d/[", ""} {
		if _, err := (Matcher{m}).Match(t.Context(), pattern); err == nil {
			t.Errorf("%q is a pattern", pattern)
		}
	}
}

// disk is the local one.
type disk struct{ dfs.FS }

func (d disk) Resolve(_ context.Context, uri string) (dfs.FS, string, error) {
	return d.FS, strings.TrimPrefix(uri, "file://"), nil
}

// A link that leads back up is no end of a search, and another one is followed.
func TestMatchAmongLinks(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(dir+"/loop/x", 0o755), os.WriteFile(dir+"/loop/x/1.txt", []byte("x"), 0o600), os.Symlink("..", dir+"/loop/x/up"), os.Symlink(".", dir+"/loop/here"),
		os.Mkdir(dir+"/other", 0o755), os.WriteFile(dir+"/other/2.txt", []byte("y"), 0o600), os.Symlink("../../other", dir+"/loop/x/other"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, pattern := range []string{"/loop/**/*.txt", "/loop", "/loop/**"} {
		found, err := Matcher{disk{dfs.NewLocal("/")}}.Match(t.Context(), dir+pattern)
		var names []string
		for _, f := range found {
			names = append(names, strings.TrimPrefix(f.Path, dir))
		}
		slices.Sort(names)
		if want := []string{"/loop/x/1.txt", "/loop/x/other/2.txt"}; err != nil || !slices.Equal(names, want) {
			t.Errorf("%s: %q, %v, want %q", pattern, names, err, want)
		}
	}
}
