package dfs

import (
	"errors"
	"io/fs"
	"testing"

	"tfos/internal/hadoop/conf"
)

func TestLocate(t *testing.T) {
	for _, c := range []struct {
		uri, defaultFS string
		want           place
		name           string
		err            error
	}{
		{uri: "/a b%20", defaultFS: "hdfs://nn", want: place{"hdfs", "nn"}, name: "/a b%20"},
		{uri: "", defaultFS: "hdfs://nn:9000/", want: place{"hdfs", "nn:9000"}, name: "/"},
		{uri: "/a", want: place{"file", ""}, name: "/a"},
		{uri: "file:///a%20b", want: place{"file", ""}, name: "/a b"},
		{uri: "file:/a", want: place{"file", ""}, name: "/a"},
		{uri: "hdfs://NS/a/../b", want: place{"hdfs", "ns"}, name: "/b"},
		{uri: "hdfs:///a", defaultFS: "hdfs://nn", want: place{"hdfs", "nn"}, name: "/a"},
		{uri: "viewfs://cluster/a", err: ErrUnsupported},
		{uri: "s3a://bucket/a", err: ErrUnsupported},
		{uri: "/a", defaultFS: "viewfs://cluster", err: ErrUnsupported},
	} {
		settings := conf.New(conf.Environment{})
		if c.defaultFS != "" {
			settings.Set("fs.defaultFS", c.defaultFS)
		}
		got, err := locate(c.uri, settings)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%q is in %v, %v, want %v, %v", c.uri, got, err, c.want, c.err)
			continue
		}
		if c.err != nil {
			continue
		}
		if name, err := pathOf(c.uri); name != c.name || err != nil {
			t.Errorf("%q is %q, %v, want %q", c.uri, name, err, c.name)
		}
	}
	settings := conf.New(conf.Environment{})
	settings.Set("fs.defaultFS", "namenode")
	for _, uri := range []string{"relative", "hdfs:///a", "%zz://x"} {
		if _, err := locate(uri, settings); err == nil {
			t.Errorf("%q was located", uri)
		}
	}
}

func TestResolverOpensEachFilesystemOnce(t *testing.T) {
	settings := conf.New(conf.Environment{})
	settings.Set("fs.defaultFS", "hdfs://127.0.0.1:1")
	r := NewResolver(Options{Conf: settings, User: "ann", LocalHome: t.TempDir()})
	seen := map[FS]string{}
	for uri, want := range map[string]string{
		"/a": "hdfs", "hdfs://127.0.0.1:1/b": "hdfs", "hdfs:///c": "hdfs", "file:///a": "file", "file:///b": "file", "hdfs://127.0.0.1:2/": "other",
	} {
		f, _, err := r.Resolve(t.Context(), uri)
		if err != nil {
			t.Fatal(err)
		}
		if before, known := seen[f]; known && before != want {
			t.Errorf("%s is the filesystem of %s", uri, before)
		}
		seen[f] = want
	}
	if len(seen) != 3 {
		t.Errorf("%d filesystems were opened, want 3", len(seen))
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for f, kind := range seen {
		if _, err := f.Stat(t.Context(), "/x"); kind != "file" && !errors.Is(err, fs.ErrClosed) {
			t.Errorf("after Close the filesystem of %s says %v", kind, err)
		}
	}
}

func FuzzLocate(f *testing.F) {
	for _, uri := range []string{"/a b", "hdfs://nn:8020/x", "hdfs://[::1]/x", "file:///", "", "//x", "a%zz", "hdfs:x", "\x00"} {
		f.Add(uri)
	}
	settings := conf.New(conf.Environment{})
	f.Fuzz(func(t *testing.T, uri string) {
		where, err := locate(uri, settings)
		if err != nil {
			return
		}
		if where.scheme != "file" && where.scheme != "hdfs" {
			t.Errorf("%q is in %v", uri, where)
		}
		if name, err := pathOf(uri); err == nil && name[0] != '/' {
			t.Errorf("%q is %q, which is not absolute", uri, name)
		}
	})
}
