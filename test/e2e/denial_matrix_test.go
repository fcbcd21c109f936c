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

	"tfos/internal/client/exit"
	"tfos/internal/job"
	"tfos/internal/status"
)

// denial is what makes HDFS refuse a job that trains, until somebody gives back what was taken.
type denial struct {
	name    string
	workers int
	take    func(t *testing.T, c *cluster, v status.View, dir string)
	give    func(t *testing.T, c *cluster, dir string)
	error   string   // TensorFlow's
	says    []string // what happened, and what to do; DIR is the directory
	barred  string   // why tfos resume refuses until it is given back; empty: it does not
}

// quotaReached leaves room for nothing.
var quotaReached = denial{
	name: "quota-reached", workers: 2,
	take: func(t *testing.T, c *cluster, _ status.View, dir string) {
		c.shell(t, "hdfs dfsadmin -setSpaceQuota 1m "+dir)
	},
	give:  func(t *testing.T, c *cluster, dir string) { c.shell(t, "hdfs dfsadmin -clrSpaceQuota "+dir) },
	error: "ResourceExhaustedError",
	says:  []string{"The DiskSpace quota of DIR is exceeded", "raise the quota"},
}

// writingForbidden leaves the checkpoints readable.
var writingForbidden = denial{
	name: "writing-forbidden", workers: 1,
	take:  func(t *testing.T, c *cluster, _ status.View, dir string) { c.shell(t, "hdfs dfs -chmod 500 "+dir) },
	give:  func(t *testing.T, c *cluster, dir string) { c.shell(t, "hdfs dfs -chmod 755 "+dir) },
	error: "PermissionDeniedError",
	says:  []string{`Permission denied: user=ann, access=WRITE, inode="DIR"`, "have the job's user given the permission"},
}

// directoryTaken gives the directory to another user.
var directoryTaken = denial{
	name: "directory-taken", workers: 1,
	take: func(t *testing.T, c *cluster, _ status.View, dir string) {
		c.shell(t, fmt.Sprintf("hdfs dfs -chown -R bob %[1]s; hdfs dfs -chmod 700 %[1]s", dir))
	},
	give: func(t *testing.T, c *cluster, dir string) {
		c.shell(t, fmt.Sprintf("hdfs dfs -chmod 755 %[1]s; hdfs dfs -chown -R ann %[1]s", dir))
	},
	error:  "PermissionDeniedError",
	says:   []string{"Permission denied: user=ann", `inode="DIR"`, "have the job's user given the permission"},
	barred: "Permission denied: user=ann",
}

// tokenCancelled has the job's token cancelled, as happens to one that expires. A NameNode asks for
// the token when somebody connects, so it is restarted.
var tokenCancelled = denial{
	name: "token-cancelled", workers: 1,
	take: func(t *testing.T, c *cluster, v status.View, _ string) {
		file := filepath.Join(filepath.Dir(c.conf), "nm1/local/usercache/ann/appcache", v.ID, v.Tasks[0].Container, "container_tokens")
		c.shell(t, "HADOOP_USER_NAME=ann hdfs fetchdt --cancel "+file)
		if err := c.script("restart", "nn"); err != nil {
			t.Fatal(err)
		}
	},
	give: func(t *testing.T, c *cluster, _ string) {
		if err := c.script("wait"); err != nil {
			t.Fatal(err)
		}
	},
	error: "UnauthenticatedError",
	says:  []string{"the job's token has expired or was cancelled; tfos resume goes on from the newest checkpoint with a new one"},
}

// TestMatrixOfDenialsWhileTraining has HDFS refuse what a job needs while it trains: the job ends
// with one clear sentence and loses no whole checkpoint, and once it may again, it is resumed.
func TestMatrixOfDenialsWhileTraining(t *testing.T) {
	for _, r := range []denial{quotaReached, writingForbidden, directoryTaken, tokenCancelled} {
		t.Run(r.name, func(t *testing.T) { storage(t).denies(t, r) })
	}
}

