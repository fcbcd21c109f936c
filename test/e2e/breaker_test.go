//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tfos/internal/fault"
	"tfos/internal/job"
	"tfos/internal/status"
)

// breaker carries out a fault plan on a job that trains on a real cluster. Whom it has to hit it
// finds in what `tfos status` says and in /proc; nodes it breaks as a person would, with
// deploy/testcluster.
type breaker struct {
	t       *testing.T
	c       *cluster
	id      string
	since   time.Time   // when the first fault came
	seen    status.View // the job when a step was last waited for
	undo    []func()    // at the end, whatever became of the job
	delayed chan func() // what ends a fault that lasts for a while; capacity: the plan's length
	pending int
	carrier string                  // by which the job's tasks reach each other
	deaf    bool                    // the ResourceManager is held: nobody can be asked how the job is
	hit     map[job.Task][]job.Task // the tasks on the node of one that a fault happened to, then
}

// can are the faults that a cluster with one ResourceManager can have.
var can = []fault.Kind{
	fault.KillProcess, fault.KillAgent, fault.KillNode, fault.StopProcess, fault.StopAgent, fault.StopNode, fault.MuteAgent,
	fault.CutAgent, fault.KillMaster, fault.StopMaster, fault.KillMasterNode, fault.HoldManager, fault.RestartManager, fault.KillManager,
	fault.RestartNodeManager, fault.KillNodeManager, fault.KillDataNode, fault.RestartNameNode, fault.SafeMode,
}

func newBreaker(t *testing.T, c *cluster, id string, plan fault.Plan) *breaker {
	t.Helper()
	kinds := can
	if c.ha {
		kinds = append(kinds[:len(kinds):len(kinds)], fault.FailOver)
	}
	if c.hosts != nil {
		kinds = append(kinds[:len(kinds):len(kinds)], fault.CutNode)
	}
	if err := plan.Only("this cluster", kinds...); err != nil {
		t.Fatal(err)
	}
	return &breaker{t: t, c: c, id: id, delayed: make(chan func(), len(plan)), hit: make(map[job.Task][]job.Task)}
}

// run carries the plan out: each fault at its time, the end of those that last from restore on, or
// when their time comes first.
func (b *breaker) run(plan fault.Plan) {
	b.t.Helper()
	for _, f := range plan {
		v := b.await(f)
		if b.since.IsZero() {
			b.since = time.Now()
		}
		b.t.Logf("%s  %s", time.Now().Format("15:04:05.000"), f)
		b.do(f, v)
	}
	for b.deaf {
		b.over(<-b.delayed)
	}
}

// await waits until a fault is due, and tells where the job stands then.
func (b *breaker) await(f fault.Fault) status.View {
	b.t.Helper()
	if f.Step == 0 { // whoever hits twice means those who were there before
		time.Sleep(f.After) // the plan says so
		return b.seen
	}
	var v status.View
	eventually(b.t, fmt.Sprintf("step %d of %s", f.Step, b.id), func() bool {
		v = b.view()
		if v.ExitCode != nil {
			b.t.Fatalf("%s ended before step %d: %s", b.id, f.Step, v.Diagnostics)
		}
		return steps(v) >= f.Step
	})
	b.seen = v
	return v
}

func (b *breaker) view() status.View { return jobStatus(b.t, b.c.env, b.id) }

