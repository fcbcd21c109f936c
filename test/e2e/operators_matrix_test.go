//go:build e2e && matrix

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"tfos/internal/status"
)

// onBoth is a job that takes steps, with a task on each of the two nodes.
const onBoth = `name: spread
command: 'for i in $(seq 1 %d); do echo step $i/%[1]d; sleep 0.1; done'
roles: {worker: {instances: 2, memory: 5GiB}}
strategy: none
success: all
`

// TestMatrixOfThreadDumps asks the containers of a task and of its master for thread dumps, as
// administrators do: both write them, the program's as well, and go on.
func TestMatrixOfThreadDumps(t *testing.T) {
	s := theSite(t)
	s.configure(t, func() {}, "rm1")
	id := s.submitted(t, "root", `name: dumped
command: exec `+python(t)+` -c 'import time; time.sleep(100000)'
roles: {worker: {instances: 1, memory: 256MiB}}
strategy: none
success: all
`)
	s.state(t, "root", id, status.Running)
	before := jobStatus(t, s.env, id)
	container := before.Tasks[0].Container
	master := container[:strings.LastIndexByte(container, '_')] + "_000001"
	s.shell(t, fmt.Sprintf("yarn container -signal %s OUTPUT_THREAD_DUMP && yarn container -signal %s OUTPUT_THREAD_DUMP", container, master))
	dumped := func(stream, phrase string) {
		eventually(t, phrase+" in "+stream, func() bool {
			return strings.Contains(tfos(t, s.env, "logs", id, "worker/0", "--stream", stream).stdout, phrase)
		})
	}
	dumped("agent.log", "goroutine 1 [")
	dumped("stderr", "(most recent call first)")
	after := jobStatus(t, s.env, id)
	if after.State != status.Running || after.Attempt != before.Attempt || after.Tasks[0].PID != before.Tasks[0].PID {
		t.Errorf("after the dumps: %+v\nbefore: %+v", after, before)
	}
	s.end(t, "root", id)
	eventually(t, "the master's log with its dump", func() bool {
		return strings.Contains(tfos(t, s.env, "logs", id, "master").stdout, "thread dump of the master:\ngoroutine ")
	})
}

// TestMatrixOfLogPlaces keeps aggregated logs in one format after the other, each with a place of
// its own: the output of a short job is shown at its end, and that of both is found afterwards.
func TestMatrixOfLogPlaces(t *testing.T) {
	s := theSite(t)
	const controller = "org.apache.hadoop.yarn.logaggregation.filecontroller."
	formats := func(first, second string) {
		s.set(t, "yarn-site.xml", settings{
			"yarn.log-aggregation.file-formats=" + first + "," + second,
			"yarn.log-aggregation.file-controller.TFile.class=" + controller + "tfile.LogAggregationTFileController",
			"yarn.log-aggregation.file-controller.IFile.class=" + controller + "ifile.LogAggregationIndexedFileController",
			"yarn.log-aggregation.TFile.remote-app-log-dir=/app-logs2", "yarn.log-aggregation.TFile.remote-app-log-dir-suffix=sfx",
			"yarn.log-aggregation.IFile.remote-app-log-dir=" + s.nameNode(t) + "/app-logs3",
		})
	}
	const short = `name: short
command: echo brief words of $TFOS_TASK
roles: {worker: {instances: 2, memory: 256MiB}}
strategy: none
success: all
`
	var ids []string
	for _, f := range [][2]string{{"TFile", "IFile"}, {"IFile", "TFile"}} {
		s.configure(t, func() { formats(f[0], f[1]) }, "rm1", "nm1", "nm2")
		r := tfos(t, s.env, "run", jobFile(t, short)).want(t, 0)
		if !strings.Contains(r.stdout, "brief words of worker/0") {
			t.Errorf("with %s a short job shows\n%s\n%s", f[0], r.stdout, r.stderr)
		}
		ids = append(ids, r.application(t))
		for _, id := range ids {
			if logs := tfos(t, s.env, "logs", id).want(t, 0).stdout; !strings.Contains(logs, "words of worker/0") || !strings.Contains(logs, "words of worker/1") {
				t.Errorf("with %s, tfos logs %s:\n%s", f[0], id, logs)
			}
		}
	}
}

