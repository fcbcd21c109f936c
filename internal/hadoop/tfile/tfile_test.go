package tfile

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"tfos/internal/yarn"
)

func captured(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t testing.TB, b []byte) Reader {
	t.Helper()
	r, err := NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The files are of NodeManagers of Hadoop 2.10.2 and 3.4.3, of one container that wrote the same
// each time.
func TestCapturedFiles(t *testing.T) {
	stdout := "hello from a container\n"
	for i := range 400 {
		stdout += fmt.Sprintln(i + 1)
	}
	stdout += strings.Repeat("\x00", 3000) + "\n"
	for name, container := range map[string]string{
		"2.10.2-none.tfile": "container_1795373741329_0001_01_000001",
		"3.4.3-none.tfile":  "container_1795372831254_0004_01_000001",
		"3.4.3-gz.tfile":    "container_1795373680087_0001_01_000001",
		"3.4.3.ifile":       "container_1795373714627_0001_01_000001",
		"gz.ifile":          "container_1795373714627_0001_01_000001",
	} {
		t.Run(name, func(t *testing.T) {
			logs := []struct{ name, content string }{{"stderr", "trouble\n"}, {"stdout", stdout}}
			if strings.HasSuffix(name, ".ifile") {
				slices.Reverse(logs)
			}
			var file []byte
			if name == "gz.ifile" {
				file = compressed(t, captured(t, "3.4.3.ifile"))
			} else {
				file = captured(t, name)
			}
			r := open(t, file)
			for _, want := range logs {
				l, err := r.Next()
				if err != nil || l != (Log{container, want.name, int64(len(want.content))}) {
					t.Fatalf("log %+v, %v", l, err)
				}
				if err := iotest.TestReader(io.MultiReader(r), []byte(want.content)); err != nil {
					t.Error(err)
				}
			}
			for range 2 {
				if l, err := r.Next(); err != io.EOF {
					t.Errorf("after the last: %+v, %v", l, err)
				}
			}
			if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("read %d, %v", n, err)
			}
		})
	}
}

// compressed makes of the captured indexed file one whose logs are compressed.
func compressed(t testing.TB, plain []byte) []byte {
	t.Helper()
	at, length, ok := indexAt(bytes.NewReader(plain), int64(len(plain)))
	if !ok {
		t.Fatal("no index")
	}
	file, index := slices.Clone(plain[:idSize]), bytes.Replace(plain[at:at+length], []byte("t\x00\x04none"), []byte("t\x00\x02gz"), 1)
	long := func(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
	for _, l := range []struct{ at, size int }{{idSize, 0x11a4}, {0x11c4, 8}} {
		start := len(file)
		var b bytes.Buffer
		z := zlib.NewWriter(&b)
		if _, err := z.Write(plain[l.at : l.at+l.size]); err != nil || z.Close() != nil {
			t.Fatal(err)
		}
		file = append(file, b.Bytes()...)
		index = bytes.Replace(index, slices.Concat(long(l.size), long(l.size)), slices.Concat(long(b.Len()), long(l.size)), 1)
		index = bytes.Replace(index, long(l.at), long(start), 1)
	}
	file = append(file, index...)
	file = binary.BigEndian.AppendUint32(file, uint32(len(index)))
	return append(file, plain[:idSize]...)
}

func TestLogsCanBePassedOver(t *testing.T) {
	r := open(t, captured(t, "3.4.3-gz.tfile"))
	var names []string
	for {
		l, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, l.Name)
		if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(names, []string{"stderr", "stdout"}) {
		t.Errorf("logs %q", names)
	}
}

// build makes a TFile of uncompressed blocks, each of ready-made records.
func build(blocks ...[]byte) []byte {
	b := slices.Clone(magic)
	index := append([]byte{4}, "none"...)
	index = append(index, byte(len(blocks)))
	for _, block := range blocks {
		index = appendRegion(index, len(b), len(block))
		b = append(b, block...)
	}
	at := len(b)
	b = append(b, index...)
	metaAt := len(b)
	b = append(b, 1, byte(len(dataIndex)))
	b = append(append(b, dataIndex...), 4)
	b = append(b, "none"...)
	b = appendRegion(b, at, len(index))
	b = append(b, 0, 0, 0, 0, byte(metaAt>>24), byte(metaAt>>16), byte(metaAt>>8), byte(metaAt), 0, 1, 0, 0)
	return append(b, magic...)
}

func appendRegion(b []byte, at, size int) []byte {
	for _, n := range []int{at, size, size} {
		b = append(b, 0x83, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)) // -125: four bytes
	}
	return b
}

func utf(s string) string { return string([]byte{byte(len(s) >> 8), byte(len(s))}) + s }

// record has a value in chunks of the given sizes, the rest in the last.
func record(key, value string, chunks ...int) []byte {
	b := append([]byte{byte(len(key) + 2)}, utf(key)...)
	for _, n := range chunks {
		b = append(append(b, byte(-n)), value[:n]...)
		value = value[n:]
	}
	return append(append(b, byte(len(value))), value...)
}

