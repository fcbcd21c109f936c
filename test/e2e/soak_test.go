//go:build e2e && soak

package e2e

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tfos/internal/fault"
	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/status"
)

var (
	soakMinutes = flag.Int("minutes", 15, "how long the soak takes, all its jobs together")
	soakSeed    = flag.Uint64("seed", 0, "of the soak's faults; 0: a new one")
)

// soaked are the faults of a soak. Those of whole nodes may hit the master's, too.
var soaked = []fault.Kind{
	fault.KillProcess, fault.KillAgent, fault.KillMaster, fault.KillMasterNode, fault.StopProcess, fault.StopAgent, fault.StopMaster, fault.MuteAgent, fault.CutAgent,
	fault.CutNode, fault.StopNode, fault.KillNode, fault.RestartNodeManager, fault.KillNodeManager, fault.HoldManager, fault.RestartManager,
	fault.KillManager, fault.RestartNameNode, fault.KillDataNode, fault.SafeMode,
}

const (
	soakGap    = 14 * time.Second // between two faults, on average
	soakIdle   = 2 * time.Second  // that the master may take on its own before it starts a process again
	soakDetect = 10 * time.Second // until the ResourceManager counts a node as lost
	// soakRow is how many faults come before the job has made a step again. After ten failures in a
	// row without one it gives up, as it should, and a machine that is slow starts few programs
	// within ten gaps.
	soakRow = 4
)

// TestSoak brings random faults of all kinds over a job of each strategy, on hosts with networks
// of their own, and holds what became of it against what may be: no step lost that a checkpoint
// had, no pause that nothing but the master made, every loss told with its cause, nothing left
// over.
func TestSoak(t *testing.T) {
	seed := *soakSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano() % 1_000_000)
	}
	again := fmt.Sprintf("make soak MINUTES=%d SEED=%d", *soakMinutes, seed)
	fmt.Printf("soak: the same faults again: %s\n", again)
	c, err := startCluster("e2e-soak", portBase+5000, "--netns", "--nms", "5", "--dns", "5",
		"--set", "dfs.replication=3", "--set", "dfs.client.socket-timeout=5000", "--set", "yarn.resourcemanager.am.max-attempts=1000")
	if err != nil {
		t.Fatal(err)
	}
	for i, strategy := range strategies {
		t.Run(strategy, func(t *testing.T) {
			c.soak(t, strategy, seed+uint64(i), time.Duration(*soakMinutes)*time.Minute/time.Duration(len(strategies)))
		})
	}
	if t.Failed() {
		t.Logf("again: %s", again)
	}
}

