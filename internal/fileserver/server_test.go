package fileserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/zap/zaptest"

	"tfos/internal/dfs"
)

// oneFS is every filesystem: what is at hdfs://a/x is at hdfs:///x too.
type oneFS struct{ fs dfs.FS }

func (o oneFS) Use(ctx context.Context, uri string) (dfs.FS, string, func(), error) {
	_, rest, _ := strings.Cut(uri, "://")
	_, name, _ := strings.Cut(rest, "/")
	return o.fs, "/" + name, func() {}, nil
}

// world is a server with one program.
type world struct {
	t    *testing.T
	fs   dfs.FS
	s    *Server
	addr string
}

func newWorld(t *testing.T, f dfs.FS, memory int) *world {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, fs: f, addr: l.Addr().String()}
	w.s = New(Options{Files: oneFS{f}, Listener: l, Logger: zaptest.NewLogger(t), Memory: memory})
	ran := make(chan error, 1)
	go func() { ran <- w.s.Run() }()
	t.Cleanup(func() {
		w.s.Close()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if n := w.s.chunks.taken; n != 0 {
			t.Errorf("%d buffers were not given back", n)
		}
	})
	return w
}

func inMemory(t *testing.T) dfs.FS { return dfs.NewMemory(dfs.MemoryOptions{User: "ann"}) }

// flaky fails to accept for want of descriptors, as often as it says, before each connection.
type flaky struct {
	net.Listener
	left int
}

func (f *flaky) Accept() (net.Conn, error) {
	if f.left > 0 {
		f.left--
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return f.Listener.Accept()
}

// broken panics for one path.
type broken struct{ Files }

func (b broken) Use(ctx context.Context, uri string) (dfs.FS, string, func(), error) {
	if strings.Contains(uri, "broken") {
		panic("a fault of ours")
	}
	return b.Files.Use(ctx, uri)
}

// TestServesOnAfterFaults: a node without descriptors, a panic, and a program with too many
// connections cost those alone whom they meet.
func TestServesOnAfterFaults(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, fs: inMemory(t), addr: l.Addr().String()}
	put(t, w.fs, "/a", []byte("a"))
	w.s = New(Options{Files: broken{oneFS{w.fs}}, Listener: &flaky{l, 3}, Logger: zaptest.NewLogger(t), Connections: 2})
	ran := make(chan error, 1)
	go func() { ran <- w.s.Run() }()
	first := w.dial()
	first.must(first.names(opStat, "memory://x/a"))

	hit := w.dial()
	hit.send(opStat, appendString(nil, "memory://x/broken"))
	if n, err := hit.conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("a session that panicked answers %d bytes", n)
	}
	second := w.dial()
	second.must(second.names(opStat, "memory://x/a"))
	third := w.dial()
	if _, err := third.conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a third connection: %v", err)
	}
	first.must(first.names(opStat, "memory://x/a"))
	w.s.Close()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// client is a program's connection.
type client struct {
	t    *testing.T
	conn net.Conn
}

func (w *world) dial() *client {
	w.t.Helper()
	conn, err := net.Dial("unix", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	return &client{w.t, conn}
}

func (c *client) send(o op, payload []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(append(appendHeader(nil, len(payload), code(o)), payload...)); err != nil {
		c.t.Fatal(err)
	}
}

// answer collects a reply.
func (c *client) answer() (code, []byte) {
	c.t.Helper()
	var all []byte
	for {
		var h [headerSize]byte
		if _, err := io.ReadFull(c.conn, h[:]); err != nil {
			c.t.Fatal(err)
		}
		part := make([]byte, binary.LittleEndian.Uint32(h[:]))
		if _, err := io.ReadFull(c.conn, part); err != nil {
			c.t.Fatal(err)
		}
		switch code(h[4]) {
		case codeWorking:
		case codeMore:
			all = append(all, part...)
		default:
			return code(h[4]), append(all, part...)
		}
	}
}

func (c *client) call(o op, payload []byte) (code, []byte) {
	c.t.Helper()
	c.send(o, payload)
	return c.answer()
}

func (c *client) names(o op, names ...string) (code, []byte) {
	c.t.Helper()
	var b []byte
	for _, n := range names {
		b = appendString(b, n)
	}
	return c.call(o, b)
}

func (c *client) must(got code, result []byte) []byte {
	c.t.Helper()
	if got != codeOK {
		c.t.Fatalf("code %d: %s", got, result)
	}
	return result
}

func (c *client) read(offset, n uint64) []byte {
	c.t.Helper()
	return c.must(c.call(opRead, binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, offset), n)))
}

