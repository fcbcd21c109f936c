package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"tfos/internal/endpoint"
	"tfos/internal/job"
	"tfos/internal/supervise"
)

// Redirect works by a library in the program's processes. A statically linked program has no
// libraries, one with another user's rights (setuid) gets none, and a command that unsets
// LD_PRELOAD does not ask for it. Such a program could reach nobody, so its processes are looked
// at, often in their first moments and seldom later, until one was seen to connect to a peer.
const (
	lookMin = 10 * time.Millisecond // before the first look; it doubles
	lookMax = time.Second
	lookFor = 15 * time.Second // a program that has run for so long is what it is
	// bareFor and doubtFor are how long a process must be seen without the library: one that cannot
	// have it, and one that may only be slow to load it.
	bareFor  = 500 * time.Millisecond
	doubtFor = 5 * time.Second
)

// coverage is the part of an owner's state that tells whether the program is redirected.
type coverage struct {
	timer *time.Timer // nil: nothing is to be looked at
	main  int         // the program's own process
	pause time.Duration
	until time.Time
	bare  endpoint.Bare // process seen without the library at the last look; zero: none was
	since time.Time     // when it was seen first
	looks int           // how often it was
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
		o.main, o.pause, o.until = o.program.PID(), lookMin, time.Now().Add(lookFor)
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
	if bare != o.bare {
		o.bare, o.since, o.looks = bare, now, 0
	}
	o.looks++
	if b := o.bare; b.PID != 0 && (b.Sure && now.Sub(o.since) >= bareFor || now.Sub(o.since) >= doubtFor) {
		o.fallBack(whyBare(b))
		return
	}
	o.pause = min(2*o.pause, lookMax)
	o.timer.Reset(o.pause)
}

// wasBare reports whether a program that has ended reached nobody: its own process was seen without
// the library more than once, and could not have loaded it in between.
func (c *coverage) wasBare() bool {
	return c.bare.PID != 0 && c.bare.PID == c.main && (c.bare.Sure && c.looks > 1 || time.Since(c.since) >= bareFor)
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

// findBare finds a process of the program that has not the library and started no other; zero:
// there is none. One that has started others may be a launcher, whose own connections do not
// matter.
func (o *owner) findBare() endpoint.Bare {
	for _, pid := range leaves(o.main) {
		if b := o.endpoints.Look(pid); b.PID != 0 {
			return b
		}
	}
	return endpoint.Bare{}
}

// leaves are the processes below and with pid that have no children.
func leaves(pid int) []int {
	var found []int
	lists, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task/*/children"))
	if err != nil {
		return nil
	}
	parent := false
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
	if !parent {
		return []int{pid}
	}
	return found
}

// whyBare says of a process why it has no library.
func whyBare(b endpoint.Bare) string {
	what, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(b.PID), "exe"))
	if err != nil {
		what = "process " + strconv.Itoa(b.PID)
	}
	return fmt.Sprintf("%s does not load the library: %s", filepath.Base(what), b.Why)
}

// excused reports whether the program's end is not to be told, because the agent ended it to start
// it once more. An end that came by itself is the program's own, and is told: a failure is charged
// once, and whether the program starts again is the master's affair. All that is done for one which
// could reach nobody is that the next start finds forward.
func (o *owner) excused(x supervise.Exit) bool {
	c, fellBack := o.coverage, o.old != nil
	o.coverage = coverage{}
	if !fellBack {
		if c.wasBare() && x.Code != 0 && !x.Lost && !x.Stopped && !o.retiring && o.endpoints != nil {
			o.fallBack("a program that ended had not loaded the library: " + c.bare.Why)
		}
		return false
	}
	o.closing(o.old)
	o.old = nil
	if again := o.next != nil && o.next.Incarnation == o.incarnation && !o.withdrawn; !again {
		return o.withdrawn
	}
	if !x.Stopped || x.Code == 0 && x.Reason == "" { // it was over already, or needed no peers
		o.next = nil
		return false
	}
	return true
}
