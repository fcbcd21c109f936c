//go:build e2e && matrix

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tfos/internal/status"
)

// TestMatrixOfDeadWriters kills a program and its agent while they write a file. The hidden file
// that they leave goes once HDFS knows that its writer is dead; that of the incarnation in their
// place, which writes all the time, stays and becomes the file.
func TestMatrixOfDeadWriters(t *testing.T) {
	c := storage(t)
	const dir = "/models/dead-writer"
	c.shell(t, "hdfs dfs -mkdir -p "+dir)
	hidden := func() []string {
		return slices.DeleteFunc(c.list(t, dir), func(name string) bool { return !strings.HasPrefix(name, ".tfos-writing-") })
	}
	id := strings.TrimSpace(tfos(t, c.env, "submit", jobFile(t, fmt.Sprintf(
		"name: dead-writer\ncommand: %s slow_writer.py\nfiles: [%s]\ncheckpoint: {dir: 'hdfs://%s'}\nroles: {worker: {memory: 1GiB}}\n",
		python(t), program("slow_writer.py"), dir))).want(t, 0).stdout)
	var v status.View
	eventually(t, "a file to be written", func() bool {
		v = jobStatus(t, c.env, id)
		return v.ExitCode != nil || len(hidden()) == 1 && steps(v) > 3
	})
	if v.ExitCode != nil {
		t.Fatal(v.Diagnostics)
	}
	dead, pid := hidden(), find(t, v, "worker/0").PID
	if err := killAgent(pid); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL) // unless it went with its agent
	eventually(t, "another to write", func() bool { return len(hidden()) == 2 })
	eventually(t, "the dead writer's file to go", func() bool { return !slices.Contains(hidden(), dead[0]) })
	if left := hidden(); len(left) != 1 {
		t.Errorf("hidden files: %v", left)
	}
	c.shell(t, "hdfs dfs -touchz "+dir+"/stop")
	eventually(t, "the end of "+id, func() bool {
		v = jobStatus(t, c.env, id)
		return v.ExitCode != nil
	})
	if *v.ExitCode != 0 {
		t.Errorf("exit code %d: %s", *v.ExitCode, v.Diagnostics)
	}
	if got := c.list(t, dir); !slices.Equal(got, []string{"stop", "written-2"}) {
		t.Errorf("left: %v", got)
	}
	gone(t, id)
}
