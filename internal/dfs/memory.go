package dfs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"tfos/internal/hadoop/uri"
)

// Memory is a filesystem in the memory of this process, for tests. It keeps permissions as HDFS
// does, but has no superuser and no groups.
type Memory struct {
	user string
	*memoryTree
}

// memoryTree is what the views of all users share.
type memoryTree struct {
	now    func() time.Time
	refuse func(op, name string) error

	mu    sync.Mutex
	nodes map[string]*memoryNode // guarded by mu; clean absolute name → node, the root included
}

// memoryNode is a file or directory. A directory's entries are the nodes whose names lie in it.
type memoryNode struct {
	mode  fs.FileMode
	mtime time.Time
	owner string
	data  []byte // guarded by the tree's mu; never changed in place, so that readers keep what they opened
}

// MemoryOptions are what a test can choose.
type MemoryOptions struct {
	User string           // owns the root; default "memory"
	Now  func() time.Time // default time.Now
	// Refuse, if set, is asked before each operation (stat, list, open, create, append, write,
	// close, mkdir, rename, remove, chmod). The operation fails with the error it returns:
	// ErrSafeMode or ErrQuota, say.
	Refuse func(op, name string) error
}

// NewMemory makes an empty filesystem.
func NewMemory(o MemoryOptions) *Memory {
	if o.User == "" {
		o.User = "memory"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Refuse == nil {
		o.Refuse = func(string, string) error { return nil }
	}
	t := &memoryTree{now: o.Now, refuse: o.Refuse, nodes: map[string]*memoryNode{}}
	t.nodes["/"] = &memoryNode{mode: fs.ModeDir | 0o755, mtime: t.stamp(), owner: o.User}
	return &Memory{user: o.User, memoryTree: t}
}

// As is the same filesystem as another user sees it.
func (m *Memory) As(user string) *Memory { return &Memory{user: user, memoryTree: m.memoryTree} }

// Stat implements FS.
func (m *Memory) Stat(ctx context.Context, name string) (Info, error) {
	name, err := m.enter(ctx, "stat", name)
	if err != nil {
		return Info{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("stat", name)
	if err != nil {
		return Info{}, err
	}
	return n.info(name), nil
}

// List implements FS.
func (m *Memory) List(ctx context.Context, dir string) ([]Info, error) {
	dir, err := m.enter(ctx, "list", dir)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("list", dir)
	if err != nil {
		return nil, err
	}
	if !n.mode.IsDir() {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: ErrNotDirectory}
	}
	if err := m.allow("list", dir, n, 0o4); err != nil {
		return nil, err
	}
	var list []Info
	for _, name := range m.children(dir) {
		list = append(list, m.nodes[name].info(name))
	}
	return list, nil
}

// Open implements FS.
func (m *Memory) Open(ctx context.Context, name string) (File, error) {
	name, err := m.enter(ctx, "open", name)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("open", name)
	if err != nil {
		return nil, err
	}
	if n.mode.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: ErrIsDirectory}
	}
	if err := m.allow("open", name, n, 0o4); err != nil {
		return nil, err
	}
	return &memoryFile{io.NewSectionReader(bytes.NewReader(n.data), 0, int64(len(n.data)))}, nil
}

// Create implements FS.
func (m *Memory) Create(ctx context.Context, name string, o CreateOptions) (Writer, error) {
	name, err := m.enter(ctx, "create", name)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.parent("create", name); err != nil {
		return nil, err
	}
	if err := m.clobber("create", name, o.Overwrite); err != nil {
		return nil, err
	}
	return &memoryWriter{fs: m, name: name, overwrite: o.Overwrite,
		node: &memoryNode{mode: fileMode(o), owner: m.user, mtime: m.stamp()}}, nil
}

// Append implements FS.
func (m *Memory) Append(ctx context.Context, name string) (Writer, error) {
	name, err := m.enter(ctx, "append", name)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("append", name)
	if err != nil {
		return nil, err
	}
	if n.mode.IsDir() {
		return nil, &fs.PathError{Op: "append", Path: name, Err: ErrIsDirectory}
	}
	if err := m.allow("append", name, n, 0o2); err != nil {
		return nil, err
	}
	return &memoryWriter{fs: m, name: name, node: n, append: true}, nil
}

