// Package guard is the small process between an agent and the program it runs: the program's parent, and its end.
//
// It starts one program, tells the agent over a socket what becomes of it, and sees to it that nothing of it survives:
// whatever the program leaves behind, however it forked, becomes the guard's child (PR_SET_CHILD_SUBREAPER) and is killed.
// When the agent is gone, which the closed socket tells, so is the program. It lives in a session of its own, out of the reach
// of what a NodeManager kills with the agent. It uses little, because its memory counts as the container's.
package guard

import (
	"errors"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command is the argument that turns a binary into a guard: its main calls Run with the arguments after it.
const Command = "guard"

// controlFD is the guard's end of the socket.
const controlFD = 3

// What the agent says, a byte each. The end of the stream means Kill.
const (
	Terminate = 't' // SIGTERM to the program's process group
	Kill      = 'k' // SIGKILL to everything
)

// How long to go on killing what does not die: in uninterruptible sleep, or owned by another user.
const (
	killFor   = 10 * time.Second
	killAgain = 5 * time.Millisecond
)

// Run is the guard's whole life. It starts argv in the current directory with the environment, stdin, stdout and stderr that it
// has itself, and returns its own exit code once nothing of the program is left.
func Run(argv []string) int {
	runtime.LockOSThread() // the program's parent death signal is tied to the thread that forks it
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400)
	// Signals meant for others are noted and dropped. Not ignored: the program would inherit that.
	signal.Notify(make(chan os.Signal, 1), unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT)
	unix.CloseOnExec(controlFD)
	control := os.NewFile(controlFD, "control")
	if len(argv) == 0 {
		return 2
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		tell(control, Event{Kind: Failed, Text: "become subreaper: " + err.Error()})
		return 1
	}
	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		tell(control, Event{Kind: Failed, Text: argv[0] + ": " + err.Error()})
		return 1
	}
	tell(control, Event{Kind: Started, PID: pid})
	exit := watch(pid, orders(control), reaped())
	tell(control, exit)
	return 0
}

// watch waits for the program's end and for that of everything it started, killing where it is told to or has to.
func watch(pid int, orders <-chan byte, reaped <-chan wait) Event {
	exit := Event{Kind: Exited, PID: pid}
	main := true          // the program itself lives
	stopping := false     // it was asked to end: what it leaves behind has the same time as itself
	var again *time.Timer // set while killing
	tick := func() <-chan time.Time {
		if again == nil {
			return nil
		}
		return again.C
	}
	var until time.Time
	kill := func() {
		if again == nil {
			again, until = time.NewTimer(killAgain), time.Now().Add(killFor)
		}
		for _, p := range Descendants(os.Getpid()) {
			unix.Kill(p, unix.SIGKILL)
		}
		again.Reset(killAgain)
	}
	for {
		select {
		case w, ok := <-reaped:
			if !ok {
				return exit
			}
			if w.pid == pid {
				main = false
				exit.Code, exit.Signal = w.status.ExitStatus(), 0
				if w.status.Signaled() {
					exit.Signal = int(w.status.Signal())
				}
			}
			if !main && (!stopping || again != nil) {
				kill()
			}
		case order := <-orders:
			if order == Terminate && again == nil {
				stopping = true
				unix.Kill(-pid, unix.SIGTERM)
				unix.Kill(-pid, unix.SIGCONT) // a stopped process would not hear it
			} else if order == Kill {
				kill()
			}
		case <-tick():
			if time.Now().After(until) {
				exit.Left = len(Descendants(os.Getpid()))
				if main {
					exit.Signal = int(unix.SIGKILL)
				}
				return exit
			}
			kill()
		}
	}
}

type wait struct {
	pid    int
	status unix.WaitStatus
}

// reaped gives the ends of all children, and is closed when there are none left. A process's children are ours before it can
// be reaped itself, so none is missed.
func reaped() <-chan wait {
	c := make(chan wait) // unbuffered: watch sees every end
	go func() {
		defer close(c)
		for {
			var w wait
			var err error
			w.pid, err = unix.Wait4(-1, &w.status, 0, nil)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				return
			}
			c <- w
		}
	}()
	return c
}

// orders gives the agent's bytes, and Kill when it is gone.
func orders(control *os.File) <-chan byte {
	c := make(chan byte) // unbuffered
	go func() {
		b := make([]byte, 1)
		for {
			if n, err := control.Read(b); n == 0 || err != nil {
				c <- Kill
				return
			}
			c <- b[0]
		}
	}()
	return c
}

// tell writes one event. An agent that is gone does not hear it.
func tell(control *os.File, e Event) { control.WriteString(e.encode()) }

// Descendants lists the processes below root: its children and theirs.
func Descendants(root int) []int {
	children := childrenOf
	if _, err := os.Stat("/proc/self/task/" + strconv.Itoa(os.Getpid()) + "/children"); err != nil {
		children = scan() // a kernel without CONFIG_PROC_CHILDREN
	}
	var all []int
	for queue := children(root); len(queue) > 0; queue = queue[1:] {
		all = append(all, queue[0])
		queue = append(queue, children(queue[0])...)
	}
	return all
}