func logs(s ...string) string {
	var b strings.Builder
	for i := 0; i < len(s); i += 2 {
		b.WriteString(utf(s[i]) + utf(fmt.Sprint(len(s[i+1]))) + s[i+1])
	}
	return b.String()
}

func TestBlocksAndChunks(t *testing.T) {
	file := build(
		slices.Concat(record("VERSION", "\x00\x00\x00\x01"), record("APPLICATION_OWNER", utf("ann")), record("container_a", logs("stdout", "hello", "empty", "", "stderr", "bye"), 3, 12, 1)),
		nil,
		slices.Concat(record("container_b", ""), record("container_c", logs("syslog", "x"))),
	)
	r := open(t, file)
	var got []string
	for {
		l, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, l.Container+"/"+l.Name+"="+string(content))
	}
	want := []string{"container_a/stdout=hello", "container_a/empty=", "container_a/stderr=bye", "container_c/syslog=x"}
	if !slices.Equal(got, want) {
		t.Errorf("logs %q, want %q", got, want)
	}
}

func TestRefusals(t *testing.T) {
	good := captured(t, "3.4.3-none.tfile")
	changed := func(at int, c byte) []byte { b := slices.Clone(good); b[at] = c; return b }
	indexed := captured(t, "3.4.3.ifile")
	lzo := bytes.Replace(captured(t, "3.4.3-none.tfile"), []byte("\x04none\x01\x10"), []byte("\x04lzo!\x01\x10"), 1)
	for _, c := range []struct {
		name string
		file []byte
		want error
		text string
	}{
		{"nothing", nil, ErrFormat, ""},
		{"still being written", good[:2000], ErrFormat, "magic"},
		{"index far away", changed(len(good)-28, 0x7f), ErrFormat, ""},
		{"another version of the container", changed(len(good)-19, 2), ErrFormat, ""},
		{"an indexed file cut short", indexed[:len(indexed)-1], ErrFormat, "magic"},
		{"an index of another version", bytes.Replace(indexed, []byte("xp\x00\x00\x00\x01"), []byte("xp\x00\x00\x00\x02"), 1), nil, "version 2"},
		{"an index cut short", bytes.Replace(indexed, []byte("\x04root"), []byte("\x7froot"), 1), ErrFormat, "ends too soon"},
		{"an index that mentions what is not there", bytes.Replace(indexed, []byte("\x7e\x00\x02xp"), []byte("\x7e\x77\x02xp"), 1), ErrFormat, "reference"},
		{"a log beyond the file", bytes.Replace(indexed, []byte{0, 0, 0, 0, 0, 0, 0, 0x20}, []byte{0, 0, 0, 0x7f, 0, 0, 0, 0x20}, 1), ErrFormat, "block at"},
		{"logs compressed by lzo", bytes.Replace(indexed, []byte("t\x00\x04none"), []byte("t\x00\x04lzo!"), 1), nil, `compressed by "lzo!"`},
		{"no block index", bytes.ReplaceAll(good, []byte("BCFile.index"), []byte("XXFile.index")), ErrFormat, "no index"},
		{"a newer layout", build(record("VERSION", "\x00\x00\x00\x02")), nil, "version 2"},
		{"key that is no string", build([]byte{3, 0, 9, 'x', 0}), ErrFormat, "key"},
		{"log longer than its record", build(record("container_a", utf("stdout")+utf("9")+"short")), ErrFormat, "ends too soon"},
		{"size that is no number", build(record("container_a", utf("stdout")+utf("-1"))), ErrFormat, "size"},
		{"chunk past the block", build([]byte{3, 0, 1, 'x', 100}), ErrFormat, "chunk"},
		{"value cut short", build(record("container_a", "\x00")), ErrFormat, ""},
		{"unknown compression", lzo, nil, `compressed by "lzo!"`},
	} {
		r, err := NewReader(bytes.NewReader(c.file), int64(len(c.file)))
		for err == nil {
			_, err = r.Next()
		}
		if c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || err == io.EOF {
			t.Errorf("%s: error %v", c.name, err)
		}
	}
}

