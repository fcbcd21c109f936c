package dfs

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"tfos/internal/hadoop/conf"
	"tfos/internal/hadoop/uri"
)

func TestUnmount(t *testing.T) {
	settings := conf.New(conf.Environment{})
	for key, value := range map[string]string{
		"fs.defaultFS":                             "viewfs://C",
		"fs.viewfs.mounttable.C.link./data":        "hdfs://one/",
		"fs.viewfs.mounttable.C.link./data/deep":   "hdfs://two/d%2525/", // a target, and nothing else, is a URL
		"fs.viewfs.mounttable.C.link./user/ann":    "hdfs://one:1/home/ann",
		"fs.viewfs.mounttable.C.link./other":       "viewfs://merged/x",
		"fs.viewfs.mounttable.merged.linkFallback": "hdfs://three",
		"fs.viewfs.mounttable.merged.link./x/y":    "file:///tmp",
		"fs.viewfs.mounttable.default.link./a":     "hdfs://default/b",
		"fs.viewfs.mounttable.loop.linkMergeSlash": "viewfs://loop",
	} {
		settings.Set(key, value)
	}
	for _, c := range []struct {
		uri, want string // viewfs://…: a directory of a table
		err       error
	}{
		{"viewfs://C/data", "hdfs://one/", nil},
		{"viewfs://C/data/x%20y/z", "hdfs://one/x%20y/z", nil},
		{"viewfs://C/data/deep/er", "hdfs://two/d%25/er", nil},
		{"viewfs://C/data/x#y?z", "hdfs://one/x#y?z", nil},
		{"viewfs://C/data/deeper", "hdfs://one/deeper", nil},
		{"/data/x", "hdfs://one/x", nil},
		{"hdfs:///user/ann/m", "hdfs://one:1/home/ann/m", nil},
		{"viewfs:///a/c", "hdfs://default/b/c", nil},
		{"viewfs://C/other/y/z", "file:///tmp/z", nil},
		{"viewfs://C/other/w", "hdfs://three/x/w", nil},
		{"hdfs://one/x", "hdfs://one/x", nil},
		{"file:///x", "file:///x", nil},
		{"viewfs://C/user", "viewfs://C/user", nil},
		{"viewfs://C/", "viewfs://C/", nil},
		{"/", "viewfs://C/", nil},
		{"viewfs://merged/x", "viewfs://merged/x", nil},
		{"viewfs://C/other", "viewfs://merged/x", nil},
		{"viewfs://C/user/bob", "", fs.ErrNotExist},
		{"viewfs://nobody/x", "", fs.ErrNotExist},
		{"viewfs://loop/x", "", ErrUnsupported},
	} {
		at, table, err := unmount(uri.Parse(c.uri), settings)
		if table.table != "" {
			at = table.uri()
		}
		if got := at.String(); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s lies at %q, %v; want %q, %v", c.uri, at, err, c.want, c.err)
		}
	}
}

// TestMountTable looks into the directories of a table, and does everything through it that a
// filesystem does.
func TestMountTable(t *testing.T) {
	one, rest := t.TempDir(), t.TempDir()
	settings := conf.New(conf.Environment{})
	for key, value := range map[string]string{
		"fs.viewfs.mounttable.C.link./data/one": "file://" + one,
		"fs.viewfs.mounttable.C.link./far":      "hdfs://nobody:1/x", // is not asked
		"fs.viewfs.mounttable.C.linkFallback":   "file://" + rest,
	} {
		settings.Set(key, value)
	}
	r := NewResolver(Options{Conf: settings, User: "ann"})
	f, name, err := r.Resolve(t.Context(), "viewfs://C/")
	if err != nil || name != "/" {
		t.Fatal(name, err)
	}
	if again, name, err := r.Resolve(t.Context(), "viewfs://C/data"); again != f || name != "/data" || err != nil {
		t.Errorf("/data is %v's %s, %v", again, name, err)
	}
	if err := WriteFile(t.Context(), f, "/data/one/file", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Mkdir(t.Context(), "/more/deep", 0o755); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{"/": "/data /far /more", "/data": "/data/one", "/data/one": "/data/one/file", "/more": "/more/deep"} {
		list, err := f.List(t.Context(), dir)
		var names []string
		for _, i := range list {
			names = append(names, i.Name)
		}
		if got := strings.Join(names, " "); got != want || err != nil {
			t.Errorf("%s holds %s, %v, want %s", dir, got, err, want)
		}
	}
	for name, dir := range map[string]bool{"/": true, "/data": true, "/data/one": true, "/data/one/file": false, "/more": true} {
		if info, err := f.Stat(t.Context(), name); err != nil || info.IsDir() != dir || info.Name != name {
			t.Errorf("%s is %+v, %v", name, info, err)
		}
	}
	if err := f.Rename(t.Context(), "/data/one/file", "/data/one/moved", false); err != nil {
		t.Error(err)
	}
	if file, err := f.Open(t.Context(), "/data/one/moved"); err != nil {
		t.Error(err)
	} else if err := file.Close(); err != nil {
		t.Error(err)
	}
	_, createErr := f.Create(t.Context(), "/data", CreateOptions{})
	_, openErr := f.Open(t.Context(), "/data")
	for _, c := range []struct{ err, want error }{
		{f.Rename(t.Context(), "/data", "/x", false), fs.ErrPermission},
		{f.Rename(t.Context(), "/data/one/moved", "/far/x", false), ErrUnsupported},
		{f.Remove(t.Context(), "/data", true), fs.ErrPermission},
		{f.Chmod(t.Context(), "/", 0o700), fs.ErrPermission},
		{f.Mkdir(t.Context(), "/data", 0o700), nil},
		{createErr, fs.ErrExist},
		{openErr, ErrIsDirectory},
		{f.Remove(t.Context(), "/data/one/moved", false), nil},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%v, want %v", c.err, c.want)
		}
	}
	for name, want := range map[string]string{"/data/one/a b": "file://" + one + "/a b", "/far/x": "hdfs://nobody:1/x/x", "/data": "viewfs://C/data", "/more": "file://" + rest + "/more"} {
		if got := f.URI(name); got != want {
			t.Errorf("%s is %s to others, want %s", name, got, want)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
