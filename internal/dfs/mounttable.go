package dfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// mountTable is the filesystem of a viewfs:// mount table. Its own directories, those above the
// links, hold the links and what the table's fallback has there, and cannot be changed; everything
// else is that of the filesystem that a link leads to.
type mountTable struct {
	table string
	r     *Resolver
}

// at finds the filesystem of a name, and the name in it. It is nil for a directory of the table.
func (m *mountTable) at(ctx context.Context, op, name string) (FS, string, error) {
	name, err := cleanName(op, name)
	if err != nil {
		return nil, "", err
	}
	f, inside, err := m.r.Resolve(ctx, tablePlace{m.table, name}.uri().String())
	if err == nil && f == FS(m) {
		return nil, inside, nil
	}
	return f, inside, err
}

func (m *mountTable) fail(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: tablePlace{m.table, name}.uri().String(), Err: err}
}

// fixed says that a directory of the table is not to be changed.
func (m *mountTable) fixed(op, name string) error {
	return m.fail(op, name, fmt.Errorf("a directory of mount table %s: %w", m.table, fs.ErrPermission))
}

// own describes a directory of the table.
func (m *mountTable) own(name string) Info {
	return Info{Name: name, Mode: fs.ModeDir | 0o555, ModTime: time.Unix(0, 0)}
}

// Stat implements FS.
func (m *mountTable) Stat(ctx context.Context, name string) (Info, error) {
	f, inside, err := m.at(ctx, "stat", name)
	if err != nil {
		return Info{}, err
	}
	if f == nil {
		return m.own(inside), nil
	}
	info, err := f.Stat(ctx, inside)
	info.Name = path.Clean(name)
	return info, err
}

// List implements FS. A link is taken to lead to a directory: looking at each would be a call to
// each NameNode.
func (m *mountTable) List(ctx context.Context, dir string) ([]Info, error) {
	f, inside, err := m.at(ctx, "list", dir)
	if err != nil {
		return nil, err
	}
	var list []Info
	links := map[string]bool{}
	if f == nil {
		links = linked(tablePlace{m.table, inside}, m.r.o.Conf)
		for child := range links {
			list = append(list, m.own(path.Join(inside, child)))
		}
		if f, inside, err = m.fallback(ctx, inside); err != nil {
			return nil, err
		}
	}
	if f != nil {
		others, err := f.List(ctx, inside)
		if err != nil && (len(links) == 0 || !errors.Is(err, fs.ErrNotExist)) {
			return nil, err
		}
		for _, info := range others {
			base := path.Base(info.Name)
			if info.Name = path.Join(dir, base); !links[base] {
				list = append(list, info)
			}
		}
	}
	slices.SortFunc(list, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// fallback finds where the table leads what no link has; nil: nowhere.
func (m *mountTable) fallback(ctx context.Context, name string) (FS, string, error) {
	target := fallback(m.table, m.r.o.Conf)
	if target == "" {
		return nil, "", nil
	}
	return m.r.Resolve(ctx, below(target, name).String())
}

// Open implements FS.
func (m *mountTable) Open(ctx context.Context, name string) (File, error) {
	f, inside, err := m.at(ctx, "open", name)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, m.fail("open", inside, ErrIsDirectory)
	}
	return f.Open(ctx, inside)
}

// Create implements FS.
func (m *mountTable) Create(ctx context.Context, name string, o CreateOptions) (Writer, error) {
	f, inside, err := m.at(ctx, "create", name)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, m.fail("create", inside, fs.ErrExist)
	}
	return f.Create(ctx, inside, o)
}

// Append implements FS.
func (m *mountTable) Append(ctx context.Context, name string) (Writer, error) {
	f, inside, err := m.at(ctx, "append", name)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, m.fail("append", inside, ErrIsDirectory)
	}
	return f.Append(ctx, inside)
}

// Mkdir implements FS.
func (m *mountTable) Mkdir(ctx context.Context, dir string, mode fs.FileMode) error {
	f, inside, err := m.at(ctx, "mkdir", dir)
	if err != nil || f == nil {
		return err
	}
	return f.Mkdir(ctx, inside, mode)
}

// Rename implements FS. It does not lead from one filesystem to another.
func (m *mountTable) Rename(ctx context.Context, old, new string, overwrite bool) error {
	f, from, err := m.at(ctx, "rename", old)
	if err != nil {
		return err
	}
	g, to, err := m.at(ctx, "rename", new)
	if err != nil {
		return err
	}
	switch {
	case f == nil:
		return m.fixed("rename", from)
	case g == nil:
		return m.fail("rename", to, fs.ErrExist)
	case f != g:
		return m.fail("rename", old, fmt.Errorf("%w: %s lies on another filesystem; copy it", ErrUnsupported, new))
	}
	return f.Rename(ctx, from, to, overwrite)
}

// Remove implements FS.
func (m *mountTable) Remove(ctx context.Context, name string, recursive bool) error {
	f, inside, err := m.at(ctx, "remove", name)
	if err != nil {
		return err
	}
	if f == nil {
		return m.fixed("remove", inside)
	}
	return f.Remove(ctx, inside, recursive)
}

// Sweep implements FS. Nobody writes to the table itself.
func (m *mountTable) Sweep(ctx context.Context, dir string) ([]string, error) {
	f, inside, err := m.at(ctx, "sweep", dir)
	if err != nil || f == nil {
		return nil, err
	}
	return f.Sweep(ctx, inside)
}

// Chmod implements FS.
func (m *mountTable) Chmod(ctx context.Context, name string, mode fs.FileMode) error {
	f, inside, err := m.at(ctx, "chmod", name)
	if err != nil {
		return err
	}
	if f == nil {
		return m.fixed("chmod", inside)
	}
	return f.Chmod(ctx, inside, mode)
}

// Home implements FS.
func (m *mountTable) Home() string {
	return path.Join(cmp.Or(m.r.o.Conf.String(tableKey(m.table)+"homedir"), "/user"), m.r.o.User)
}

// URI implements FS. It is that of the filesystem which a link leads to: other processes need not
// know the mount table.
func (m *mountTable) URI(name string) string {
	u := tablePlace{m.table, path.Clean(name)}.uri()
	if target, table, err := unmount(u, m.r.o.Conf); err == nil && table.table == "" {
		return target.String()
	}
	return u.String()
}

// Close implements FS. The filesystems that links lead to are the Resolver's.
func (m *mountTable) Close() error { return nil }
