//go:build e2e && schedulers

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"tfos/internal/status"
)

// call is a command that runs, in a process group of its own.
type call struct {
	cmd       *exec.Cmd
	mu        sync.Mutex // guards the two below
	out, errs bytes.Buffer
}

// yarnJar is a `yarn jar tfos.jar`: the JVM of Hadoop's RunJar.
type yarnJar struct {
	*call
	temporary string
}

// locked writes to a buffer of a call.
type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// startYarnJar starts it as the script yarn does: the configuration is on the class path, and
// nothing says so in the environment. before is shell that runs ahead of it.
func startYarnJar(t testing.TB, c *cluster, before string, env []string, args ...string) *yarnJar {
	t.Helper()
	y := &yarnJar{temporary: t.TempDir()}
	script := fmt.Sprintf(`eval "$(%s --name %s env)"; unset HADOOP_CONF_DIR YARN_CONF_DIR; %s
exec "$JAVA_HOME/bin/java" $TESTCLUSTER_JAVA_OPTS -Djava.io.tmpdir=%s org.apache.hadoop.util.RunJar %s "$@"`,
		filepath.Join(root, "deploy/testcluster/cluster"), c.name, before, y.temporary, filepath.Join(root, "build", "tfos.jar"))
	y.call = startCall(t, append([]string{"XDG_CACHE_HOME=" + filepath.Join(root, "build")}, env...), "bash", append([]string{"-c", script, "yarn-jar"}, args...)...)
	return y
}

func startCall(t testing.TB, env []string, name string, args ...string) *call {
	t.Helper()
	c := &call{cmd: exec.Command(name, args...)}
	c.cmd.Env = append(cleanEnv(), env...)
	c.cmd.Dir = t.TempDir()
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.cmd.Stdout, c.cmd.Stderr = locked{&c.mu, &c.out}, locked{&c.mu, &c.errs}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) })
	return c
}

// awaitOutput waits until the job has printed a text.
func (c *call) awaitOutput(t testing.TB, text string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%q on stdout", text), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return strings.Contains(c.out.String(), text)
	})
}

// end waits for its end.
func (c *call) end(t testing.TB) run {
	t.Helper()
	err := c.cmd.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	r := run{stdout: c.out.String(), stderr: c.errs.String(), code: c.cmd.ProcessState.ExitCode()}
	if err != nil && r.code == 0 {
		t.Fatal(err)
	}
	return r
}

// nothingUnpacked fails the test if RunJar's copy of the jar is still there.
func (y *yarnJar) nothingUnpacked(t testing.TB) {
	t.Helper()
	if left, _ := filepath.Glob(filepath.Join(y.temporary, "hadoop-unjar*")); len(left) > 0 {
		t.Errorf("RunJar has left %q", left)
	}
}

// TestSchedulersJar: `yarn jar tfos.jar` is the command that the jar carries, with its arguments,
// streams, exit codes and signals.
func TestSchedulersJar(t *testing.T) {
	c := hadoop(t)
	exits := jobFile(t, `name: exits
command: "echo \"$SAID\"; exit 7"
recovery: {user-failures: 0}
roles:
  worker: {instances: 1, memory: 256MiB}
`)
	stays := jobFile(t, `name: stays
command: "echo the work; sleep 1000"
roles:
  worker: {instances: 1, memory: 256MiB}
`)
	t.Run("arguments, output, exit code", func(t *testing.T) {
		r := startYarnJar(t, c, "", nil, "run", exits, "--env", `SAID=two  words and "quotes"`).end(t).want(t, 1)
		if !strings.Contains(r.stdout, `two  words and "quotes"`) {
			t.Errorf("stdout %q", r.stdout)
		}
		startYarnJar(t, c, "", nil, "run", "missing.yaml").end(t).want(t, 2).says(t, "missing.yaml does not exist")
	})
	for name, env := range map[string]string{"not unpacked": "HADOOP_CLIENT_SKIP_UNJAR=true", "client class loader": "HADOOP_USE_CLIENT_CLASSLOADER=true"} {
		t.Run(name, func(t *testing.T) {
			r := startYarnJar(t, c, "", []string{env, "TFOS_JAR_DIR=" + t.TempDir()}, "version").end(t).want(t, 0)
			if !strings.HasPrefix(r.stdout, "tfos ") {
				t.Errorf("stdout %q", r.stdout)
			}
		})
	}
	t.Run("noexec", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Fatal("mounting wants root")
		}
		dir := t.TempDir()
		mount := fmt.Sprintf(`[ "$MOUNTED" ] || MOUNTED=1 exec unshare -m bash -c 'mount -t tmpfs -o noexec none %s && exec bash -c "$0" yarn-jar "$@"' "$BASH_EXECUTION_STRING" "$@"`, dir)
		startYarnJar(t, c, mount, []string{"XDG_CACHE_HOME=" + dir}, "version").end(t).want(t, 0)
		startYarnJar(t, c, mount, []string{"TFOS_JAR_DIR=" + dir}, "version").end(t).want(t, 4).says(t, dir, "noexec", "set TFOS_JAR_DIR")
	})
	t.Run("another's directory", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "tfos-jar"), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, "tfos-jar"), 0o777); err != nil {
			t.Fatal(err)
		}
		startYarnJar(t, c, "", []string{"TFOS_JAR_DIR=" + dir}, "version").end(t).want(t, 4).says(t, "others may write to it")
	})
	t.Run("SIGTERM", func(t *testing.T) {
		y := startYarnJar(t, c, "", nil, "run", stays)
		y.awaitOutput(t, "the work")
		_ = y.cmd.Process.Signal(syscall.SIGTERM) // to the JVM alone
		r := y.end(t).want(t, 130).says(t, "goes on without you", "tfos attach")
		y.nothingUnpacked(t)
		tfos(t, c.env, "kill", r.application(t)).want(t, 0)
	})
	t.Run("SIGKILL", func(t *testing.T) {
		dir := t.TempDir()
		y := startYarnJar(t, c, "", []string{"TFOS_JAR_DIR=" + dir}, "run", stays)
		y.awaitOutput(t, "the work")
		_ = y.cmd.Process.Kill() // the JVM alone
		r := y.end(t).want(t, -1)
		eventually(t, "the command to end with its JVM", func() bool { return len(leftovers(t, filepath.Join(dir, "tfos-jar"))) == 0 })
		id := r.application(t)
		if v := jobStatus(t, c.env, id); v.State != status.Running {
			t.Errorf("the job is %s", v.State)
		}
		tfos(t, c.env, "kill", id).want(t, 0)
		tfos(t, c.env, "attach", id).want(t, 5)
	})
	t.Run("Ctrl-C", func(t *testing.T) { // the terminal sends it to both, and the JVM hands it on
		y := startYarnJar(t, c, "", nil, "run", stays, "--kill-on-exit")
		y.awaitOutput(t, "the work")
		_ = syscall.Kill(-y.cmd.Process.Pid, syscall.SIGINT)
		y.end(t).want(t, 130).says(t, "was stopped")
		y.nothingUnpacked(t)
	})
}
