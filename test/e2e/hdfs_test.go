//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// onTask runs a program with TensorFlow as the one task of a job, without a second try, and returns what it printed.
func (c *cluster) onTask(t testing.TB, name string, args ...string) run {
	t.Helper()
	j := jobFile(t, fmt.Sprintf("name: %s\ncommand: %s %s %s\nfiles: [%s]\nroles:\n  worker: {memory: 2GiB}\nrecovery: {user-failures: 0}\n",
		strings.TrimSuffix(name, ".py"), python(t), name, strings.Join(args, " "), program(name)))
	return tfos(t, c.env, "run", j)
}

// TestFileCallsOverHDFS makes every call of tf.io.gfile on HDFS and on the local disk: they must not differ.
func TestFileCallsOverHDFS(t *testing.T) {
	c := hadoop(t)
	for _, where := range []string{"hdfs:///tmp", c.nameNode(t) + "/tmp"} {
		r := c.onTask(t, "gfile.py", where)
		if r.code != 0 || !strings.Contains(r.stdout, " calls, 0 differ") {
			t.Errorf("%s: exit code %d\n%s\n%s", where, r.code, r.stdout, r.stderr)
		}
	}
}

// TestTensorFlowOverHDFS keeps everything on HDFS that TensorFlow keeps in files.
func TestTensorFlowOverHDFS(t *testing.T) {
	c := hadoop(t)
	r := c.onTask(t, "on_hdfs.py", "hdfs:///tmp")
	if r.code != 0 || !strings.Contains(r.stdout, "all is well") {
		t.Errorf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
}

var nameNodeRE = regexp.MustCompile(`hdfs://[^/<]+`)

// nameNode is the default filesystem by its address.
func (c *cluster) nameNode(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(c.conf, "core-site.xml"))
	if err != nil {
		t.Fatal(err)
	}
	uri := nameNodeRE.Find(b)
	if uri == nil {
		t.Fatalf("no NameNode in\n%s", b)
	}
	return string(uri)
}
