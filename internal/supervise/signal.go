package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	group, err := p.Group()
	if err != nil {
		return 0, err
	}
	sent := 0
	var errs []error
	for _, pid := range group {
		if !Expects(pid, signal) {
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

// Group are the processes of the program's process group, its own first.
func (p *Process) Group() ([]int, error) {
	names, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		return nil, err
	}
	var group []int
	for _, name := range names {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			continue
		}
		if of, err := syscall.Getpgid(pid); err == nil && of == p.pid { // else not ours, or gone
			group = append(group, pid)
		}
	}
	slices.Sort(group)
	return group, nil
}

// Expects reports whether a process has a handler for a signal.
func Expects(pid int, signal syscall.Signal) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && catches(status, signal)
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
