package container

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"tfos/internal/yarn"
)

const signalBase = 128 // a shell's exit code is this and the number of the signal that ended its command

// exec runs the launch script to its end.
func (r *Runner) exec(ctx context.Context, l Launch, at layout) Exit {
	cmd := exec.Command("/bin/bash", scriptFile)
	cmd.Dir = at.work
	cmd.Env = append([]string{}, r.opts.Env...) // the script sets what a container has of its own
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	var d diagnostics
	if err := r.procs.start(cmd); err != nil {
		d.add("start the container: %v", err)
		return Exit{yarn.ExitLaunchFailed, d.String()}
	}
	group := cmd.Process.Pid // a session leader leads its process group too
	if l.Started != nil {
		l.Started()
	}
	over := make(chan *Stop, 1)
	if !r.opts.IgnoreUsage && l.Resource.MemoryMiB > 0 {
		forget := r.usage.watch(group, l, over)
		defer forget()
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	stop := r.attend(ctx, l, group, exited, over)
	r.clean(group)
	r.procs.gone(group)

	code := exitCode(cmd.ProcessState)
	if stop != nil {
		d.add("%s", stop.Diagnostics)
		d.killed(code)
		return Exit{stop.Status, d.String()}
	}
	d.ended(l, at, code)
	return Exit{yarn.ExitStatus(code), d.String()}
}

// attend passes signals on until the container's first process has ended. It returns why it was
// stopped, or nil if it ended by itself.
func (r *Runner) attend(ctx context.Context, l Launch, group int, exited <-chan error, over <-chan *Stop) *Stop {
	var stop *Stop
	for {
		select {
		case <-exited:
			return nil
		case s := <-l.Signals:
			signal(group, signals[s])
			continue
		case stop = <-over:
		case <-ctx.Done():
			stop = stopped(ctx)
		}
		break
	}
	if stop.AtOnce {
		signal(group, syscall.SIGKILL)
		<-exited
		return stop
	}
	signal(group, syscall.SIGTERM)
	t := time.NewTimer(r.opts.KillDelay)
	defer t.Stop()
	select {
	case <-exited:
	case <-t.C:
		signal(group, syscall.SIGKILL)
		<-exited
	}
	return stop
}

// clean ends what a container left behind when its first process ended, as a NodeManager does: by
// SIGTERM, and SIGKILL for what is still there after the delay.
func (r *Runner) clean(group int) {
	if signal(group, syscall.SIGTERM) != nil {
		return
	}
	look := time.NewTicker(r.opts.KillDelay / 25) // they are no children of ours: nobody tells when they end
	defer look.Stop()
	late := time.NewTimer(r.opts.KillDelay)
	defer late.Stop()
	for {
		select {
		case <-look.C:
			if signal(group, 0) != nil {
				return
			}
		case <-late.C:
			signal(group, syscall.SIGKILL)
			return
		}
	}
}

// signals are what the NodeManager's words mean to a process.
var signals = map[yarn.Signal]syscall.Signal{
	yarn.SignalThreadDump: syscall.SIGQUIT,
	yarn.SignalGraceful:   syscall.SIGTERM,
	yarn.SignalForceful:   syscall.SIGKILL,
}

// signal sends sig to a process group. The error says that nobody of it is there any more.
func signal(group int, sig syscall.Signal) error { return syscall.Kill(-group, sig) }

// exitCode is what a shell would say of the process.
func exitCode(s *os.ProcessState) int {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return signalBase + int(ws.Signal())
	}
	return s.ExitCode()
}

// stderrFiles are the files of a container whose ends go into its diagnostics
// (yarn.nodemanager.container.stderr.pattern).
func stderrFiles(logDir string) []string {
	names, err := filepath.Glob(filepath.Join(logDir, "*stderr*"))
	if err != nil {
		return nil // the directory's name is no pattern; only a foreign one could be
	}
	return names
}
