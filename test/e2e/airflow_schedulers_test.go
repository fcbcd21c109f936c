//go:build e2e && schedulers

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"tfos/internal/status"
)

// airflow is a real Airflow that runs test/schedulers/dags.py, with its database in a directory.
type airflow struct {
	home string
	env  []string
	bin  string
}

// startAirflow starts what runs tasks: all of Airflow 3, and the scheduler of 2.
func startAirflow(t *testing.T, c *cluster, version string, port int, component string) *airflow {
	t.Helper()
	a := &airflow{home: t.TempDir(), bin: filepath.Join(root, "build", "airflow-"+version, "bin")}
	url := fmt.Sprintf("http://localhost:%d", port)
	a.env = append([]string{
		"AIRFLOW_HOME=" + a.home, "PATH=" + a.bin + ":" + os.Getenv("PATH"), "TFOS=" + filepath.Join(root, "bin", "tfos"),
		"AIRFLOW__CORE__LOAD_EXAMPLES=False", "AIRFLOW__CORE__DAGS_FOLDER=" + filepath.Join(root, "test", "schedulers", "cluster"),
		"AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION=False", "AIRFLOW__API__PORT=" + strconv.Itoa(port), "AIRFLOW__API__BASE_URL=" + url,
		// Tasks run beside each other, which Airflow 2 does not allow by itself on an SQLite.
		"AIRFLOW__CORE__EXECUTOR=LocalExecutor", "_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK=1",
		"AIRFLOW__CORE__EXECUTION_API_SERVER_URL=" + url + "/execution/", "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC=1",
		"AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT=" + strconv.Itoa(port+1), "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT=" + strconv.Itoa(port+2),
	}, c.env...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command(ctx, t, a.env, filepath.Join(a.bin, "airflow"), "db", "migrate").want(t, 0)
	if listed := command(ctx, t, a.env, filepath.Join(a.bin, "airflow"), "providers", "links").want(t, 0); !strings.Contains(listed.stdout, "tfos_airflow.operator.TfosLink") {
		t.Errorf("airflow providers links:\n%s", listed.stdout)
	}
	log, err := os.Create(filepath.Join(a.home, "airflow.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(a.bin, "airflow"), component)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = append(cleanEnv(), a.env...), a.home, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		_ = log.Close()
		if t.Failed() {
			a.tell(t)
		}
		for _, line := range leftovers(t, a.home) { // processes of it with groups of their own
			if pid, err := strconv.Atoi(line[:strings.IndexByte(line, ':')]); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	return a
}

// tell logs what the tasks have logged.
func (a *airflow) tell(t *testing.T) {
	_ = filepath.WalkDir(filepath.Join(a.home, "logs"), func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(name, "task_id=") {
			b, _ := os.ReadFile(name)
			t.Logf("%s\n%s", name, b[max(0, len(b)-4000):])
		}
		return nil
	})
	b, _ := os.ReadFile(filepath.Join(a.home, "airflow.log"))
	t.Logf("airflow\n%s", b[max(0, len(b)-6000):])
}

// sql runs a statement on Airflow's database: rows are lines, and columns are parted by a tab.
func (a *airflow) sql(t *testing.T, statement string, values ...string) string {
	t.Helper()
	const script = `import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=60)
for row in db.execute(sys.argv[2], sys.argv[3:]): print(*row, sep="\t")
db.commit()`
	args := append([]string{"-c", script, filepath.Join(a.home, "airflow.db"), statement}, values...)
	r := command(t.Context(), t, nil, "python3", args...).want(t, 0)
	return strings.TrimSpace(r.stdout)
}

// task is the state of a DAG's task and the number of its newest try, parted by a tab.
func (a *airflow) task(t *testing.T, dag string) string {
	return a.sql(t, "SELECT state, try_number FROM task_instance WHERE dag_id = ?", dag)
}

// await waits until a DAG's task has a state after a try.
func (a *airflow) await(t *testing.T, dag, state string, try int) {
	t.Helper()
	want := fmt.Sprintf("%s\t%d", state, try)
	eventually(t, dag+" to be "+want, func() bool { return a.task(t, dag) == want })
}

// end sets a task's state, as the button in the page does.
func (a *airflow) end(t *testing.T, dag string) {
	a.sql(t, "UPDATE task_instance SET state = 'failed' WHERE dag_id = ?", dag)
}

// xcom is what the task has pushed under a key.
func (a *airflow) xcom(t *testing.T, dag, key string) string {
	return a.sql(t, "SELECT value FROM xcom WHERE dag_id = ? AND key = ?", dag, key)
}

// application waits until the task has pushed its application's id.
func (a *airflow) application(t *testing.T, dag string) string {
	t.Helper()
	id := ""
	eventually(t, "the application of "+dag, func() bool {
		id = applicationRE.FindString(a.xcom(t, dag, "application_id"))
		return id != ""
	})
	return id
}

// TestSchedulersAirflow runs the operator under real Airflows: what a task ends as, what a try
// follows whose worker was killed, and that the end of a task is the end of its job, also of one
// that is deferred.
func TestSchedulersAirflow(t *testing.T) {
	for i, version := range []string{"2.11.2", "3.3.2"} {
		t.Run(version, func(t *testing.T) {
			c, err := startCluster("e2e-airflow", portBase+1000, "--nms", "2") // a fresh one: it counts applications
			if err != nil {
				t.Fatal(err)
			}
			component := map[bool]string{true: "scheduler", false: "standalone"}[strings.HasPrefix(version, "2.")]
			a := startAirflow(t, c, version, portBase+1300+10*i, component)

			id := a.application(t, "retried")
			follows := ""
			eventually(t, "somebody to follow "+id, func() bool {
				follows = strings.Join(leftovers(t, "attach "+id), "\n")
				return follows != ""
			})
			stat, err := os.ReadFile(filepath.Join("/proc", follows[:strings.IndexByte(follows, ':')], "stat"))
			if err != nil {
				t.Fatal(err)
			}
			worker, err := strconv.Atoi(strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')'):]))[2])
			if err != nil {
				t.Fatal(err)
			}
			_ = syscall.Kill(worker, syscall.SIGKILL)

			ended := a.application(t, "ended")
			eventually(t, "ended to train", func() bool { return jobStatus(t, c.env, ended).State == status.Running })
			a.end(t, "ended")
			eventually(t, "the end of the task to end "+ended, func() bool { return jobStatus(t, c.env, ended).State == status.Stopped })

			if component == "standalone" {
				a.await(t, "deferred", "success", 1)
				if got := a.xcom(t, "deferred", "return_value"); !strings.Contains(got, `"succeeded"`) {
					t.Errorf("deferred returned %s", got)
				}
				id := a.application(t, "deferred_ended")
				a.await(t, "deferred_ended", "deferred", 1)
				a.end(t, "deferred_ended")
				eventually(t, "the end of the deferred task to end "+id, func() bool { return jobStatus(t, c.env, id).State == status.Stopped })
				a.await(t, "deferred_late", "failed", 1)
				if v := jobStatus(t, c.env, a.application(t, "deferred_late")); v.State != status.Stopped {
					t.Errorf("the late job is %s", v.State)
				}
			}

			a.await(t, "good", "success", 1)
			result := a.xcom(t, "good", "return_value")
			for _, want := range []string{a.application(t, "good"), `"succeeded"`, `"exit_code": 0`} {
				if !strings.Contains(result, want) {
					t.Errorf("good returned %s, which has no %s", result, want)
				}
			}
			if url := a.xcom(t, "good", "tracking_url"); !strings.Contains(url, "/proxy/"+a.application(t, "good")) {
				t.Errorf("the link is %s", url)
			}
			a.await(t, "bad", "failed", 2)
			if n := applications(t, c, "bad"); n != 2 {
				t.Errorf("bad, tried twice, has %d applications", n)
			}
			a.await(t, "refused", "failed", 1) // not tried again
			a.await(t, "retried", "success", 2)
			if n := applications(t, c, "retried"); n != 1 {
				t.Errorf("retried has %d applications", n)
			}
			if got := a.xcom(t, "retried", "return_value"); !strings.Contains(got, id) {
				t.Errorf("retried returned %s, and %s was its application", got, id)
			}
		})
	}
}
