package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tfos/internal/agent"
	"tfos/internal/control"
	"tfos/internal/slots"
	"tfos/internal/slots/hold"
)

// holding is what a task of Spark says on stdin, as python/tfos/_slot.py does: one line of JSON.
type holding struct {
	Address  string      `json:"address"`
	Identity string      `json:"identity"` // PEM, a secret
	Offer    slots.Offer `json:"offer"`
	Dir      string      `json:"dir"`   // where to make a directory for containers
	Logs     string      `json:"logs"`  // where containers' logs stay
	Cache    string      `json:"cache"` // where files stay for others
	Parent   int         `json:"parent"`
}

// errEnded says that Spark's task, or the executor, is gone.
var errEnded = errors.New("the task or the executor of Spark is gone")

// holdSlot holds a slot for tasks, in an executor of Spark. It says on stdout what becomes of it, a
// word a line. A slot that a task of Spark holds is given up when stdin ends, another one when its
// parent does.
func holdSlot(ctx context.Context) (err error) {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	var h holding
	if err == nil {
		err = json.Unmarshal(line, &h)
	}
	if err != nil {
		return errors.New("what a task of Spark says on stdin is missing")
	}
	o := hold.Options{Address: h.Address, Offer: h.Offer, Cache: h.Cache, Env: inherited(os.Environ()),
		Said: func(v slots.Verdict) { fmt.Println(v) }}
	if o.Identity, err = control.ParseIdentity([]byte(h.Identity)); err != nil {
		return err
	}
	for _, dir := range []string{h.Dir, h.Logs, h.Cache} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	hold.Sweep(h.Cache, time.Now())
	if o.Dir, err = os.MkdirTemp(h.Dir, "slot-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	// Each of these is absolute: containers run elsewhere.
	for _, dir := range []*string{&o.Dir, &h.Logs, &o.Cache} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return err
		}
	}
	o.Logs = h.Logs
	if o.Log, _, err = agent.NewLogger(o.Logs, "info"); err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	if h.Offer.Held {
		go func() { // it ends with this process: nothing ends a read of a pipe
			_, _ = io.Copy(io.Discard, in)
			end(errEnded)
		}()
	} else if err := watch(h.Parent, func() { end(errEnded) }); err != nil {
		return err
	}
	_, err = hold.Hold(ctx, o)
	if errors.Is(err, errEnded) {
		return nil // nobody is left to be told
	}
	return err
}

// watch calls ended once a process has ended: the parent of the one that started this.
func watch(pid int, ended func()) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("watch process %d, in whose place the slot is: %w", pid, err)
	}
	if got, err := parentOf(unix.Getppid()); got != pid { // it ended before: its number may be another one's
		return errors.Join(errEnded, err, unix.Close(fd))
	}
	go func() { // it ends with that process, or this one
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
			if !errors.Is(err, unix.EINTR) {
				break
			}
		}
		ended()
	}()
	return nil
}

// parentOf is a process's parent (proc(5), stat).
func parentOf(pid int) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	var state string
	var parent int
	_, err = fmt.Sscan(string(b[bytes.LastIndexByte(b, ')')+1:]), &state, &parent)
	return parent, err
}

// inherited is what containers have of the environment of an executor's Python: all but what is
// Spark's own.
func inherited(environ []string) []string {
	var kept []string
	for _, e := range environ {
		if !strings.HasPrefix(e, "_SPARK_AUTH_SECRET=") && !strings.HasPrefix(e, "PYTHON_WORKER_") {
			kept = append(kept, e)
		}
	}
	return kept
}
