// Package stacks finds out where the processes of a program are.
//
// A Python process of a task leaves the stacks of its threads in a file when it gets a signal
// (python/sitecustomize.py). The file's name has the process's number and the number under which
// the process has it open, so that nobody is sent the signal who would write elsewhere. Of other
// processes there is what the kernel tells. The package ends nothing and stops nothing.
package stacks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tfos/internal/pause"
	"tfos/internal/supervise"
)

// Signal is what has a process leave its stacks: SIGRTMAX-5 (signal(7)), which hardly anybody uses.
const Signal syscall.Signal = 59

// Dir is the name of the directory of the files, in a container's directory of ours.
const Dir = "stacks"

// How long a process may take, how often its file is looked at, and for how long it must not have
// grown to be whole. A process that hangs in the kernel leaves nothing.
const (
	patience = 3 * time.Second
	lookAt   = 20 * time.Millisecond
	quiet    = 5 // looks
)

// mostBytes bounds what is taken of one process, and of its command line.
const (
	mostBytes   = 256 << 10
	mostCommand = 200
)

// Take tells where processes are, one after the other. Dir is the directory of the files.
func Take(ctx context.Context, dir string, pids []int) string {
	files := find(dir, pids)
	var out strings.Builder
	for _, pid := range pids {
		about, ok := describe(pid)
		if !ok {
			continue // it has ended
		}
		fmt.Fprintf(&out, "process %d: %s\n", pid, about)
		dump, err := take(ctx, pid, files[pid])
		switch {
		case errors.Is(err, errNone):
			fmt.Fprintf(&out, "  it leaves no stacks: it is no Python, or has only just started. It waits in the kernel at %s\n", wchan(pid))
		case err != nil:
			fmt.Fprintf(&out, "  its stacks cannot be had: %v. It waits in the kernel at %s\n", err, wchan(pid))
		default:
			out.WriteString(dump)
		}
	}
	if out.Len() == 0 {
		return "no process runs\n"
	}
	return out.String()
}

// file is where one process leaves its stacks.
type file struct {
	path string
	fd   int // under which the process has it open
}

// find lists the files of processes, and removes those of processes that are no more.
func find(dir string, pids []int) map[int]file {
	found := make(map[int]file)
	names, _ := os.ReadDir(dir) // none: no Python has started
	for _, e := range names {
		name, number, ok := strings.Cut(e.Name(), ".")
		pid, err := strconv.Atoi(name)
		fd, err2 := strconv.Atoi(number)
		if !ok || err != nil || err2 != nil {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if slices.Contains(pids, pid) {
			found[pid] = file{path, fd}
		} else if syscall.Kill(pid, 0) == syscall.ESRCH {
			os.Remove(path) // if it stays, the next look removes it
		}
	}
	return found
}

// errNone says that a process does not leave its stacks.
var errNone = errors.New("no stacks")

// take has one process leave its stacks, and reads them.
func take(ctx context.Context, pid int, f file) (string, error) {
	if f.path == "" || !holds(pid, f) || !supervise.Expects(pid, Signal) {
		return "", errNone
	}
	if err := os.Truncate(f.path, 0); err != nil { // the process appends
		return "", err
	}
	if err := syscall.Kill(pid, Signal); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	size, same := int64(0), 0
	for same < quiet {
		if pause.For(ctx, lookAt) != nil {
			break
		}
		info, err := os.Stat(f.path)
		if err != nil {
			return "", err
		}
		if same++; info.Size() != size || size == 0 {
			size, same = info.Size(), 0
		}
	}
	if size == 0 {
		return "", fmt.Errorf("it did not answer within %v", patience)
	}
	b, err := os.ReadFile(f.path)
	if len(b) > mostBytes {
		b = append(b[:mostBytes], "\n  (and more)\n"...)
	}
	return string(b), err
}

// holds reports whether a process has its file open where it said: a program may have closed all
// that it did not open, and opened something else.
func holds(pid int, f file) bool {
	at, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, f.fd))
	if err != nil {
		return false
	}
	a, errA := os.Stat(at)
	b, errB := os.Stat(f.path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// describe says what a process is (proc(5)); false: it is not there any more.
func describe(pid int) (string, bool) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "", false
	}
	command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	command = bytes.TrimSpace(bytes.ReplaceAll(command, []byte{0}, []byte{' '}))
	if len(command) > mostCommand {
		command = append(command[:mostCommand], "…"...)
	}
	field := func(name string) string {
		for line := range strings.Lines(string(status)) {
			if value, ok := strings.CutPrefix(line, name+":"); ok {
				return strings.TrimSpace(value)
			}
		}
		return "?"
	}
	return fmt.Sprintf("%q, %s, %s threads", command, field("State"), field("Threads")), true
}

// wchan is the kernel's function that a process sleeps in.
func wchan(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", pid))
	if name := strings.TrimSpace(string(b)); err == nil && name != "" && name != "0" {
		return name
	}
	return "an unknown place, or it is running"
}
