package sstable

import (
	"bytes"
	"errors"
	"fmt"
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

// Checksums keep a fuzzer from most of the code, so entries is given blocks directly as well.
func FuzzTable(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Add([]byte{0, 1, 1, 'a', 'b', 0, 0, 0, 0, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(err error) {
			if err != nil && err != errBlock && !errors.As(err, new(*CorruptError)) {
				t.Errorf("%v is no damage of the table", err)
			}
		}
		size := 0
		count := func(key, value []byte) error {
			if size += len(value); size > MaxBlock+len(b) {
				return fmt.Errorf("entries of more than %d bytes", size)
			}
			return nil
		}
		check(entries(b, count))
		table, err := Open(bytes.NewReader(b), int64(len(b)))
		check(err)
		if err == nil {
			check(table.Entries(count))
		}
	})
}