// denies lets a job train, stops it for a moment in which something is taken away from it, and sees
// what becomes of it.
func (c *cluster) denies(t *testing.T, r denial) {
	dir := "/models/" + r.name
	ann, id, before := c.denied(t, r, dir)
	v := ann.ended(t, id)
	t.Logf("%d restarts; exit code %d: %s", len(v.Restarts), *v.ExitCode, v.Diagnostics)
	if *v.ExitCode != job.ExitFailed || v.State != status.Failed || !strings.HasPrefix(v.Diagnostics, "worker/") {
		t.Errorf("state %s, exit code %d: %s", v.State, *v.ExitCode, v.Diagnostics)
	}
	if missing := r.missing(v.Diagnostics, dir); len(missing) > 0 || !strings.Contains(v.Diagnostics, r.error) {
		t.Errorf("the diagnostics do not say %s, or %q:\n%s", r.error, missing, v.Diagnostics)
	}
	for _, restart := range v.Restarts {
		if restart.Cause != "program" && restart.Cause != "aftershock" {
			t.Errorf("a restart because of %s: %+v", restart.Cause, restart)
		}
	}
	if r.barred != "" {
		tfos(t, ann.env, "resume", id).want(t, int(exit.Refused)).says(t, r.barred, dir)
	}
	r.give(t, c, dir)
	ann.goesOn(t, id, dir, before)
}

// missing are the phrases that a text lacks.
func (r denial) missing(text, dir string) []string {
	var missing []string
	for _, phrase := range r.says {
		if phrase = strings.ReplaceAll(phrase, "DIR", dir); !strings.Contains(text, phrase) {
			missing = append(missing, phrase)
		}
	}
	return missing
}

// TestMatrixOfDenialsOfCopies has HDFS refuse what the agent of a job with local checkpoints
// copies. The program goes on, tfos status says what is in the way and what to do, and once it may
// again all is copied.
func TestMatrixOfDenialsOfCopies(t *testing.T) {
	c := storage(t)
	for _, r := range []denial{quotaReached, directoryTaken} {
		t.Run(r.name, func(t *testing.T) {
			dir := "/models/local-" + r.name
			ann, id, _ := c.copiesDenied(t, r, dir)
			r.give(t, c, dir)
			v := ann.ended(t, id)
			if *v.ExitCode != 0 || len(v.Restarts) > 0 || v.Tasks[0].Mirror.Problem != "" {
				t.Errorf("exit code %d, restarts %+v, in the way %q: %s", *v.ExitCode, v.Restarts, v.Tasks[0].Mirror.Problem, v.Diagnostics)
			}
			if a := accuracy(t, tfos(t, ann.env, "logs", id).want(t, 0).stdout); a < wantAccuracy {
				t.Errorf("accuracy %.4f, want at least %.2f", a, wantAccuracy)
			}
			if names := wholeOnes(t, c, dir); names[len(names)-1] != "ckpt-800" {
				t.Errorf("kept: %v", names)
			}
			tfos(t, ann.env, "checkpoint", "verify", "hdfs://"+dir).want(t, 0)
			gone(t, id)
		})
	}
}

// TestMatrixOfACopyWithoutToken: with its token cancelled a job with local checkpoints trains to
// its end, and what it has then is lost. It has failed, says why, and is resumed from the newest
// that was copied.
func TestMatrixOfACopyWithoutToken(t *testing.T) {
	const dir = "/models/local-token-cancelled"
	c := storage(t)
	ann, id, before := c.copiesDenied(t, tokenCancelled, dir)
	v := ann.ended(t, id)
	t.Logf("%d restarts; exit code %d: %s", len(v.Restarts), *v.ExitCode, v.Diagnostics)
	if missing := tokenCancelled.missing(v.Diagnostics, dir); *v.ExitCode != job.ExitFailed || len(missing) > 0 || !strings.HasPrefix(v.Diagnostics, "worker/0") {
		t.Errorf("exit code %d, and it does not say %q: %s", *v.ExitCode, missing, v.Diagnostics)
	}
	tokenCancelled.give(t, c, dir)
	ann.goesOn(t, id, dir, before)
}

