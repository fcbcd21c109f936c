package tfrecord

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestAppend compares with what tf.io.TFRecordWriter writes for b"abc".
func TestAppend(t *testing.T) {
	const want = "0300000000000000b099490e6162636e57f121"
	if got := hex.EncodeToString(Append(nil, []byte("abc"))); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// odd are records that are hard to tell from what is around them: empty ones, zeros, and files
// within a record.
func odd(r *rand.Rand, n int) [][]byte {
	var all [][]byte
	for i := range n {
		var b []byte
		switch r.IntN(5) {
		case 0:
		case 1:
			b = make([]byte, r.IntN(60))
		case 2:
			b = Append(Append(nil, []byte("within")), nil)
		case 3:
			b = make([]byte, r.IntN(300))
			for j := range b {
				b[j] = byte(r.Uint32())
			}
		default:
			b = fmt.Appendf(nil, "record %d", i)
		}
		all = append(all, b)
	}
	return all
}

// piece reads the records that begin in [from, to).
func piece(file []byte, from, to int64) ([][]byte, error) {
	f, size := bytes.NewReader(file), int64(len(file))
	at, ok, err := Find(f, from, to, size)
	if err != nil || !ok {
		return nil, err
	}
	r := NewReader(io.NewSectionReader(f, at, size-at), at)
	var all [][]byte
	for r.At() < to {
		b, err := r.Append(nil)
		if err == io.EOF {
			break
		}
		if err != nil {
			return all, err
		}
		all = append(all, b)
	}
	problem, err := Break(f, r.At(), size)
	if err == nil {
		err = problem
	}
	return all, err
}

// TestEveryRecordIsInOnePiece cuts files at every size: the pieces hold all records, in order,
// once.
func TestEveryRecordIsInOnePiece(t *testing.T) {
	for seed := range uint64(12) {
		records := odd(rand.New(rand.NewPCG(seed, 1)), 25)
		var file []byte
		for _, b := range records {
			file = Append(file, b)
		}
		for size := int64(1); size <= int64(len(file)); size += 1 + size/8 {
			var got [][]byte
			for from := int64(0); from < int64(len(file)); from += size {
				p, err := piece(file, from, min(from+size, int64(len(file))))
				if err != nil {
					t.Fatalf("seed %d, pieces of %d bytes, from %d: %v", seed, size, from, err)
				}
				got = append(got, p...)
			}
			if len(got) != len(records) {
				t.Fatalf("seed %d, pieces of %d bytes: %d records, want %d", seed, size, len(got), len(records))
			}
			for i := range got {
				if !bytes.Equal(got[i], records[i]) {
					t.Fatalf("seed %d, pieces of %d bytes: record %d is %q, want %q", seed, size, i, got[i], records[i])
				}
			}
		}
	}
}

// TestDamageIsSaid flips each byte, and cuts the file off at each: the pieces together say so, or
// hold all records.
func TestDamageIsSaid(t *testing.T) {
	var file []byte
	for i := range 6 {
		file = Append(file, fmt.Appendf(nil, "record %d", i))
	}
	read := func(b []byte) (err error) {
		for from := int64(0); from < int64(len(b)); from += 20 {
			_, e := piece(b, from, min(from+20, int64(len(b))))
			err = errors.Join(err, e)
		}
		return err
	}
	if err := read(file); err != nil {
		t.Fatal(err)
	}
	for i := range file {
		b := bytes.Clone(file)
		b[i] ^= 0x10
		if err := read(b); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("byte %d is flipped: %v", i, err)
		}
		if whole := i%24 == 0; (read(file[:i]) == nil) != whole {
			t.Errorf("cut off at %d: %v", i, read(file[:i]))
		}
	}
	var d *Damage
	if err := read(append(Append(nil, []byte("x")), 1)); !errors.As(err, &d) || d.At != 17 {
		t.Errorf("a byte too many: %v", err)
	}
}

// FuzzReader: whatever the bytes are, what is read of them is in them.
func FuzzReader(f *testing.F) {
	f.Add(Append(Append(nil, []byte("abc")), nil), int64(3))
	f.Fuzz(func(t *testing.T, file []byte, from int64) {
		if from < 0 || from > int64(len(file)) {
			return
		}
		all, err := piece(file, from, int64(len(file)))
		if err == nil && len(all) > 0 {
			var tail []byte
			for _, b := range all {
				tail = Append(tail, b)
			}
			if !bytes.HasSuffix(file, tail) {
				t.Fatalf("%q is not the end of %q", tail, file)
			}
		}
	})
}