// Errors of the file below are passed on as they are.
func TestReadErrors(t *testing.T) {
	broken := errors.New("DataNode is gone")
	good := captured(t, "3.4.3-none.tfile")
	failing := failingReader{bytes.NewReader(good), 1000, broken}
	r, err := NewReader(failing, int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		if _, err = r.Next(); err == nil {
			_, err = io.Copy(io.Discard, r)
		}
	}
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

// failingReader fails where a read goes past below, but not near the end, where the index is.
type failingReader struct {
	*bytes.Reader
	below int64
	err   error
}

func (f failingReader) ReadAt(p []byte, at int64) (int, error) {
	if at < f.below && at+int64(len(p)) > f.below {
		return 0, f.err
	}
	return f.Reader.ReadAt(p, at)
}

// Numbers as org.apache.hadoop.io.file.tfile.Utils.writeVLong writes them.
func TestVLong(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int64
	}{
		{"\x00", 0}, {"\x7f", 127}, {"\xe0", -32}, {"\xdf\x80", 19<<8 | 0x80}, {"\xcc\x80", 128}, {"\xde\x79", 0x1279},
		{"\xa9\x00\x00", 1 << 16}, {"\xa8\x00\x01", 1}, {"\x98\x00\x01", -1<<20 + 1}, {"\x90\x00\x00\x07", 7}, {"\x83\x7f\xff\xff\xff", 1<<31 - 1}, {"\x83\xff\xff\xff\xfe", -2},
		{"\x87\x7f\xff\xff\xff\xff\xff\xff\xff", 1<<63 - 1},
	} {
		d := &decoder{b: []byte(c.in)}
		if got := d.vlong(); got != c.want || d.err != nil || len(d.b) != 0 {
			t.Errorf("%x: %d, %v; want %d", c.in, got, d.err, c.want)
		}
	}
	for _, in := range []string{"", "\xde", "\x80", "\x81", "\x87\x01"} {
		if d := (&decoder{b: []byte(in)}); d.vlong() != 0 && d.err == nil || !errors.Is(d.err, ErrFormat) {
			t.Errorf("%x: error %v", in, d.err)
		}
	}
}

func TestDirectories(t *testing.T) {
	const id = "application_1700000000000_12003"
	for _, c := range []struct {
		set     map[string]string
		formats []string
		want    []string
	}{
		{nil, nil, []string{
			"/app-logs/ann/bucket-logs-tfile/2003/" + id, "/app-logs/ann/logs-tfile/" + id,
			"/app-logs/ann/bucket-logs-ifile/2003/" + id, "/app-logs/ann/logs-ifile/" + id,
			"/app-logs/ann/bucket-logs/2003/" + id, "/app-logs/ann/logs/" + id,
		}},
		{map[string]string{"TFile.remote-app-log-dir": "/app-logs2", "TFile.remote-app-log-dir-suffix": "sfx", "Old.remote-app-log-dir": "/old"}, []string{"Old", "TFile"}, []string{
			"/old/ann/bucket-logs-old/2003/" + id, "/old/ann/logs-old/" + id,
			"/app-logs2/ann/bucket-sfx/2003/" + id, "/app-logs2/ann/sfx/" + id,
			"/app-logs/ann/bucket-logs-ifile/2003/" + id, "/app-logs/ann/logs-ifile/" + id,
			"/app-logs/ann/bucket-logs/2003/" + id, "/app-logs/ann/logs/" + id,
		}},
	} {
		value := func(key string) string {
			switch key {
			case "yarn.nodemanager.remote-app-log-dir":
				return "/app-logs"
			case "yarn.nodemanager.remote-app-log-dir-suffix":
				return "logs"
			}
			return c.set[strings.TrimPrefix(key, "yarn.log-aggregation.")]
		}
		var got []string
		for _, p := range Places(value, c.formats) {
			got = append(got, p.Directories("ann", yarn.ApplicationID{ClusterTimestamp: 1700000000000, Sequence: 12003})...)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: %q", c.set, got)
		}
	}
}

func TestParseName(t *testing.T) {
	for _, c := range []struct {
		name  string
		node  yarn.NodeID
		begun time.Time
		ok    bool
	}{
		{"h1-nm1_21050", yarn.NodeID{Host: "h1-nm1", Port: 21050}, time.Time{}, true},
		{"h1_nm1_8041_1700000000000", yarn.NodeID{Host: "h1_nm1", Port: 8041}, time.UnixMilli(1700000000000), true},
		{"node_1_8041", yarn.NodeID{Host: "node_1", Port: 8041}, time.Time{}, true},
		{"h1-nm1_21050.tmp", yarn.NodeID{}, time.Time{}, false},
		{"somewhere", yarn.NodeID{}, time.Time{}, false},
		{"", yarn.NodeID{}, time.Time{}, false},
	} {
		node, begun, ok := ParseName(c.name)
		if node != c.node || !begun.Equal(c.begun) || ok != c.ok {
			t.Errorf("%s: %v, %v, %v", c.name, node, begun, ok)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(captured(f, "3.4.3-gz.tfile"))
	f.Add(build(record("VERSION", "\x00\x00\x00\x01"), record("container_a", logs("stdout", "hello"), 3)))
	f.Add(captured(f, "3.4.3.ifile"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := NewReader(bytes.NewReader(in), int64(len(in)))
		for err == nil {
			var l Log
			if l, err = r.Next(); err == nil && l.Size < 1<<20 {
				_, _ = io.Copy(io.Discard, r)
			}
		}
	})
}