// Mkdir implements FS.
func (m *Memory) Mkdir(ctx context.Context, dir string, mode fs.FileMode) error {
	dir, err := m.enter(ctx, "mkdir", dir)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.nodes[dir]; n != nil {
		if !n.mode.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: fs.ErrExist}
		}
		return nil
	}
	return m.mkdir(dir, mode&permissionBits|fs.ModeDir)
}

// mkdir makes dir, which does not exist, and those above it.
func (m *Memory) mkdir(dir string, mode fs.FileMode) error {
	above := path.Dir(dir)
	if m.nodes[above] == nil {
		if err := m.mkdir(above, mode|0o300); err != nil {
			return err
		}
	}
	if _, err := m.parent("mkdir", dir); err != nil {
		return err
	}
	m.nodes[dir] = &memoryNode{mode: mode, mtime: m.stamp(), owner: m.user}
	m.touch(above)
	return nil
}

// Rename implements FS.
func (m *Memory) Rename(ctx context.Context, old, new string, overwrite bool) error {
	old, err := m.enter(ctx, "rename", old)
	if err != nil {
		return err
	}
	if new, err = cleanName("rename", new); err != nil {
		return err
	}
	if err := checkRename(old, new); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("rename", old)
	if err != nil {
		return err
	}
	for _, name := range []string{old, new} {
		if _, err := m.parent("rename", name); err != nil {
			return err
		}
	}
	if err := m.clobber("rename", new, overwrite && !n.mode.IsDir()); err != nil {
		return err
	}
	moved := map[string]*memoryNode{}
	for name, node := range m.nodes {
		if rest, ok := strings.CutPrefix(name, old); ok && (rest == "" || rest[0] == '/') {
			moved[new+rest] = node
			delete(m.nodes, name)
		}
	}
	for name, node := range moved {
		m.nodes[name] = node
	}
	m.touch(path.Dir(old))
	m.touch(path.Dir(new))
	return nil
}

// Remove implements FS.
func (m *Memory) Remove(ctx context.Context, name string, recursive bool) error {
	name, err := cleanRemovable(name)
	if err != nil {
		return err
	}
	if _, err := m.enter(ctx, "remove", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.find("remove", name); err != nil {
		return err
	}
	if _, err := m.parent("remove", name); err != nil {
		return err
	}
	if len(m.children(name)) > 0 && !recursive {
		return &fs.PathError{Op: "remove", Path: name, Err: ErrNotEmpty}
	}
	for other := range m.nodes {
		if other == name || strings.HasPrefix(other, name+"/") {
			delete(m.nodes, other)
		}
	}
	m.touch(path.Dir(name))
	return nil
}

// Chmod implements FS.
func (m *Memory) Chmod(ctx context.Context, name string, mode fs.FileMode) error {
	name, err := m.enter(ctx, "chmod", name)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("chmod", name)
	if err != nil {
		return err
	}
	if n.owner != m.user {
		return &fs.PathError{Op: "chmod", Path: name, Err: fs.ErrPermission}
	}
	n.mode = n.mode&fs.ModeDir | mode&permissionBits
	return nil
}

// Home implements FS.
func (m *Memory) Home() string { return "/user/" + m.user }

// URI implements FS. Nobody outside this process can open it.
func (m *Memory) URI(name string) string {
	return uri.URI{Scheme: "memory", Path: path.Clean(name)}.String()
}

// Close implements FS. The files stay, for the views of other users.
func (m *Memory) Close() error { return nil }

func (m *Memory) enter(ctx context.Context, op, name string) (string, error) {
	clean, err := cleanName(op, name)
	if err != nil {
		return "", err
	}
	if err := ctx.Err(); err != nil {
		return "", &fs.PathError{Op: op, Path: name, Err: err}
	}
	if err := m.refuse(op, clean); err != nil {
		return "", &fs.PathError{Op: op, Path: name, Err: err}
	}
	return clean, nil
}

// find looks a node up. The caller holds mu, as for every method below.
func (m *Memory) find(op, name string) (*memoryNode, error) {
	for at := path.Dir(name); ; at = path.Dir(at) {
		if above := m.nodes[at]; above != nil && above.mode.IsDir() {
			if err := m.allow(op, name, above, 0o1); err != nil {
				return nil, err
			}
		}
		if at == "/" {
			break
		}
	}
	n := m.nodes[name]
	if n == nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return n, nil
}

// parent is the directory that name lies in, if the user may change it.
func (m *Memory) parent(op, name string) (*memoryNode, error) {
	dir := path.Dir(name)
	n, err := m.find(op, dir)
	if err != nil {
		return nil, err
	}
	if !n.mode.IsDir() {
		return nil, &fs.PathError{Op: op, Path: name, Err: fmt.Errorf("%s is %w", dir, ErrNotDirectory)}
	}
	return n, m.allow(op, name, n, 0o2|0o1)
}

// clobber says whether a file may come to lie at name.
func (m *Memory) clobber(op, name string, overwrite bool) error {
	if n := m.nodes[name]; n != nil && (!overwrite || n.mode.IsDir()) {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrExist}
	}
	return nil
}

