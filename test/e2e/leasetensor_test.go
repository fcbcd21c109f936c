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

	"tfos/internal/status"
)

// TestLeasesInTensorFlow reads shared TFRecords as a tf.data.Dataset in a program that is killed,
// and goes back to its checkpoint in the middle of an epoch: what it has seen then is every record
// once.
func TestLeasesInTensorFlow(t *testing.T) {
	t.Parallel()
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

// TestLeasesOnHDFS keeps records, model and the state of the input on a real HDFS. The program is
// killed, then the whole job, and resumed by another application in the middle of the epoch: what
// it has seen in the end is every record once.
func TestLeasesOnHDFS(t *testing.T) {
	t.Parallel()
	c := storage(t)
	data := t.TempDir()
	total := writeTFRecords(t, data, 20)
	c.shell(t, "hdfs dfs -mkdir -p /leases && hdfs dfs -put "+data+" /leases/data")
	id := strings.TrimSpace(tfos(t, c.env, "submit", jobFile(t, fmt.Sprintf(
		"name: leases\ncommand: %s lease_resume.py 'hdfs:///leases/data/*.tfrecord' 25\nfiles: [%s]\ncheckpoint: {dir: 'hdfs:///leases/model'}\nroles:\n  worker: {memory: 1GiB}\n",
		python(t), program("lease_resume.py")))).want(t, 0).stdout)
	var v status.View
	eventually(t, "steps after the restart", func() bool {
		v = jobStatus(t, c.env, id)
		return v.ExitCode != nil || len(v.Restarts) == 1 && steps(v) > 45
	})
	if v.ExitCode != nil {
		t.Fatalf("it ended: %s", v.Diagnostics)
	}
	tfos(t, c.env, "kill", id).want(t, 0)
	if out := tfos(t, c.env, "logs", id, "worker/0").want(t, 0).stdout; !strings.Contains(out, "restored ckpt-20") {
		t.Errorf("after its process was killed:\n%s", out)
	}
	r := tfos(t, c.env, "resume", id).want(t, 0)
	if from := resumed(t, r.stdout); from < 40 {
		t.Errorf("resumed from step %d", from)
	}
	if want := fmt.Sprintf("seen %d distinct %d steps ", total, total); !strings.Contains(r.stdout, want) {
		t.Errorf("want %q in:\n%s", want, r.stdout)
	}
	gone(t, id)
	c.shell(t, "hdfs dfs -test -e /leases/model/.tfos/input-40.json")
}

// TestDamagedRecordsOnHDFS: a job that meets a damaged record says which file it is in and where it
// begins, and does not pass over it, in TensorFlow or without, in whichever piece of the file it
// lies.
func TestDamagedRecordsOnHDFS(t *testing.T) {
	t.Parallel()
	c := storage(t)
	for _, d := range []struct {
		name, program string
		at            int // which byte of the 150th record is damaged
		says          string
	}{
		{"data", fmt.Sprintf("%s lease_resume.py 'hdfs:///damaged/data/*' 100000", python(t)), 30,
			"ValueError: hdfs:///damaged/data/part-00.tfrecord: the record at byte %d is damaged: its 50 bytes are not what their checksum says"},
		{"length", fmt.Sprintf(`%s -c 'import tfos.data; print(len(list(tfos.data.records("hdfs:///damaged/length/*", "tfrecord", split=500))))'`, python(t)), 3,
			"ValueError: hdfs:///damaged/length/part-00.tfrecord: no record begins at byte %d, where the one before ended"},
	} {
		t.Run(d.name, func(t *testing.T) {
			var content []byte
			at := 0
			for n := range 300 {
				if n == 150 {
					at = len(content)
				}
				content = append(content, tfRecord(fmt.Appendf(nil, "%050d", n))...)
			}
			content[at+d.at] ^= 4
			file := filepath.Join(t.TempDir(), "part-00.tfrecord")
			if err := os.WriteFile(file, content, 0o644); err != nil {
				t.Fatal(err)
			}
			c.shell(t, fmt.Sprintf("hdfs dfs -mkdir -p /damaged/%[1]s && hdfs dfs -put %[2]s /damaged/%[1]s", d.name, file))
			tfos(t, c.env, "run", jobFile(t, fmt.Sprintf("name: damaged\nfiles: [%s]\ncheckpoint: {dir: 'hdfs:///damaged/model'}\nroles:\n  worker: {memory: 1GiB}\nrecovery: {user-failures: 0}\n",
				program("lease_resume.py"))), "--", d.program).want(t, 1).says(t, "worker/0 failed", fmt.Sprintf(d.says, at))
		})
	}
}

// tfRecord is a record as files have it.
func tfRecord(data []byte) []byte {
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	masked := func(b []byte) []byte {
		c := crc32.Checksum(b, castagnoli)
		return binary.LittleEndian.AppendUint32(nil, (c>>15|c<<17)+0xa282ead8)
	}
	length := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	return slices.Concat(length, masked(length), data, masked(data))
}

// writeTFRecords makes files of records, and returns how many.
func writeTFRecords(t *testing.T, dir string, files int) int {
	t.Helper()
	r, total := rand.New(rand.NewPCG(3, 4)), 0
	for i := range files {
		var b []byte
		for n := range r.IntN(80) {
			b = append(b, tfRecord(fmt.Appendf(nil, "%d:%d %s", i, n, strings.Repeat("\x00", r.IntN(300))))...)
			total++
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("part-%02d.tfrecord", i)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return total
}