func (c *cluster) soak(t *testing.T, strategy string, seed uint64, d time.Duration) {
	text := strings.Replace(lastingJob(strategy), "--steps 400", "--steps 1000000", 1) + "recovery: {user-failures: 100000}\n"
	j, err := job.Parse("job.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := "hdfs:///soak/" + strategy
	id := strings.TrimSpace(tfos(t, c.env, "submit", "--env", "PYTHON="+python(t), "--checkpoint-dir", dir, jobFile(t, text)).want(t, 0).stdout)
	plan := fault.Draw(seed, int(d/(soakGap/2))+1, 50, soakGap, j, soaked)
	s := &soak{breaker: newBreaker(t, c, id, plan), restarts: make(map[string]status.Restart), held: make(map[int][]holding)}
	defer s.restore()
	first := s.await(plan[0])
	for _, task := range first.Tasks {
		if task.Started != nil {
			s.allocation = max(s.allocation, task.Started.Sub(first.Started))
		}
	}
	end := time.Now().Add(d)
	furthest, row := steps(s.last), 0
	for i, f := range plan {
		if i > 0 {
			s.watch(func() bool { return false }, f.After)
		}
		if time.Now().After(end) {
			break
		}
		if n := steps(s.last); n > furthest {
			furthest, row = n, 0
		}
		if row == soakRow {
			s.watch(func() bool { return steps(s.last) > furthest }, patience)
			if steps(s.last) <= furthest {
				t.Fatalf("%d faults, and then none for %v: the job makes no step\n%s", row, patience, s.story())
			}
			furthest, row = steps(s.last), 0
		}
		s.strike(f)
		row++
	}
	s.restore()
	at := steps(s.last)
	s.watch(func() bool { return allRun(s.last) && steps(s.last) > at+50 }, patience)
	if !allRun(s.last) || steps(s.last) <= at+50 {
		t.Errorf("after the last fault the job does not go on: step %d, %+v", steps(s.last), s.last.Tasks)
	}
	s.judgeHoldings()
	tfos(t, c.env, "kill", id).want(t, 0)
	s.judgeRestarts()
	s.judgePauses()
	c.nothingLeft(t, id)
	if out := c.shell(t, "hdfs dfs -ls -R /soak/"+strategy+" /user/root/.tfos"); strings.Contains(out, "/.tfos-writing-") {
		t.Errorf("half-written files are left:\n%s", out)
	}
	fmt.Printf("soak %-9s %d faults, %d restarts, %d attempts of the master, step %d\n", strategy, len(s.struck), len(s.restarts), s.last.Attempt, steps(s.last))
}

// soak is a breaker that watches the job meanwhile.
type soak struct {
	*breaker
	last     status.View
	newest   []known // whole checkpoints, as they were first seen
	restarts map[string]status.Restart
	struck   []struck
	// allocation is how long the job took to have all its containers and programs, on this machine
	// as it is.
	allocation time.Duration
	held       map[int][]holding // by process: what it held, in the order of looks
}

// known is a checkpoint that was on HDFS, whole, when the job was looked at.
type known struct {
	at   time.Time
	step int64
}

// struck is a fault that came.
type struck struct {
	at time.Time
	fault.Fault
}

// holding is what a process of ours holds: descriptors, and memory in KiB.
type holding struct{ files, memory int }

// look sees how the job is, if somebody can be asked.
func (s *soak) look() {
	s.t.Helper()
	s.relieve()
	if s.deaf {
		return
	}
	r := tfos(s.t, s.c.env, "status", s.id, "--json")
	v, err := parseStatus(r.stdout)
	if r.code != 0 || err != nil || len(v.Tasks) == 0 {
		return // the master is away, or who knows of it
	}
	if v.ExitCode != nil {
		s.t.Fatalf("the job ended with exit code %d: %s\n%s", *v.ExitCode, v.Diagnostics, s.story())
	}
	now := time.Now()
	s.last = v
	for _, k := range v.Checkpoints {
		if k.Verdict == "whole" && k.Format != "saved-model" && (len(s.newest) == 0 || k.Step > s.newest[len(s.newest)-1].step) {
			s.newest = append(s.newest, known{now, k.Step})
		}
	}
	for _, r := range v.Restarts {
		s.restarts[r.Task+r.At.String()] = r
	}
	for _, pid := range append(s.processes("tfos-agent"), s.processes("tfos-am")...) {
		if h, ok := holds(pid); ok {
			s.held[pid] = append(s.held[pid], h)
		}
	}
}

// watch looks at the job until ok, or for a while.
func (s *soak) watch(ok func() bool, d time.Duration) {
	s.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		if s.look(); !s.deaf && ok() {
			return
		}
		time.Sleep(min(time.Second, time.Until(end))) // a look costs
	}
}

// strike brings a fault about, if there is a task that it can hit.
func (s *soak) strike(f fault.Fault) {
	s.t.Helper()
	for s.deaf { // the ResourceManager is away: nobody says where the tasks are
		s.over(<-s.delayed)
	}
	s.look()
	if (f.Task != job.Task{}) {
		task := find(s.t, s.last, f.Task.String())
		if task.State != status.Running || !alive(task.PID) || !slices.ContainsFunc(leftovers(s.t, task.Container), func(line string) bool { return strings.Contains(line, "tfos-agent") }) {
			s.t.Logf("%s  %s: there is nobody", time.Now().Format("15:04:05.000"), f)
			return
		}
	}
	if len(s.processes("tfos-am")) == 0 {
		s.t.Logf("%s  %s: there is no master", time.Now().Format("15:04:05.000"), f)
		return
	}
	s.t.Logf("%s  %s", time.Now().Format("15:04:05.000"), f)
	s.struck = append(s.struck, struck{time.Now(), f})
	s.do(f, s.last)
	if f.Kind == fault.KillNode { // or soon there would be none left
		s.restoreNodes()
	}
}

// restoreNodes starts what was killed for good, without ending what lasts.
func (s *soak) restoreNodes() {
	s.t.Helper()
	for _, f := range s.undo {
		f()
	}
	s.undo = nil
}

