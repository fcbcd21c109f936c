package dfs

import (
	"cmp"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"tfos/internal/hadoop/conf"
	"tfos/internal/hadoop/uri"
)

// maxMounts bounds how many mount tables lead to each other.
const maxMounts = 8

// tablePlace is a directory of a mount table: what lies there is the table's links.
type tablePlace struct {
	table string // empty: the place is none
	name  string // absolute
}

func (p tablePlace) uri() uri.URI { return uri.URI{Scheme: "viewfs", Authority: p.table, Path: p.name} }

// unmount follows viewfs:// mount tables (org.apache.hadoop.fs.viewfs.Constants) to where a URI's
// file lies: the link with the longest path above it, else the table's linkMergeSlash or
// linkFallback. A directory above links lies in the table itself.
func unmount(u uri.URI, c *conf.Conf) (uri.URI, tablePlace, error) {
	for range maxMounts {
		if u.Scheme == "" || u.Scheme == "hdfs" && u.Authority == "" { // in the default filesystem
			if d := defaultFS(c); d.Scheme == "viewfs" {
				u.Scheme, u.Authority = d.Scheme, d.Authority
			}
		}
		if u.Scheme != "viewfs" {
			return u, tablePlace{}, nil
		}
		at := tablePlace{cmp.Or(u.Authority, c.String("fs.viewfs.mounttable.default.name.key"), "default"), path.Clean("/" + u.Path)}
		target, rest := mounted(at, c)
		switch {
		case len(linked(at, c)) > 0:
			return uri.URI{}, at, nil
		case target == "":
			return uri.URI{}, tablePlace{}, &fs.PathError{Op: "resolve", Path: u.String(), Err: fmt.Errorf("mount table %s leads nowhere from here: %w", at.table, fs.ErrNotExist)}
		}
		u = below(target, rest)
	}
	return uri.URI{}, tablePlace{}, fmt.Errorf("%s: mount tables lead to each other: %w", u, ErrUnsupported)
}

// below is the URI of a path below the target of a link. In a mount table, unlike elsewhere, a
// target is a URL whose path may have escapes (org.apache.hadoop.fs.viewfs.InodeTree).
func below(target, rest string) uri.URI {
	u := uri.Parse(target)
	if plain, err := url.PathUnescape(u.Path); err == nil {
		u.Path = plain
	}
	u.Path = strings.TrimRight(u.Path, "/") + rest
	return u
}

// mounted looks a place up in its table: the URI that it is mounted from, and the rest of the path;
// empty: it is not.
func mounted(at tablePlace, c *conf.Conf) (target, rest string) {
	link := ""
	for source, uri := range links(at.table, c) {
		if contains(source, at.name) && len(source) > len(link) {
			link, target = source, uri
		}
	}
	if link != "" {
		return target, "/" + strings.TrimPrefix(strings.TrimPrefix(at.name, link), "/")
	}
	return cmp.Or(c.String(tableKey(at.table)+"linkMergeSlash"), fallback(at.table, c)), at.name
}

// fallback is where a table leads whatever no link has; empty: nowhere.
func fallback(table string, c *conf.Conf) string { return c.String(tableKey(table) + "linkFallback") }

func tableKey(table string) string { return "fs.viewfs.mounttable." + table + "." }

// linked are the names in a directory of a table that lead to links; none: it is no directory of
// the table. What lies below a link is the link's.
func linked(at tablePlace, c *conf.Conf) map[string]bool {
	children := map[string]bool{}
	above := links(at.table, c)
	for source := range above {
		if contains(source, at.name) {
			return nil
		}
		if contains(at.name, source) {
			child, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(source, at.name), "/"), "/")
			children[child] = true
		}
	}
	return children
}

// links are a table's links: absolute path → URI.
func links(table string, c *conf.Conf) map[string]string {
	all := map[string]string{}
	for _, key := range c.Keys() {
		if source, ok := strings.CutPrefix(key, tableKey(table)+"link."); ok {
			all[path.Clean("/"+source)] = c.String(key)
		}
	}
	return all
}

// contains reports whether name is dir or lies below it.
func contains(dir, name string) bool {
	return dir == "/" || name == dir || strings.HasPrefix(name, dir+"/")
}
