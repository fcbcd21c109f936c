//go:build hadoop

package dfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/colinmarc/hdfs/v2"

	"tfos/internal/dfs"
)

// The second opinion is github.com/colinmarc/hdfs/v2, a client of HDFS that others wrote: what we
// write it reads, and what it writes we read. It is here alone, no product of ours links it
// (package arch), for it has holes that ours may not have:
//
//   - it shows no delegation token, so it cannot be a job's: only the suite's own user, ann,
//     without security
//   - its requests to a NameNode go in clear whatever hadoop.rpc.protection says, and its reads
//     fail where DataNodes want integrity, or privacy without AES: this suite's DataNodes want
//     neither
//   - it reads ciphertext from an encryption zone and nonsense from an erasure-coded file, where
//     ours refuse: not asked
//   - a DataNode that fails while it writes ends the writer: nobody fails here
//   - it has one NameNode connection at a time, renews its lease once a second, and knows no
//     nameservice but by listing NameNodes
func secondOpinion(t *testing.T, first dfs.FS) *hdfs.Client {
	t.Helper()
	address := strings.TrimSuffix(strings.TrimPrefix(first.URI("/"), "hdfs://"), "/")
	c, err := hdfs.NewClient(hdfs.ClientOptions{Addresses: []string{address}, User: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// content is n bytes whose every offset looks different from its neighbours.
func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(uint32(i/4+1) * 2654435761 >> (8 * (3 - i%4)))
	}
	return b
}

// TestASecondClientAgrees holds our client against the other one: contents at the edges of checksum
// chunks, packets and blocks, odd names, appends, and everything that a status says.
func TestASecondClientAgrees(t *testing.T) {
	ours := open(t, dfs.Options{Conf: configuration(t, fmt.Sprintf("dfs.blocksize=%d", smallBlocks)), User: "ann"})
	theirs := secondOpinion(t, ours)
	dir := directory(t, ours)

	for _, n := range []int{0, 1, 511, 512, 513, 65535, 65536, 65537, smallBlocks - 1, smallBlocks, smallBlocks + 1, 3*smallBlocks + 7} {
		want := content(n)
		mine, other := path.Join(dir, fmt.Sprintf("ours-%d", n)), path.Join(dir, fmt.Sprintf("theirs-%d", n))
		write(t, ours, mine, want)
		writeTheirs(t, theirs, other, want)
		if got, err := theirs.ReadFile(mine); err != nil || !bytes.Equal(got, want) {
			t.Errorf("they read %d bytes of our %d, equal %v, %v", len(got), n, bytes.Equal(got, want), err)
		}
		if got := read(t, ours, other); !bytes.Equal(got, want) {
			t.Errorf("we read %d bytes of their %d, equal %v", len(got), n, bytes.Equal(got, want))
		}
		if a, b := checksum(t, theirs, mine), checksum(t, theirs, other); !bytes.Equal(a, b) {
			t.Errorf("DataNodes have checksum %x for our %d bytes, %x for theirs", a, n, b)
		}
	}

	t.Run("appends", func(t *testing.T) {
		name := path.Join(dir, "appended")
		want := content(2*smallBlocks + 1000)
		write(t, ours, name, want[:700])
		for at, end := 700, 0; at < len(want); at = end {
			end = min(len(want), at+smallBlocks/3)
			if turn := (at / 1000) % 2; turn == 0 {
				w, err := theirs.Append(name)
				if err != nil {
					t.Fatal(err)
				}
				finishTheirs(t, w, want[at:end])
			} else {
				w, err := ours.Append(t.Context(), name)
				if err != nil {
					t.Fatal(err)
				}
				finish(t, w, want[at:end])
			}
		}
		if got := read(t, ours, name); !bytes.Equal(got, want) {
			t.Errorf("we read %d bytes, want %d", len(got), len(want))
		}
		if got, err := theirs.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("they read %d bytes, %v, want %d", len(got), err, len(want))
		}
	})

	t.Run("names and statuses", func(t *testing.T) {
		tree := path.Join(dir, "hour=2024-01-01%2000%3A00 #2?é+;&")
		if err := theirs.MkdirAll(tree+"/theirs%20/deep", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := ours.Mkdir(t.Context(), tree+"/ours#1", 0o1777); err != nil {
			t.Fatal(err)
		}
		write(t, ours, tree+"/a b?.txt", []byte("1"))
		writeTheirs(t, theirs, tree+"/c%2F.txt", []byte("22"))
		if err := theirs.Chmod(tree+"/a b?.txt", 0o640); err != nil {
			t.Fatal(err)
		}
		if err := ours.Rename(t.Context(), tree+"/c%2F.txt", tree+"/d#.txt", false); err != nil {
			t.Fatal(err)
		}
		mine, err := ours.List(t.Context(), tree)
		if err != nil {
			t.Fatal(err)
		}
		others, err := theirs.ReadDir(tree)
		if err != nil {
			t.Fatal(err)
		}
		var a, b []string
		for _, i := range mine {
			a = append(a, fmt.Sprint(path.Base(i.Name), i.Size, i.Mode.Perm(), i.IsDir(), i.ModTime.UnixMilli(), i.Owner, i.Group))
		}
		for _, i := range others {
			s := i.(*hdfs.FileInfo)
			b = append(b, fmt.Sprint(s.Name(), s.Size(), s.Mode().Perm(), s.IsDir(), s.ModTime().UnixMilli(), s.Owner(), s.OwnerGroup()))
		}
		slices.Sort(b)
		if !slices.Equal(a, b) || len(a) != 4 {
			t.Errorf("we list\n%s\nthey list\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
		if err := theirs.Remove(tree + "/d#.txt"); err != nil {
			t.Error(err)
		}
		if _, err := ours.Stat(t.Context(), tree+"/d#.txt"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what they removed: %v", err)
		}
		if err := ours.Remove(t.Context(), tree, true); err != nil {
			t.Error(err)
		}
		if _, err := theirs.Stat(tree); !os.IsNotExist(err) {
			t.Errorf("what we removed: %v", err)
		}
	})

	t.Run("a file that is being written", func(t *testing.T) {
		w, err := ours.Create(t.Context(), path.Join(dir, "new"), dfs.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := theirs.Stat(path.Join(dir, "new")); !os.IsNotExist(err) {
			t.Errorf("before it is closed they see it: %v", err)
		}
		finish(t, w, content(1000))
		if got, err := theirs.ReadFile(path.Join(dir, "new")); err != nil || !bytes.Equal(got, content(1000)) {
			t.Errorf("they read %d bytes, %v", len(got), err)
		}
	})
}

func writeTheirs(t *testing.T, c *hdfs.Client, name string, b []byte) {
	t.Helper()
	w, err := c.CreateFile(name, 1, smallBlocks, 0o644)
	if err != nil {
		t.Fatalf("they create %s: %v", name, err)
	}
	finishTheirs(t, w, b)
}

// finishTheirs writes and closes. The NameNode may not know yet that the last block has arrived:
// their Close says so, and wants to be called again.
func finishTheirs(t *testing.T, w *hdfs.FileWriter, b []byte) {
	t.Helper()
	if len(b) > 0 { // a Write of nothing begins a block that never ends
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	for until := time.Now().Add(time.Minute); ; {
		if err := w.Close(); !hdfs.IsErrReplicating(err) || time.Now().After(until) {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}

func finish(t *testing.T, w dfs.Writer, b []byte) {
	t.Helper()
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// checksum is what DataNodes say of a file, which is not read for that.
func checksum(t *testing.T, c *hdfs.Client, name string) []byte {
	t.Helper()
	f, err := c.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum, err := f.Checksum()
	if err != nil {
		t.Fatalf("checksum of %s: %v", name, err)
	}
	return sum
}
