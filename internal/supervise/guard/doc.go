// Package guard is the small process between an agent and the program it runs: the program's
// parent, and its end.
//
// The process is process/guard.c. It starts one program, tells the agent over a socket what becomes
// of it, and sees to it that nothing of it survives: whatever the program leaves behind, however it
// forked, becomes the guard's child (PR_SET_CHILD_SUBREAPER) and is killed. When the agent is gone,
// which the closed socket tells, so is the program. It lives in a session of its own, out of the
// reach of what a NodeManager kills with the agent. The package has the committed images of it, and
// speaks its language.
package guard

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// ControlFD is the guard's end of the socket. Its arguments are the program and that program's
// arguments. It has the program's directory, environment, stdin, stdout and stderr.
const ControlFD = 3

// What the agent says, a byte each. The end of the stream means Kill.
const (
	Terminate = 't' // SIGTERM to the program's process group
	Kill      = 'k' // SIGKILL to everything
)

// name is what the process is called in lists of processes.
const name = "tfos-guard"

// inMemory keeps the image in a file that no directory has: nobody can remove it, and no disk can
// be full.
var inMemory = sync.OnceValues(func() (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = io.Copy(f, bytes.NewReader(image))
	return f, err
})

// Exec calls run with the name of an executable file that is the guard. Where the kernel does not
// run a file in memory (vm.memfd_noexec, or a security module), it calls run once more with one in
// the directory dir, which it then removes.
func Exec(dir string, run func(path string) error) error {
	if len(image) == 0 {
		return fmt.Errorf("there is no guard for this kind of machine (%s)", runtime.GOARCH)
	}
	f, err := inMemory()
	if err == nil {
		// By our own pid: the child, who opens it, may have moved this descriptor.
		err = run("/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(int(f.Fd())))
		runtime.KeepAlive(f)
		if !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) {
			return err
		}
	}
	file, diskErr := onDisk(dir)
	if diskErr != nil {
		return errors.Join(err, diskErr)
	}
	defer os.Remove(file)
	return run(file)
}

// onDisk writes the image to a file.
func onDisk(dir string) (string, error) {
	syscall.ForkLock.RLock() // a child that held it open for writing would keep it from being executed
	defer syscall.ForkLock.RUnlock()
	f, err := os.CreateTemp(dir, "."+name+"-")
	if err != nil {
		return "", err
	}
	_, err = f.Write(image)
	if err = errors.Join(err, f.Chmod(0o700), f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return filepath.Abs(f.Name())
}
