// Package supervise runs one program at a time with everything it starts: it begins, stops and ends
// it, and tells how it ended.
//
// The program is a shell command line. It runs below a guard (package guard), a process of 0.2 MB,
// which sees to it that nothing the program started survives it, and that the program does not
// survive us. The package knows processes, files and exit codes, and nothing of jobs and tasks.
package supervise

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tfos/internal/job"
	"tfos/internal/supervise/guard"
)

// shell runs the command line. It replaces itself by a simple command, so that exit code and
// signals are the program's own.
const shell = "/bin/bash"

// shellName is $0 of the command line, and what the shell's own messages begin with.
const shellName = "tfos"

// startWait bounds how long a guard may take to start the program: both are on a local disk, though
// perhaps a busy one.
const startWait = time.Minute

// outputWait bounds how long the end of a program's output is waited for: a process that cannot be
// ended may hold it open.
const outputWait = 2 * time.Second

// Spec is what to run.
type Spec struct {
	Command string   // a shell command line
	Dir     string   // where; empty: here
	Env     []string // all of it, as os.Environ has it
	// Stdout and Stderr take what it prints, all of it before its end is told. Each is written by
	// one goroutine; nil: nobody wants it.
	Stdout, Stderr io.Writer
	Adopt          bool // this process has no other children: it inherits, and ends, what a guard that was itself killed leaves
}

// Exit is how a program ended. OOM is of one that ended by SIGKILL.
type Exit struct {
	job.Ended
	Left int // processes that SIGKILL did not end: hung in the kernel, or another user's
}

// Process is a program that was started. Safe for concurrent use.
type Process struct {
	pid     int
	cmd     *exec.Cmd // the guard
	control *os.File
	done    chan struct{} // closed when exit is set
	exit    Exit          // immutable once done is closed

	adopt    bool
	stdout   *Recent // what it wrote last
	stderr   *Recent // the same
	oomKills int64   // of the cgroup, before

	mu      sync.Mutex
	stopped bool        // guarded by mu: Stop was called
	kill    *time.Timer // guarded by mu: sends Kill; nil: not stopped
	killAt  time.Time   // guarded by mu: when it does
}

// Start runs a program and returns once it runs. A command that the shell does not find is an Exit
// with a Reason, not an error.
func Start(s Spec) (*Process, error) {
	fail := func(err error) (*Process, error) { return nil, fmt.Errorf("start the program: %w", err) }
	if s.Adopt {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return fail(os.NewSyscallError("prctl", err))
		}
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return fail(err)
	}
	defer theirs.Close()

	p := &Process{control: ours, done: make(chan struct{}), adopt: s.Adopt, stdout: NewRecent(tailBytes), stderr: NewRecent(tailBytes), oomKills: oomKills()}
	var stderr io.Writer = p.stderr
	if s.Stderr != nil {
		stderr = io.MultiWriter(p.stderr, s.Stderr)
	}
	var stdout io.Writer = p.stdout
	if s.Stdout != nil {
		stdout = io.MultiWriter(p.stdout, s.Stdout)
	}
	if err := guard.Exec(s.Dir, func(path string) error {
		p.cmd = &exec.Cmd{
			Path:        path,
			Args:        []string{"tfos-guard", shell, "-c", s.Command, shellName},
			Dir:         s.Dir,
			Env:         append([]string{}, s.Env...), // not nil, which would mean ours
			Stdout:      stdout,
			Stderr:      stderr,
			ExtraFiles:  []*os.File{theirs}, // guard.ControlFD
			SysProcAttr: &syscall.SysProcAttr{Setsid: true},
			WaitDelay:   outputWait,
		}
		return p.cmd.Start()
	}); err != nil {
		ours.Close()
		return fail(err)
	}
	theirs.Close() // else its end would never be seen
	events := bufio.NewReader(ours)
	first, err := p.await(events)
	if err == nil && first.Kind == guard.Failed {
		err = fmt.Errorf("%s: %w", first.Text, syscall.Errno(first.Code))
	}
	if err != nil {
		p.cmd.Process.Kill()
		ours.Close()
		p.cmd.Wait()
		return fail(err)
	}
	p.pid = first.PID
	go p.wait(events)
	return p, nil
}

// await reads the guard's first event.
func (p *Process) await(events *bufio.Reader) (guard.Event, error) {
	if err := p.control.SetReadDeadline(time.Now().Add(startWait)); err != nil {
		return guard.Event{}, err
	}
	e, err := next(events)
	if err != nil {
		return guard.Event{}, fmt.Errorf("its guard did not start it: %w", err)
	}
	return e, p.control.SetReadDeadline(time.Time{})
}

func next(events *bufio.Reader) (guard.Event, error) {
	line, err := events.ReadString('\n')
	if err != nil {
		return guard.Event{}, err
	}
	return guard.ParseEvent(strings.TrimSuffix(line, "\n"))
}

// wait waits for the program's end, and for the guard's.
func (p *Process) wait(events *bufio.Reader) {
	e, err := next(events)
	lost := err != nil // the guard was killed, and with it, by the parent death signal, the program
	if lost {
		e = guard.Event{Code: 0, Signal: int(unix.SIGKILL)}
	}
	p.cmd.Wait()
	if lost && p.adopt {
		e.Left = endAdopted()
	}
	p.mu.Lock()
	if p.kill != nil {
		p.kill.Stop()
	}
	p.control.Close()
	stopped := p.stopped
	p.mu.Unlock()

	x := Exit{Left: e.Left, Ended: job.Ended{Code: e.Code, Stopped: stopped, Lost: lost, Stderr: lastLines(p.stderr)}}
	if e.Signal != 0 {
		x.Code, x.Signal = 128+e.Signal, unix.SignalName(syscall.Signal(e.Signal))
	} else {
		x.Reason = notStarted(e.Code, x.Stderr)
	}
	if x.Code != 0 && len(x.Stderr) == 0 {
		x.Stderr = lastLines(p.stdout)
	}
	x.OOM = !lost && x.Code == 128+int(unix.SIGKILL) && oomKills() > p.oomKills
	p.exit = x
	close(p.done)
}

// PID is the program's process id.
func (p *Process) PID() int { return p.pid }

// Done is closed when the program has ended and nothing of it is left.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit is how it ended, once Done is closed.
func (p *Process) Exit() Exit {
	<-p.done
	return p.exit
}

// Stop sends SIGTERM to the program's process group, and after grace SIGKILL to everything it
// started. It does not wait. A further Stop sends SIGTERM again and can bring SIGKILL forward,
// never put it off.
func (p *Process) Stop(grace time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
		return
	default:
	}
	at := time.Now().Add(grace)
	p.stopped = true
	if p.kill == nil {
		p.kill, p.killAt = time.AfterFunc(grace, p.sendKill), at
	} else if at.Before(p.killAt) && p.kill.Stop() {
		p.killAt = at
		p.kill.Reset(grace)
	}
	p.control.Write([]byte{guard.Terminate}) // an error means that the guard is gone: wait sees it
}

func (p *Process) sendKill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.control.Write([]byte{guard.Kill})
}

// socketPair makes our end, which Go's poller watches, and the guard's. Neither leaks into other
// programs.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "guard"), os.NewFile(uintptr(fds[1]), "control"), nil
}
