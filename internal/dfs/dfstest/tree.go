package dfstest

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"tfos/internal/dfs"
	"tfos/internal/hadoop/uri"
)

func testStat(t *testing.T, b *bench) {
	b.write("file", "12345")
	info, err := b.FS.Stat(b.ctx, b.at("file"))
	b.ok(err)
	if info.Name != b.at("file") || info.Size != 5 || info.IsDir() || info.Owner == "" || info.Mode != 0o644 {
		t.Errorf("a file is %+v", info)
	}
	info, err = b.FS.Stat(b.ctx, b.Dir)
	b.ok(err)
	if info.Name != b.Dir || !info.IsDir() || info.Size != 0 || info.Mode != fs.ModeDir|0o755 {
		t.Errorf("a directory is %+v", info)
	}
	info, err = b.FS.Stat(b.ctx, "/")
	b.ok(err)
	if info.Name != "/" || !info.IsDir() {
		t.Errorf("the root is %+v", info)
	}
	_, err = b.FS.Stat(b.ctx, b.at("nowhere"))
	b.is(err, fs.ErrNotExist)
	if err != nil && !strings.Contains(err.Error(), b.at("nowhere")) {
		t.Errorf("the error %q does not say which file", err)
	}
	_, err = b.FS.Stat(b.ctx, b.at("nowhere/deeper"))
	b.is(err, fs.ErrNotExist)
	_, err = b.FS.Stat(b.ctx, b.at("file/below"))
	b.is(err, fs.ErrNotExist, dfs.ErrNotDirectory)
}

func testList(t *testing.T, b *bench) {
	if got := b.names("."); len(got) != 0 {
		t.Errorf("an empty directory lists %q", got)
	}
	want := []string{".hidden", "A", "Z", "a", "a b", "a-b", "a.b", "ab", "b", "é"} // by bytes
	for _, name := range []string{"b", "ab", "a", "é", "Z", ".hidden", "a.b", "a b", "a-b"} {
		b.write(name, name)
	}
	b.ok(b.FS.Mkdir(b.ctx, b.at("A/inner"), 0o700))
	if got := b.names("."); !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
	list, err := b.FS.List(b.ctx, b.Dir)
	b.ok(err)
	for _, info := range list {
		single, err := b.FS.Stat(b.ctx, info.Name)
		b.ok(err)
		if info != single {
			t.Errorf("listed as %+v, but Stat says %+v", info, single)
		}
	}
	_, err = b.FS.List(b.ctx, b.at("a"))
	b.is(err, dfs.ErrNotDirectory)
	_, err = b.FS.List(b.ctx, b.at("nowhere"))
	b.is(err, fs.ErrNotExist)
}

func testMkdir(t *testing.T, b *bench) {
	b.ok(b.FS.Mkdir(b.ctx, b.at("one/two/three"), 0o750))
	for name, want := range map[string]fs.FileMode{"one": 0o750, "one/two": 0o750, "one/two/three": 0o750} {
		if info, err := b.FS.Stat(b.ctx, b.at(name)); err != nil || info.Mode != want|fs.ModeDir {
			t.Errorf("%s has mode %v, %v, want %v", name, info.Mode, err, want)
		}
	}
	b.ok(b.FS.Mkdir(b.ctx, b.at("one/two"), 0o700))
	if info, err := b.FS.Stat(b.ctx, b.at("one/two")); err != nil || info.Mode.Perm() != 0o750 {
		t.Errorf("a directory made twice has mode %v, %v, want the first", info.Mode, err)
	}
	b.ok(b.FS.Mkdir(b.ctx, b.at("closed/inner"), 0o577))
	if info, err := b.FS.Stat(b.ctx, b.at("closed")); err != nil || info.Mode.Perm() != 0o777 {
		t.Errorf("a directory on the way has mode %v, %v, want it open to its owner", info.Mode, err)
	}
	b.write("file", "x")
	b.is(b.FS.Mkdir(b.ctx, b.at("file"), 0o755), fs.ErrExist)
	b.is(b.FS.Mkdir(b.ctx, b.at("file/below"), 0o755), dfs.ErrNotDirectory)
	b.ok(b.FS.Mkdir(b.ctx, "/", 0o755))
}