func put(t *testing.T, f dfs.FS, name string, data []byte) {
	t.Helper()
	if err := f.Mkdir(t.Context(), path.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	w, err := f.Create(t.Context(), name, dfs.CreateOptions{Overwrite: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, f dfs.FS, name string) (string, error) {
	t.Helper()
	r, err := f.Open(t.Context(), name)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

// TestReadsAreRight reads a file in every manner at once, with memory for all of it and with almost
// none.
func TestReadsAreRight(t *testing.T) {
	for _, memory := range []int{0, 2 * chunkSize} {
		f := inMemory(t)
		data := noise(6<<20 + 12345)
		put(t, f, "/d/f", data)
		w := newWorld(t, f, memory)
		first := w.dial()
		opened := first.must(first.names(opOpen, "hdfs://nn:1/d/f"))
		if got := binary.LittleEndian.Uint64(opened[8:]); got != uint64(len(data)) {
			t.Fatalf("size %d, want %d", got, len(data))
		}
		var readers sync.WaitGroup
		for i := range 8 {
			c := w.dial()
			c.must(c.call(opAttach, opened[:8]))
			readers.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(i)))
				size := uint64(1) << (10 + i) // up to 128 KiB
				at := random.Uint64N(uint64(len(data)))
				for range 100 {
					if random.IntN(50) == 0 || at >= uint64(len(data)) {
						at = random.Uint64N(uint64(len(data)))
					}
					if random.IntN(20) == 0 {
						at += random.Uint64N(1 << 20) // ahead
					}
					from := min(at, uint64(len(data)))
					want := data[from:min(from+size, uint64(len(data)))]
					if got := c.read(at, size); !bytes.Equal(got, want) {
						t.Errorf("[%d, +%d): %d bytes that are wrong, want %d", at, size, len(got), len(want))
						return
					}
					at += size
				}
			})
		}
		readers.Wait()
		if got := first.read(1, 1<<40); !bytes.Equal(got, data[1:]) {
			t.Errorf("all at once: %d bytes", len(got))
		}
		first.must(first.call(opClose, nil))
		first.must(first.names(opStat, "hdfs:///d/f")) // the connection is free again
	}
}

// TestAFileThatGrows is read on beyond the end that it had.
func TestAFileThatGrows(t *testing.T) {
	f := inMemory(t)
	put(t, f, "/log", []byte("one"))
	w := newWorld(t, f, 0)
	c := w.dial()
	c.must(c.names(opOpen, "hdfs:///log"))
	if got := c.read(0, 100); string(got) != "one" {
		t.Fatalf("%q", got)
	}
	put(t, f, "/log", []byte("one two"))
	if got := c.read(3, 100); string(got) != " two" {
		t.Fatalf("after it grew: %q", got)
	}
}

