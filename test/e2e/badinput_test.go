//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// hello is a job that needs nothing, to be spoilt.
const hello = `name: hello
command: "true"
roles:
  worker: {instances: 1, memory: 256MiB}
`

// refusal is input that must not start anything.
type refusal struct {
	name string
	file string   // the job file; empty: hello
	args []string // besides it
	env  []string // over the cluster's
	code int
	says []string
}

// TestBadInputIsRefusedBeforeAnything gives tfos what it must refuse: with a message that names the
// matter, the documented exit code, and nothing started or left on HDFS.
func TestBadInputIsRefusedBeforeAnything(t *testing.T) {
	c := hadoop(t)
	tfos(t, c.env, "run", jobFile(t, hello)).want(t, 0) // from here on the cache is filled
	for _, r := range []refusal{
		{name: "unknown key", file: "name: x\ncommand: \"true\"\nrolls:\n  worker: {instances: 1}\n", code: 2, says: []string{"job.yaml:3", "rolls", "roles"}},
		{name: "wrong unit", file: strings.Replace(hello, "256MiB", "256 apples", 1), code: 2, says: []string{"job.yaml:4", "memory", "256 apples"}},
		{name: "missing file", args: []string{"--files", "no-such-file.py"}, code: 2, says: []string{"no-such-file.py"}},
		{name: "zero instances", file: strings.Replace(hello, "instances: 1", "instances: 0", 1), code: 2, says: []string{"worker", "instances"}},
		{name: "no configuration directory", env: []string{"HADOOP_CONF_DIR=", "YARN_CONF_DIR="}, code: 2, says: []string{"HADOOP_CONF_DIR", "--conf"}},
		{name: "configuration directory that does not exist", args: []string{"--conf", "/no/such/dir"}, code: 2, says: []string{"/no/such/dir"}},
		{name: "more memory than any node has", args: []string{"--worker-memory", "900GiB"}, code: 3, says: []string{"worker", "900"}},
		{name: "unknown GPU resource", args: []string{"--worker-gpus", "1"}, code: 3, says: []string{"yarn.io/gpu"}},
		{name: "no permission on the staging directory", env: []string{"HADOOP_USER_NAME=stranger"}, code: 3, says: []string{"/user/stranger", "stranger"}},
	} {
		t.Run(r.name, func(t *testing.T) { c.refuses(t, r) })
	}
}

// refuses runs one refusal and looks that nothing came of it.
func (c *cluster) refuses(t *testing.T, r refusal) {
	t.Helper()
	before, jobs := c.applications(t), c.jobDirs(t)
	file := r.file
	if file == "" {
		file = hello
	}
	env := append(slices.Clone(c.env), r.env...)
	tfos(t, env, append([]string{"run", jobFile(t, file)}, r.args...)...).want(t, r.code).says(t, r.says...)
	if now := c.applications(t); now != before {
		t.Errorf("the ResourceManager has %d applications, %d before", now, before)
	}
	if now := c.jobDirs(t); !slices.Equal(now, jobs) {
		t.Errorf("staging directories %v, before %v", now, jobs)
	}
}

func TestResourceManagerUnreachable(t *testing.T) {
	conf := t.TempDir()
	const site = `<configuration><property><name>yarn.resourcemanager.address</name><value>127.0.0.1:1</value></property></configuration>`
	if err := os.WriteFile(filepath.Join(conf, "yarn-site.xml"), []byte(site), 0o644); err != nil {
		t.Fatal(err)
	}
	tfos(t, nil, "run", "--conf", conf, jobFile(t, hello)).want(t, 4).says(t, "ResourceManager", "127.0.0.1:1")
}

func TestSafeModeAndQuota(t *testing.T) {
	c := hadoop(t)
	t.Run("safe mode", func(t *testing.T) {
		c.shell(t, "hdfs dfsadmin -safemode enter")
		defer c.shell(t, "hdfs dfsadmin -safemode leave")
		c.refuses(t, refusal{code: 3, says: []string{"safe mode"}})
	})
	t.Run("full", func(t *testing.T) {
		c.shell(t, "hdfs dfs -mkdir -p /user/full && hdfs dfs -chown full /user/full && hdfs dfsadmin -setSpaceQuota 1m /user/full")
		c.refuses(t, refusal{env: []string{"HADOOP_USER_NAME=full"}, code: 3, says: []string{"/user/full", "quota"}})
		if left := c.list(t, "/user/full/.tfos/cache"); len(left) > 0 {
			t.Errorf("left in the cache: %v", left)
		}
	})
}

