//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tfos/internal/status"
)

// userProgram is one of test/programs/users: a program and its job file, as users write them.
type userProgram struct {
	name    string   // of both files, and of the test
	kills   string   // the task whose process is killed
	at      int64    // the step of the job from which on that happens
	says    []string // what the tasks' output must match
	exports []string // patterns of files that must be on HDFS, below the checkpoint directory
}

// quickPrograms need one task and the environment that is there already: `make test` has them.
var quickPrograms = []userProgram{
	{name: "pools", kills: "worker/0", at: 50,
		says: []string{`restored hdfs://`, `RESULT steps 200 accuracy (0\.9|1\.0)`}},
	{name: "keras3", kills: "worker/0", at: 5,
		says:    []string{`begins with epoch ([2-9]|\d\d)`, `RESULT epochs 30 accuracy (0\.9|1\.0)`, `RESULT exported variables`},
		exports: []string{"model.keras", "exported/saved_model.pb"}},
}

func TestProgramsOfUsers(t *testing.T) {
	t.Parallel()
	for _, p := range quickPrograms {
		t.Run(p.name, func(t *testing.T) { hadoop(t).loses(t, p, python(t)) })
	}
}

// loses runs a user's program on a real cluster with its checkpoints on HDFS, kills the process of
// one task while it trains, and checks that the job ends as it does without that.
func (c *cluster) loses(t *testing.T, p userProgram, python string) {
	dir := "/models/users-" + strings.ReplaceAll(t.Name(), "/", "-")
	id := strings.TrimSpace(tfos(t, c.env, "submit", "--env", "PYTHON="+python, "--checkpoint-dir", "hdfs://"+dir,
		filepath.Join(root, "test", "programs", "users", p.name+".yaml")).want(t, 0).stdout)
	var v status.View
	output := func() string { return tfos(t, c.env, "logs", id).stdout }
	eventually(t, fmt.Sprintf("step %d of %s", p.at, id), func() bool {
		if v = jobStatus(t, c.env, id); v.ExitCode != nil {
			t.Fatalf("it ended before step %d: exit code %d: %s\n%s", p.at, *v.ExitCode, v.Diagnostics, tail(output(), 80))
		}
		return steps(v) >= p.at && find(t, v, p.kills).PID != 0
	})
	victim := find(t, v, p.kills)
	if err := unix.Kill(victim.PID, unix.SIGKILL); err != nil {
		t.Fatalf("kill %s: %v", p.kills, err)
	}
	eventually(t, "the end of "+id, func() bool {
		v = jobStatus(t, c.env, id)
		return v.ExitCode != nil
	})
	out := output()
	if *v.ExitCode != 0 {
		t.Fatalf("exit code %d: %s\n%s", *v.ExitCode, v.Diagnostics, tail(out, 120))
	}
	if now := find(t, v, p.kills); now.Incarnation <= victim.Incarnation || now.Container != victim.Container {
		t.Errorf("%s was killed as incarnation %d in %s, and ended as incarnation %d in %s", p.kills, victim.Incarnation, victim.Container, now.Incarnation, now.Container)
	}
	for _, want := range p.says {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no task said %q:\n%s", want, tail(out, 80))
		}
	}
	files := c.shell(t, "hdfs dfs -ls -R -C "+dir)
	for _, want := range p.exports {
		if !regexp.MustCompile(`(?m)^` + dir + `/` + want + `$`).MatchString(files) {
			t.Errorf("no %s on HDFS:\n%s", want, files)
		}
	}
	c.nothingLeft(t, id)
}
