package dfstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"testing"

	"tfos/internal/dfs"
)

var (
	notExist     = fs.ErrNotExist
	overwriting  = dfs.CreateOptions{Overwrite: true}
	largeContent = pattern(5<<20 + 12345) // not a multiple of any chunk, packet or block
)

func testCreate(t *testing.T, b *bench) {
	w, err := b.FS.Create(b.ctx, b.at("new"), dfs.CreateOptions{Mode: 0o640})
	b.ok(err)
	_, err = w.Write([]byte("half"))
	b.ok(err)
	b.ok(w.Sync())
	b.missing("new")
	if got := b.names("."); len(got) != 0 {
		t.Errorf("while a file is written its directory lists %q", got)
	}
	_, err = w.Write([]byte(" and whole"))
	b.ok(err)
	b.ok(w.Close())
	b.holds("new", "half and whole")
	if got := b.names("."); !slices.Equal(got, []string{"new"}) {
		t.Errorf("afterwards the directory lists %q, want the file alone", got)
	}
	if info, err := b.FS.Stat(b.ctx, b.at("new")); err != nil || info.Mode != 0o640 {
		t.Errorf("mode %v, %v, want -rw-r-----", info.Mode, err)
	}
	b.is(w.Close(), fs.ErrClosed)
	w.Abort()
	b.holds("new", "half and whole")

	b.write("empty", "")
	b.holds("empty", "")
	if info, err := b.FS.Stat(b.ctx, b.at("empty")); err != nil || info.Mode != 0o644 {
		t.Errorf("mode %v, %v, want the default -rw-r--r--", info.Mode, err)
	}
}

func testOverwrite(t *testing.T, b *bench) {
	b.write("file", "old")
	reader, err := b.FS.Open(b.ctx, b.at("file"))
	b.ok(err)
	defer reader.Close()

	w, err := b.FS.Create(b.ctx, b.at("file"), overwriting)
	b.ok(err)
	_, err = w.Write([]byte("new content"))
	b.ok(err)
	b.holds("file", "old")
	b.ok(w.Close())
	b.holds("file", "new content")

	b.ok(b.put(b.at("file"), nil, overwriting))
	b.holds("file", "")
	b.ok(b.put(b.at("fresh"), []byte("x"), overwriting))
	b.holds("fresh", "x")

	// Of two who create the same file without Overwrite one wins, and neither is mixed with the
	// other.
	first, err := b.FS.Create(b.ctx, b.at("race"), dfs.CreateOptions{})
	b.ok(err)
	second, err := b.FS.Create(b.ctx, b.at("race"), dfs.CreateOptions{})
	b.ok(err)
	b.ok(finish(second, []byte("second")))
	b.is(finish(first, []byte("first")), fs.ErrExist)
	b.holds("race", "second")
	if got := b.names("."); !slices.Equal(got, []string{"file", "fresh", "race"}) {
		t.Errorf("left behind: %q", got)
	}
}

func testAbort(t *testing.T, b *bench) {
	w, err := b.FS.Create(b.ctx, b.at("gone"), dfs.CreateOptions{})
	b.ok(err)
	_, err = w.Write(pattern(100_000))
	b.ok(err)
	w.Abort()
	w.Abort()
	b.missing("gone")
	_, err = w.Write([]byte("x"))
	b.is(err, fs.ErrClosed)
	b.is(w.Close(), fs.ErrClosed)
	b.missing("gone")

	b.write("kept", "old")
	w, err = b.FS.Create(b.ctx, b.at("kept"), overwriting)
	b.ok(err)
	_, err = w.Write([]byte("new"))
	b.ok(err)
	w.Abort()
	b.holds("kept", "old")

	untouched, err := b.FS.Create(b.ctx, b.at("untouched"), dfs.CreateOptions{})
	b.ok(err)
	untouched.Abort()
	b.missing("untouched")
	b.ok(b.FS.Remove(b.ctx, b.at("kept"), false))
	b.ok(b.FS.Remove(b.ctx, b.Dir, false)) // nothing hidden is left
}

