//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tfos/internal/status"
)

// TestLocalCheckpointsOutliveTheirNode: real TensorFlow saves to local directories. The leader's
// agent is killed, and with it all that is in its container: the job goes on from the checkpoint
// that was kept, and what it writes in the end is kept whole.
func TestLocalCheckpointsOutliveTheirNode(t *testing.T) {
	c := hadoop(t)
	const dir = "/models/local"
	id := strings.TrimSpace(tfos(t, c.env, "submit", "--env", "PYTHON="+python(t),
		"--checkpoint-dir", "hdfs://"+dir, "--checkpoint-local", digitsJob("mirrored"), "--", strings.ReplaceAll(long, "0.03", "0.08")).want(t, 0).stdout)
	var before, v status.View
	eventually(t, "a checkpoint that was copied and found whole, and steps", func() bool {
		before = jobStatus(t, c.env, id)
		return len(before.Checkpoints) >= 1 && steps(before) > 120
	})
	m := find(t, before, "worker/0").Mirror
	if m == nil || m.Uploads < 1 || m.Uploaded == nil || m.Uploaded.Step < 100 || m.Uploaded.Bytes == 0 || m.Problem != "" {
		t.Errorf("worker/0's checkpoints: %+v", m)
	}
	if m := find(t, before, "worker/1").Mirror; m != nil {
		t.Errorf("worker/1 copied: %+v", m)
	}
	if err := killAgent(find(t, before, "worker/0").PID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of "+id, func() bool {
		v = jobStatus(t, c.env, id)
		return v.ExitCode != nil
	})
	if *v.ExitCode != 0 {
		t.Fatalf("exit code %d: %s", *v.ExitCode, v.Diagnostics)
	}
	for _, task := range v.Tasks {
		if task.Mirror == nil || task.Mirror.Fetched == nil || task.Mirror.Fetched.Step < 100 {
			t.Errorf("%s went on from %+v", name(task), task.Mirror)
		}
		out := tfos(t, c.env, "logs", id, name(task)).want(t, 0).stdout
		if got, want := resumed(t, out[strings.LastIndex(out, "restored"):]), int(find(t, v, "worker/0").Mirror.Fetched.Step); got != want {
			t.Errorf("%s restored step %d, want %d", name(task), got, want)
		}
	}
	if is, was := find(t, v, "worker/0"), find(t, before, "worker/0"); is.Container == was.Container {
		t.Errorf("worker/0 is still in %s", is.Container)
	}
	out := tfos(t, c.env, "logs", id, "worker/0").want(t, 0).stdout
	if a := accuracy(t, out); a < wantAccuracy {
		t.Errorf("accuracy %.4f, want at least %.2f", a, wantAccuracy)
	}
	files := c.list(t, dir)
	if newest(t, files) != 400 || !slices.Contains(files, "checkpoint") || slices.Contains(files, ".tfos-mirror") {
		t.Errorf("kept: %q", files)
	}
	tfos(t, c.env, "checkpoint", "verify", "hdfs://"+dir).want(t, 0)
	local := t.TempDir()
	c.shell(t, fmt.Sprintf("hdfs dfs -get %s/model %s/model", dir, local))
	verifyModel(t, filepath.Join(local, "model"))
	gone(t, id)
}

var (
	savedRE     = regexp.MustCompile(`saved step (\d+)`)
	resumedAtRE = regexp.MustCompile(`resumed at (\d+)`)
)

// last is the number in the last match, -1 if there is none.
func last(re *regexp.Regexp, text string) int {
	all := re.FindAllStringSubmatch(text, -1)
	if len(all) == 0 {
		return -1
	}
	n, err := strconv.Atoi(all[len(all)-1][1])
	if err != nil {
		return -1
	}
	return n
}

// TestLocalFilesOfAnyKind: a program that knows local files alone goes on where it was when its
// agent is killed, loses nothing when it is stopped, and a new job goes on from that.
func TestLocalFilesOfAnyKind(t *testing.T) {
	t.Parallel()
	c := hadoop(t)
	const dir = "hdfs:///models/any-kind"
	line := python(t) + " local_files.py --steps "
	submit := func(steps int) string {
		return strings.TrimSpace(tfos(t, c.env, "submit", "--name", "any-kind", "--workers", "1", "--worker-memory", "512MiB", "--files", program("local_files.py"),
			"--checkpoint-dir", dir, "--checkpoint-local", "--", line+strconv.Itoa(steps)).want(t, 0).stdout)
	}
	id := submit(100_000)
	var v status.View
	mirror := func() status.Mirror {
		v = jobStatus(t, c.env, id)
		if len(v.Tasks) == 0 || v.Tasks[0].Mirror == nil {
			return status.Mirror{}
		}
		return *v.Tasks[0].Mirror
	}
	eventually(t, "copies of both files", func() bool { return mirror().Uploads >= 6 })
	if err := killAgent(find(t, v, "worker/0").PID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the next container to copy", func() bool { return mirror().Fetched != nil && mirror().Uploads >= 2 })
	out := tfos(t, c.env, "logs", id, "worker/0").want(t, 0).stdout
	if at := last(resumedAtRE, out); at < 10 {
		t.Errorf("it went on from %d:\n%s", at, out)
	}
	tfos(t, c.env, "kill", id).want(t, 0)
	gone(t, id)
	eventually(t, "the nodes to have handed the logs over", func() bool {
		r := tfos(t, c.env, "logs", id, "worker/0")
		out = r.stdout
		return r.code == 0 && last(savedRE, out) > 0
	})
	stopped := last(savedRE, out)
	again := submit(stopped + 20)
	eventually(t, "the end of "+again, func() bool {
		v = jobStatus(t, c.env, again)
		return v.ExitCode != nil
	})
	eventually(t, "its logs", func() bool {
		r := tfos(t, c.env, "logs", again, "worker/0")
		out = r.stdout
		return r.code == 0 && last(resumedAtRE, out) >= 0
	})
	if at := last(resumedAtRE, out); *v.ExitCode != 0 || at != stopped {
		t.Errorf("exit code %d, it went on from %d, and was stopped at %d:\n%s", *v.ExitCode, at, stopped, out)
	}
	if files := c.list(t, "/models/any-kind"); !slices.Equal(files, []string{"state.pkl", "weights.npy"}) {
		t.Errorf("kept: %q", files)
	}
	gone(t, again)
}

// TestLocalCheckpointsOfAnEmbeddedCluster: the same without Hadoop, kept on another directory of
// the machine.
func TestLocalCheckpointsOfAnEmbeddedCluster(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "kept")
	run := func(steps int, more string) string {
		return tfos(t, nil, "run", "--master", "local", "--name", "kept", "--workers", "1", "--worker-memory", "512MiB", "--files", program("local_files.py"),
			"--checkpoint-dir", dir, "--checkpoint-local", "--", python(t)+" local_files.py --steps "+strconv.Itoa(steps)+more).want(t, 0).stdout
	}
	began := time.Now()
	run(15, "")
	out := run(30, "")
	if at := last(resumedAtRE, out); at != 15 {
		t.Errorf("it went on from %d:\n%s", at, out)
	}
	// One that saves each ten steps of 0.1 s loses its agent at step 65: what it saved a look or
	// two before is lost.
	out = run(70, " --pause 0.1 --kill-agent-at 65")
	if at := last(resumedAtRE, out); at < 10 || at > 60 {
		t.Errorf("in another container it went on from %d:\n%s", at, out)
	}
	t.Logf("three jobs took %v", time.Since(began))
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("kept: %v, %v", entries, err)
	}
}