// judgeRestarts holds the losses that the job told of against the faults that came.
func (s *soak) judgeRestarts() {
	s.t.Helper()
	for _, r := range s.restarts {
		if r.Cause == "" {
			s.t.Errorf("%s restarted at %v without a cause", r.Task, r.At)
		}
		// The event logs of earlier masters are gone (judgePauses has the last one's): this is
		// coarser.
		if most := soakDetect + fault.Longest + s.allocation + soakIdle; r.Seconds > most.Seconds() {
			s.t.Errorf("%s was lost at %v (%s) and back after %.1f s, more than %v\n%s", r.Task, r.At, r.Cause, r.Seconds, most, s.story())
		}
		had := int64(0)
		for _, k := range s.newest {
			if k.at.Before(r.At) {
				had = max(had, k.step)
			}
		}
		if r.ResumedStep != nil && *r.ResumedStep < had {
			s.t.Errorf("%s restarted at %v from step %d; a whole checkpoint of step %d was there", r.Task, r.At, *r.ResumedStep, had)
		}
	}
	for _, f := range s.struck {
		if f.Kind != fault.KillProcess && f.Kind != fault.KillAgent {
			continue
		}
		told := false
		for _, r := range s.restarts {
			told = told || r.Task == f.Task.String() && r.At.After(f.at.Add(-2*time.Second)) && r.At.Before(f.at.Add(time.Minute))
		}
		if !told {
			s.t.Errorf("%s at %s: no restart is told of it\n%s", f.Fault, f.at.Format("15:04:05.000"), s.story())
		}
	}
}

// judgeHoldings holds what the job's own processes hold now against what they held at first.
func (s *soak) judgeHoldings() {
	s.t.Helper()
	const looks, files, memory = 5, 16, 32 << 10
	for pid, all := range s.held {
		if len(all) < 2*looks || !alive(pid) {
			continue
		}
		first, last := all[0], all[len(all)-1]
		for _, h := range all[:looks] {
			first = holding{max(first.files, h.files), max(first.memory, h.memory)}
		}
		for _, h := range all[len(all)-looks:] {
			last = holding{min(last.files, h.files), min(last.memory, h.memory)}
		}
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if last.files > first.files+files || last.memory > first.memory+memory {
			s.t.Errorf("%s %d held %d descriptors and %d KiB at first, and %d and %d after %d looks",
				strings.TrimSpace(string(name)), pid, first.files, first.memory, last.files, last.memory, len(all))
		}
	}
}

// judgePauses reads in the event log how long the master itself held a task back that could have
// run.
func (s *soak) judgePauses() {
	s.t.Helper()
	gone(s.t, s.id)
	log := s.c.rest(s.t, s.c.webhdfs(s.t)+"/webhdfs/v1/user/root/.tfos/jobs/"+s.id+"/events.ndjson?op=OPEN&user.name=root")
	parts, err := membership.ReadParts([]byte(log))
	if err != nil {
		s.t.Fatal(err)
	}
	longest := time.Duration(0)
	for _, part := range parts {
		for _, p := range fault.Pauses(part.Turns) {
			longest = max(longest, p.Idle)
			if p.Idle > soakIdle && p.Progress {
				s.t.Errorf("%s was lost at %v and held back for %v, though the job got on", p.Task, p.From, p.Idle)
			}
		}
	}
	s.t.Logf("the master held a task back for %v at most", longest)
}

// story is the faults that came, and what the job told of them.
func (s *soak) story() string {
	var lines []string
	for _, f := range s.struck {
		lines = append(lines, f.at.UTC().Format("15:04:05.000")+"  "+f.Fault.String())
	}
	for _, r := range s.restarts {
		lines = append(lines, fmt.Sprintf("%s  %s restarted: %s, %.1f s", r.At.UTC().Format("15:04:05.000"), r.Task, r.Cause, r.Seconds))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// allRun reports whether all tasks of a job run.
func allRun(v status.View) bool {
	return len(v.Tasks) > 0 && !slices.ContainsFunc(v.Tasks, func(t status.Task) bool { return t.State != status.Running })
}

// holds is what a process holds; false: it ended.
func holds(pid int) (holding, bool) {
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return holding{}, false
	}
	text, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "status"))
	if err != nil {
		return holding{}, false
	}
	h := holding{files: len(files)}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			_, _ = fmt.Sscan(rest, &h.memory)
		}
	}
	return h, true
}