func testCreateErrors(t *testing.T, b *bench) {
	b.write("file", "x")
	b.ok(b.FS.Mkdir(b.ctx, b.at("dir"), 0o755))
	_, err := b.FS.Create(b.ctx, b.at("file"), dfs.CreateOptions{})
	b.is(err, fs.ErrExist)
	_, err = b.FS.Create(b.ctx, b.at("dir"), dfs.CreateOptions{})
	b.is(err, fs.ErrExist)
	_, err = b.FS.Create(b.ctx, b.at("dir"), overwriting)
	b.is(err, fs.ErrExist)
	_, err = b.FS.Create(b.ctx, b.at("nowhere/file"), dfs.CreateOptions{})
	b.is(err, fs.ErrNotExist)
	_, err = b.FS.Create(b.ctx, b.at("file/below"), dfs.CreateOptions{})
	b.is(err, dfs.ErrNotDirectory)
	b.missing("nowhere")
}

func testRead(t *testing.T, b *bench) {
	content := pattern(200_000)
	b.write("file", string(content))
	f, err := b.FS.Open(b.ctx, b.at("file"))
	b.ok(err)
	if f.Size() != int64(len(content)) {
		t.Errorf("size %d, want %d", f.Size(), len(content))
	}
	check := func(offset int64, n int) {
		t.Helper()
		got := make([]byte, n)
		_, err := io.ReadFull(f, got)
		b.ok(err)
		if !bytes.Equal(got, content[offset:offset+int64(n)]) {
			t.Errorf("wrong bytes at offset %d", offset)
		}
	}
	check(0, 10)
	check(10, 70_000)
	for _, seek := range []struct {
		offset int64
		whence int
		want   int64
	}{
		{150_000, io.SeekStart, 150_000}, {-140_000, io.SeekCurrent, 10_100}, {-100, io.SeekEnd, 199_900},
		{511, io.SeekStart, 511}, {2, io.SeekCurrent, 613}, {0, io.SeekStart, 0},
	} {
		at, err := f.Seek(seek.offset, seek.whence)
		b.ok(err)
		if at != seek.want {
			t.Errorf("seek %+v went to %d", seek, at)
		}
		check(at, 100)
	}

	_, err = f.Seek(0, io.SeekEnd)
	b.ok(err)
	if n, err := f.Read(make([]byte, 10)); n != 0 || err != io.EOF {
		t.Errorf("read at the end: %d, %v, want 0, EOF", n, err)
	}
	_, err = f.Seek(10, io.SeekEnd)
	b.ok(err)
	if n, err := f.Read(make([]byte, 10)); n != 0 || err != io.EOF {
		t.Errorf("read behind the end: %d, %v, want 0, EOF", n, err)
	}
	if _, err := f.Seek(-1, io.SeekStart); err == nil {
		t.Error("seek before the start succeeded")
	}

	part := make([]byte, 300)
	if n, err := f.ReadAt(part, 199_800); n != 200 || err != io.EOF || !bytes.Equal(part[:n], content[199_800:]) {
		t.Errorf("read 300 bytes at 200 before the end: %d, %v, want 200, EOF", n, err)
	}
	if n, err := f.ReadAt(part, 200_001); n != 0 || err != io.EOF {
		t.Errorf("read behind the end: %d, %v, want 0, EOF", n, err)
	}
	if _, err := f.ReadAt(part, -1); err == nil {
		t.Error("read before the start succeeded")
	}
	b.ok(f.Close())

	b.ok(b.FS.Mkdir(b.ctx, b.at("dir"), 0o755))
	_, err = b.FS.Open(b.ctx, b.at("dir"))
	b.is(err, dfs.ErrIsDirectory)
	_, err = b.FS.Open(b.ctx, b.at("nowhere"))
	b.is(err, fs.ErrNotExist)
}