func TestWritersThatDie(t *testing.T) {
	f := inMemory(t)
	put(t, f, "/d/old", []byte("old"))
	put(t, f, "/d/log", []byte("log"))
	w := newWorld(t, f, 0)
	for _, c := range []struct {
		op         op
		name, want string // empty: it is not there
		flushed    bool
	}{
		{opCreate, "/d/new", "", false},
		{opCreate, "/d/old", "old", false},
		{opCreate, "/d/old", " more", true},
		{opCreate, "/d/notes", " more", true},
		{opAppend, "/d/log", "log more", true},
		{opAppend, "/d/fresh", " more", false},
		{opCreate, "/d/events.out.tfevents.1", " more", true},
	} {
		p := w.dial()
		p.must(p.names(c.op, "hdfs://"+c.name))
		p.must(p.call(opWrite, []byte(" more")))
		if c.flushed {
			p.must(p.call(opFlush, nil))
		}
		p.conn.Close()
		w.settle()
		got, err := contents(t, f, c.name)
		if c.want == "" && !errors.Is(err, fs.ErrNotExist) || c.want != "" && (err != nil || got != c.want) {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

// What a program flushed it reads: by a file's size, by opening it, by a file that it has open, and
// by copying it, under whatever name it knows it by, and however little time has passed since the
// flush before.
func TestReadBackWhatWasFlushed(t *testing.T) {
	const log = "hdfs:///d/events.out.tfevents.1"
	w := newWorld(t, inMemory(t), 0)
	put(t, w.fs, "/d/other", nil)
	writer, reader := w.dial(), w.dial()
	writer.must(writer.names(opCreate, log))
	reader.must(reader.names(opOpen, log))
	want := ""
	for _, part := range []string{"one", "two", "three", "four", "five"} {
		want += part
		writer.must(writer.call(opWrite, []byte(part)))
		writer.must(writer.call(opFlush, nil))
		if got := reader.read(uint64(len(want)-len(part)), 100); string(got) != part {
			t.Errorf("after %s, on: %q", part, got)
		}
		writer.must(writer.call(opWrite, []byte("!")))
		writer.must(writer.call(opFlush, nil))
		want += "!"
		other := w.dial()
		if got := other.must(other.names(opStat, "hdfs://a//d/./events.out.tfevents.1")); binary.LittleEndian.Uint64(got[1:]) != uint64(len(want)) {
			t.Errorf("after %s: %d bytes, want %d", part, binary.LittleEndian.Uint64(got[1:]), len(want))
		}
		writer.must(writer.call(opWrite, []byte("?")))
		writer.must(writer.call(opFlush, nil))
		want += "?"
		other.must(other.names(opOpen, log))
		if got := other.read(0, 100); string(got) != want {
			t.Errorf("after %s, opened: %q, want %q", part, got, want)
		}
		other.must(other.call(opClose, nil))
		writer.must(writer.call(opWrite, []byte(".")))
		writer.must(writer.call(opFlush, nil))
		want += "."
		other.must(other.names(opCopy, log, "hdfs:///d/copy"))
		if got, err := contents(t, w.fs, "/d/copy"); err != nil || got != want {
			t.Errorf("after %s, copied: %q, %v, want %q", part, got, err, want)
		}
	}
	writer.must(writer.call(opClose, nil))
	if len(w.s.growing.writers) != 0 {
		t.Errorf("%d files are known to grow", len(w.s.growing.writers))
	}
}

// A file that is to appear whole appears when its program flushes it, and grows from then on: a
// log, or records that another part of the program reads.
func TestAFileAppearsWhenItIsFlushed(t *testing.T) {
	w := newWorld(t, inMemory(t), 0)
	put(t, w.fs, "/d/notes.txt", []byte("old"))
	writer, reader := w.dial(), w.dial()
	writer.must(writer.names(opCreate, "hdfs:///d/notes.txt"))
	writer.must(writer.call(opWrite, []byte("one")))
	if got, err := contents(t, w.fs, "/d/notes.txt"); err != nil || got != "old" {
		t.Errorf("before the flush: %q, %v", got, err)
	}
	writer.must(writer.call(opFlush, nil))
	reader.must(reader.names(opOpen, "hdfs:///d/notes.txt"))
	if got := reader.read(0, 100); string(got) != "one" {
		t.Errorf("flushed: %q", got)
	}
	writer.must(writer.call(opWrite, []byte(" two")))
	writer.must(writer.call(opFlush, nil))
	if got := reader.read(3, 100); string(got) != " two" {
		t.Errorf("flushed again: %q", got)
	}
	writer.must(writer.call(opWrite, []byte(" three")))
	writer.must(writer.call(opClose, nil))
	if got, err := contents(t, w.fs, "/d/notes.txt"); err != nil || got != "one two three" {
		t.Errorf("closed: %q, %v", got, err)
	}
	if len(w.s.growing.writers) != 0 {
		t.Errorf("%d files are known to grow", len(w.s.growing.writers))
	}
}

// settle waits until the server has noticed every connection's end.
func (w *world) settle() {
	for {
		w.s.mu.Lock()
		n := len(w.s.conns)
		w.s.mu.Unlock()
		if n == 0 {
			return
		}
		runtime.Gosched()
	}
}

func TestWritersThatClose(t *testing.T) {
	f := inMemory(t)
	put(t, f, "/d/old", []byte("old"))
	w := newWorld(t, f, 0)
	c := w.dial()
	for range 2 {
		c.must(c.names(opCreate, "hdfs:///d/old"))
		big := noise(maxWrite)
		for range 3 {
			c.must(c.call(opWrite, big))
		}
		if got, err := contents(t, f, "/d/old"); err != nil || len(got) == maxWrite {
			t.Errorf("before it was closed: %d bytes, %v", len(got), err)
		}
		c.must(c.call(opSync, nil))
		c.must(c.call(opClose, nil))
		if got, err := contents(t, f, "/d/old"); err != nil || got != strings.Repeat(string(big), 3) {
			t.Errorf("closed: %d bytes, %v", len(got), err)
		}
	}
	if got := c.must(c.names(opAppend, "hdfs:///d/old")); binary.LittleEndian.Uint64(got) != 3*maxWrite {
		t.Errorf("appends at %d", binary.LittleEndian.Uint64(got))
	}
}

// TestErrors are those that TensorFlow's own filesystem would have.
func TestErrors(t *testing.T) {
	f := dfs.NewMemory(dfs.MemoryOptions{User: "ann", Refuse: func(op, name string) error {
		if op == "list" && strings.HasPrefix(name, "/d/f/") { // so a NameNode calls it
			return &fs.PathError{Op: op, Path: name, Err: fs.ErrPermission}
		}
		return nil
	}})
	put(t, f, "/d/f", nil)
	put(t, f, "/full/x/y", nil)
	if err := f.Mkdir(t.Context(), "/empty", 0o755); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, f, 0)
	for _, c := range []struct {
		op    op
		names []string
		code  code
	}{
		{opStat, []string{"/none"}, codeNotFound},
		{opExists, []string{"/d/f/x"}, codeNotFound},
		{opExists, []string{"/d/f"}, codeOK},
		{opList, []string{"/none"}, codeNotFound},
		{opList, []string{"/d/f"}, codeFailedPrecondition},
		{opList, []string{"/d/f/x"}, codeFailedPrecondition},
		{opGlob, []string{"/none/*"}, codeOK},
		{opGlob, []string{"/d/*/x/*"}, codeOK},
		{opMkdir, []string{"/d"}, codeAlreadyExists},
		{opMkdir, []string{"/no/such"}, codeNotFound},
		{opMkdir, []string{"/d/f/x"}, codeFailedPrecondition},
		{opMkdirs, []string{"/d/f"}, codeFailedPrecondition},
		{opMkdirs, []string{"/d"}, codeOK},
		{opRemove, []string{"/d"}, codeFailedPrecondition},
		{opRemove, []string{"/none"}, codeNotFound},
		{opRmdir, []string{"/d"}, codeFailedPrecondition},
		{opRmdir, []string{"/d/f"}, codeFailedPrecondition},
		{opRename, []string{"/none", "/x"}, codeNotFound},
		{opRename, []string{"/d/f", "/no/such"}, codeNotFound},
		{opRename, []string{"/d/f", "/empty"}, codeFailedPrecondition},
		{opRename, []string{"/empty", "/d/f"}, codeFailedPrecondition},
		{opRename, []string{"/empty", "/full"}, codeFailedPrecondition},
		{opRename, []string{"/full", "/full/z"}, codeInvalidArgument},
		{opRename, []string{"/d/f", "/d/f"}, codeOK},
		{opRename, []string{"/full", "/empty"}, codeOK},
		{opCopy, []string{"/d", "/e"}, codeInvalidArgument},
		{opCopy, []string{"/d/f", "/empty"}, codeFailedPrecondition},
		{opCopy, []string{"/d/f", "/d/g"}, codeOK},
		{opOpen, []string{"/none"}, codeNotFound},
		{opOpen, []string{"/no/such"}, codeNotFound},
		{opOpen, []string{"/d/f/x"}, codeFailedPrecondition},
		{opOpen, []string{"/d"}, codeFailedPrecondition},
		{opCreate, []string{"/d"}, codeFailedPrecondition},
		{opCreate, []string{"/no/such"}, codeNotFound},
		{opAppend, []string{"/d"}, codeFailedPrecondition},
		{opRemoveAll, []string{"/none"}, codeNotFound},
		{opRemoveAll, []string{"/empty"}, codeOK},
	} {
		p := w.dial()
		names := slices.Clone(c.names)
		for i := range names {
			names[i] = "hdfs://nn:1" + names[i]
		}
		got, result := p.names(c.op, names...)
		if got != c.code {
			t.Errorf("operation %d on %v: code %d (%s), want %d", c.op, c.names, got, result, c.code)
		}
		if got != codeOK && len(result) == 0 {
			t.Errorf("operation %d on %v: an error without a message", c.op, c.names)
		}
	}
}

// TestTheAgentEnds: a writer fails, and what it wrote does not appear.
func TestTheAgentEnds(t *testing.T) {
	f := inMemory(t)
	w := newWorld(t, f, 0)
	c := w.dial()
	c.must(c.names(opCreate, "hdfs:///f"))
	c.must(c.call(opWrite, []byte("x")))
	w.s.Close()
	if n, err := c.conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes after the end", n)
	}
	w.settle()
	if _, err := contents(t, f, "/f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file: %v", err)
	}
}

