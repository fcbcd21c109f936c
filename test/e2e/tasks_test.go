//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"tfos/internal/status"
)

// steps is the most that a task said it has taken.
func steps(v status.View) int64 {
	most := int64(0)
	for _, task := range v.Tasks {
		most = max(most, task.Step)
	}
	return most
}

func name(t status.Task) string { return t.Role + "/" + strconv.Itoa(t.Index) }

func find(t *testing.T, v status.View, task string) status.Task {
	t.Helper()
	for _, x := range v.Tasks {
		if name(x) == task {
			return x
		}
	}
	t.Fatalf("no %s in %+v", task, v.Tasks)
	return status.Task{}
}

func killProcess(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }

// killAgent kills the agent that a process lives under, and with it the container.
func killAgent(pid int) error {
	for pid > 1 {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			return err
		}
		name, _, _ := strings.Cut(string(line), "\x00")
		if filepath.Base(name) == "tfos-agent" {
			return syscall.Kill(pid, syscall.SIGKILL)
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return err
		}
		_, rest, _ := strings.Cut(string(stat), ") ") // proc(5): pid (comm) state ppid
		if pid, err = strconv.Atoi(strings.Fields(rest)[1]); err != nil {
			return err
		}
	}
	return fmt.Errorf("no tfos-agent above the process")
}