func testLargeFile(t *testing.T, b *bench) {
	w, err := b.FS.Create(b.ctx, b.at("large"), dfs.CreateOptions{})
	b.ok(err)
	for rest, n := largeContent, 1; len(rest) > 0; n = n*3 + 1 { // writes of many sizes
		n = min(n, len(rest))
		_, err := w.Write(rest[:n])
		b.ok(err)
		rest = rest[n:]
	}
	b.ok(w.Close())
	if got := b.read("large"); !bytes.Equal(got, largeContent) {
		t.Errorf("%d bytes came back changed", len(got))
	}
	if b.BlockSize == 0 {
		return
	}
	f, err := b.FS.Open(b.ctx, b.at("large"))
	b.ok(err)
	defer f.Close()
	for edge := b.BlockSize; edge < int64(len(largeContent)); edge += b.BlockSize {
		got := make([]byte, 1000)
		_, err := f.ReadAt(got, edge-500)
		b.ok(err)
		if !bytes.Equal(got, largeContent[edge-500:edge+500]) {
			t.Errorf("wrong bytes around the block edge at %d", edge)
		}
	}
}

func testReadConcurrently(t *testing.T, b *bench) {
	b.ok(b.put(b.at("large"), largeContent, dfs.CreateOptions{}))
	f, err := b.FS.Open(b.ctx, b.at("large"))
	b.ok(err)
	defer f.Close()
	var readers sync.WaitGroup
	for i := range 8 {
		readers.Go(func() {
			for j := range 20 {
				got := make([]byte, 3000)
				offset := int64((i*7919 + j*260_017) % (len(largeContent) - len(got)))
				if _, err := f.ReadAt(got, offset); err != nil || !bytes.Equal(got, largeContent[offset:offset+3000]) {
					t.Errorf("reader %d got wrong bytes at %d, %v", i, offset, err)
				}
			}
		})
	}
	all, err := io.ReadAll(f) // ReadAt leaves the position alone
	b.ok(err)
	readers.Wait()
	if !bytes.Equal(all, largeContent) {
		t.Error("reading in sequence was disturbed by ReadAt")
	}
}

func testAppend(t *testing.T, b *bench) {
	var want []byte
	b.write("journal", "")
	for _, n := range []int{1, 0, 511, 1, 513, 70_000, 3, 1 << 20} { // across the edges of chunks, packets and blocks
		w, err := b.FS.Append(b.ctx, b.at("journal"))
		b.ok(err)
		piece := pattern(n)
		b.ok(finish(w, piece))
		want = append(want, piece...)
		b.holds("journal", string(want))
	}
	_, err := b.FS.Append(b.ctx, b.at("nowhere"))
	b.is(err, fs.ErrNotExist)
	b.ok(b.FS.Mkdir(b.ctx, b.at("dir"), 0o755))
	_, err = b.FS.Append(b.ctx, b.at("dir"))
	b.is(err, dfs.ErrIsDirectory)
}

func testSync(t *testing.T, b *bench) {
	b.write("journal", "")
	w, err := b.FS.Append(b.ctx, b.at("journal"))
	b.ok(err)
	want := ""
	for i := range 5 {
		line := fmt.Sprintf("event %d\n", i)
		_, err := w.Write([]byte(line))
		b.ok(err)
		b.ok(w.Sync())
		b.ok(w.Sync())
		want += line
		b.holds("journal", want)
	}
	_, err = w.Write([]byte("last"))
	b.ok(err)
	b.ok(w.Close())
	b.holds("journal", want+"last")
	b.is(w.Sync(), fs.ErrClosed)
}

func testManyAtOnce(t *testing.T, b *bench) {
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			name, content := b.at(fmt.Sprintf("file-%d", i)), pattern(1000*(i+1))
			if err := b.put(name, content, dfs.CreateOptions{}); err != nil {
				t.Error(err)
				return
			}
			f, err := b.FS.Open(b.ctx, name)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s came back changed, %v", name, err)
			}
		})
		writers.Go(func() {
			if err := b.FS.Mkdir(b.ctx, b.at("shared/deep"), 0o755); err != nil {
				t.Error(err)
			}
			if _, err := b.FS.List(b.ctx, b.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	if got := b.names("."); len(got) != 9 {
		t.Errorf("the directory lists %q, want 8 files and a directory", got)
	}
}
