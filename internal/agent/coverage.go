package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tfos/internal/job"
	"tfos/internal/supervise"
)

// Redirect works by a library in the program's processes. A statically linked program has no libraries, one with another user's
// rights (setuid) gets none, and a command that clears its environment does not ask for it. Such a program could reach nobody,
// so its processes are looked at, often in their first moments and seldom later, until one was seen to connect to a peer.
const (
	lookMin = 10 * time.Millisecond // before the first look; it doubles
	lookMax = time.Second
	lookFor = 15 * time.Second // a program that has run for so long is what it is
	// bareFor is how long a process must be without the library: for a moment one that was just started has it not yet.
	bareFor = 500 * time.Millisecond
)

// coverage is the part of an owner's state that tells whether the program is redirected.
type coverage struct {
	timer *time.Timer // nil: nothing is to be looked at
	pause time.Duration
	until time.Time
	bare  int // process seen without the library at the last look; 0: none was
	since time.Time
}

// due tells when to look; nil: never.
func (c *coverage) due() <-chan time.Time {
	if c.timer == nil {
		return nil
	}
	return c.timer.C
}

// watch begins to look at a program that was started with endpoints of a kind.
func (o *owner) watch(k job.Endpoints) {
	o.coverage = coverage{}
	if k == job.EndpointsRedirect {
		o.pause, o.until = lookMin, time.Now().Add(lookFor)
		o.timer = time.NewTimer(o.pause)
	}
}

// look looks once, and falls back to forward if a process goes without the library.
func (o *owner) look() {
	now := time.Now()
	if o.program == nil || o.endpoints == nil || now.After(o.until) || o.connects() {
		o.coverage = coverage{}
		return
	}
	bare := o.findBare()
	if bare == 0 || bare != o.bare {
		o.bare, o.since = bare, now
	}
	if bare != 0 && now.Sub(o.since) >= bareFor {
		reason := notCovered(bare)
		o.coverage = coverage{}
		o.fallBack(reason)
		return
	}
	o.pause = min(2*o.pause, lookMax)
	o.timer.Reset(o.pause)
}

// connects reports whether the library has led a process of the program to a peer, or would have.
func (o *owner) connects() bool {
	for _, c := range o.endpoints.Counters() {
		if c.Connections+c.Refused > 0 {
			return true
		}
	}
	return false
}

// findBare finds a process of the program that has not the library and started no other; 0: there is none. One that has started
// others may be a launcher, whose own connections do not matter.
func (o *owner) findBare() int {
	for _, pid := range leaves(o.program.PID()) {
		covered, err := o.endpoints.Covers(pid)
		if !covered && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
			return pid
		}
	}
	return 0
}

// leaves are the processes below and with pid that have no children. Zombies have no memory to look at.
func leaves(pid int) []int {
	var found []int
	parent := false
	lists, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task/*/children"))
	if err != nil {
		return nil
	}
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			continue
		}
		for _, child := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(child); err == nil {
				parent = true
				found = append(found, leaves(n)...)
			}
		}
	}
	if !parent && !zombie(pid) {
		return []int{pid}
	}
	return found
}

func zombie(pid int) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return true // it is gone
	}
	_, state, ok := strings.Cut(string(b), ") ")
	return !ok || strings.HasPrefix(state, "Z")
}

// notCovered says of a process why it may have no library.
func notCovered(pid int) string {
	what, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "exe"))
	if err != nil {
		what = "process " + strconv.Itoa(pid)
	}
	return fmt.Sprintf("%s does not load libraries: it is statically linked, another user's, or its environment was cleared", filepath.Base(what))
}

// excused reports whether the program's end is not to be told: it was ended to start once more, or failed as one that could
// reach nobody.
func (o *owner) excused(x supervise.Exit) bool {
	bare, fellBack := o.bare, o.old != nil
	o.coverage = coverage{}
	if fellBack {
		o.closing(o.old)
		o.old = nil
	}
	again := o.next != nil && o.next.Incarnation == o.incarnation && !o.withdrawn
	switch {
	case fellBack && again && x.Reason == "" && x.Code == 0: // it needed no peers
		o.next = nil
		return false
	case fellBack:
		return again || o.withdrawn
	case bare != 0 && x.Code != 0 && !x.Lost && x.Reason == "" && !x.Stopped && !o.retiring && o.endpoints != nil:
		o.startAgain("the program ended before it had loaded the library")
		return true
	}
	return false
}
