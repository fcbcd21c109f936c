package sim

import (
	"cmp"
	"strings"
	"time"

	"tfos/internal/job"
	"tfos/internal/membership"
	"tfos/internal/yarn"
)

// cluster is what the auditor holds against the cluster: how often it failed a task, and where.
type cluster struct {
	strikes  int              // of one task in a row, with which the job is given up
	row      map[job.Task]int // containers that YARN ended in a row; the machine counts more than those
	turn     map[job.Task]int // in which this master was told of the last
	launches map[job.Task]int // spares too
	hosts    map[yarn.ContainerID]string
}

// defaultStrikes are membership's.
const defaultStrikes = 10

func newCluster(strikes int) cluster {
	return cluster{cmp.Or(strikes, defaultStrikes), make(map[job.Task]int), make(map[job.Task]int), make(map[job.Task]int), make(map[yarn.ContainerID]string)}
}

func (c *cluster) note(l membership.Launch) {
	c.launches[l.Task]++
	c.hosts[l.Container] = l.Node.Host
}

// struck notes that the cluster took a task's container.
func (a *auditor) struck(now time.Time, ev membership.Completed) {
	if a.state[ev.Container] != held || !ev.Exit.Infrastructure() || a.warned[ev.Container] || a.generation == 0 {
		return
	}
	for t, l := range a.launched {
		if l.Container != ev.Container || !a.wanted(t) || a.done[t] {
			continue
		}
		if c := a.crashed[t]; !c.started.IsZero() && (now.Sub(c.started) >= settled || a.restoring.grew.After(c.started)) {
			a.cluster.row[t] = 0
		}
		a.cluster.row[t]++
		a.cluster.turn[t] = a.step
	}
}

// again checks a task that gets another container.
func (a *auditor) again(t job.Task) {
	if n := a.cluster.row[t]; n >= a.cluster.strikes {
		a.violate("strikes", "the cluster failed %s %d times in a row, and the job goes on", t, n)
	}
}

// givenUp checks that a job which is given up for the cluster's sake was failed by it often enough:
// each time cost a container.
func (a *auditor) givenUp(r membership.Result) {
	if r.ExitCode != job.ExitInfrastructure || a.restoring.bars[membership.BarAway] {
		return
	}
	for _, t := range a.tasks {
		if n := a.cluster.launches[t]; strings.HasPrefix(r.Diagnostics, t.String()+" failed: ") && n < a.cluster.strikes {
			a.violate("strikes", "the job is given up after %d containers of %s, and %d failures are needed: %s", n, t, a.cluster.strikes, r.Diagnostics)
		}
	}
}

// blamed checks that a node which is excluded has failed twice: each time cost a container there.
func (a *auditor) blamed(host string) {
	n := 0
	for c, h := range a.cluster.hosts {
		if h == host && a.state[c] != held {
			n++
		}
	}
	if n < nodeFaults {
		a.violate("exclude", "%s is excluded, where %d containers were lost and %d must be", host, n, nodeFaults)
	}
}

// nodeFaults are how many make a node one to avoid (docs/job-file.md).
const nodeFaults = 2
