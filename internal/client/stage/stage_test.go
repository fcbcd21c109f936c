package stage

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tfos/internal/client/exit"
	"tfos/internal/dfs"
	"tfos/internal/hadoop/uri"
	"tfos/internal/launch"
)

// write makes files below a new directory; names that end in "/" are directories.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(full, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tarGz is an archive that holds an empty file of this name.
func tarGz(t *testing.T, name string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: name, Mode: 0o755}), w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func collect(t *testing.T, items ...Item) *Set {
	t.Helper()
	s, err := Collect(items)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// at is a place in d, which is all that the cluster has.
func at(d dfs.FS, cache string) Place {
	return Place{FS: d, Cache: cache, User: "ann", Resolve: func(_ context.Context, name string) (dfs.FS, string, error) {
		if u := uri.Parse(name); u.Scheme == "memory" {
			return d, u.Path, nil
		}
		return nil, "", fmt.Errorf("%s: %w", name, dfs.ErrUnsupported)
	}}
}

func TestASecondUploadSendsNothing(t *testing.T) {
	dir := write(t, map[string]string{"train.py": "print(1)", "env.tar.gz": tarGz(t, "bin/python"), "src/a.py": "a", "src/b/c.py": "c"})
	items := []Item{
		{Source: filepath.Join(dir, "train.py"), Name: "train.py"},
		{Source: filepath.Join(dir, "env.tar.gz"), Name: "env", Archive: true},
		{Source: filepath.Join(dir, "src"), Name: "src"},
	}
	d := dfs.NewMemory(dfs.MemoryOptions{User: "ann"})
	mkHome(t, d)
	first, err := collect(t, items...).Upload(t.Context(), at(d, "/user/ann/.tfos/cache"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if first.Uploaded != first.Total || first.Total == 0 {
		t.Errorf("first upload: %d of %d bytes", first.Uploaded, first.Total)
	}
	// A touched file is the same file, and so is a directory whose files were copied in another
	// order.
	if err := os.Chtimes(filepath.Join(dir, "src/a.py"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	second, err := collect(t, items...).Upload(t.Context(), at(d, "/user/ann/.tfos/cache"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if second.Uploaded != 0 || second.Total != first.Total {
		t.Errorf("second upload: %d of %d bytes, want 0 of %d", second.Uploaded, second.Total, first.Total)
	}
	for i, r := range second.Resources {
		if r != first.Resources[i] {
			t.Errorf("second upload made %+v of what was %+v", r, first.Resources[i])
		}
	}
	if r := first.Resources[1]; !r.Archive || !strings.HasSuffix(r.URI, ".tar.gz") {
		t.Errorf("archive %+v: NodeManagers unpack by the suffix", r)
	}
	if r := first.Resources[2]; !r.Archive || !strings.HasSuffix(r.URI, ".tar.gz") || r.Name != "src" {
		t.Errorf("directory %+v: want an archive named src", r)
	}
	if r := first.Resources[0]; r.Archive || r.Size != 8 || r.ModTime == 0 {
		t.Errorf("file %+v", r)
	}
}

func mkHome(t *testing.T, d dfs.FS) {
	t.Helper()
	if err := d.Mkdir(t.Context(), d.Home(), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedEntryIsReplaced(t *testing.T) {
	dir := write(t, map[string]string{"a": "content"})
	d := dfs.NewMemory(dfs.MemoryOptions{})
	mkHome(t, d)
	s := collect(t, Item{Source: filepath.Join(dir, "a"), Name: "a"})
	if err := dfs.WriteFile(t.Context(), d, "/cache/"+s.files[0].sum, []byte("cont"), 0o600); err != nil {
		if err := d.Mkdir(t.Context(), "/cache", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := dfs.WriteFile(t.Context(), d, "/cache/"+s.files[0].sum, []byte("cont"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Upload(t.Context(), at(d, "/cache"), nil); err != nil {
		t.Fatal(err)
	}
	if b, err := ReadSmall(t.Context(), d, "/cache/"+s.files[0].sum); err != nil || string(b) != "content" {
		t.Errorf("the entry holds %q, %v", b, err)
	}
}

// TestAFileThatChangesWhileItIsUploaded has the same size after that: it must not lie in the cache
// under the hash of what it was.
func TestAFileThatChangesWhileItIsUploaded(t *testing.T) {
	dir := write(t, map[string]string{"a": "before"})
	d := dfs.NewMemory(dfs.MemoryOptions{User: "ann"})
	mkHome(t, d)
	item := Item{Source: filepath.Join(dir, "a"), Name: "a"}
	s := collect(t, item)
	write := func(text string) {
		if err := os.WriteFile(item.Source, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("after!")
	if _, err := s.Upload(t.Context(), at(d, "/user/ann/cache"), nil); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "changed while it was uploaded") {
		t.Errorf("a file that changed: code %d, %v", exit.Of(err), err)
	}
	if list, err := d.List(t.Context(), "/user/ann/cache"); err != nil || len(list) > 0 {
		t.Errorf("the cache holds %v, %v", list, err)
	}
	write("before")
	st, err := collect(t, item).Upload(t.Context(), at(d, "/user/ann/cache"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := ReadSmall(t.Context(), d, uri.Parse(st.Resources[0].URI).Path); err != nil || string(b) != "before" {
		t.Errorf("the job gets %q, %v", b, err)
	}
}

// TestTheCacheIsNotTrustedBlindly: what jobs run from the cache is what was hashed, and nobody else
// can have written it.
func TestTheCacheIsNotTrustedBlindly(t *testing.T) {
	const cache = "/user/ann/cache"
	for name, c := range map[string]struct {
		spoil func(t *testing.T, d *dfs.Memory, entry string) error
		sent  int64 // bytes that the second upload sends
		says  string
	}{
		"nothing happened": {func(*testing.T, *dfs.Memory, string) error { return nil }, 0, ""},
		"other content of the same size": {func(t *testing.T, d *dfs.Memory, entry string) error {
			return errors.Join(d.Remove(t.Context(), entry, false), dfs.WriteFile(t.Context(), d, entry, []byte("wicked!"), 0o600))
		}, 7, ""},
		"the same content, written anew": {func(t *testing.T, d *dfs.Memory, entry string) error {
			return errors.Join(d.Remove(t.Context(), entry, false), dfs.WriteFile(t.Context(), d, entry, []byte("content"), 0o600))
		}, 0, ""},
		"an entry that others can write": {func(t *testing.T, d *dfs.Memory, entry string) error { return d.Chmod(t.Context(), entry, 0o666) }, 7, ""},
		"a cache that others can write":  {func(t *testing.T, d *dfs.Memory, _ string) error { return d.Chmod(t.Context(), cache, 0o777) }, 0, "has mode 0777"},
		"a cache of somebody else": {func(t *testing.T, d *dfs.Memory, _ string) error {
			bob := d.As("bob")
			return errors.Join(d.Chmod(t.Context(), "/user/ann", 0o777), d.Remove(t.Context(), cache, true), bob.Mkdir(t.Context(), cache, 0o755), bob.Chmod(t.Context(), cache, 0o777))
		}, 0, "belongs to bob"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{"a": "content"})
			now := time.Unix(1700000000, 0)
			d := dfs.NewMemory(dfs.MemoryOptions{User: "ann", Now: func() time.Time { return now }})
			mkHome(t, d)
			upload := func() (Staged, error) {
				now = now.Add(time.Second)
				return collect(t, Item{Source: filepath.Join(dir, "a"), Name: "a"}).Upload(t.Context(), at(d, cache), nil)
			}
			first, err := upload()
			if err != nil {
				t.Fatal(err)
			}
			entry := uri.Parse(first.Resources[0].URI).Path
			now = now.Add(time.Second)
			if err := c.spoil(t, d, entry); err != nil {
				t.Fatal(err)
			}
			second, err := upload()
			if c.says != "" {
				if exit.Of(err) != exit.Refused || !strings.Contains(err.Error(), c.says) {
					t.Errorf("code %d, %v; want code 3 and %q", exit.Of(err), err, c.says)
				}
				return
			}
			if err != nil || second.Uploaded != c.sent {
				t.Errorf("%d bytes were sent, %v; want %d", second.Uploaded, err, c.sent)
			}
			info, err := d.Stat(t.Context(), entry)
			if b, readErr := ReadSmall(t.Context(), d, entry); err != nil || readErr != nil || string(b) != "content" || info.Mode.Perm() != 0o600 {
				t.Errorf("the entry holds %q, mode %v, %v, %v", b, info.Mode, err, readErr)
			}
			if r := second.Resources[0]; r.ModTime != info.ModTime.UnixMilli() {
				t.Errorf("NodeManagers are told %+v, the entry is of %d", r, info.ModTime.UnixMilli())
			}
		})
	}
}

// TestADirectoryOfSomebodyElse: an administrator who made it is named, with what to do.
func TestADirectoryOfSomebodyElse(t *testing.T) {
	dir := write(t, map[string]string{"a": "content"})
	d := dfs.NewMemory(dfs.MemoryOptions{User: "ann"})
	mkHome(t, d)
	if err := errors.Join(d.Chmod(t.Context(), "/user/ann", 0o777), d.As("bob").Mkdir(t.Context(), "/user/ann/.tfos", 0o755), d.Chmod(t.Context(), "/user/ann", 0o755)); err != nil {
		t.Fatal(err)
	}
	_, err := collect(t, Item{Source: filepath.Join(dir, "a"), Name: "a"}).Upload(t.Context(), at(d, "/user/ann/.tfos/cache"), nil)
	const want = "memory:///user/ann/.tfos, where tfos keeps your files, belongs to bob"
	if exit.Of(err) != exit.Refused || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "hdfs dfs -chown -R ann memory:///user/ann/.tfos") {
		t.Errorf("code %d, %v; want %q", exit.Of(err), err, want)
	}
}

// TestAUserWhomTheFilesystemKnowsByAnotherName owns what they make.
func TestAUserWhomTheFilesystemKnowsByAnotherName(t *testing.T) {
	dir := write(t, map[string]string{"a": "content"})
	d := dfs.NewMemory(dfs.MemoryOptions{User: "ann"})
	mkHome(t, d)
	p := at(d, "/user/ann/cache")
	p.User = "ann@EXAMPLE.COM"
	for range 2 {
		if _, err := collect(t, Item{Source: filepath.Join(dir, "a"), Name: "a"}).Upload(t.Context(), p, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNamesThatANodeManagerCannotMake: what has such names the agent unpacks, and a broken archive
// is refused before it is sent.
func TestNamesThatANodeManagerCannotMake(t *testing.T) {
	dir := write(t, map[string]string{
		"Grüße.py": "x", "daten/Übung.txt": "x", "data/x.txt": "x", "plain.tar.gz": tarGz(t, "bin/python"), "env.tgz": tarGz(t, "a b/Grüße.txt"),
		"broken.zip": "no zip", "cut.tar.gz": tarGz(t, "x")[:30],
	})
	d := dfs.NewMemory(dfs.MemoryOptions{User: "ann"})
	mkHome(t, d)
	for range 2 { // the second one finds what is in the cache
		st, err := collect(t,
			Item{Source: filepath.Join(dir, "Grüße.py"), Name: "Grüße.py"}, Item{Source: filepath.Join(dir, "daten"), Name: "daten"},
			Item{Source: filepath.Join(dir, "data"), Name: "data"}, Item{Source: filepath.Join(dir, "plain.tar.gz"), Name: "plain", Archive: true},
			Item{Source: filepath.Join(dir, "env.tgz"), Name: "env", Archive: true}).Upload(t.Context(), at(d, "/user/ann/cache"), nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []struct {
			name       string
			own        bool // the NodeManager gives it its name
			nodeUnpack bool
		}{{"Grüße.py", false, false}, {"daten", false, false}, {"data", true, true}, {"plain", true, true}, {"env", false, false}} {
			r := st.Resources[i]
			if r.Name != want.name || (r.Link() == r.Name) != want.own || r.Local().Archive != want.nodeUnpack || !launch.Plain(r.Link()+r.URI) {
				t.Errorf("%s is %+v, linked as %s", want.name, r, r.Link())
			}
		}
	}
	for name, says := range map[string]string{"broken.zip": "cannot be unpacked", "cut.tar.gz": "cannot be unpacked"} {
		_, err := collect(t, Item{Source: filepath.Join(dir, name), Name: "x", Archive: true}).Upload(t.Context(), at(d, "/user/ann/cache"), nil)
		if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: code %d, %v", name, exit.Of(err), err)
		}
	}
}

// TestFailedUploadLeavesNoEntry fails each operation on the filesystem in turn: whatever fails, an
// entry is whole or absent.
func TestFailedUploadLeavesNoEntry(t *testing.T) {
	dir := write(t, map[string]string{"a": "content"})
	for _, op := range []string{"mkdir", "create", "write", "close", "rename"} {
		for _, c := range []struct {
			err  error
			code exit.Code
			says string
		}{
			{fs.ErrPermission, exit.Refused, "no permission"},
			{dfs.ErrNoSpace, exit.Refused, "is full"},
			{dfs.ErrSafeMode, exit.Refused, "safe mode"},
			{dfs.ErrQuota, exit.Refused, "quota"},
			{dfs.ErrUnreachable, exit.Infrastructure, "no answer"},
		} {
			broken := false
			d := dfs.NewMemory(dfs.MemoryOptions{User: "ann", Refuse: func(o, name string) error {
				if broken && o == op {
					return fmt.Errorf("%s %s: %w", o, name, c.err)
				}
				return nil
			}})
			mkHome(t, d)
			broken = true
			_, err := collect(t, Item{Source: filepath.Join(dir, "a"), Name: "a"}).Upload(t.Context(), at(d, "/user/ann/cache"), nil)
			if exit.Of(err) != c.code || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "/user/ann") {
				t.Errorf("%s fails with %v: code %d, %v", op, c.err, exit.Of(err), err)
			}
			broken = false
			if list, err := d.List(t.Context(), "/user/ann/cache"); err == nil && len(list) > 0 {
				t.Errorf("%s fails with %v: left %v", op, c.err, list)
			}
		}
	}
}

// TestExplain: what to do depends on whose directory refuses.
func TestExplain(t *testing.T) {
	d := dfs.NewMemory(dfs.MemoryOptions{User: "ann"})
	for _, c := range []struct {
		name string
		err  error
		says string
	}{
		{"/user/ann/.tfos/cache/x", fs.ErrPermission, "tfos keeps its files in memory:///user/ann/.tfos: ask an administrator to make memory:///user/ann"},
		{"/models/digits", fs.ErrPermission, "have it given to you"},
		{"/user/ann/.tfos", dfs.ErrQuota, "remove what is not needed from memory:///user/ann/.tfos"},
		{"/user/ann/.tfosmodels", dfs.ErrQuota, "have the quota raised"},
	} {
		if err := Explain(d, "read", c.name, c.err); exit.Of(err) != exit.Refused || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v\nwant %q", c.name, err, c.says)
		}
	}
}

func TestCollectRefuses(t *testing.T) {
	dir := write(t, map[string]string{"a.py": "a", "env.tar.zst": "x", "d/x": "x"})
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "d", "out")); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		items []Item
		says  string
	}{
		{[]Item{{Source: at("missing.py"), Name: "missing.py"}}, "missing.py does not exist"},
		{[]Item{{Source: at("a.py"), Name: "x"}, {Source: at("d/x"), Name: "x"}}, `would both be "x"`},
		{[]Item{{Source: at("env.tar.zst"), Name: "env", Archive: true}}, "YARN unpacks no such file"},
		{[]Item{{Source: at("d"), Name: "d"}}, "points outside"},
		{[]Item{{Source: "/dev/null", Name: "null"}}, "neither a file nor a directory"},
	} {
		s, err := Collect(c.items)
		if err == nil {
			s.Close()
		}
		if exit.Of(err) != exit.Usage || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: code %d, %v; want code 2 and %q", c.items, exit.Of(err), err, c.says)
		}
	}
}

func TestFilesOnTheClusterStayThere(t *testing.T) {
	d := dfs.NewMemory(dfs.MemoryOptions{User: "ann"})
	if err := d.Mkdir(t.Context(), "/user/ann/hour=00%3A00", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := dfs.WriteFile(t.Context(), d, "/user/ann/hour=00%3A00/a#b?.csv", []byte("1,2"), 0o644); err != nil {
		t.Fatal(err)
	}
	source := d.URI("/user/ann/hour=00%3A00/a#b?.csv")
	st, err := collect(t, Item{Source: source, Name: "data.csv"}).Upload(t.Context(), at(d, "/user/ann/cache"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := st.Resources[0]; r.URI != source || r.Size != 3 || st.Uploaded != 0 {
		t.Errorf("staged %+v, %d bytes uploaded", r, st.Uploaded)
	}
	for _, source := range []string{d.URI("/user/ann/none"), d.URI("/user/ann"), "hdfs://elsewhere:8020/x"} {
		if _, err := collect(t, Item{Source: source, Name: "x"}).Upload(t.Context(), at(d, "/user/ann/cache"), nil); exit.Of(err) != exit.Usage {
			t.Errorf("%s: %v, want wrong usage", source, err)
		}
	}
}

func TestPackIsReproducible(t *testing.T) {
	a := write(t, map[string]string{"b.py": "b", "a/x": "x", "empty/": ""})
	b := write(t, map[string]string{"empty/": "", "a/x": "x", "b.py": "b"})
	for _, dir := range []string{a, b} {
		if err := os.Symlink("a/x", filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, "b.py"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(a, "b.py"), time.Unix(9, 9), time.Unix(9, 9)); err != nil {
		t.Fatal(err)
	}
	var pa, pb bytes.Buffer
	plainA, errA := pack(a, &pa)
	plainB, errB := pack(b, &pb)
	if err := errors.Join(errA, errB); err != nil || !plainA || !plainB {
		t.Fatal(plainA, plainB, err)
	}
	if !bytes.Equal(pa.Bytes(), pb.Bytes()) {
		t.Error("the same content was packed to different bytes")
	}
	gz, err := gzip.NewReader(&pa)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for tr := tar.NewReader(gz); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %o", h.Name, h.Mode))
	}
	if want := []string{"a/ 755", "a/x 644", "b.py 755", "empty/ 755", "link 777"}; !slices.Equal(got, want) {
		t.Errorf("packed %q, want %q", got, want)
	}
}

// TestNoRoomForTemporaryFiles: what is wrong with TMPDIR is not wrong with the directory that is to
// be packed.
func TestNoRoomForTemporaryFiles(t *testing.T) {
	source := filepath.Join(t.TempDir(), "code")
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(source, "train.py")
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(t.TempDir(), "none"), file} {
		t.Setenv("TMPDIR", dir)
		_, err := Collect([]Item{{Source: source, Name: "code"}})
		if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "temporary files in "+dir) || !strings.Contains(err.Error(), "set TMPDIR") || strings.Contains(err.Error(), source+" does not exist") {
			t.Errorf("TMPDIR=%s: %v", dir, err)
		}
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if _, err := pack(source, tempWriter{full}); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "temporary files in") {
		t.Errorf("no room left: %v", err)
	}
}
