package logfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"tfos/internal/agent/logfile"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// follower reads as one does who follows a log.
type follower struct {
	at, offset int64
	heard      bytes.Buffer
}

// catchUp reads all that is there.
func (r *follower) catchUp(t *testing.T, f *logfile.File) {
	t.Helper()
	b := make([]byte, 8<<10)
	for {
		n, next, offset, err := f.Read(b, r.at)
		if errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		r.heard.Write(b[:n])
		r.at, r.offset = next, offset
	}
}

var note = regexp.MustCompile(`\ntfos: (\d+) bytes of this log are left out here, it is limited to \d+ bytes \(logs\.limit\)\n`)

// TestTheBeginningAndTheEndAreKept, of any log, within the limit, with a true word of what is
// between; who follows hears all, and who comes late the same as is in the file.
func TestTheBeginningAndTheEndAreKept(t *testing.T) {
	for _, keep := range []int{1, 2, logfile.MaxKeep} {
		r := rand.New(rand.NewPCG(1, uint64(keep)))
		name := filepath.Join(t.TempDir(), "stdout")
		f := logfile.New(name, logfile.Limits{Size: logfile.MinSize, Keep: keep})
		var all bytes.Buffer
		var live follower
		for line := 0; all.Len() < 5*logfile.MinSize; line++ {
			text := fmt.Sprintf("line %d %s\n", line, strings.Repeat("x", r.IntN(200)))
			if r.IntN(100) == 0 {
				text = strings.Repeat("no end ", r.IntN(10_000))
			}
			all.WriteString(text)
			f.Write([]byte(text))
			if r.IntN(3) == 0 {
				live.catchUp(t, f)
			}
		}
		live.catchUp(t, f)
		if !bytes.Equal(live.heard.Bytes(), all.Bytes()) {
			t.Errorf("keep %d: the follower heard %d bytes of %d, or others", keep, live.heard.Len(), all.Len())
		}
		kept := read(t, name)
		if len(kept) > logfile.MinSize || live.offset != int64(len(kept)) {
			t.Errorf("keep %d: the file has %d bytes, and its end is at %d", keep, len(kept), live.offset)
		}
		at := note.FindStringSubmatchIndex(kept)
		if at == nil {
			t.Fatalf("keep %d: no word of what is left out", keep)
		}
		left, _ := strconv.Atoi(kept[at[2]:at[3]])
		begin, end := kept[:at[0]], kept[at[1]:]
		if !strings.HasPrefix(all.String(), begin) || !strings.HasSuffix(all.String(), end) || len(begin)+left+len(end) != all.Len() {
			t.Errorf("keep %d: %d bytes of the beginning, %d left out, %d of the end, of %d", keep, len(begin), left, len(end), all.Len())
		}
		if least := logfile.MinSize / (keep + 2); len(begin) < least-8<<10 || len(end) < keep*least-8<<10 {
			t.Errorf("keep %d: %d bytes of the beginning, %d of the end", keep, len(begin), len(end))
		}
		var late follower
		late.catchUp(t, f)
		if late.heard.String() != kept || late.at != live.at {
			t.Errorf("keep %d: who comes late hears %d bytes of %d, to %d", keep, late.heard.Len(), len(kept), late.at)
		}
		f.Close()
	}
}

// TestALogThatIsEmptied goes on for who follows: emptied, removed or put away by the program that
// writes it.
func TestALogThatIsEmptied(t *testing.T) {
	for how, harm := range map[string]func(name string) error{
		"emptied":  func(name string) error { return os.Truncate(name, 0) },
		"removed":  os.Remove,
		"put away": func(name string) error { return os.Rename(name, name+".1") },
		"replaced": func(name string) error {
			return errors.Join(os.WriteFile(name+".new", []byte("another, of more bytes than there were\n"), 0o600), os.Rename(name+".new", name))
		},
	} {
		name := filepath.Join(t.TempDir(), "stdout")
		f := logfile.New(name, logfile.Limits{Size: logfile.MinSize, Keep: 2})
		var live follower
		live.catchUp(t, f) // there is none yet
		f.Write([]byte("one\ntwo\n"))
		live.catchUp(t, f)
		if err := harm(name); err != nil {
			t.Fatal(err)
		}
		f.Write([]byte("three\n"))
		live.catchUp(t, f)
		f.Write([]byte("four\n"))
		live.catchUp(t, f)
		if got := live.heard.String(); !strings.HasPrefix(got, "one\ntwo\n") || !strings.HasSuffix(got, "three\nfour\n") {
			t.Errorf("%s: heard %q", how, got)
		}
		if kept := read(t, name); !strings.HasSuffix(kept, "three\nfour\n") || strings.Contains(kept, "one") {
			t.Errorf("%s: the file has %q", how, kept)
		}
		f.Close()
	}
}

// TestADiskThatTakesNothing harms nobody who writes, and the log says what it lacks.
func TestADiskThatTakesNothing(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "logs", "stdout")
	f := logfile.New(name, logfile.Limits{})
	defer f.Close()
	f.Write([]byte("lost\n"))                        // there is no directory
	if err := os.MkdirAll(name, 0o700); err != nil { // there is, and the log is another one
		t.Fatal(err)
	}
	if n, err := f.Write([]byte("lost too\n")); n != 9 || err != nil {
		t.Errorf("write: %d, %v", n, err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	f.Write([]byte("there\n"))
	f.Write([]byte("again\n"))
	if got := read(t, name); got != "\ntfos: 14 bytes of this log are missing here, they could not be written: "+name+" is not a file\nthere\nagain\n" {
		t.Errorf("the log is %q", got)
	}
}

// TestPositionsThatAreNone are those before the beginning and after the end.
func TestPositionsThatAreNone(t *testing.T) {
	f := logfile.New(filepath.Join(t.TempDir(), "stdout"), logfile.Limits{})
	defer f.Close()
	f.Write([]byte("hello"))
	b := make([]byte, 4<<10)
	if n, next, _, err := f.Read(b, -3); n != 5 || next != 5 || err != nil {
		t.Errorf("before the beginning: %d, %d, %v", n, next, err)
	}
	if n, next, _, err := f.Read(b, 100); n != 0 || next != 5 || !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %d, %d, %v", n, next, err)
	}
	if end, err := f.End(); end != 5 || err != nil {
		t.Errorf("the end is %d, %v", end, err)
	}
}

func BenchmarkWrite(b *testing.B) {
	f := logfile.New(filepath.Join(b.TempDir(), "stdout"), logfile.Limits{Size: 64 << 20, Keep: 2})
	defer f.Close()
	text := bytes.Repeat([]byte("a line of a program that prints more than anybody reads\n"), 32<<10/56)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		f.Write(text)
	}
}
