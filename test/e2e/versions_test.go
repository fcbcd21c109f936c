//go:build e2e && versions

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checksVirtual has NodeManagers check virtual memory, which is Hadoop's default, and often: the
// test cluster has it off. Since Hadoop 3.2 they do not do it all the same.
var checksVirtual = []string{"--set", "yarn.nodemanager.vmem-check-enabled=true", "--set", "yarn.nodemanager.container-monitor.interval-ms=500"}

// TestVersions runs the same job, unchanged, on the oldest and the newest Hadoop that tfos knows,
// and puts both to the contract suites. These clusters issue no tokens.
func TestVersions(t *testing.T) {
	for i, version := range []string{"2.10", "3.5"} {
		t.Run(version, func(t *testing.T) {
			args := append([]string{"--version", version, "--nms", "2", "--gpus", "2"}, checksVirtual...)
			c, err := startCluster("e2e-"+strings.ReplaceAll(version, ".", "-"), portBase+1000*(i+1), args...)
			if err != nil {
				t.Fatal(err)
			}
			if version == "2.10" {
				t.Run("virtual memory", c.virtualMemory)
			} else if r := tfos(t, c.env, "run", jobFile(t, "command: sleep 3\nroles: {worker: {memory: 512MiB}}\n")).want(t, 0); strings.Contains(r.stderr, "vmem") {
				t.Errorf("stderr: %s", r.stderr)
			}
			c.suite(t, "./internal/yarn/yarntest", ".", "TFOS_TEST_HADOOP_CUSTOM=yarn.io/gpu")
			c.suite(t, "./internal/dfs", "Contract")
			c.onTask(t, "read_direct.py", "hdfs:///tmp").want(t, 0)
			// yarn jar tfos.jar, by the version's own RunJar.
			said := c.shell(t, "XDG_CACHE_HOME="+t.TempDir()+` "$JAVA_HOME/bin/java" $TESTCLUSTER_JAVA_OPTS org.apache.hadoop.util.RunJar `+filepath.Join(root, "build", "tfos.jar")+
				" run "+jobFile(t, "command: echo from a task\nroles: {worker: {memory: 512MiB}}\n")+"; echo exit code $?")
			if !strings.Contains(said, "from a task") || !strings.Contains(said, "exit code 0") {
				t.Errorf("yarn jar says\n%s", said)
			}
			c.trains(t, "ps")
		})
	}
}

// virtualMemory runs jobs where containers are killed for their address space. The cluster grants
// small ones as they are asked for.
func (c *cluster) virtualMemory(t *testing.T) {
	t.Run("the defaults do", func(t *testing.T) {
		t.Parallel()
		// Ten seconds are twenty looks of the NodeManager.
		r := tfos(t, c.env, "run", jobFile(t, `name: vmem
command: for i in $(seq 1 10); do echo step $i/10; sleep 1; done
roles: {worker: {memory: 512MiB}}
`)).want(t, 0)
		r.says(t, "role worker gets 1216 MiB of memory instead of 512")
	})
	t.Run("a program that maps too much", func(t *testing.T) {
		t.Parallel()
		r := tfos(t, c.env, "run", jobFile(t, `name: eats
command: exec python3 -c "import mmap, time; x = mmap.mmap(-1, 4_000_000_000); time.sleep(300)"
recovery: {user-failures: 0}
roles: {worker: {memory: 768MiB}}
`)).want(t, 1)
		r.says(t, "warning: role worker may be too small for TensorFlow", "role worker gets 1472 MiB of memory instead of 768", "beyond virtual memory limits (exit status -103)", "roles.worker.memory")
	})
	t.Run("a gateway that does not know of it", func(t *testing.T) {
		t.Parallel()
		conf := t.TempDir()
		for _, name := range []string{"core-site.xml", "hdfs-site.xml", "yarn-site.xml"} {
			b, err := os.ReadFile(filepath.Join(c.conf, name))
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Replace(string(b), "</configuration>",
				"<property><name>yarn.nodemanager.vmem-check-enabled</name><value>false</value></property></configuration>", 1)
			if err := os.WriteFile(filepath.Join(conf, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		env := []string{"HADOOP_CONF_DIR=" + conf, "HADOOP_USER_NAME=root"}
		tfos(t, env, "run", jobFile(t, "name: small\ncommand: sleep 300\nmaster: {memory: 256MiB}\nroles: {worker: {memory: 1GiB}}\n")).want(t, 4).
			says(t, "the master's container was killed beyond virtual memory limits (exit status -103)", "master.memory")
		tfos(t, env, "run", jobFile(t, "name: small\ncommand: sleep 300\nmaster: {memory: 1GiB}\nroles: {worker: {memory: 256MiB}}\n")).want(t, 1).
			says(t, "worker/0 failed", "beyond virtual memory limits (exit status -103)", "roles.worker.memory")
	})
}
