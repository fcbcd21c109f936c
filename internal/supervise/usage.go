package supervise

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Usage is what the processes of a program use.
type Usage struct {
	Memory int64         // bytes of theirs that are in memory; what several share counts for each
	CPU    time.Duration // that they have used, those that have ended and were waited for included
}

// tick is the unit of processor time in /proc: Linux has had USER_HZ at 100 on all machines that we
// run on.
const tick = 10 * time.Millisecond

// Usage is what the program's processes use now. It reads a few small files of /proc for each of
// them, found as the guard's descendants: to look at all processes of a node would cost more.
func (p *Process) Usage() Usage {
	var u Usage
	for pids := children(p.cmd.Process.Pid); len(pids) > 0; {
		pid := pids[len(pids)-1]
		pids = append(pids[:len(pids)-1], children(pid)...)
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil { // else it has just ended
			one := usageOf(b)
			u.Memory += one.Memory
			u.CPU += one.CPU
		}
	}
	return u
}

// children are a process's, of all its threads (proc(5): /proc/pid/task/tid/children).
func children(pid int) []int {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*/children", pid))
	if err != nil {
		return nil
	}
	var pids []int
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for _, f := range bytes.Fields(b) {
			if child, err := strconv.Atoi(string(f)); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// usageOf reads /proc/pid/stat: behind the name, which may hold anything, utime, stime, cutime and
// cstime are fields 14 to 17, and rss is field 24.
func usageOf(stat []byte) Usage {
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const third = 3 // the number of the first field here
	if len(f) <= 24-third {
		return Usage{}
	}
	number := func(i int) int64 {
		n, err := strconv.ParseInt(string(f[i-third]), 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	return Usage{Memory: number(24) * int64(os.Getpagesize()), CPU: time.Duration(number(14)+number(15)+number(16)+number(17)) * tick}
}