func testRename(t *testing.T, b *bench) {
	b.write("file", "content")
	before, err := b.FS.Stat(b.ctx, b.at("file"))
	b.ok(err)
	b.ok(b.FS.Rename(b.ctx, b.at("file"), b.at("moved"), false))
	b.missing("file")
	b.holds("moved", "content")
	if after, err := b.FS.Stat(b.ctx, b.at("moved")); err != nil || !after.ModTime.Equal(before.ModTime) {
		t.Errorf("a move changed the time from %v to %v, %v", before.ModTime, after.ModTime, err)
	}

	b.ok(b.FS.Mkdir(b.ctx, b.at("dir/inner"), 0o755))
	b.write("dir/inner/file", "deep")
	b.write("directory", "not below dir")
	b.ok(b.FS.Rename(b.ctx, b.at("dir"), b.at("other"), false))
	b.holds("other/inner/file", "deep")
	b.holds("directory", "not below dir")
	b.missing("dir")

	b.is(b.FS.Rename(b.ctx, b.at("moved"), b.at("directory"), false), fs.ErrExist)
	b.is(b.FS.Rename(b.ctx, b.at("moved"), b.at("other"), false), fs.ErrExist)
	b.is(b.FS.Rename(b.ctx, b.at("other"), b.at("moved"), false), fs.ErrExist)
	b.is(b.FS.Rename(b.ctx, b.at("moved"), b.at("moved"), false), fs.ErrExist)
	b.is(b.FS.Rename(b.ctx, b.at("nowhere"), b.at("x"), false), fs.ErrNotExist)
	b.is(b.FS.Rename(b.ctx, b.at("moved"), b.at("nowhere/x"), false), fs.ErrNotExist)
	b.is(b.FS.Rename(b.ctx, b.at("other"), b.at("other/inner/self"), false), fs.ErrInvalid)
	b.holds("moved", "content")
}

func testRenameOverwrite(t *testing.T, b *bench) {
	b.write("old", "old")
	b.write("new", "new")
	b.ok(b.FS.Rename(b.ctx, b.at("new"), b.at("old"), true))
	b.holds("old", "new")
	b.missing("new")

	b.ok(b.FS.Rename(b.ctx, b.at("old"), b.at("free"), true))
	b.holds("free", "new")
	b.ok(b.FS.Mkdir(b.ctx, b.at("dir"), 0o755))
	b.ok(b.FS.Mkdir(b.ctx, b.at("empty"), 0o755))
	b.is(b.FS.Rename(b.ctx, b.at("free"), b.at("dir"), true), fs.ErrExist)
	b.is(b.FS.Rename(b.ctx, b.at("dir"), b.at("free"), true), fs.ErrExist)
	b.is(b.FS.Rename(b.ctx, b.at("dir"), b.at("empty"), true), fs.ErrExist)
	b.is(b.FS.Rename(b.ctx, b.at("free"), b.at("free"), true), fs.ErrExist)
	b.is(b.FS.Rename(b.ctx, b.at("nowhere"), b.at("free"), true), fs.ErrNotExist)
	b.is(b.FS.Rename(b.ctx, b.at("free"), b.at("nowhere/x"), true), fs.ErrNotExist)
	b.ok(b.FS.Rename(b.ctx, b.at("dir"), b.at("dir2"), true))
	b.holds("free", "new")
}

func testRemove(t *testing.T, b *bench) {
	b.ok(b.FS.Mkdir(b.ctx, b.at("dir/inner"), 0o755))
	b.write("dir/inner/file", "x")
	b.write("dirs", "not below dir")
	b.is(b.FS.Remove(b.ctx, b.at("dir"), false), dfs.ErrNotEmpty)
	b.holds("dir/inner/file", "x")
	b.ok(b.FS.Remove(b.ctx, b.at("dir/inner/file"), false))
	b.ok(b.FS.Remove(b.ctx, b.at("dir/inner"), false))
	b.write("dir/again", "x")
	b.ok(b.FS.Remove(b.ctx, b.at("dir"), true))
	b.missing("dir")
	b.missing("dir/again")
	b.holds("dirs", "not below dir")
	b.ok(b.FS.Remove(b.ctx, b.at("dirs"), true))
	b.is(b.FS.Remove(b.ctx, b.at("dir"), false), fs.ErrNotExist)
	b.is(b.FS.Remove(b.ctx, b.at("dir"), true), fs.ErrNotExist)
	b.is(b.FS.Remove(b.ctx, "/", false), fs.ErrInvalid)
}

