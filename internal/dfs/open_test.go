package dfs

import (
	"errors"
	"io/fs"
	"testing"

	"tfos/internal/hadoop/conf"
	"tfos/internal/hadoop/uri"
)

func TestLocate(t *testing.T) {
	for _, c := range []struct {
		uri, defaultFS string
		want           place
		name           string
		err            error
	}{
		{uri: "/a b%20#?", defaultFS: "hdfs://nn", want: place{"hdfs", "nn"}, name: "/a b%20#?"},
		{uri: "//models/run", defaultFS: "hdfs://nn", want: place{"hdfs", "nn"}, name: "/models/run"},
		{uri: "", defaultFS: "hdfs://nn:9000/", want: place{"hdfs", "nn:9000"}, name: "/"},
		{uri: "/a", want: place{"file", ""}, name: "/a"},
		{uri: "/a", defaultFS: "HDFS://NN", want: place{"hdfs", "nn"}, name: "/a"},
		{uri: "/a", defaultFS: "nn:9000", want: place{"hdfs", "nn:9000"}, name: "/a"},
		{uri: "/a", defaultFS: "local", want: place{"file", ""}, name: "/a"},
		{uri: "file:///a%20b", want: place{"file", ""}, name: "/a%20b"},
		{uri: "file://localhost/a", want: place{"file", ""}, name: "/a"},
		{uri: "file:/a", want: place{"file", ""}, name: "/a"},
		{uri: "hdfs://NS/a/../b", want: place{"hdfs", "ns"}, name: "/b"},
		{uri: "hdfs://me@nn/a", want: place{"hdfs", "nn"}, name: "/a"},
		{uri: "hdfs:///models/run#2", defaultFS: "hdfs://nn", want: place{"hdfs", "nn"}, name: "/models/run#2"},
		{uri: "hdfs://nn/hour=2024-01-01%2000%3A00/a+b?c:d ", want: place{"hdfs", "nn"}, name: "/hour=2024-01-01%2000%3A00/a+b?c:d "},
		{uri: "file://models/run", err: ErrUnsupported},
		{uri: "viewfs://cluster/a", err: ErrUnsupported},
		{uri: "s3a://bucket/a", err: ErrUnsupported},
		{uri: "/a", defaultFS: "viewfs://cluster", err: ErrUnsupported},
	} {
		settings := conf.New(conf.Environment{})
		if c.defaultFS != "" {
			settings.Set("fs.defaultFS", c.defaultFS)
		}
		got, err := locate(uri.Parse(c.uri), settings)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%q is in %v, %v, want %v, %v", c.uri, got, err, c.want, c.err)
			continue
		}
		if c.err != nil {
			continue
		}
		r := NewResolver(Options{Conf: settings, LocalHome: "/"})
		if _, name, err := r.Resolve(t.Context(), c.uri); name != c.name || err != nil {
			t.Errorf("%q is %q, %v, want %q", c.uri, name, err, c.name)
		}
	}
	r := NewResolver(Options{LocalHome: "/"})
	for _, name := range []string{"relative", "a:b", "file:a", "%zz://x", "hdfs:///a", "2024-01-01 00:00/x"} {
		if _, _, err := r.Resolve(t.Context(), name); err == nil {
			t.Errorf("%q was located", name)
		}
	}
}

// TestOneNameNodeHasManySpellings: a port that is the default one, the case of a host, and one of a
// nameservice's NameNodes.
func TestOneNameNodeHasManySpellings(t *testing.T) {
	settings := conf.New(conf.Environment{})
	for key, value := range map[string]string{
		"fs.defaultFS":                       "hdfs://LocalHost:8020/",
		"dfs.nameservices":                   "Prod,one",
		"dfs.ha.namenodes.Prod":              "a,b",
		"dfs.namenode.rpc-address.Prod.a":    "nn-a",
		"dfs.namenode.rpc-address.Prod.b":    "nn-b:9000",
		"dfs.namenode.rpc-address.one":       "nn-c:8020",
		"fs.viewfs.mounttable.C.link./mnt":   "hdfs://localhost/x%20y",
		"fs.viewfs.mounttable.C.link./other": "hdfs://nn-d:8020/",
	} {
		settings.Set(key, value)
	}
	for _, spellings := range [][]string{
		{"/a", "hdfs:///a", "hdfs://localhost/a", "HDFS://LOCALHOST:8020/a", "hdfs://localhost:8020//a/", "viewfs://C/mnt/a"},
		{"hdfs://prod/a", "hdfs://PROD/a", "hdfs://nn-a/a", "hdfs://nn-a:8020/a", "hdfs://NN-B:9000/a"},
		{"hdfs://nn-b:9000/a", "hdfs://prod/a"},
		{"hdfs://nn-c/a", "hdfs://one/a"},
	} {
		r := NewResolver(Options{Conf: settings, LocalHome: "/"})
		first, _, err := r.Resolve(t.Context(), spellings[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range spellings[1:] {
			if f, _, err := r.Resolve(t.Context(), other); f != first || err != nil {
				t.Errorf("%s is another filesystem than %s: %v", other, spellings[0], err)
			}
		}
		for _, other := range []string{"hdfs://localhost:9000/", "hdfs://nn-b/", "viewfs://C/other/x", "file:///a"} {
			if f, _, err := r.Resolve(t.Context(), other); f == first || err != nil {
				t.Errorf("%s is the filesystem %s: %v", other, spellings[0], err)
			}
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
	for _, name := range []string{"/a b", "hdfs://nn:8020/x", "hdfs://[::1]/x", "file:///", "", "//x", "a%zz", "hdfs:x", "\x00"} {
		f.Add(name)
	}
	settings := conf.New(conf.Environment{})
	f.Fuzz(func(t *testing.T, name string) {
		where, err := locate(uri.Parse(name), settings)
		if err == nil && where.scheme != "file" && where.scheme != "hdfs" {
			t.Errorf("%q is in %v", name, where)
		}
	})
}
