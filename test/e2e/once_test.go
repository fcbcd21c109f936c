//go:build e2e

package e2e

import (
	"strings"
	"sync"
	"testing"

	"tfos/internal/status"
)

// TestOnce: two gateways submit the same work in the same second, a third one comes while it runs
// and a fourth afterwards. One application is all that YARN ever sees of it.
func TestOnce(t *testing.T) {
	c := hadoop(t)
	job := jobFile(t, `name: once
command: "echo the work; sleep 3; exit 7"
recovery: {user-failures: 0}
roles:
  worker: {instances: 1, memory: 256MiB}
`)
	args := []string{"run", job, "--once", "e2e-{name}-{date}", "--date", "2026-11-30"}
	var runs [2]run
	var both sync.WaitGroup
	for i := range runs {
		both.Go(func() { runs[i] = tfos(t, c.env, args...) })
	}
	both.Wait()
	id := ""
	for _, r := range runs {
		if r.code != 1 || !strings.Contains(r.stdout, "the work") {
			t.Errorf("exit code %d, stdout %q\n%s", r.code, r.stdout, r.stderr)
		}
		if id = r.application(t); id != runs[0].application(t) {
			t.Errorf("applications %s and %s", id, runs[0].application(t))
		}
	}
	attached := tfos(t, c.env, "attach", id).want(t, 1)
	if !strings.Contains(attached.stdout, "the work") {
		t.Errorf("attach shows %q", attached.stdout)
	}

	succeeds := append(args, "--", "true")
	r := tfos(t, c.env, succeeds...).want(t, 0).says(t, id+", ended with exit code 1: it is run again")
	submitted := submittedRE.FindStringSubmatch(r.stderr)
	if submitted == nil {
		t.Fatalf("%s was not run again\n%s", id, r.stderr)
	}
	again := submitted[1]
	tfos(t, c.env, args...).want(t, 0).says(t, again, "nothing was submitted")
	if got := tfos(t, c.env, append([]string{"submit"}, args[1:]...)...).want(t, 0).stdout; strings.TrimSpace(got) != again {
		t.Errorf("submit printed %q, want %s", got, again)
	}
	n := 0
	for line := range strings.Lines(tfos(t, c.env, "list").want(t, 0).stdout) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == "once" {
			n++
		}
	}
	if n != 2 {
		t.Errorf("YARN knows %d applications of the key, want the failed one and the good one", n)
	}
	if v := jobStatus(t, c.env, again); v.State != status.Succeeded {
		t.Errorf("the last is %s", v.State)
	}
}