func testModes(t *testing.T, b *bench) {
	b.write("file", "x")
	b.ok(b.FS.Mkdir(b.ctx, b.at("dir"), 0o1777|fs.ModeSticky))
	for _, mode := range []fs.FileMode{0o600, 0o444, 0o777, 0o644} {
		b.ok(b.FS.Chmod(b.ctx, b.at("file"), mode))
		if info, err := b.FS.Stat(b.ctx, b.at("file")); err != nil || info.Mode != mode {
			t.Errorf("mode %v, %v, want %v", info.Mode, err, mode)
		}
	}
	if info, err := b.FS.Stat(b.ctx, b.at("dir")); err != nil || info.Mode != fs.ModeDir|fs.ModeSticky|0o777 {
		t.Errorf("mode %v, %v, want dtrwxrwxrwx", info.Mode, err)
	}
	b.ok(b.FS.Chmod(b.ctx, b.at("dir"), 0o700))
	if info, err := b.FS.Stat(b.ctx, b.at("dir")); err != nil || info.Mode != fs.ModeDir|0o700 {
		t.Errorf("mode %v, %v, want drwx------", info.Mode, err)
	}
	b.ok(b.put(b.at("secret"), nil, dfs.CreateOptions{Mode: 0o600}))
	if info, err := b.FS.Stat(b.ctx, b.at("secret")); err != nil || info.Mode != 0o600 {
		t.Errorf("mode %v, %v, want -rw-------", info.Mode, err)
	}
	b.is(b.FS.Chmod(b.ctx, b.at("nowhere"), 0o644), fs.ErrNotExist)
}

// testTimes: a NodeManager localizes a file only if its time is, to the millisecond, what the
// application said.
func testTimes(t *testing.T, b *bench) {
	start := time.Now().Add(-time.Minute) // clocks of two machines
	b.write("file", "x")
	first, err := b.FS.Stat(b.ctx, b.at("file"))
	b.ok(err)
	if first.ModTime.Before(start) || first.ModTime.After(time.Now().Add(time.Minute)) {
		t.Errorf("written now, the time is %v", first.ModTime)
	}
	if first.ModTime.Nanosecond()%int(time.Millisecond) != 0 {
		t.Errorf("%v is finer than a millisecond", first.ModTime)
	}
	b.read("file")
	b.ok(b.FS.Chmod(b.ctx, b.at("file"), 0o600))
	b.write("another", "x")
	again, err := b.FS.Stat(b.ctx, b.at("file"))
	b.ok(err)
	list, err := b.FS.List(b.ctx, b.Dir)
	b.ok(err)
	if !again.ModTime.Equal(first.ModTime) || len(list) != 2 || !list[1].ModTime.Equal(first.ModTime) {
		t.Errorf("the time is %v, later %v, listed %v", first.ModTime, again.ModTime, list)
	}
}

func testNames(t *testing.T, b *bench) {
	for _, name := range []string{"", "relative", "./x", "/a\x00b"} {
		_, err := b.FS.Stat(b.ctx, name)
		b.is(err, fs.ErrInvalid)
		_, err = b.FS.Create(b.ctx, name, dfs.CreateOptions{})
		b.is(err, fs.ErrInvalid)
		b.is(b.FS.Mkdir(b.ctx, name, 0o755), fs.ErrInvalid)
		b.is(b.FS.Rename(b.ctx, b.Dir, name, false), fs.ErrInvalid)
	}
	b.write("x", "found")
	info, err := b.FS.Stat(b.ctx, b.Dir+"//y/.././x/")
	b.ok(err)
	if info.Name != b.at("x") {
		t.Errorf("a name that is not clean came back as %s", info.Name)
	}
	for _, name := range []string{"with space", "percent%20", "plus+&?#", "ünïcödé", "quote'\"", strings.Repeat("l", 200)} {
		b.write(name, name)
		b.holds(name, name)
		b.ok(b.FS.Remove(b.ctx, b.at(name), false))
	}
}

