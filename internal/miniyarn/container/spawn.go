package container

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// spawner starts processes that do not outlive this one, even if it is killed by SIGKILL. Two
// things see to it:
//
//   - each process has SIGKILL as its parent-death signal. The kernel sends it when the thread that
//     started the process ends, not when the process does, so all are started by one thread that
//     ends last;
//   - a guard, a shell that holds the other end of a pipe, kills the process groups it was told of
//     when the pipe closes. It reaches the children of the started processes, which the signal does
//     not.
type spawner struct {
	mu    sync.Mutex
	work  chan func()    // to the thread; nil before the first start and after close; guarded by mu
	ended chan struct{}  // closed when the thread ends; guarded by mu
	guard *exec.Cmd      // guarded by mu
	pipe  io.WriteCloser // to the guard; guarded by mu
}

// guardScript reads "+ group" and "- group" until the pipe closes. It ignores what a terminal
// sends.
const guardScript = `trap '' INT TERM HUP QUIT
declare -A groups
while read -r op group; do
	if [ "$op" = + ]; then groups[$group]=1; else unset "groups[$group]"; fi
done
for group in "${!groups[@]}"; do kill -KILL -- "-$group" 2>/dev/null; done`

// guardExit bounds the wait for the guard to end once its pipe is closed.
const guardExit = 5 * time.Second

// start starts a process that leads its own group.
func (s *spawner) start(cmd *exec.Cmd) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return err
	}
	result := make(chan error)
	s.work <- func() { result <- cmd.Start() }
	if err := <-result; err != nil {
		return err
	}
	if _, err := fmt.Fprintf(s.pipe, "+ %d\n", cmd.Process.Pid); err != nil {
		err = errors.Join(fmt.Errorf("tell the guard of containers: %w", err), cmd.Process.Kill())
		return errors.Join(err, cmd.Wait())
	}
	return nil
}

// gone tells that nothing of a group is left.
func (s *spawner) gone(group int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pipe != nil {
		fmt.Fprintf(s.pipe, "- %d\n", group) // a guard that is gone needs not know; start reports it
	}
}

// open starts the thread and the guard if they do not run.
func (s *spawner) open() error {
	if s.work != nil {
		return nil
	}
	guard := exec.Command("/bin/bash", "-c", guardScript)
	guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := guard.StdinPipe()
	if err != nil {
		return err
	}
	if err := guard.Start(); err != nil {
		pipe.Close()
		return fmt.Errorf("start the guard of containers: %w", err)
	}
	work, ended := make(chan func()), make(chan struct{})
	s.guard, s.pipe, s.work, s.ended = guard, pipe, work, ended
	go func() {
		defer close(ended)
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		for f := range work {
			f()
		}
	}()
	return nil
}

// close ends the thread and the guard, and with them whatever still runs.
func (s *spawner) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.work == nil {
		return nil
	}
	close(s.work)
	<-s.ended
	err := s.pipe.Close()
	kill := time.AfterFunc(guardExit, func() { s.guard.Process.Kill() })
	defer kill.Stop()
	err = errors.Join(err, s.guard.Wait())
	s.work, s.ended, s.guard, s.pipe = nil, nil, nil, nil
	return err
}
