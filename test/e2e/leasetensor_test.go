//go:build e2e

package e2e

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestLeasesInTensorFlow reads shared TFRecords as a tf.data.Dataset in a program that is killed, and goes back to its checkpoint in
// the middle of an epoch: what it has seen then is every record once.
func TestLeasesInTensorFlow(t *testing.T) {
	data, checkpoints := t.TempDir(), t.TempDir()
	total := writeTFRecords(t, data, 20)
	job := jobFile(t, fmt.Sprintf("command: %s %s '%s/*.tfrecord' %s 45\ncheckpoint: {dir: %s}\nroles:\n  worker: {memory: 1GiB}\n",
		python(t), program("lease_dataset.py"), data, checkpoints, checkpoints))
	r := tfos(t, nil, "run", "--master", "local", job).want(t, 0)
	if want := fmt.Sprintf("seen %d distinct %d steps ", total, total); !strings.Contains(r.stdout, want) {
		t.Errorf("want %q in:\n%s", want, r.stdout)
	}
	if _, err := os.Stat(filepath.Join(checkpoints, ".tfos", "input-40.json")); err != nil {
		t.Error(err)
	}
}

// writeTFRecords makes files of records, and returns how many.
func writeTFRecords(t *testing.T, dir string, files int) int {
	t.Helper()
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	masked := func(b []byte) []byte {
		c := crc32.Checksum(b, castagnoli)
		return binary.LittleEndian.AppendUint32(nil, (c>>15|c<<17)+0xa282ead8)
	}
	r, total := rand.New(rand.NewPCG(3, 4)), 0
	for i := range files {
		var b []byte
		for n := range r.IntN(80) {
			record := fmt.Appendf(nil, "%d:%d %s", i, n, strings.Repeat("\x00", r.IntN(300)))
			length := binary.LittleEndian.AppendUint64(nil, uint64(len(record)))
			b = slices.Concat(b, length, masked(length), record, masked(record))
			total++
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("part-%02d.tfrecord", i)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return total
}
