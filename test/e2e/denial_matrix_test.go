//go:build e2e && matrix

package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tfos/internal/job"
	"tfos/internal/status"
)

// denial is what makes HDFS refuse a job that trains, until somebody gives back what was taken.
type denial struct {
	name string
	take func(t *testing.T, c *cluster, id, dir string)
	give func(t *testing.T, c *cluster, dir string)
	says []string // in the job's diagnostics: what happened, and what to do
}

var quotaReached = denial{
	name: "quota-reached",
	take: func(t *testing.T, c *cluster, _, dir string) { c.shell(t, "hdfs dfsadmin -setSpaceQuota 1m "+dir) },
	give: func(t *testing.T, c *cluster, dir string) { c.shell(t, "hdfs dfsadmin -clrSpaceQuota "+dir) },
	says: []string{"ResourceExhaustedError", "The DiskSpace quota of /models/quota-reached is exceeded", "raise the quota"},
}

// TestMatrixOfDenialsWhileTraining has HDFS refuse what a job needs while it trains: the job ends with one clear sentence and loses no whole
// checkpoint, and once it may again, it is resumed.
func TestMatrixOfDenialsWhileTraining(t *testing.T) {
	for _, r := range []denial{quotaReached} {
		t.Run(r.name, func(t *testing.T) { storage(t).denies(t, r) })
	}
}

// denies lets a job train, stops it for a moment in which something is taken away from it, and sees what becomes of it.
func (c *cluster) denies(t *testing.T, r denial) {
	dir := "/models/" + r.name
	c.shell(t, "hdfs dfs -mkdir -p /user/ann "+dir+"; hdfs dfs -chown ann /user/ann "+dir)
	ann := *c
	ann.env = []string{"HADOOP_CONF_DIR=" + c.conf, "HADOOP_USER_NAME=ann"}
	id := strings.TrimSpace(tfos(t, ann.env, "submit", "--env", "PYTHON="+python(t), "--checkpoint-dir", "hdfs://"+dir, "--name", r.name,
		jobFile(t, fmt.Sprintf("command: %s\nfiles: [%s, %s]\nroles: {worker: {instances: 2, memory: 1GiB}}\nstrategy: mirrored\nrecovery: {user-failures: 1}\n",
			strings.Replace(long, "--steps 400", "--steps 800", 1), example("train_mirrored.py"), example("digits.py")))).want(t, 0).stdout)
	var v status.View
	eventually(t, "two checkpoints that were verified, and steps", func() bool {
		v = jobStatus(t, ann.env, id)
		return v.ExitCode != nil || len(v.Checkpoints) >= 2 && steps(v) > 210
	})
	if v.ExitCode != nil {
		t.Fatalf("it ended before anything happened: %s", v.Diagnostics)
	}
	signal := func(s syscall.Signal) {
		for _, task := range v.Tasks {
			if err := syscall.Kill(-task.PID, s); err != nil {
				t.Error(err)
			}
		}
	}
	signal(syscall.SIGSTOP) // so that the next checkpoint comes after the fault
	before := wholeOnes(t, c, dir)
	r.take(t, c, id, dir)
	signal(syscall.SIGCONT)
	eventually(t, "the end of "+id, func() bool {
		v = jobStatus(t, ann.env, id)
		return v.ExitCode != nil
	})
	t.Logf("%d restarts; exit code %d: %s", len(v.Restarts), *v.ExitCode, v.Diagnostics)
	if *v.ExitCode != job.ExitFailed || v.State != status.Failed || !strings.HasPrefix(v.Diagnostics, "worker/") {
		t.Errorf("state %s, exit code %d: %s", v.State, *v.ExitCode, v.Diagnostics)
	}
	for _, phrase := range r.says {
		if !strings.Contains(v.Diagnostics, phrase) {
			t.Errorf("the diagnostics do not say %q:\n%s", phrase, v.Diagnostics)
		}
	}
	for _, restart := range v.Restarts {
		if restart.Cause != "program" && restart.Cause != "aftershock" {
			t.Errorf("a restart because of %s: %+v", restart.Cause, restart)
		}
	}

	r.give(t, c, dir)
	after := wholeOnes(t, c, dir)
	if newest := before[len(before)-1]; !slices.Contains(after, newest) {
		t.Errorf("%s is lost: there are %v", newest, after)
	}
	again := tfos(t, ann.env, "resume", id).want(t, 0).says(t, "resumes "+id+" from hdfs://"+dir+"/"+after[len(after)-1])
	resumed(t, again.stdout)
	if a := accuracy(t, again.stdout); a < wantAccuracy {
		t.Errorf("accuracy %.4f, want at least %.2f", a, wantAccuracy)
	}
	gone(t, id)
}

func example(name string) string { return filepath.Join(root, "examples", "digits", name) }

// wholeOnes are the names of the whole checkpoints in a directory, the oldest first. Models are left out.
func wholeOnes(t *testing.T, c *cluster, dir string) []string {
	t.Helper()
	var list []struct{ Name, Format, Verdict string }
	if err := json.Unmarshal([]byte(tfos(t, c.env, "checkpoint", "ls", "--json", "hdfs://"+dir).want(t, 0).stdout), &list); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, k := range list {
		if k.Verdict == "whole" && k.Format == "bundle" {
			names = append(names, k.Name)
		}
	}
	if len(names) == 0 {
		t.Fatalf("no whole checkpoint in %s: %+v", dir, list)
	}
	return names
}
