//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tfos/internal/status"
)

// serving is a job that runs until it is stopped.
const serving = `name: serving
roles:
  worker: {instances: 2, memory: 256MiB, command: "echo worker is here; for i in $(seq 1 100000); do echo step $i/400; sleep 0.2; done"}
  ps: {instances: 1, memory: 256MiB, command: "echo ps is here; exec sleep 100000"}
`

// TestOperate goes through the life of a job that somebody watches: submit, status, list, logs
// while it runs, kill, and the same questions afterwards.
func TestOperate(t *testing.T) {
	c := hadoop(t)
	r := tfos(t, c.env, "submit", jobFile(t, serving)).want(t, 0)
	id := strings.TrimSpace(r.stdout)
	if !applicationRE.MatchString(id) || strings.Contains(id, " ") {
		t.Fatalf("tfos submit printed %q on stdout, want the application id alone", r.stdout)
	}
	var v status.View
	eventually(t, "all tasks to run and report steps", func() bool {
		v = jobStatus(t, c.env, id)
		for _, task := range v.Tasks {
			if task.State != status.Running || task.Role == "worker" && task.Step == 0 {
				return false
			}
		}
		return len(v.Tasks) == 3
	})
	for _, task := range v.Tasks {
		if task.Node == "" || task.PID == 0 || task.Address == "" || task.Incarnation != 1 || task.Container == "" {
			t.Errorf("task %+v", task)
		}
	}
	eventually(t, "the ResourceManager to see progress", func() bool { return c.progress(t, id) > 10 })

	c.showsPage(t, id, v.TrackingURL)

	if list := tfos(t, c.env, "list").want(t, 0).stdout; !strings.Contains(list, id) || !strings.Contains(list, "serving") {
		t.Errorf("tfos list:\n%s", list)
	}
	if text := tfos(t, c.env, "status", id).want(t, 0).stdout; !strings.Contains(text, "worker/1") || !strings.Contains(text, "running") {
		t.Errorf("tfos status:\n%s", text)
	}
	logs := tfos(t, c.env, "logs", id, "ps/0").want(t, 0).stdout
	if !strings.Contains(logs, "ps is here") || strings.Contains(logs, "worker is here") {
		t.Errorf("tfos logs ps/0 while it runs:\n%s", logs)
	}

	follow := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "tfos"), "logs", id, "worker/0", "-f")
	follow.Env = append(cleanEnv(), c.env...)
	out, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for seen := 0; seen < 10 && lines.Scan(); {
		if strings.Contains(lines.Text(), "step ") {
			seen++
		}
	}

	tfos(t, c.env, "kill", id).want(t, 0)
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Error(err)
	}
	if err := follow.Wait(); err != nil {
		t.Errorf("tfos logs -f at the end of the job: %v", err)
	}
	v = jobStatus(t, c.env, id)
	if v.State != status.Stopped || v.ExitCode == nil || *v.ExitCode != 5 {
		t.Errorf("after the kill: state %s, exit code %v: %s", v.State, v.ExitCode, v.Diagnostics)
	}
	gone(t, id)
	c.logged(t, id, v, "worker is here", "ps is here")
	tfos(t, c.env, "kill", id).says(t, id)
}

// showsPage looks at a job's page and its data through the ResourceManager's proxy.
func (c *cluster) showsPage(t *testing.T, id, address string) {
	t.Helper()
	if address != c.rmWeb(t)+"/proxy/"+id+"/" {
		t.Errorf("tracking URL %q is not that of the proxy", address)
	}
	client := http.Client{Timeout: time.Minute}
	for path, want := range map[string]string{"": "<!DOCTYPE html>", "data": `"role":"worker"`, "logs?task=ps/0&stream=stdout&offset=-1": "ps is here"} {
		r, err := client.Get(c.rmWeb(t) + "/proxy/" + id + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != http.StatusOK || !strings.Contains(string(b), want) {
			t.Errorf("GET %q through the proxy: %d, %v, %.300s", path, r.StatusCode, err, b)
		}
	}
}

// TestInterruptDetaches: Ctrl-C once leaves the job to itself and returns 130.
func TestInterruptDetaches(t *testing.T) {
	c := hadoop(t)
	r := c.interrupted(t, 1, "run", jobFile(t, serving)).want(t, 130)
	id := r.application(t)
	if v := jobStatus(t, c.env, id); v.State != status.Running {
		t.Errorf("after Ctrl-C the job is %s", v.State)
	}
	if !strings.Contains(r.stderr, "tfos kill") {
		t.Errorf("it does not say how to end the job:\n%s", r.stderr)
	}
	tfos(t, c.env, "kill", id).want(t, 0)
}

// TestInterruptKills: with --kill-on-exit it stops the job first.
func TestInterruptKills(t *testing.T) {
	c := hadoop(t)
	r := c.interrupted(t, 1, "run", "--kill-on-exit", jobFile(t, serving)).want(t, 130)
	if v := jobStatus(t, c.env, r.application(t)); v.State != status.Stopped {
		t.Errorf("after Ctrl-C the job is %s", v.State)
	}
}

// TestInterruptTwice: the second Ctrl-C returns at once, whatever the first one is waiting for.
func TestInterruptTwice(t *testing.T) {
	c := hadoop(t)
	r := c.interrupted(t, 2, "run", "--kill-on-exit", jobFile(t, serving)).want(t, 130)
	tfos(t, c.env, "kill", r.application(t)).want(t, 0)
}

// interrupted runs tfos, waits until the workers' output comes, and sends SIGINT as often as told.
func (c *cluster) interrupted(t *testing.T, times int, args ...string) run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(root, "bin", "tfos"), args...)
	cmd.Env = append(cleanEnv(), c.env...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("no output of the job: %v\n%s", lines.Err(), errs.String())
	}
	for range times {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its exit code says more
	return run{stderr: errs.String(), code: cmd.ProcessState.ExitCode()}
}

// progress is a job's progress in the ResourceManager's eyes, from 0 to 100.
func (c *cluster) progress(t *testing.T, id string) float64 {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get(c.rmWeb(t) + "/ws/v1/cluster/apps/" + id)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var info struct{ App struct{ Progress float64 } }
	if err := json.NewDecoder(resp.Body).Decode(&info); err != nil {
		t.Fatal(err)
	}
	return info.App.Progress
}

// TestContracts puts the real cluster to the suites that the embedded implementations pass in `make
// check`, and HDFS to what it alone has: tokens, protections, quotas, safe mode, nameservices.
func TestContracts(t *testing.T) {
	c := hadoop(t)
	c.suite(t, "./internal/yarn/yarntest", ".", c.breakable())
	c.suite(t, "./internal/dfs", ".")
}

// breakable lets a suite drain the cluster's nodes and restart its ResourceManager.
func (c *cluster) breakable() string {
	return "TFOS_TEST_HADOOP_CLUSTER=" + filepath.Join(root, "deploy/testcluster/cluster") + " --name " + c.name
}

// suite runs the tests of a package that want a real cluster.
func (c *cluster) suite(t *testing.T, pkg, tests string, env ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-tags", "hadoop", "-timeout", "10m", "-run", tests, pkg)
	cmd.Dir = root
	cmd.Env = append(append(os.Environ(), "TFOS_TEST_HADOOP_CONF="+c.conf), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", pkg, err, out)
	}
}