func FuzzRequests(f *testing.F) {
	for o := opStat; o <= opBroke+1; o++ {
		f.Add(append(appendHeader(nil, 6, code(o)), 2, 0, 0, 0, '/', 'a'))
	}
	f.Add(append(appendHeader(nil, 6, code(opCreate)), 2, 0, 0, 0, '/', 'a', 1, 0, 0, 0, byte(opWrite), 'x', 0, 0, 0, 0, byte(opClose)))
	f.Fuzz(func(t *testing.T, in []byte) {
		memory := dfs.NewMemory(dfs.MemoryOptions{User: "ann"})
		s := New(Options{Files: oneFS{memory}, Memory: chunkSize})
		ours, theirs := net.Pipe()
		go io.Copy(io.Discard, theirs)
		go func() {
			theirs.Write(in)
			theirs.Close()
		}()
		newSession(s, ours).serve()
	})
}

// TestErrorsSayWhatToDo where only a person can do it: the message is likely to be the last line of
// a program, and so in the job's diagnostics.
func TestErrorsSayWhatToDo(t *testing.T) {
	var refusal error
	f := dfs.NewMemory(dfs.MemoryOptions{User: "ann", Refuse: func(op, _ string) error {
		if op == "write" {
			return refusal
		}
		return nil
	}})
	w := newWorld(t, f, 0)
	for _, c := range []struct {
		err  error
		code code
		says string
	}{
		{dfs.ErrQuota, codeResourceExhausted, "raise the quota"},
		{fs.ErrPermission, codePermissionDenied, "have the job's user given the permission"},
		{dfs.ErrCredentials, codeUnauthenticated, "tfos resume"},
	} {
		refusal = c.err
		p := w.dial()
		p.must(p.names(opCreate, "hdfs://nn:1/f"))
		got, text := p.call(opWrite, []byte("x"))
		if got != c.code || !strings.Contains(string(text), "/f: "+c.err.Error()) || !strings.Contains(string(text), c.says) {
			t.Errorf("code %d: %s", got, text)
		}
	}
}

// sweeping remembers which directories were swept.
type sweeping struct {
	dfs.FS
	mu   sync.Mutex
	dirs []string // guarded by mu
}

func (s *sweeping) Sweep(_ context.Context, dir string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirs = append(s.dirs, dir)
	return nil, nil
}

// TestSweepsWhereItWrites: what dead writers left is looked for in each directory in which
// something is created, and not each time.
func TestSweepsWhereItWrites(t *testing.T) {
	f := &sweeping{FS: inMemory(t)}
	t.Cleanup(func() { // after the server's end
		slices.Sort(f.dirs)
		if !slices.Equal(f.dirs, []string{"/a", "/b"}) {
			t.Errorf("swept %v", f.dirs)
		}
	})
	put(t, f, "/a/x", nil)
	put(t, f, "/b/x", nil)
	w := newWorld(t, f, 0)
	for _, name := range []string{"/a/1", "/a/2", "/b/1"} {
		p := w.dial()
		p.must(p.names(opCreate, "hdfs://nn:1"+name))
		p.must(p.call(opClose, nil))
	}
}
