package main

import (
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// init has the command end with the process that TFOS_PARENT names, if that started it: tfos.jar's
// JVM, which can be killed without a chance to hand the signal on. What the command does at its
// parent's end is what it does at SIGTERM.
//
// The kernel keeps the wish with a thread. During init this is the first one, which stays.
func init() {
	parent := os.Getenv("TFOS_PARENT")
	os.Unsetenv("TFOS_PARENT") // it is not meant for what this command starts
	if parent == "" || parent != strconv.Itoa(os.Getppid()) {
		return
	}
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGTERM), 0, 0, 0); err != nil {
		return // a kernel that forbids it: the command then outlives a killed JVM, as any child does
	}
	if parent != strconv.Itoa(os.Getppid()) { // it died in between
		os.Exit(130)
	}
}