// TestMatrixOfMountTables has a mount table as the default filesystem of the client, the
// ResourceManager and one NodeManager, while the other one knows nothing of it.
func TestMatrixOfMountTables(t *testing.T) {
	s := theSite(t)
	nn := s.nameNode(t)
	s.shell(t, "hdfs dfs -mkdir -p /mounted /tmp && echo a,b | hdfs dfs -put -f - /mounted/part.csv")
	const table = "fs.viewfs.mounttable.vc.link./"
	s.configure(t, func() {
		s.set(t, "core-site.xml", settings{"fs.defaultFS=viewfs://vc", table + "user=" + nn + "/user", table + "tmp=" + nn + "/tmp",
			table + "app-logs=" + nn + "/app-logs", table + "data=" + nn + "/mounted"})
	}, "rm1", "nm1")
	r := tfos(t, s.env, "run", jobFile(t, `name: mounted
command: 'cat part.csv other.csv; echo $TFOS_TASK writes to $TFOS_CHECKPOINT_DIR'
files: ["viewfs://vc/data/part.csv", "hdfs:///data/part.csv#other.csv"]
checkpoint: {dir: "hdfs:///data/model"}
roles: {worker: {instances: 2, memory: 5GiB}}
strategy: none
success: all
`)).want(t, 0)
	id := r.application(t)
	nodes := map[string]bool{}
	for _, task := range jobStatus(t, s.env, id).Tasks {
		nodes[task.Node] = true
	}
	logs := tfos(t, s.env, "logs", id).want(t, 0).stdout
	if len(nodes) != 2 || strings.Count(logs, "a,b") != 4 || strings.Count(logs, "writes to ") != 2 {
		t.Errorf("on %v the tasks wrote\n%s", nodes, logs)
	}
	gone(t, id)
}

// TestMatrixOfOrphans kills the NodeManager that has the master and a task, and has it forget both
// when it starts again: the job ends, and so do the task's agent and program, of which YARN knows
// nothing any more.
func TestMatrixOfOrphans(t *testing.T) {
	s := theSite(t)
	s.configure(t, func() {
		s.set(t, "yarn-site.xml", settings{"yarn.nodemanager.recovery.enabled=false", "yarn.resourcemanager.am.max-attempts=1"})
	}, "rm1", "nm1", "nm2")
	id := s.submitted(t, "root", fmt.Sprintf(onBoth, 100000))
	s.state(t, "root", id, status.Running)
	master := "nm1"
	for _, line := range leftovers(t, id) {
		if strings.Contains(line, "tfos-am") && strings.Contains(line, "/nm2/") {
			master = "nm2"
		}
	}
	s.must(t, "kill", master)
	eventually(t, "the end of "+id, func() bool {
		v := jobStatus(t, s.env, id)
		return v.ExitCode != nil && *v.ExitCode == 4
	})
	s.must(t, "start", master)
	gone(t, id)
}

// TestMatrixOfAForgetfulManager restarts a ResourceManager without work-preserving recovery under a
// job: it has to live, and the job starts anew and ends well.
func TestMatrixOfAForgetfulManager(t *testing.T) {
	s := theSite(t)
	s.configure(t, func() {
		s.set(t, "yarn-site.xml", settings{"yarn.resourcemanager.work-preserving-recovery.enabled=false"})
	}, "rm1")
	r := tfos(t, s.env, "submit", jobFile(t, fmt.Sprintf(onBoth, 300))).want(t, 0).
		says(t, "this cluster ends all containers when its ResourceManager restarts", "every task starts anew from the newest checkpoint")
	id := strings.TrimSpace(r.stdout)
	var v status.View
	eventually(t, "some steps", func() bool { v = jobStatus(t, s.env, id); return steps(v) > 20 })
	s.must(t, "restart", "rm1")
	eventually(t, "the end of "+id, func() bool {
		r := tfos(t, s.env, "status", id, "--json")
		var err error
		v, err = parseStatus(r.stdout)
		return r.code == 0 && err == nil && v.ExitCode != nil
	})
	if *v.ExitCode != 0 || v.Attempt < 2 {
		t.Errorf("exit code %d after %d attempts: %s", *v.ExitCode, v.Attempt, v.Diagnostics)
	}
	s.must(t, "wait") // it would have died by now
	s.nothingLeft(t, id)
}
