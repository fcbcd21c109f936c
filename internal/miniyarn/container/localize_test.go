package container

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tfos/internal/unpack"
	"tfos/internal/yarn"
)

var packed = time.UnixMilli(1_600_000_000_000)

// entry is a file of an archive; target makes it a link, and a name that ends in "/" a directory.
type entry struct {
	name, content, target string
	hard                  bool
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o777, Size: int64(len(e.content)), ModTime: packed, Typeflag: tar.TypeReg, Linkname: e.target}
		switch {
		case e.hard:
			h.Typeflag = tar.TypeLink
		case e.target != "":
			h.Typeflag = tar.TypeSymlink
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zipOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Modified: packed, Method: zip.Deflate}
		h.SetMode(0o644)
		content := e.content
		if e.target != "" {
			h.SetMode(fs.ModeSymlink | 0o777)
			content = e.target
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, content); err != nil && !strings.HasSuffix(e.name, "/") {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// local writes a file and describes it as a resource.
func local(t testing.TB, name string, content []byte) yarn.LocalResource {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, content, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(p)
	if err != nil {
		t.Fatal(err)
	}
	return yarn.LocalResource{URI: "file://" + p, Size: info.Size(), ModTime: info.ModTime(), Visibility: yarn.Private}
}

func archive(r yarn.LocalResource) yarn.LocalResource {
	r.Archive = true
	return r
}

var good = []entry{{name: "env/"}, {name: "env/bin/prog", content: "#!/bin/sh\necho packed"}, {name: "env/bin/link", target: "prog"}, {name: "env/outside", target: "/bin/sh"}}

func TestLocalization(t *testing.T) {
	b := newBench(t, Options{})
	script := local(t, "run.sh", []byte("#!/bin/sh\necho script"))
	l := b.launch("for f in ./run.sh ./a/run.sh tar/env/bin/prog tgz/env/bin/link zip/env/bin/prog; do \\$f; done >'<LOG_DIR>/out';" +
		" stat -Lc '%a %Y' run.sh tar/env/bin/prog tar/env >'<LOG_DIR>/stat'; readlink tar/env/outside >>'<LOG_DIR>/out'; cat zip/env/bin/link >>'<LOG_DIR>/out'; cat plain >>'<LOG_DIR>/out'")
	l.Context.Files = map[string]yarn.LocalResource{
		"run.sh": script, "a/run.sh": script,
		"tar":   archive(local(t, "e.tar", tarOf(t, good...))),
		"tgz":   archive(local(t, "E.TGZ", gzipOf(t, tarOf(t, good...)))),
		"zip":   archive(local(t, "e.zip", zipOf(t, good...))),
		"plain": archive(local(t, "e.tar.zst", []byte("not unpacked"))),
	}
	if exit := b.run(l); exit.Status != 0 {
		t.Fatalf("%+v", exit)
	}
	if got, want := b.log(l, "out"), "script\nscript\npacked\npacked\npacked\n/bin/sh\nprognot unpacked"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	lines := strings.Split(b.log(l, "stat"), "\n")
	if !strings.HasPrefix(lines[0], "500 ") || lines[1] != "500 1600000000" || lines[2] != "700 1600000000" {
		t.Errorf("modes and times %q", lines)
	}
}

func TestLocalizationFailures(t *testing.T) {
	b := newBench(t, Options{})
	file := local(t, "f", []byte("x"))
	changed, missing, foreign, private, dir := file, file, file, file, file
	changed.ModTime = file.ModTime.Add(-time.Millisecond)
	missing.URI += "nope"
	foreign.URI = "hdfs://nn:8020/f"
	private.Visibility = yarn.Public
	dir.URI = "file://" + t.TempDir()
	escape := func(entries ...entry) yarn.LocalResource { return archive(local(t, "e.tar", tarOf(t, entries...))) }
	outside := t.TempDir()
	for name, x := range map[string]struct {
		link string
		res  yarn.LocalResource
		says string
	}{
		"changed":          {"f", changed, "changed on src filesystem - expected: "},
		"missing":          {"f", missing, "does not exist"},
		"foreign":          {"f", foreign, `no FileSystem for scheme "hdfs"`},
		"not public":       {"f", private, "is not publicly accessible"},
		"directory":        {"f", dir, "is not a file"},
		"link outside":     {"../f", file, "outside the container's directory"},
		"absolute link":    {"/f", file, "outside the container's directory"},
		"entry outside":    {"f", escape(entry{name: "../x", content: "x"}), "would create file outside"},
		"through a link":   {"f", escape(entry{name: "d", target: outside}, entry{name: "d/x", content: "x"}), "unpack d/x"},
		"hard link":        {"f", escape(entry{name: "d", target: "../../../../etc/passwd", hard: true}), "unpack d"},
		"broken tar":       {"f", archive(local(t, "e.tar", []byte("x"))), "unexpected EOF"},
		"broken tgz":       {"f", archive(local(t, "e.tgz", []byte("x"))), "EOF"},
		"broken zip":       {"f", archive(local(t, "e.zip", []byte("x"))), "not a valid zip file"},
		"zip outside":      {"f", archive(local(t, "e.zip", zipOf(t, entry{name: "../x", content: "x"}))), "would create file outside"},
		"zip through link": {"f", archive(local(t, "e.zip", zipOf(t, entry{name: "d", target: outside}, entry{name: "d/x", content: "x"}))), "unpack d/x"},
	} {
		l := b.launch("true")
		l.Context.Files = map[string]yarn.LocalResource{x.link: x.res}
		exit := b.run(l)
		if exit.Status != yarn.ExitInvalid || !strings.Contains(exit.Diagnostics, x.says) {
			t.Errorf("%s: %+v, want %q", name, exit, x.says)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("an archive wrote outside: %v, %v", left, err)
	}
	if left, err := filepath.Glob(filepath.Join(b.dir, "usercache/ann/filecache/*")); err != nil || len(left) > 0 {
		t.Errorf("failed localizations left %v, %v", left, err)
	}
}

func TestCachesAreShared(t *testing.T) {
	var fetched atomic.Int32
	b := newBench(t, Options{Fetch: func(context.Context, string) (Source, error) {
		fetched.Add(1)
		return Source{Body: io.NopCloser(strings.NewReader("far")), ModTime: packed}, nil
	}})
	far := yarn.LocalResource{URI: "far://h:1/dir/f", ModTime: packed}
	for _, x := range []struct {
		visibility yarn.Visibility
		app        int32
		user       string
		fetched    int32
	}{
		{yarn.Private, 1, "ann", 1}, {yarn.Private, 2, "ann", 1}, {yarn.Private, 1, "bob", 2},
		{yarn.Application, 1, "ann", 3}, {yarn.Application, 1, "ann", 3}, {yarn.Application, 2, "ann", 4},
		{yarn.Public, 1, "ann", 5}, {yarn.Public, 2, "bob", 5},
	} {
		far.Visibility = x.visibility
		l := b.launch("[ \\$(cat f) = far ]")
		l.ID.Attempt.Application.Sequence, l.User = x.app, x.user
		l.Context.Files = map[string]yarn.LocalResource{"f": far}
		if exit := b.run(l); exit.Status != 0 {
			t.Fatalf("%+v", exit)
		}
		if fetched.Load() != x.fetched {
			t.Errorf("%+v: fetched %d times", x, fetched.Load())
		}
	}
	app := yarn.ApplicationID{ClusterTimestamp: 17, Sequence: 1}
	if err := b.r.EndApplication(b.dir, "ann", app); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(appDir(b.dir, "ann", app)); !os.IsNotExist(err) {
		t.Errorf("the application's directory stayed: %v", err)
	}
	far.Visibility = yarn.Application
	l := b.launch("[ \\$(cat f) = far ]")
	l.Context.Files = map[string]yarn.LocalResource{"f": far}
	if exit := b.run(l); exit.Status != 0 || fetched.Load() != 6 {
		t.Errorf("after the application's end: %+v, fetched %d times", exit, fetched.Load())
	}
}

// A container that is stopped while it brings a file must not fail another one that waits for the
// same file.
func TestWhoGivesUpDoesNotSpoilItForOthers(t *testing.T) {
	first := make(chan struct{})
	var calls atomic.Int32
	b := newBench(t, Options{Fetch: func(ctx context.Context, _ string) (Source, error) {
		if calls.Add(1) == 1 {
			close(first)
			<-ctx.Done()
			return Source{}, ctx.Err()
		}
		return Source{Body: io.NopCloser(strings.NewReader("far")), ModTime: packed}, nil
	}})
	files := map[string]yarn.LocalResource{"f": {URI: "far://h/f", ModTime: packed, Visibility: yarn.Private}}
	l1, l2 := b.launch("true"), b.launch("true")
	l1.Context.Files, l2.Context.Files = files, files
	ctx, cancel := context.WithCancelCause(t.Context())
	end1 := b.background(ctx, l1)
	<-first
	end2 := b.background(t.Context(), l2)
	cancel(&Stop{Status: yarn.ExitKilledByAM, Diagnostics: "stopped"})
	if exit := <-end1; exit.Status != yarn.ExitKilledByAM {
		t.Errorf("%+v", exit)
	}
	if exit := <-end2; exit.Status != 0 {
		t.Errorf("%+v", exit)
	}
}

// FuzzUnpack: whatever an archive holds, nothing appears beside the directory that it is unpacked
// into.
func FuzzUnpack(f *testing.F) {
	f.Add("e.tar", tarOf(f, good...))
	f.Add("e.tar", tarOf(f, entry{name: "d", target: ".."}, entry{name: "d/x", content: "x"}))
	f.Add("e.tgz", gzipOf(f, tarOf(f, entry{name: "/x", content: "x"}, entry{name: "x/y", content: "y"})))
	f.Add("e.zip", zipOf(f, good...))
	f.Add("e.zip", zipOf(f, entry{name: "a/../../x", content: "x"}))
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		into := unpack.Of(name)
		if into == nil {
			return
		}
		dir := t.TempDir()
		err := into(t.Context(), bytes.NewReader(b), filepath.Join(dir, "to"), modesOf(yarn.Private))
		left, readErr := os.ReadDir(dir)
		if readErr != nil {
			t.Fatal(readErr)
		}
		for _, e := range left {
			if e.Name() != "to" {
				t.Errorf("%s appeared; unpack said %v", e.Name(), err)
			}
		}
	})
}

func FuzzParseStat(f *testing.F) {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("1 (a) b) S 0 1"))
	f.Add([]byte(")" + strings.Repeat(" 0", 30) + "("))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := parseStat(1, b); ok && p.pid != 1 {
			t.Errorf("%+v", p)
		}
	})
}

func TestParseStat(t *testing.T) {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	p, ok := parseStat(os.Getpid(), b)
	if !ok || p.parent != os.Getppid() || p.rss < 1<<20 {
		t.Errorf("%+v, %v", p, ok)
	}
}