func testCancelled(t *testing.T, b *bench) {
	b.write("file", "x")
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	_, err := b.FS.Stat(ctx, b.at("file"))
	b.is(err, context.Canceled)
	_, err = b.FS.List(ctx, b.Dir)
	b.is(err, context.Canceled)
	_, err = b.FS.Open(ctx, b.at("file"))
	b.is(err, context.Canceled)
	_, err = b.FS.Create(ctx, b.at("new"), dfs.CreateOptions{})
	b.is(err, context.Canceled)
	_, err = b.FS.Append(ctx, b.at("file"))
	b.is(err, context.Canceled)
	b.is(b.FS.Mkdir(ctx, b.at("dir"), 0o755), context.Canceled)
	b.is(b.FS.Rename(ctx, b.at("file"), b.at("moved"), false), context.Canceled)
	b.is(b.FS.Remove(ctx, b.at("file"), false), context.Canceled)
	b.is(b.FS.Chmod(ctx, b.at("file"), 0o600), context.Canceled)
	if got := b.names("."); !slices.Equal(got, []string{"file"}) {
		t.Errorf("cancelled operations left %q", got)
	}
	b.holds("file", "x")
}

func testStranger(t *testing.T, b *bench) {
	b.write("readable", "x")
	b.ok(b.put(b.at("secret"), []byte("x"), dfs.CreateOptions{Mode: 0o600}))
	b.ok(b.FS.Mkdir(b.ctx, b.at("closed"), 0o700))
	b.write("closed/file", "x")

	_, err := b.Stranger.Stat(b.ctx, b.at("secret"))
	b.ok(err)
	f, err := b.Stranger.Open(b.ctx, b.at("readable"))
	b.ok(err)
	b.ok(f.Close())
	_, err = b.Stranger.Open(b.ctx, b.at("secret"))
	b.is(err, fs.ErrPermission)
	_, err = b.Stranger.Stat(b.ctx, b.at("closed/file"))
	b.is(err, fs.ErrPermission)
	_, err = b.Stranger.List(b.ctx, b.at("closed"))
	b.is(err, fs.ErrPermission)
	_, err = b.Stranger.Create(b.ctx, b.at("new"), dfs.CreateOptions{})
	b.is(err, fs.ErrPermission)
	_, err = b.Stranger.Append(b.ctx, b.at("readable"))
	b.is(err, fs.ErrPermission)
	b.is(b.Stranger.Mkdir(b.ctx, b.at("dir"), 0o755), fs.ErrPermission)
	b.is(b.Stranger.Rename(b.ctx, b.at("readable"), b.at("moved"), false), fs.ErrPermission)
	b.is(b.Stranger.Remove(b.ctx, b.at("readable"), false), fs.ErrPermission)
	b.is(b.Stranger.Chmod(b.ctx, b.at("readable"), 0o777), fs.ErrPermission)
	b.holds("readable", "x")
}

func testURI(t *testing.T, b *bench) {
	name := b.at("a b%20#?+;&=é")
	if got := uri.Parse(b.FS.URI(name)); got.Scheme == "" || got.Path != name {
		t.Errorf("%s, as a URI, is %s", name, got)
	}
	b.write("a b%20#?+;&=é", "1")
	b.holds("a b%20#?+;&=é", "1")
	if home := b.FS.Home(); !strings.HasPrefix(home, "/") {
		t.Errorf("home is %q", home)
	}
}

// testSweep: whoever lives loses nothing.
func testSweep(t *testing.T, b *bench) {
	b.write("file", "1")
	w, err := b.FS.Create(b.ctx, b.at("new"), dfs.CreateOptions{})
	b.ok(err)
	_, err = w.Write([]byte("half"))
	b.ok(err)
	gone, err := b.FS.Sweep(b.ctx, b.Dir)
	b.ok(err)
	if len(gone) > 0 {
		t.Errorf("swept %q", gone)
	}
	b.ok(w.Close())
	b.holds("new", "half")
	b.holds("file", "1")
	_, err = b.FS.Sweep(b.ctx, b.at("nowhere"))
	b.is(err, fs.ErrNotExist)
	_, err = b.FS.Sweep(b.ctx, b.at("file"))
	b.is(err, dfs.ErrNotDirectory)
}
