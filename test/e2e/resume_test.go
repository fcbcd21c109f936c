//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"tfos/internal/status"
)

// long is a digits job that leaves time to interfere. Its checkpoints are at 100, 200 and 300.
const long = "${PYTHON:-python3} train_mirrored.py --steps 400 --pause 0.03"

var (
	restoredRE = regexp.MustCompile(`restored ckpt-(\d+)`)
	stepRE     = regexp.MustCompile(`step (\d+)/\d+`)
)

// resumed checks that a program's output begins behind a checkpoint, and returns its step.
func resumed(t testing.TB, output string) int {
	t.Helper()
	restored, step := restoredRE.FindStringSubmatch(output), stepRE.FindStringSubmatch(output)
	if restored == nil || step == nil {
		t.Fatalf("it restored nothing, or took no step:\n%s", output)
	}
	from, err := strconv.Atoi(restored[1])
	if err != nil {
		t.Fatal(err)
	}
	first, err := strconv.Atoi(step[1])
	if err != nil {
		t.Fatal(err)
	}
	if first <= from || first > from+10 {
		t.Errorf("restored step %d, and step %d was the first that it said", from, first)
	}
	return from
}

var submittedRE = regexp.MustCompile(`(application_\d+_\d+) submitted`)

// newest is the highest step of the checkpoints among files.
func newest(t testing.TB, files []string) int {
	t.Helper()
	most := 0
	for _, f := range files {
		if m := regexp.MustCompile(`^ckpt-(\d+)\.index$`).FindStringSubmatch(f); m != nil {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			most = max(most, n)
		}
	}
	return most
}

// TestResumeOnTheEmbeddedYARN interrupts a local job and resumes it by its job file.
func TestResumeOnTheEmbeddedYARN(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := func(verb string) []string {
		return []string{verb, "--master", "local", "--env", "PYTHON=" + python(t), "--checkpoint-dir", dir, digitsJob("mirrored"), "--", long}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(root, "bin", "tfos"), args("run")...)
	cmd.Env = cleanEnv()
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
	for lines.Scan() && !strings.Contains(lines.Text(), "step 120/") {
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
		t.Fatalf("%v\n%s", err, errs.String())
	}

	r := tfos(t, nil, args("resume")...).want(t, 0)
	from := strconv.Itoa(resumed(t, r.stdout))
	r.says(t, "resumes from "+dir+"/ckpt-"+from+" at step "+from)
	if a := accuracy(t, r.stdout); a < wantAccuracy {
		t.Errorf("accuracy %.4f, want at least %.2f", a, wantAccuracy)
	}
	gone(t, r.application(t))
}

// TestResumeOnHadoop kills a job and resumes it by its id, after its newest checkpoint was damaged.
func TestResumeOnHadoop(t *testing.T) {
	t.Parallel()
	c := hadoop(t)
	const dir = "/models/resume"
	id := strings.TrimSpace(tfos(t, c.env, "submit", "--env", "PYTHON="+python(t),
		"--checkpoint-dir", "hdfs://"+dir, digitsJob("mirrored"), "--", long).want(t, 0).stdout)
	eventually(t, "two checkpoints and steps", func() bool { return steps(jobStatus(t, c.env, id)) > 230 })
	tfos(t, c.env, "resume", id).want(t, 2).says(t, "has not ended", "tfos kill "+id)
	tfos(t, c.env, "kill", id).want(t, 0)
	broken := newest(t, c.list(t, dir))
	c.damage(t, fmt.Sprintf("%s/ckpt-%d.data-00000-of-00001", dir, broken))

	r := tfos(t, c.env, "resume", id, "--name", "digits-again").want(t, 0).
		says(t, fmt.Sprintf("set aside hdfs://%s/ckpt-%d, which is broken", dir, broken),
			fmt.Sprintf("resumes %s from hdfs://%s/ckpt-%d at step %d", id, dir, broken-100, broken-100))
	if from := resumed(t, r.stdout); from != broken-100 {
		t.Errorf("restored step %d, want %d", from, broken-100)
	}
	if a := accuracy(t, r.stdout); a < wantAccuracy {
		t.Errorf("accuracy %.4f, want at least %.2f", a, wantAccuracy)
	}
	again := submittedRE.FindStringSubmatch(r.stderr)[1]
	v := jobStatus(t, c.env, again)
	if v.State != status.Succeeded || v.ResumedFrom != id || v.Name != "digits-again" {
		t.Errorf("state %s, resumed from %q, name %q", v.State, v.ResumedFrom, v.Name)
	}
	gone(t, id)
	gone(t, again)

	lost := tfos(t, c.env, "resume", "application_1_0001").want(t, 2)
	lost.says(t, "nothing is kept of it")
}
