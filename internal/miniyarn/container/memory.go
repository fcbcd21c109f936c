package container

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"tfos/internal/yarn"
)

// monitor looks at the resident memory of all containers at intervals, in one pass over /proc, and
// reports those that use more than they were granted. A container is over its limit when it uses
// twice of it, or more than it at two looks in a row: a process that forks counts double until it
// execs (ContainersMonitorImpl).
type monitor struct {
	interval time.Duration

	mu      sync.Mutex
	watched map[int]*watched // by session; guarded by mu
	quit    chan struct{}    // closes the loop; nil while nothing is watched; guarded by mu
	loops   sync.WaitGroup
}

type watched struct {
	launch Launch
	over   chan<- *Stop // capacity 1
	above  bool         // at the last look
}

// watch reports on over when the processes of a session use too much. The returned function ends
// it.
func (m *monitor) watch(session int, l Launch, over chan<- *Stop) func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.watched == nil {
		m.watched = make(map[int]*watched)
	}
	m.watched[session] = &watched{launch: l, over: over}
	if m.quit == nil {
		quit := make(chan struct{})
		m.quit = quit
		m.loops.Go(func() { m.loop(quit) })
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watched, session)
	}
}

func (m *monitor) close() {
	m.mu.Lock()
	if m.quit != nil {
		close(m.quit)
		m.quit = nil
	}
	m.mu.Unlock()
	m.loops.Wait()
}

func (m *monitor) loop(quit <-chan struct{}) {
	t := time.NewTicker(m.interval)
	defer t.Stop()
	for {
		select {
		case <-quit:
			return
		case <-t.C:
			m.look()
		}
	}
}

func (m *monitor) look() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.watched) == 0 {
		return
	}
	bySession := processes()
	for session, w := range m.watched {
		ps := bySession[session]
		var used int64
		for _, p := range ps {
			used += p.rss
		}
		limit := w.launch.Resource.MemoryMiB << 20
		if used > 2*limit || used > limit && w.above {
			select {
			case w.over <- overLimit(w.launch, session, ps, used, limit):
			default: // reported already; it is being stopped
			}
		}
		w.above = used > limit
	}
}

func overLimit(l Launch, session int, ps []process, used, limit int64) *Stop {
	var b strings.Builder
	fmt.Fprintf(&b, "Container [pid=%d,containerID=%s] is running %dB beyond the 'PHYSICAL' memory limit. Current usage: %s of %s physical memory used. Killing container.\n",
		session, l.ID, used-limit, mib(used), mib(limit))
	fmt.Fprintf(&b, "Dump of the process-tree for %s :\n\t|- PID PPID PGRPID SESSID CMD_NAME USER_MODE_TIME(MILLIS) SYSTEM_TIME(MILLIS) "+
		"VMEM_USAGE(BYTES) RSSMEM_USAGE(PAGES) FULL_CMD_LINE\n", l.ID)
	for _, p := range ps {
		fmt.Fprintf(&b, "\t|- %d %d %d %d (%s) 0 0 %d %d %s\n", p.pid, p.parent, p.group, session, p.name, p.virtual, p.rss/int64(os.Getpagesize()), p.commandLine())
	}
	return &Stop{Status: yarn.ExitPMemExceeded, Diagnostics: b.String()}
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/(1<<20)) }

// process is what /proc says of one.
type process struct {
	pid, parent, group, session int

	name         string
	virtual, rss int64 // bytes
}

// commandLine is the process's arguments, or nothing if it has ended.
func (p process) commandLine() string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(bytes.ReplaceAll(b, []byte{0}, []byte{' '})))
}

// processes lists all processes of the machine by session. A container's processes stay in its
// session even when their parent ends; those that made a session of their own are counted with
// their ancestors' as long as these live.
func processes() map[int][]process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	byPID := make(map[int]process, len(entries))
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it has ended meanwhile
		}
		if p, ok := parseStat(pid, b); ok {
			byPID[pid] = p
		}
	}
	out := make(map[int][]process)
	for _, p := range byPID {
		counted := 0
		// A session is never entered from another one, so along the ancestors each comes up once,
		// in a row. The bound is for a loop that a process id used twice during the reading could
		// make.
		for q, ok, depth := p, true, 0; ok && depth < maxDepth; depth++ {
			if q.session != counted {
				out[q.session] = append(out[q.session], p)
				counted = q.session
			}
			q, ok = byPID[q.parent]
		}
	}
	return out
}

const maxDepth = 1000

// parseStat reads a /proc/<pid>/stat (proc_pid_stat(5)). The command's name, in parentheses, may
// hold anything.
func parseStat(pid int, b []byte) (process, bool) {
	open, i := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || i < open {
		return process{}, false
	}
	f := strings.Fields(string(b[i+1:])) // from field 3, the state, on
	const parent, group, session, virtual, rss = 4 - 3, 5 - 3, 6 - 3, 23 - 3, 24 - 3
	if len(f) <= rss {
		return process{}, false
	}
	p := process{pid: pid, name: string(b[open+1 : i])}
	for field, n := range map[int]*int{parent: &p.parent, group: &p.group, session: &p.session} {
		var err error
		if *n, err = strconv.Atoi(f[field]); err != nil {
			return process{}, false
		}
	}
	var err1, err2 error
	p.virtual, err1 = strconv.ParseInt(f[virtual], 10, 64)
	p.rss, err2 = strconv.ParseInt(f[rss], 10, 64)
	p.rss *= int64(os.Getpagesize())
	return p, err1 == nil && err2 == nil
}