// allow says whether the user has the rights (rwx bits) to a node.
func (m *Memory) allow(op, name string, n *memoryNode, rights fs.FileMode) error {
	have := n.mode.Perm()
	if n.owner == m.user {
		have >>= 6
	}
	if have&rights != rights {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrPermission}
	}
	return nil
}

func (m *Memory) children(dir string) []string {
	var names []string
	for name := range m.nodes {
		if name != "/" && path.Dir(name) == dir {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (m *Memory) touch(dir string) { m.nodes[dir].mtime = m.stamp() }

func (t *memoryTree) stamp() time.Time { return t.now().Truncate(time.Millisecond) }

func (n *memoryNode) info(name string) Info {
	return Info{Name: name, Size: int64(len(n.data)), Mode: n.mode, ModTime: n.mtime, Owner: n.owner, Group: n.owner}
}

// memoryFile reads what the file held when it was opened.
type memoryFile struct{ *io.SectionReader }

func (f *memoryFile) Close() error { return nil }

// Sweep implements FS. Who writes lives in this process, and what is not closed is nowhere.
func (m *Memory) Sweep(ctx context.Context, dir string) ([]string, error) {
	_, err := m.List(ctx, dir)
	return nil, err
}

// memoryWriter collects a new file, or what is added to one.
type memoryWriter struct {
	fs        *Memory
	name      string
	node      *memoryNode
	append    bool
	overwrite bool
	buffer    []byte
	done      bool
}

func (w *memoryWriter) Write(b []byte) (int, error) {
	if w.done {
		return 0, &fs.PathError{Op: "write", Path: w.name, Err: fs.ErrClosed}
	}
	if err := w.fs.refuse("write", w.name); err != nil {
		return 0, &fs.PathError{Op: "write", Path: w.name, Err: err}
	}
	w.buffer = append(w.buffer, b...)
	return len(b), nil
}

func (w *memoryWriter) Sync() error {
	if w.done {
		return &fs.PathError{Op: "sync", Path: w.name, Err: fs.ErrClosed}
	}
	w.fs.mu.Lock()
	defer w.fs.mu.Unlock()
	w.flush()
	return nil
}

// flush moves the buffer into the node. The caller holds the tree's mu.
func (w *memoryWriter) flush() {
	w.node.data = append(w.node.data[:len(w.node.data):len(w.node.data)], w.buffer...)
	w.node.mtime = w.fs.stamp()
	w.buffer = nil
}

func (w *memoryWriter) Close() error {
	if w.done {
		return &fs.PathError{Op: "close", Path: w.name, Err: fs.ErrClosed}
	}
	w.done = true
	if err := w.fs.refuse("close", w.name); err != nil {
		return &fs.PathError{Op: "close", Path: w.name, Err: err}
	}
	w.fs.mu.Lock()
	defer w.fs.mu.Unlock()
	if !w.append {
		if _, err := w.fs.parent("close", w.name); err != nil {
			return err // the directory went meanwhile
		}
		if err := w.fs.clobber("close", w.name, w.overwrite); err != nil {
			return err
		}
		w.fs.nodes[w.name] = w.node
		w.fs.touch(path.Dir(w.name))
	}
	w.flush()
	return nil
}

func (w *memoryWriter) Abort() { w.done = true }
