//go:build e2e && bench

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/status"
)

// recovery is one loss and what came after it, in seconds from the loss.
type recovery struct {
	noticed float64 // the machine decided to replace it
	granted float64 // a container: 0 where it needed none
	joined  float64 // its agent: 0 where it needed none
	ordered float64 // its process
	knows   float64 // the new process could read its cluster_spec
}

// TestBenchRecovery times how long a task is without a process: one whose process was killed starts
// again in its container, one whose agent was killed, or is stopped, gets another container. Each
// round takes a task of its own, so that no pause between repeated failures counts. Beside it, as
// figures from elsewhere, what was measured of TonY and skein on a quiet cluster of three nodes,
// from the kill until all tasks had started again.
func TestBenchRecovery(t *testing.T) {
	c := hadoop(t)
	losses := []struct {
		name string
		lose func(b *breaker, task status.Task) (undo func())
	}{
		{"process killed", func(b *breaker, task status.Task) func() {
			b.signal(task.PID, unix.SIGKILL)
			return func() {}
		}},
		{"agent killed", func(b *breaker, task status.Task) func() {
			b.signal(b.agent(task), unix.SIGKILL)
			return func() {}
		}},
		{"agent stopped (30 s of silence)", func(b *breaker, task status.Task) func() {
			pid := b.agent(task)
			b.signal(pid, unix.SIGSTOP)
			return func() { b.signal(pid, unix.SIGKILL) }
		}},
	}
	fmt.Printf("\nRecovery of one task of %d, seconds from its loss, median (min-max) of %d rounds\n", rounds+1, rounds)
	fmt.Printf("%-32s %-18s %-18s %-18s %-18s %-18s %s\n", "", "noticed", "container granted", "agent joined", "start ordered", "program has spec", "of ours")
	for _, l := range losses {
		rs := c.recoveries(t, l.lose)
		ours := func(r recovery) float64 { // all but noticing a loss, YARN's allocation, and the interpreter's start
			if r.granted == 0 {
				return r.ordered
			}
			return r.ordered - r.granted
		}
		column := func(of func(recovery) float64) string { return medianOf(rs, of) }
		fmt.Printf("%-32s %-18s %-18s %-18s %-18s %-18s %s\n", l.name,
			column(func(r recovery) float64 { return r.noticed }), column(func(r recovery) float64 { return r.granted }),
			column(func(r recovery) float64 { return r.joined }), column(func(r recovery) float64 { return r.ordered }),
			column(func(r recovery) float64 { return r.knows }), column(ours))
	}
	fmt.Println("measured elsewhere: TonY 7.5-9.0 (all tasks start over), skein 4.8-5.5 (the replacement has another name)")
}

// recoveries runs one job and loses one task of it after the other; the first warms up.
func (c *cluster) recoveries(t *testing.T, lose func(*breaker, status.Task) func()) []recovery {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSpace(tfos(t, c.env, "submit", jobFile(t, fmt.Sprintf(`name: recovery
command: exec python3 %s %s
roles:
  worker: {instances: %d, memory: 512MiB}
strategy: none
recovery: {user-failures: 100}
`, program("stamp_and_stay.py"), dir, rounds+1))).want(t, 0).stdout)
	b := &breaker{t: t, c: c, id: id}
	type loss struct {
		task job.Task
		at   time.Time
	}
	var lost []loss
	for i := range rounds + 1 {
		task := job.Task{Role: job.Worker, Index: i}
		var v status.View
		eventually(t, "all tasks to run", func() bool {
			v = b.view()
			return len(v.Tasks) == rounds+1 && !slices.ContainsFunc(v.Tasks, func(s status.Task) bool { return s.State != status.Running || stampOf(dir, s) == 0 })
		})
		was := find(t, v, task.String())
		lost = append(lost, loss{task, time.Now()})
		undo := lose(b, was)
		eventually(t, task.String()+" to run again", func() bool {
			v = b.view()
			is := find(t, v, task.String())
			return is.Incarnation > was.Incarnation && is.State == status.Running && stampOf(dir, is) > 0
		})
		undo()
	}
	tfos(t, c.env, "kill", id).want(t, 0)
	_, turns := c.eventLog(t, id)
	var out []recovery
	for _, l := range lost[1:] {
		out = append(out, recoveryOf(t, l.task, l.at, turns, dir))
	}
	c.nothingLeft(t, id)
	return out
}

// recoveryOf reads from an event log what came after a task's loss.
func recoveryOf(t *testing.T, task job.Task, at time.Time, turns []membership.Turn, dir string) recovery {
	t.Helper()
	var r recovery
	var container string
	for _, turn := range turns {
		since := turn.Time.Sub(at).Seconds()
		if since < 0 {
			continue
		}
		if ev, ok := turn.Event.(membership.Joined); ok && ev.Container.String() == container && r.joined == 0 {
			r.joined = since
		}
		for _, a := range turn.Actions {
			switch a := a.(type) {
			case membership.Ask:
				if a.Count > 0 && r.noticed == 0 {
					r.noticed = since
				}
			case membership.Launch:
				if a.Task == task {
					r.granted, container = since, a.Container.String()
				}
			case membership.StartProcess:
				if a.Task != task {
					continue
				}
				if r.noticed == 0 {
					r.noticed = since
				}
				r.ordered = since
				r.knows = stampOf(dir, status.Task{Role: task.Role, Index: task.Index, Incarnation: a.Incarnation}) - float64(at.UnixNano())/1e9
				return r
			}
		}
	}
	t.Fatalf("%s was not started again", task)
	return r
}

// stampOf is when a task's process could read its cluster_spec, in seconds since the epoch; 0: it
// has not.
func stampOf(dir string, task status.Task) float64 {
	b, err := os.ReadFile(filepath.Join(dir, task.Role+"-"+strconv.Itoa(task.Index)+"-"+strconv.Itoa(int(task.Incarnation))))
	if err != nil {
		return 0
	}
	var s stamp
	if json.Unmarshal(b, &s) != nil {
		return 0
	}
	return s.At
}

func medianOf(rs []recovery, of func(recovery) float64) string {
	var v []float64
	for _, r := range rs {
		v = append(v, of(r))
	}
	slices.Sort(v)
	if v[len(v)-1] == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f-%.2f)", v[len(v)/2], v[0], v[len(v)-1])
}
