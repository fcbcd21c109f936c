//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"tfos/internal/status"
)

// storageCluster is one whose HDFS may be broken: three copies of each block, and a NameNode that
// issues delegation tokens.
var storageCluster = sync.OnceValues(func() (*cluster, error) {
	return startCluster("e2e-faults", portBase+3000, "--nms", "1", "--dns", "3", "--set", "dfs.replication=3",
		"--set", "dfs.block.access.token.enable=true", "--set", "dfs.namenode.delegation.token.always-use=true")
})

// storage is the cluster whose HDFS may be broken, started by the first test that asks for it.
func storage(t testing.TB) *cluster {
	t.Helper()
	c, err := storageCluster()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// onTask runs a program with TensorFlow as the one task of a job, without a second try, and returns
// what it printed.
func (c *cluster) onTask(t testing.TB, name string, args ...string) run {
	t.Helper()
	j := jobFile(t, fmt.Sprintf("name: %s\ncommand: %s %s %s\nfiles: [%s]\nroles:\n  worker: {memory: 2GiB}\nrecovery: {user-failures: 0}\n",
		strings.TrimSuffix(name, ".py"), python(t), name, strings.Join(args, " "), program(name)))
	return tfos(t, c.env, "run", j)
}

// TestFileCallsOverHDFS makes every call of tf.io.gfile on HDFS and on the local disk: they must
// not differ.
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
	t.Parallel()
	c := hadoop(t)
	r := c.onTask(t, "on_hdfs.py", "hdfs:///tmp")
	if r.code != 0 || !strings.Contains(r.stdout, "all is well") {
		t.Errorf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
}

// TestRefusalsOfHDFS: a quota that is used up and a missing permission are TensorFlow's own errors.
func TestRefusalsOfHDFS(t *testing.T) {
	c := hadoop(t)
	c.shell(t, "hdfs dfs -mkdir -p /tmp/full /tmp/forbidden /user/ann; hdfs dfs -touchz /tmp/forbidden/f; hdfs dfs -chmod 700 /tmp/forbidden; "+
		"hdfs dfs -chown ann /user/ann /tmp/full; hdfs dfsadmin -setQuota 1 /tmp/full")
	ann := *c
	ann.env = []string{"HADOOP_CONF_DIR=" + c.conf, "HADOOP_USER_NAME=ann"}
	r := ann.onTask(t, "refusals_on_hdfs.py", "hdfs:///tmp/full", "hdfs:///tmp/forbidden")
	if r.code != 0 || !strings.Contains(r.stdout, "all is well") {
		t.Errorf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
}

// TestDataNodesThatDie kills DataNodes under files that are being written in every way.
func TestDataNodesThatDie(t *testing.T) {
	c := storage(t)
	c.suite(t, "./internal/dfs", "^TestDataNodesThatDie$", c.breakable())
}

// TestReadsFromDataNodes: a program reads from a DataNode itself, and from another one when that is
// stopped or killed. What it waits for one that says nothing, 20 s at most, is printed.
func TestReadsFromDataNodes(t *testing.T) {
	c := storage(t)
	r := c.onTask(t, "read_direct.py", "hdfs:///tmp", "stop", "kill")
	if r.code != 0 || !strings.Contains(r.stdout, "all is well") {
		t.Errorf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
	for line := range strings.Lines(r.stdout) {
		if node, ok := strings.CutPrefix(line, "killed "); ok {
			if err := c.script("start", strings.TrimSpace(node)); err != nil { // for the tests after this one
				t.Fatal(err)
			}
		} else if strings.Contains(line, "longest wait") {
			fmt.Print(line)
		}
	}
}

// TestFaultsOfHDFS restarts the NameNode and kills a DataNode under a program that writes and
// reads, with an event file open meanwhile.
func TestFaultsOfHDFS(t *testing.T) {
	c := storage(t)
	j := jobFile(t, fmt.Sprintf("name: faults\ncommand: %s faults_on_hdfs.py hdfs:///tmp\nfiles: [%s]\nroles:\n  worker: {memory: 2GiB}\nrecovery: {user-failures: 0}\n",
		python(t), program("faults_on_hdfs.py")))
	id := strings.TrimSpace(tfos(t, c.env, "submit", j).want(t, 0).stdout)
	goesOn := func(after string) {
		t.Helper()
		var v status.View
		was := steps(jobStatus(t, c.env, id))
		eventually(t, "steps after "+after, func() bool {
			v = jobStatus(t, c.env, id)
			return v.ExitCode != nil || steps(v) > was+3
		})
		if v.ExitCode != nil {
			t.Fatalf("after %s: %s\n%s", after, v.Diagnostics, tfos(t, c.env, "logs", id).stdout)
		}
	}
	goesOn("the start")
	for _, fault := range []string{"restart nn", "kill dn1", "start dn1", "kill dn2"} {
		if err := c.script(strings.Fields(fault)...); err != nil {
			t.Fatal(err)
		}
		goesOn(fault)
	}
	if err := c.script("start", "dn2"); err != nil { // for the tests after this one
		t.Fatal(err)
	}
	c.shell(t, "hdfs dfs -touchz /tmp/stop")
	eventually(t, "the end of "+id, func() bool { return jobStatus(t, c.env, id).ExitCode != nil })
	log := tfos(t, c.env, "logs", id).stdout
	if v := jobStatus(t, c.env, id); *v.ExitCode != 0 || !strings.Contains(log, " records are there") {
		t.Errorf("exit code %d: %s\n%s", *v.ExitCode, v.Diagnostics, log)
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
