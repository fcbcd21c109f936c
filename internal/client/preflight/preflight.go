// Package preflight finds out whether a cluster can ever run a job, before anything is uploaded.
//
// It compares a job with what the ResourceManager says of itself. What it refuses could never start; what it lets pass may
// still have to wait, and on a changing cluster may still be refused.
package preflight

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"tfos/internal/client/exit"
	"tfos/internal/job"
	"tfos/internal/yarn"
)

// Facts are what the ResourceManager says of its cluster.
type Facts struct {
	Max   yarn.Resource       // the largest container it would grant
	Types []yarn.ResourceType // what it counts
	Queue yarn.Queue
	Nodes []yarn.NodeReport // all of them, whatever their state
	// VCores says that the scheduler counts vcores. Schedulers that count memory alone, which is
	// the default, grant more of them than a node has. The ResourceManager does not tell a client
	// which it is, only a master that registers.
	VCores bool
	MinMiB int64 // the smallest container, to which a smaller one is rounded up; 0: not known
}

// counted names what r holds any of, and the scheduler counts.
func (f Facts) counted(r yarn.Resource) []string {
	return slices.DeleteFunc(amounts(r), func(name string) bool { return name == yarn.VCoresName && !f.VCores })
}

// Check refuses a job that the cluster can never run, with the numbers.
func Check(j *job.Job, f Facts) error {
	if err := checkQueue(f.Queue); err != nil {
		return err
	}
	nodes := slices.DeleteFunc(slices.Clone(f.Nodes), func(n yarn.NodeReport) bool { return n.State != yarn.NodeRunning })
	if len(nodes) == 0 {
		return exit.Errorf(exit.Refused, "no NodeManager of the cluster is running (%d known)", len(f.Nodes)).
			Try("yarn node -list -all shows their states")
	}
	shapes := shapesOf(j)
	for i := range shapes {
		shapes[i].res.MemoryMiB = max(shapes[i].res.MemoryMiB, f.MinMiB)
	}
	for _, s := range shapes {
		if err := s.check(f, nodes); err != nil {
			return err
		}
	}
	return checkTotal(shapes, f, nodes)
}

func checkQueue(q yarn.Queue) error {
	if len(q.Children) > 0 {
		var names []string
		for _, c := range q.Children {
			names = append(names, c.Name)
		}
		return exit.Errorf(exit.Refused, "queue %q takes no applications: it is divided into others", q.Name).
			Try("use one of %s", strings.Join(names, ", "))
	}
	if !q.Running {
		return exit.Errorf(exit.Refused, "queue %q is stopped", q.Name).Try("use another queue, or ask an administrator to start it")
	}
	return nil
}

// shape is a number of equal containers.
type shape struct {
	what  string // "role worker"
	role  string // empty: it is the master's
	res   yarn.Resource
	count int
	label string
}

func shapesOf(j *job.Job) []shape {
	shapes := []shape{{what: "the application master", res: j.Master.YARN(), count: 1, label: j.NodeLabel}}
	for _, r := range j.Roles {
		shapes = append(shapes, shape{what: "role " + r.Name, role: r.Name, res: r.YARN(),
			count: r.Instances, label: r.NodeLabel})
	}
	return shapes
}

// setting names what says how much of a resource is asked for; empty: how much of all.
func (s shape) setting(name string) string {
	key, flag := "", ""
	switch name {
	case yarn.MemoryName:
		key, flag = ".memory", "-memory"
	case yarn.VCoresName:
		key, flag = ".vcores", "-vcores"
	case job.GPU:
		key, flag = ".gpus", "-gpus"
	case "":
		flag = "-memory"
	default:
		key = ".resources"
	}
	if s.role == "" {
		return "master" + key + " in the job file"
	}
	text := "roles." + s.role + key + " in the job file"
	if flag != "" {
		text += ", or --" + s.role + flag
	}
	return text
}

func (s shape) check(f Facts, nodes []yarn.NodeReport) error {
	if err := yarn.CheckResource(f.Types, s.res); err != nil {
		return exit.Errorf(exit.Refused, "%s: %w", s.what, err).
			Try("YARN would quietly grant containers without it: leave it out (%s), or have it configured on the cluster (resource-types.xml)", s.setting(s.uncounted(f)))
	}
	if s.label != "" {
		if err := s.checkLabel(f, nodes); err != nil {
			return err
		}
	}
	for _, name := range amounts(s.res) {
		want := s.res.Amount(name)
		if most := f.Max.Amount(name); want > most && knownMax(f.Max, name) {
			return exit.Errorf(exit.Refused, "%s asks for %s, more than any container may have here: %s", s.what, amount(name, want), amount(name, most)).
				Try("lower %s, or have the cluster's largest allocation raised (yarn.scheduler.maximum-allocation-…)", s.setting(name))
		}
	}
	return s.checkNodes(f, nodes)
}

// uncounted is a resource that is asked for, and that the cluster does not count.
func (s shape) uncounted(f Facts) string {
	for _, name := range amounts(s.res) {
		if !slices.ContainsFunc(f.Types, func(t yarn.ResourceType) bool { return t.Name == name }) {
			return name
		}
	}
	return ""
}

