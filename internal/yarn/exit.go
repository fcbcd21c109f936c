package yarn

import (
	"fmt"
	"strconv"
)

// ExitLaunchFailed is what a NodeManager reports when it could not even write or start the launch
// script. It is not in Hadoop's list of statuses: the launcher starts out with it.
const ExitLaunchFailed ExitStatus = -1

// signalBase is what a shell adds to the number of the signal that ended a process.
const signalBase = 128

// String says in a few words what the status means, with the number.
func (s ExitStatus) String() string {
	switch s {
	case ExitSuccess:
		return "success"
	case ExitInvalid:
		return "no exit status known, the container did not get as far as its command (-1000)"
	case ExitAborted:
		return "lost with its node, or released (-100)"
	case ExitDisksFailed:
		return "the node's disks failed (-101)"
	case ExitPreempted:
		return "preempted (-102)"
	case ExitVMemExceeded:
		return "over its limit of virtual memory (-103)"
	case ExitPMemExceeded:
		return "over its limit of memory (-104)"
	case ExitKilledByAM:
		return "stopped by the application (-105)"
	case ExitKilledByRM:
		return "killed by the ResourceManager (-106)"
	case ExitKilledAfterApp:
		return "killed because the application ended (-107)"
	case ExitKilledByNM:
		return "killed by the NodeManager to make room (-108)"
	case ExitKilledExcessLogs:
		return "killed for writing too many logs (-109)"
	case ExitLaunchFailed:
		return "the NodeManager could not launch it (-1)"
	}
	if n, ok := s.Signal(); ok {
		return fmt.Sprintf("killed by %s (%d)", signalName(n), int32(s))
	}
	return fmt.Sprintf("exit code %d", int32(s))
}

// Signal is the number of the signal that ended the process, or that it says ended it: a program
// may exit with such a code by itself.
func (s ExitStatus) Signal() (int, bool) {
	n := int(s) - signalBase
	return n, n >= 1 && n <= 31
}

// Infrastructure reports whether the container ended for a reason that lies with the cluster, so
// that it may be repeated elsewhere without holding it against the program. A localization that
// failed is one of them (ExitInvalid).
func (s ExitStatus) Infrastructure() bool {
	switch s {
	case ExitInvalid, ExitAborted, ExitDisksFailed, ExitPreempted, ExitKilledByRM, ExitKilledByNM, ExitLaunchFailed:
		return true
	}
	return false
}

// signalName names Linux's signals, which are what containers run on.
func signalName(n int) string {
	names := [...]string{1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS",
		8: "SIGFPE", 9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM"}
	if n < len(names) && names[n] != "" {
		return names[n]
	}
	return "signal " + strconv.Itoa(n)
}
