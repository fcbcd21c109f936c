package dfs

import (
	"cmp"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"tfos/internal/hadoop/conf"
)

// maxMounts bounds how many mount tables lead to each other.
const maxMounts = 8

// unmount follows viewfs:// mount tables (org.apache.hadoop.fs.viewfs.Constants) to where a URI's file lies: the link with the longest
// path above it, else the table's linkMergeSlash or linkFallback. A directory of the table itself lies nowhere.
func unmount(uri string, c *conf.Conf) (string, error) {
	for range maxMounts {
		u, err := parse(uri)
		if err != nil {
			return "", err
		}
		if u.Scheme == "" || u.Scheme == "hdfs" && u.Host == "" { // in the default filesystem
			if d, err := parse(c.String("fs.defaultFS")); err == nil && d.Scheme == "viewfs" {
				u.Scheme, u.Host = d.Scheme, d.Host
			}
		}
		if u.Scheme != "viewfs" {
			return uri, nil
		}
		name := path.Clean("/" + u.Path)
		if uri, err = mounted(cmp.Or(u.Host, c.String("fs.viewfs.mounttable.default.name.key"), "default"), name, c); err != nil {
			return "", &fs.PathError{Op: "resolve", Path: u.String(), Err: err}
		}
	}
	return "", fmt.Errorf("%s: mount tables lead to each other: %w", uri, ErrUnsupported)
}

// mounted looks a path up in one table.
func mounted(table, name string, c *conf.Conf) (string, error) {
	prefix := "fs.viewfs.mounttable." + table + "."
	var link, target string
	inside := false
	for _, key := range c.Keys() {
		source, ok := strings.CutPrefix(key, prefix+"link.")
		if !ok {
			continue
		}
		source = path.Clean("/" + source)
		if contains(source, name) && len(source) > len(link) {
			link, target = source, c.String(key)
		}
		inside = inside || contains(name, source)
	}
	rest := name
	if link != "" {
		rest = "/" + strings.TrimPrefix(strings.TrimPrefix(name, link), "/")
	} else {
		target = cmp.Or(c.String(prefix+"linkMergeSlash"), c.String(prefix+"linkFallback"))
	}
	switch {
	case target != "":
		return strings.TrimRight(target, "/") + (&url.URL{Path: rest}).EscapedPath(), nil
	case inside:
		return "", fmt.Errorf("a directory of mount table %s: looking into it is %w", table, ErrUnsupported)
	}
	return "", fmt.Errorf("mount table %s leads nowhere from here: %w", table, fs.ErrNotExist)
}

// contains reports whether name is dir or lies below it.
func contains(dir, name string) bool {
	return dir == "/" || name == dir || strings.HasPrefix(name, dir+"/")
}
