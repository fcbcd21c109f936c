package sstable

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func seeds(t testing.TB) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, name := range []string{"v2/ckpt-4.index", "shards/ckpt-1.index", "v1-sharded/model.ckpt-30.index", "legacy/model.ckpt-30"} {
		b, err := os.ReadFile(filepath.Join("..", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = b
	}
	return files
}

func TestEntriesComeInOrder(t *testing.T) {
	for name, b := range seeds(t) {
		table, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var keys [][]byte
		err = table.Entries(func(key, _ []byte) error {
			if n := len(keys); n > 0 && bytes.Compare(keys[n-1], key) >= 0 {
				t.Errorf("%s: key %q after %q", name, key, keys[n-1])
			}
			keys = append(keys, bytes.Clone(key))
			return nil
		})
		if err != nil || len(keys) < 3 || len(keys[0]) > 0 {
			t.Errorf("%s: keys %q, %v", name, keys, err)
		}
	}
}

// A reader that fails is no damaged table.
func TestReadersErrorIsHandedOn(t *testing.T) {
	if _, err := Open(bytes.NewReader(nil), 100); errors.As(err, new(*CorruptError)) || err == nil {
		t.Errorf("a file that became shorter: %v", err)
	}
}

// FuzzBlock gives the content of a block: Open and Entries see one only behind its checksum.
func FuzzBlock(f *testing.F) {
	f.Add([]byte{0, 1, 1, 'a', 'b', 0, 0, 0, 0, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		size := 0
		err := entries(b, func(_, value []byte) error {
			size += len(value)
			return nil
		})
		if err != nil && err != errBlock || size > len(b) {
			t.Errorf("%d bytes of values in %d, %v", size, len(b), err)
		}
	})
}
