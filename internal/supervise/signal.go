package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Signal sends a signal to those processes of the program's process group that have a handler for
// it: others would die of it. It reports to how many. A program that has ended has none.
func (p *Process) Signal(signal syscall.Signal) (int, error) {
	select {
	case <-p.done:
		return 0, nil
	default:
	}
	names, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		return 0, err
	}
	sent := 0
	var errs []error
	for _, name := range names {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			continue
		}
		if group, err := syscall.Getpgid(pid); err != nil || group != p.pid {
			continue // not ours, or gone
		}
		status, err := os.ReadFile(name)
		if err != nil || !catches(status, signal) {
			continue
		}
		switch err := syscall.Kill(pid, signal); {
		case err == nil:
			sent++
		case !errors.Is(err, syscall.ESRCH):
			errs = append(errs, fmt.Errorf("send %v to %d: %w", signal, pid, err))
		}
	}
	return sent, errors.Join(errs...)
}

// catches reports whether a process has a handler for a signal, by its /proc/…/status (proc(5):
// SigCgt, a hexadecimal mask).
func catches(status []byte, signal syscall.Signal) bool {
	for line := range bytes.Lines(status) {
		text, ok := bytes.CutPrefix(line, []byte("SigCgt:"))
		if !ok {
			continue
		}
		mask, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 16, 64)
		return err == nil && signal > 0 && signal <= 64 && mask&(1<<(signal-1)) != 0
	}
	return false
}
