//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"tfos/internal/status"
)

// damage overwrites a byte in the middle of a file on HDFS.
func (c *cluster) damage(t testing.TB, name string) {
	t.Helper()
	c.shell(t, fmt.Sprintf("hdfs dfs -get %[1]s x && printf '\\001' | dd of=x bs=1 seek=4000 conv=notrunc status=none && hdfs dfs -put -f x %[1]s", name))
}

// TestBrokenCheckpointIsSetAside damages the newest checkpoint of a job that trains, and kills its
// chief: the job goes on from the one before, and says so.
func TestBrokenCheckpointIsSetAside(t *testing.T) {
	t.Parallel()
	c := hadoop(t)
	const dir = "/models/set-aside"
	id := strings.TrimSpace(tfos(t, c.env, "submit", "--env", "PYTHON="+python(t),
		"--checkpoint-dir", "hdfs://"+dir, digitsJob("mirrored"), "--", strings.ReplaceAll(long, "0.03", "0.08")).want(t, 0).stdout)
	var v status.View
	eventually(t, "steps beyond the second checkpoint", func() bool {
		v = jobStatus(t, c.env, id)
		return steps(v) > 210
	})
	victim := -find(t, v, "worker/0").PID // and what it started
	if err := syscall.Kill(victim, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "two checkpoints that were verified", func() bool { // while nobody trains on
		v = jobStatus(t, c.env, id)
		return len(v.Checkpoints) >= 2
	})
	for _, k := range v.Checkpoints {
		if k.Verdict != "whole" || k.By != "worker/0" || k.Step < 100 || k.Bytes == 0 {
			t.Errorf("checkpoint %+v", k)
		}
	}
	broken := newest(t, c.list(t, dir))
	c.damage(t, fmt.Sprintf("%s/ckpt-%d.data-00000-of-00001", dir, broken))
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of "+id, func() bool {
		v = jobStatus(t, c.env, id)
		return v.ExitCode != nil
	})
	if *v.ExitCode != 0 {
		t.Fatalf("exit code %d: %s", *v.ExitCode, v.Diagnostics)
	}
	r := v.Restarts[0]
	if r.Task != "worker/0" || r.ResumedStep == nil || *r.ResumedStep != int64(broken-100) || r.LostSteps != r.Step-*r.ResumedStep || r.LostSteps < 100 {
		t.Errorf("the restart is %+v", r)
	}
	if text := tfos(t, c.env, "status", id).want(t, 0).stdout; !strings.Contains(text, fmt.Sprintf("lost at step %d (program: %s); resumed from %d; %d steps", r.Step, r.Why, broken-100, r.LostSteps)) {
		t.Errorf("tfos status:\n%s", text)
	}
	out := tfos(t, c.env, "logs", id, "worker/0").want(t, 0).stdout
	if got := resumed(t, out[strings.Index(out, "restored"):]); got != broken-100 {
		t.Errorf("it restored step %d, want %d", got, broken-100)
	}
	if a := accuracy(t, out); a < wantAccuracy {
		t.Errorf("accuracy %.4f, want at least %.2f", a, wantAccuracy)
	}
	if left := strings.Join(c.list(t, dir+"/set-aside"), " "); !strings.Contains(left, fmt.Sprintf("ckpt-%d", broken)) {
		t.Errorf("set aside: %s", left)
	}
	gone(t, id)
}