// copiesDenied is denied for a job with local checkpoints: it returns when tfos status says what is
// in the way.
func (c *cluster) copiesDenied(t *testing.T, r denial, dir string) (ann *cluster, id string, before []string) {
	t.Helper()
	r.workers = 1
	ann, id, before = c.denied(t, r, dir, "--checkpoint-local")
	var v status.View
	eventually(t, "a copy to be refused", func() bool {
		v = jobStatus(t, ann.env, id)
		return v.ExitCode != nil || len(v.Tasks) > 0 && v.Tasks[0].Mirror != nil && v.Tasks[0].Mirror.Problem != ""
	})
	if v.ExitCode != nil {
		t.Fatalf("it ended: %s", v.Diagnostics)
	}
	problem := v.Tasks[0].Mirror.Problem
	t.Logf("in the way: %s", problem)
	// What is refused is the directory, or the one that the agent has in it for what is on its way.
	if missing := r.missing(strings.ReplaceAll(problem, dir+`/.tfos-mirror"`, dir+`"`), dir); len(missing) > 0 {
		t.Errorf("it does not say %q: %s", missing, problem)
	}
	if text := tfos(t, ann.env, "status", id).want(t, 0).stdout; !strings.Contains(text, problem) {
		t.Errorf("tfos status does not show it:\n%s", text)
	}
	return ann, id, before
}

// denied submits a job of ann's, waits until it has two checkpoints, and takes away what r does
// while its programs stand still, so that the next checkpoint comes after that. It returns the
// whole checkpoints that there were.
func (c *cluster) denied(t *testing.T, r denial, dir string, flags ...string) (ann *cluster, id string, before []string) {
	t.Helper()
	c.shell(t, "hdfs dfs -mkdir -p /user/ann "+dir+"; hdfs dfs -chown ann /user/ann "+dir)
	copied := *c
	ann = &copied
	ann.env = []string{"HADOOP_CONF_DIR=" + c.conf, "HADOOP_USER_NAME=ann"}
	text := fmt.Sprintf("command: %s\nfiles: [%s, %s]\nroles: {worker: {instances: %d, memory: 1GiB}}\nstrategy: mirrored\nrecovery: {user-failures: 1}\n",
		strings.Replace(long, "--steps 400", "--steps 800", 1), example("train_mirrored.py"), example("digits.py"), r.workers)
	args := append([]string{"submit", "--env", "PYTHON=" + python(t), "--checkpoint-dir", "hdfs://" + dir, "--name", filepath.Base(dir)}, flags...)
	id = strings.TrimSpace(tfos(t, ann.env, append(args, jobFile(t, text))...).want(t, 0).stdout)
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
	signal(syscall.SIGSTOP)
	before = wholeOnes(t, c, dir)
	r.take(t, c, v, dir)
	signal(syscall.SIGCONT)
	return ann, id, before
}

// ended waits for a job's end.
func (c *cluster) ended(t *testing.T, id string) (v status.View) {
	t.Helper()
	eventually(t, "the end of "+id, func() bool {
		v = jobStatus(t, c.env, id)
		return v.ExitCode != nil
	})
	return v
}

// goesOn resumes a job that has ended: no whole checkpoint that it had is lost, and it trains to
// the end.
func (c *cluster) goesOn(t *testing.T, id, dir string, before []string) {
	t.Helper()
	after := wholeOnes(t, c, dir)
	if newest := before[len(before)-1]; !slices.Contains(after, newest) {
		t.Errorf("%s is lost: there are %v", newest, after)
	}
	again := tfos(t, c.env, "resume", id).want(t, 0).says(t, "resumes "+id+" from hdfs://"+dir+"/"+after[len(after)-1])
	resumed(t, again.stdout)
	if a := accuracy(t, again.stdout); a < wantAccuracy {
		t.Errorf("accuracy %.4f, want at least %.2f", a, wantAccuracy)
	}
	tfos(t, c.env, "checkpoint", "verify", "hdfs://"+dir).want(t, 0)
	gone(t, id)
}

func example(name string) string { return filepath.Join(root, "examples", "digits", name) }

// wholeOnes are the names of the whole checkpoints in a directory, the oldest first. Models are
// left out.
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
