package dfstest

import (
	"bytes"
	"errors"
	"io"
	"path"

	"tfos/internal/dfs"
)

// at is a name in the suite's directory.
func (b *bench) at(name string) string { return path.Join(b.Dir, name) }

// ok ends the test unless err is nil.
func (b *bench) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// is checks that err is one of want.
func (b *bench) is(err error, want ...error) {
	b.t.Helper()
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	b.t.Errorf("got error %v, want %v", err, want)
}

// write creates a file that does not exist.
func (b *bench) write(name, content string) {
	b.t.Helper()
	b.ok(b.put(b.at(name), []byte(content), dfs.CreateOptions{}))
}

func (b *bench) put(name string, content []byte, o dfs.CreateOptions) error {
	w, err := b.FS.Create(b.ctx, name, o)
	if err != nil {
		return err
	}
	return finish(w, content)
}

func finish(w dfs.Writer, content []byte) error {
	if _, err := w.Write(content); err != nil {
		w.Abort()
		return err
	}
	return w.Close()
}

// holds checks a file's content, by Stat and by reading it.
func (b *bench) holds(name, want string) {
	b.t.Helper()
	got := b.read(name)
	if string(got) != want {
		b.t.Errorf("%s holds %.80q, want %.80q", name, got, want)
	}
	if info, err := b.FS.Stat(b.ctx, b.at(name)); err != nil || info.Size != int64(len(want)) {
		b.t.Errorf("stat %s: size %d, %v, want %d", name, info.Size, err, len(want))
	}
}

func (b *bench) read(name string) []byte {
	b.t.Helper()
	f, err := b.FS.Open(b.ctx, b.at(name))
	b.ok(err)
	defer f.Close()
	got, err := io.ReadAll(f)
	b.ok(err)
	if int64(len(got)) != f.Size() {
		b.t.Errorf("read %d bytes of %s, whose size is %d", len(got), name, f.Size())
	}
	return got
}

// missing checks that nothing lies at name.
func (b *bench) missing(name string) {
	b.t.Helper()
	_, err := b.FS.Stat(b.ctx, b.at(name))
	if !errors.Is(err, notExist) {
		b.t.Errorf("stat %s: %v, want it missing", name, err)
	}
}

// names lists a directory.
func (b *bench) names(dir string) []string {
	b.t.Helper()
	list, err := b.FS.List(b.ctx, b.at(dir))
	b.ok(err)
	names := []string{}
	for _, info := range list {
		names = append(names, path.Base(info.Name))
	}
	return names
}

// pattern is n bytes in which every offset looks different from its neighbours: a reader that is
// off by a byte, a chunk or a block shows.
func pattern(n int) []byte {
	var b bytes.Buffer
	b.Grow(n + 8)
	for i := uint32(0); b.Len() < n; i++ {
		x := (i + 1) * 2654435761
		b.Write([]byte{byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)})
	}
	return b.Bytes()[:n]
}
