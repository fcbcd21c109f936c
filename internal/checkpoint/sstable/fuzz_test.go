package sstable_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"tfos/internal/checkpoint/sstable"
	"tfos/internal/checkpoint/sstable/sstabletest"
)

// FuzzTable changes tables that TensorFlow wrote, as they are and with checksums that fit the
// change.
func FuzzTable(f *testing.F) {
	for _, name := range []string{"v2/ckpt-4.index", "shards/ckpt-1.index", "v1-sharded/model.ckpt-30.index", "legacy/model.ckpt-30"} {
		b, err := os.ReadFile(filepath.Join("..", "testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		sealed := bytes.Clone(in)
		sstabletest.Reseal(sealed)
		for _, b := range [][]byte{in, sealed} {
			size := 0
			table, err := sstable.Open(bytes.NewReader(b), int64(len(b)))
			if err == nil {
				err = table.Entries(func(_, value []byte) error {
					if size += len(value); size > sstable.MaxBlock+len(b) {
						return fmt.Errorf("entries of more than %d bytes", size)
					}
					return nil
				})
			}
			if err != nil && !errors.As(err, new(*sstable.CorruptError)) {
				t.Errorf("%v is no damage of the table", err)
			}
		}
	})
}

// TestResealed: a change of a key inside a block is seen behind new checksums, and is damage
// without them.
func TestResealed(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "testdata", "v2", "ckpt-4.index"))
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte("_CHECKPOINTABLE"))] = 'X'
	read := func() (found bool, err error) {
		table, err := sstable.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return false, err
		}
		err = table.Entries(func(key, _ []byte) error {
			found = found || bytes.HasPrefix(key, []byte("XCHECKPOINTABLE"))
			return nil
		})
		return found, err
	}
	if _, err := read(); !errors.As(err, new(*sstable.CorruptError)) {
		t.Errorf("with the old checksum: %v", err)
	}
	sstabletest.Reseal(b)
	if found, err := read(); err != nil || !found {
		t.Errorf("with the new one: found %v, %v", found, err)
	}
}
