package stacks

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// begin runs a shell program, and waits until it says that it is ready.
func begin(t *testing.T, dir, program string) int {
	t.Helper()
	cmd := exec.Command("bash", "-c", program)
	cmd.Dir = dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

// leaves is a program that leaves its stacks as a Python of a task does.
const leaves = `exec {fd}>>$$; mv $$ $$.$fd; trap 'echo "  in train" >&$fd' 59; echo ready; while :; do sleep 0.02; done`

func TestTake(t *testing.T) {
	dir := t.TempDir()
	python := begin(t, dir, leaves)
	other := begin(t, dir, `trap : 59; echo ready; while :; do sleep 0.02; done`)
	for range 2 { // what was left before is not said again
		got := Take(t.Context(), dir, []int{python, other, 1 << 30})
		if strings.Count(got, "  in train\n") != 1 || !strings.Contains(got, fmt.Sprintf("process %d: \"bash -c exec {fd}", python)) ||
			!strings.Contains(got, fmt.Sprintf("process %d: \"bash -c trap", other)) || !strings.Contains(got, "it leaves no stacks") || strings.Count(got, "process ") != 2 {
			t.Errorf("stacks:\n%s", got)
		}
	}
	if got := Take(t.Context(), dir, nil); got != "no process runs\n" {
		t.Errorf("of nobody: %s", got)
	}
}

// TestTakeSparesOtherFiles: a program that has closed all that it did not open, and opened a file
// of its own in that place, is not told to write there.
func TestTakeSparesOtherFiles(t *testing.T) {
	dir := t.TempDir()
	pid := begin(t, dir, strings.Replace(leaves, "echo ready", `exec {fd}>&-; eval "exec $fd>>model"; echo ready`, 1))
	if got := Take(t.Context(), dir, []int{pid}); !strings.Contains(got, "it leaves no stacks") {
		t.Errorf("stacks:\n%s", got)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "model")); err != nil || len(b) != 0 {
		t.Errorf("the program's own file: %q, %v", b, err)
	}
}

// TestTakeTidiesUp: files of processes that have ended go, others stay.
func TestTakeTidiesUp(t *testing.T) {
	dir := t.TempDir()
	alive, gone := fmt.Sprintf("%d.3", os.Getpid()), fmt.Sprintf("%d.3", 1<<30)
	for _, name := range []string{alive, gone, "notes"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	Take(t.Context(), dir, nil)
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("left: %v, %v", left, err)
	}
}