// TestProgramsThatFail runs programs that end in every bad way: the job ends with exit code 1 and
// one sentence that says which task, why, and what it printed last.
func TestProgramsThatFail(t *testing.T) {
	c := hadoop(t)
	for _, f := range []struct {
		name, command string
		says          []string
	}{
		{"command that does not exist", "trian.py --fast", []string{"worker/0", "trian.py", "not found"}},
		{"exit code 3 at once", "echo the matter is this >&2; exit 3", []string{"worker/0", "exit code 3", "the matter is this"}},
		{"killed by a signal", "kill -SEGV $$", []string{"worker/0", "SIGSEGV"}},
	} {
		t.Run(f.name, func(t *testing.T) {
			r := tfos(t, c.env, "run", jobFile(t, hello), "--", "bash", "-c", f.command)
			r.want(t, 1).says(t, f.says...)
			c.shell(t, "yarn application -status "+r.application(t)+" | grep -q 'Final-State : FAILED'")
			gone(t, r.application(t))
		})
	}
}

// TestProgramThatIgnoresSIGTERM runs a service that does not end when asked to: it is killed after
// the grace period, and the job's success stands.
func TestProgramThatIgnoresSIGTERM(t *testing.T) {
	c := hadoop(t)
	job := jobFile(t, fmt.Sprintf(`name: stubborn
files: [%s]
stop: {grace: 1s}
roles:
  worker: {instances: 1, memory: 256MiB, command: sleep 2}
  ps: {instances: 1, memory: 256MiB, service: true, command: ./ignore_sigterm}
`, program("ignore_sigterm")))
	r := tfos(t, c.env, "run", job).want(t, 0)
	gone(t, r.application(t))
}

// TestSecondSubmitUploadsNothing: the cache on HDFS is keyed by content.
func TestSecondSubmitUploadsNothing(t *testing.T) {
	c := hadoop(t)
	job := jobFile(t, strings.Replace(hello, "command:", "files: ["+program("report_spec.py")+"]\ncommand:", 1))
	tfos(t, c.env, "run", job).want(t, 0)
	tfos(t, c.env, "run", job).want(t, 0).says(t, "uploaded 0 B")
}

// applications counts what the ResourceManager knows of.
func (c *cluster) applications(t testing.TB) int {
	t.Helper()
	return strings.Count(tfos(t, c.env, "list", "--all", "--json").want(t, 0).stdout, "application_")
}

// jobDirs lists the staging directories of every user's jobs.
func (c *cluster) jobDirs(t testing.TB) []string {
	t.Helper()
	var all []string
	for _, user := range c.list(t, "/user") {
		for _, dir := range c.list(t, "/user/"+user+"/.tfos/jobs") {
			all = append(all, filepath.Join(user, dir))
		}
	}
	return all
}

// list names the entries of a directory on HDFS; none where there is no directory.
func (c *cluster) list(t testing.TB, dir string) []string {
	t.Helper()
	resp, err := http.Get(c.webhdfs(t) + "/webhdfs/v1" + dir + "?op=LISTSTATUS&user.name=root")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusNotFound {
		return nil
	}
	var l struct {
		FileStatuses struct{ FileStatus []struct{ PathSuffix string } }
	}
	if err := json.Unmarshal(body, &l); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("list %s: %s: %v\n%s", dir, resp.Status, err, body)
	}
	var names []string
	for _, f := range l.FileStatuses.FileStatus {
		names = append(names, f.PathSuffix)
	}
	return names
}

// TestMoreVCoresThanThereAre: the scheduler of the shared cluster counts them, and the job is not
// left to wait for what never comes.
func TestMoreVCoresThanThereAre(t *testing.T) {
	c := hadoop(t)
	r := tfos(t, c.env, "run", jobFile(t, "name: vcores\ncommand: \"true\"\nroles: {worker: {instances: 40, memory: 128MiB, vcores: 1}}\n")).want(t, 3)
	r.says(t, "role worker asks for 40 containers of 128 MiB, 1 vcore; even an empty cluster of 4 running nodes holds only 32", "its scheduler counts vcores")
}

// TestUnknownQueue: a queue that the cluster does not list may be made for the job, so the
// ResourceManager decides, and its words are shown with the queues that may do.
func TestUnknownQueue(t *testing.T) {
	c := hadoop(t)
	tfos(t, c.env, "run", "--queue", "nowhere", jobFile(t, hello)).want(t, 3).says(t, "unknown queue: nowhere", "the cluster has ", "root.default")
	tfos(t, c.env, "run", "--queue", "root", jobFile(t, hello)).want(t, 3).says(t, "queue root is divided into others: use one of ", "root.default", "root.other")
}