// do brings one fault about.
func (b *breaker) do(f fault.Fault, v status.View) {
	b.t.Helper()
	var task status.Task
	if (f.Task != job.Task{}) {
		task = find(b.t, v, f.Task.String())
		for _, other := range v.Tasks {
			if other.Node == task.Node {
				b.hit[f.Task] = append(b.hit[f.Task], job.Task{Role: other.Role, Index: other.Index})
			}
		}
	}
	node := nodeManager(task.Node)
	switch f.Kind {
	case fault.KillProcess:
		b.signal(task.PID, unix.SIGKILL)
	case fault.KillAgent:
		b.signal(b.agent(task), unix.SIGKILL)
	case fault.StopAgent:
		b.stop(f.For, b.agent(task))
	case fault.StopProcess:
		b.stop(f.For, task.PID)
	case fault.StopMaster:
		b.stop(f.For, b.processes("tfos-am")...)
	case fault.KillNode:
		b.script("kill", "--host", node)
		b.undo = append(b.undo, func() { b.script("start", node); b.script("wait") })
	case fault.StopNode:
		b.script("pause", "--host", node)
		b.later(f.For, func() { b.script("resume", "--host", node) })
		b.undo = append(b.undo, func() { b.script("wait") })
	case fault.CutNode:
		healed := make(chan error, 1)
		go func() { healed <- b.c.script("cut", node, "--for", fmt.Sprint(f.For.Seconds())) }() // on time, whatever the test waits for
		b.later(f.For, func() {
			if err := <-healed; err != nil {
				b.t.Error(err)
			}
		})
		b.undo = append(b.undo, func() { b.script("wait") })
	case fault.RestartNodeManager:
		b.script("restart", node)
	case fault.MuteAgent, fault.CutAgent:
		heal := b.filter(b.agent(task), f.Kind == fault.CutAgent)
		b.later(f.For, heal)
	case fault.KillMaster:
		for _, p := range b.processes("tfos-am") {
			b.signal(p, unix.SIGKILL)
		}
	case fault.KillMasterNode:
		node := b.masterNode()
		b.script("kill", "--host", node)
		b.later(f.For, func() { b.script("start", node) }) // it may be the only one with room for a master
		b.undo = append(b.undo, func() { b.script("wait") })
	case fault.HoldManager:
		b.script("pause", "rm1")
		b.deaf = true
		b.later(f.For, func() { b.script("resume", "rm1"); b.deaf = false })
		b.undo = append(b.undo, func() { b.script("wait") })
	case fault.KillNodeManager:
		b.away(node, f.For)
	case fault.KillDataNode:
		b.away(b.c.dataNode(node), f.For)
	case fault.RestartNameNode:
		b.script("restart", "nn")
		b.undo = append(b.undo, func() { b.script("wait") })
	case fault.SafeMode:
		b.c.shell(b.t, "hdfs dfsadmin -safemode enter")
		b.later(f.For, func() { b.c.shell(b.t, "hdfs dfsadmin -safemode leave") })
	case fault.RestartManager, fault.KillManager:
		b.script("kill", "rm1") // what the plan has happen at once happens while it is away
		b.deaf = true
		b.later(f.For, func() { b.script("start", "rm1"); b.deaf = false })
		b.undo = append(b.undo, func() { b.script("wait") })
	case fault.FailOver:
		active := b.c.activeRM(b.t)
		b.script("kill", active)
		b.undo = append(b.undo, func() { b.script("start", active); b.script("wait") })
	default:
		b.t.Fatalf("no such fault here: %s", f.Kind)
	}
}

// masterNode is the NodeManager whose containers include the job's master.
func (b *breaker) masterNode() string {
	b.t.Helper()
	for _, p := range b.processes("tfos-am") {
		cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p))
		below, ok := strings.CutPrefix(cwd, filepath.Dir(b.c.conf)+"/")
		if node, _, _ := strings.Cut(below, "/"); ok {
			return node
		}
	}
	b.t.Fatalf("no master; running:\n%s", strings.Join(leftovers(b.t, b.id), "\n"))
	return ""
}

// stop has processes stand still for a while.
func (b *breaker) stop(d time.Duration, pids ...int) {
	b.t.Helper()
	for _, pid := range pids {
		b.signal(pid, unix.SIGSTOP)
	}
	b.later(d, func() {
		for _, pid := range pids {
			b.signal(pid, unix.SIGCONT)
		}
	})
}

// away takes a daemon away for a while.
func (b *breaker) away(daemon string, d time.Duration) {
	b.t.Helper()
	b.script("kill", daemon)
	b.later(d, func() { b.script("start", daemon) })
	b.undo = append(b.undo, func() { b.script("wait") })
}

// later ends a fault after a while, or when the job is over if that is sooner.
func (b *breaker) later(d time.Duration, end func()) {
	b.pending++
	time.AfterFunc(d, func() { b.delayed <- end })
}

// relieve ends the faults whose time is over. The test's goroutine calls it while it waits.
func (b *breaker) relieve() {
	for {
		select {
		case end := <-b.delayed:
			b.over(end)
		default:
			return
		}
	}
}

// over ends one fault that lasted.
func (b *breaker) over(end func()) {
	b.pending--
	end()
	b.t.Logf("%s  over", time.Now().Format("15:04:05.000"))
}

// restore ends every fault and brings the cluster back.
func (b *breaker) restore() {
	for ; b.pending > 0; b.pending-- {
		(<-b.delayed)()
	}
	for _, f := range b.undo {
		f()
	}
	b.undo = nil
}

func (b *breaker) script(args ...string) {
	b.t.Helper()
	if err := b.c.script(args...); err != nil {
		b.t.Error(err)
	}
}

func (b *breaker) signal(pid int, s syscall.Signal) {
	b.t.Helper()
	if err := unix.Kill(pid, s); err != nil && !errors.Is(err, unix.ESRCH) {
		b.t.Errorf("signal %v to %d: %v", s, pid, err)
	}
}

// agent is the process of a task's agent: the first of its container's that is one.
func (b *breaker) agent(task status.Task) int {
	b.t.Helper()
	for _, p := range b.processes("tfos-agent") {
		cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p))
		if filepath.Base(cwd) == task.Container {
			return p
		}
	}
	b.t.Fatalf("no agent of %s in %s; running:\n%s", name(task), task.Container, strings.Join(leftovers(b.t, b.id), "\n"))
	return 0
}

