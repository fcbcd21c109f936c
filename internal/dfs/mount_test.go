package dfs

import (
	"errors"
	"io/fs"
	"testing"

	"tfos/internal/hadoop/conf"
)

func TestUnmount(t *testing.T) {
	settings := conf.New(conf.Environment{})
	for key, value := range map[string]string{
		"fs.defaultFS":                             "viewfs://C",
		"fs.viewfs.mounttable.C.link./data":        "hdfs://one/",
		"fs.viewfs.mounttable.C.link./data/deep":   "hdfs://two/d/",
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
		uri, want string
		err       error
	}{
		{"viewfs://C/data", "hdfs://one/", nil},
		{"viewfs://C/data/x%20y/z", "hdfs://one/x%20y/z", nil},
		{"viewfs://C/data/deep/er", "hdfs://two/d/er", nil},
		{"viewfs://C/data/deeper", "hdfs://one/deeper", nil},
		{"/data/x", "hdfs://one/x", nil},
		{"hdfs:///user/ann/m", "hdfs://one:1/home/ann/m", nil},
		{"viewfs:///a/c", "hdfs://default/b/c", nil},
		{"viewfs://C/other/y/z", "file:///tmp/z", nil},
		{"viewfs://C/other/w", "hdfs://three/x/w", nil},
		{"hdfs://one/x", "hdfs://one/x", nil},
		{"file:///x", "file:///x", nil},
		{"viewfs://C/user", "", ErrUnsupported},
		{"viewfs://C/", "", ErrUnsupported},
		{"viewfs://C/user/bob", "", fs.ErrNotExist},
		{"viewfs://nobody/x", "", fs.ErrNotExist},
		{"viewfs://loop/x", "", ErrUnsupported},
	} {
		if got, err := unmount(c.uri, settings); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s lies at %q, %v; want %q, %v", c.uri, got, err, c.want, c.err)
		}
	}
}