// knownMax reports whether the largest container says anything of a resource: old ResourceManagers leave custom ones out.
func knownMax(most yarn.Resource, name string) bool {
	if name == yarn.MemoryName || name == yarn.VCoresName {
		return true
	}
	_, ok := most.Custom[name]
	return ok
}

func (s shape) checkLabel(f Facts, nodes []yarn.NodeReport) error {
	known := map[string]bool{}
	for _, n := range nodes {
		for _, l := range n.Labels {
			known[l] = true
		}
	}
	if !known[s.label] {
		have := "no node has a label"
		if len(known) > 0 {
			have = "the labels are " + strings.Join(slices.Sorted(maps.Keys(known)), ", ")
		}
		return exit.Errorf(exit.Refused, "%s: no running node has the label %q; %s", s.what, s.label, have).
			Try("correct node-label in the job file")
	}
	if l := f.Queue.Labels; len(l) > 0 && !slices.Contains(l, "*") && !slices.Contains(l, s.label) {
		return exit.Errorf(exit.Refused, "%s: queue %q may not use nodes with the label %q", s.what, f.Queue.Name, s.label).
			Try("use another queue; this one may use %s", strings.Join(l, ", "))
	}
	return nil
}

// checkNodes wants one node that could hold one such container if it were empty, and room for all
// of them.
func (s shape) checkNodes(f Facts, nodes []yarn.NodeReport) error {
	nodes = s.eligible(nodes)
	for _, name := range f.counted(s.res) {
		var most int64
		for _, n := range nodes {
			most = max(most, n.Capability.Amount(name))
		}
		if want := s.res.Amount(name); want > most {
			return exit.Errorf(exit.Refused, "%s asks for %s, more than any node has: the largest of %s has %s",
				s.what, amount(name, want), count(len(nodes), "running node"), amount(name, most)).Try("lower %s", s.setting(name))
		}
	}
	if f.fits(s.res, nodes) == 0 {
		return exit.Errorf(exit.Refused, "%s asks for %s, which no single node has together", s.what, s.res).Try("lower %s", s.setting(""))
	}
	if n := f.fits(s.res, nodes); n < s.count {
		return exit.Errorf(exit.Refused, "%s asks for %d containers of %s; even an empty cluster of %s holds only %d",
			s.what, s.count, s.res, count(len(nodes), "running node"), n).Try("lower %s, or the number of instances", s.setting(""))
	}
	return nil
}

func (s shape) eligible(nodes []yarn.NodeReport) []yarn.NodeReport {
	if s.label == "" {
		return nodes
	}
	return slices.DeleteFunc(slices.Clone(nodes), func(n yarn.NodeReport) bool { return !slices.Contains(n.Labels, s.label) })
}

// fits counts the containers of one shape that empty nodes would hold.
func (f Facts) fits(r yarn.Resource, nodes []yarn.NodeReport) int {
	total := int64(0)
	for _, n := range nodes {
		here := int64(-1)
		for _, name := range f.counted(r) {
			if k := n.Capability.Amount(name) / r.Amount(name); here < 0 || k < here {
				here = k
			}
		}
		total += max(here, 0)
	}
	return int(total)
}

// checkTotal compares everything together with everything there is, and with the most that the queue may ever have of it.
func checkTotal(shapes []shape, f Facts, nodes []yarn.NodeReport) error {
	var want, have yarn.Resource
	labelled := false
	for _, s := range shapes {
		for range s.count {
			want = want.Add(s.res)
		}
		labelled = labelled || s.label != ""
	}
	for _, n := range nodes {
		have = have.Add(n.Capability)
	}
	for _, name := range f.counted(want) {
		if w, h := want.Amount(name), have.Amount(name); w > h {
			return exit.Errorf(exit.Refused, "the job needs %s all together, and %s have %s", amount(name, w), count(len(nodes), "running node"), amount(name, h)).
				Try("ask for fewer instances, or less for each")
		}
	}
	// A queue's limit is a part of its parent's. Only below the root do we know what that is, and only without labels.
	if limit := float64(f.Queue.MaxCapacity); limit > 0 && limit < 1 && strings.Count(f.Queue.Path, ".") == 1 && !labelled {
		for _, name := range f.counted(want) {
			if name != yarn.MemoryName && name != yarn.VCoresName {
				continue
			}
			if most := int64(limit * float64(have.Amount(name))); want.Amount(name) > most {
				return exit.Errorf(exit.Refused, "the job needs %s all together, and queue %q may never have more than %.0f %% of the cluster, %s",
					amount(name, want.Amount(name)), f.Queue.Name, limit*100, amount(name, most)).
					Try("use another queue, ask for fewer instances, or less for each")
			}
		}
	}
	return nil
}

// amounts names what r holds any of, memory first, sorted.
func amounts(r yarn.Resource) []string {
	var names []string
	for _, name := range []string{yarn.MemoryName, yarn.VCoresName} {
		if r.Amount(name) > 0 {
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Custom)) {
		if r.Custom[name] > 0 {
			names = append(names, name)
		}
	}
	return names
}

func amount(name string, n int64) string {
	switch {
	case name == yarn.MemoryName && n > 0 && n%1024 == 0:
		return fmt.Sprintf("%d GiB of memory", n/1024)
	case name == yarn.MemoryName:
		return fmt.Sprintf("%d MiB of memory", n)
	}
	return fmt.Sprintf("%d %s", n, name)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