// processes are those of the job whose program is called so, oldest first.
func (b *breaker) processes(called string) []int {
	var pids []int
	for _, line := range leftovers(b.t, b.id) {
		text, rest, _ := strings.Cut(line, ": ")
		pid, err := strconv.Atoi(text)
		program, _, _ := strings.Cut(rest, " ") // ./tfos-am, ./.tfos/tfos-agent
		if err == nil && filepath.Base(program) == called {
			pids = append(pids, pid)
		}
	}
	return pids
}

// filter has the network swallow what comes to the master from an agent and, if both, what goes
// back. It is a socket filter that takes no packet: nobody is told, nothing is closed, and TCP
// sends again until it is healed. Connections that the agent makes meanwhile are filtered as they
// are found. The function that it returns heals.
func (b *breaker) filter(agent int, both bool) (heal func()) {
	b.t.Helper()
	masters := b.processes("tfos-am")
	if len(masters) == 0 {
		b.t.Fatal("no master to cut off")
	}
	stop, done := make(chan struct{}), make(chan error, 1)
	found := make(chan struct{})
	go func() { done <- swallow(agent, masters[0], both, stop, found) }()
	<-found
	return func() {
		b.t.Helper()
		close(stop)
		if err := <-done; err != nil {
			b.t.Errorf("cut an agent off: %v", err)
		}
	}
}

// swallow filters the connections between two processes until stop. It closes found once it has
// filtered what there was.
func swallow(agent, master int, both bool, stop <-chan struct{}, found chan<- struct{}) error {
	drop := unix.SockFprog{Len: 1, Filter: &unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}} // 0 bytes of each packet
	cut := make(map[string][]int)                                                             // by the agent's end: copies of the sockets
	defer func() {
		for _, fds := range cut {
			for _, fd := range fds {
				_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
				unix.Close(fd)
			}
		}
	}()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for round := 0; ; round++ {
		ends, err := connections(agent, false)
		if err != nil {
			return err
		}
		others, err := connections(master, true)
		if err != nil {
			return err
		}
		for end, here := range ends {
			there, ok := others[end]
			if !ok || cut[end] != nil {
				unix.Close(here)
				continue
			}
			delete(others, end)
			for _, fd := range []int{there, here} {
				if fd == here && !both {
					break
				}
				if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &drop); err != nil {
					return fmt.Errorf("filter %s: %w", end, err)
				}
			}
			cut[end] = []int{there, here}
		}
		for _, fd := range others {
			unix.Close(fd)
		}
		if round == 0 {
			close(found)
		}
		select {
		case <-stop:
			return nil
		case <-tick.C:
		}
	}
}

// connections are copies of a process's open TCP sockets, by their local end and peer, or the other
// way around.
func connections(pid int, turned bool) (map[string]int, error) {
	process, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(process)
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return nil, err
	}
	out := make(map[string]int)
	for _, l := range links {
		if target, _ := os.Readlink(l); !strings.HasPrefix(target, "socket:") {
			continue
		}
		n, err := strconv.Atoi(filepath.Base(l))
		if err != nil {
			return nil, err
		}
		fd, err := unix.PidfdGetfd(process, n, 0)
		if err != nil {
			continue // closed since
		}
		local, err1 := unix.Getsockname(fd)
		peer, err2 := unix.Getpeername(fd)
		from, to := endOf(local), endOf(peer)
		if err1 != nil || err2 != nil || from == "" || to == "" {
			unix.Close(fd)
			continue
		}
		if turned {
			from, to = to, from
		}
		out[from+" "+to] = fd
	}
	return out, nil
}

// endOf is a TCP address as text; empty: it is none.
func endOf(a unix.Sockaddr) string {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return net.JoinHostPort(net.IP(a.Addr[:]).String(), strconv.Itoa(a.Port))
	case *unix.SockaddrInet6:
		return net.JoinHostPort(net.IP(a.Addr[:]).String(), strconv.Itoa(a.Port)) // ::ffff:1.2.3.4 as 1.2.3.4
	}
	return ""
}

// activeRM names the ResourceManager of two that is active.
func (c *cluster) activeRM(t testing.TB) string {
	t.Helper()
	r := command(t.Context(), t, nil, filepath.Join(root, "deploy/testcluster/cluster"), "--name", c.name, "status").want(t, 0)
	for line := range strings.Lines(r.stdout) {
		if f := strings.Fields(line); len(f) > 1 && f[0] != "total" && strings.Contains(line, "ACTIVE") {
			return f[0]
		}
	}
	t.Fatalf("no active ResourceManager in\n%s", r.stdout)
	return ""
}
