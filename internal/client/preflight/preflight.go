// Package preflight finds out whether a cluster can ever run a job, before anything is uploaded.
//
// It compares a job with what the ResourceManager says of itself. What it refuses could never
// start; what it lets pass may still have to wait, and on a changing cluster may still be refused.
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
	Nodes []yarn.NodeReport   // all of them, whatever their state
	// Shared are the labels whose nodes also take containers that ask for no label.
	Shared map[string]bool
	// Queue is where the job is; nil: that is for YARN to say, which may place a job elsewhere than
	// its user wants. Queues have limits, and labels of their own for containers that ask for none.
	Queue *yarn.Queue
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

// Problem is a reason why the cluster can never run a job.
type Problem struct {
	What string // happened: the beginning of a sentence
	Why  string // its end
	Do   string // what to try
	link string // between the two halves of the sentence
}

func problem(what, link, why string) *Problem { return &Problem{What: what, Why: why, link: link} }

func (p *Problem) try(format string, args ...any) *Problem {
	p.Do = fmt.Sprintf(format, args...)
	return p
}

// Check refuses a job that the cluster can never run, with the numbers.
func Check(j *job.Job, f Facts) error {
	if all := Problems(j, f); len(all) > 0 {
		p := all[0]
		return exit.Errorf(exit.Refused, "%s", p.What+p.link+p.Why).Try("%s", p.Do)
	}
	return nil
}

// Problems are all the reasons why the cluster can never run a job: one for each kind of container,
// and if there is none of those one for all of them together.
func Problems(j *job.Job, f Facts) []*Problem {
	known := len(f.Nodes)
	f.Nodes = slices.DeleteFunc(slices.Clone(f.Nodes), func(n yarn.NodeReport) bool { return n.State != yarn.NodeRunning })
	if len(f.Nodes) == 0 {
		return []*Problem{problem("no NodeManager of the cluster is running", " ", fmt.Sprintf("(%d known)", known)).
			try("yarn node -list -all shows their states")}
	}
	var all []*Problem
	shapes := f.shapesOf(j)
	for _, s := range shapes {
		if p := s.check(f); p != nil {
			all = append(all, p)
		}
	}
	if len(all) > 0 {
		return all
	}
	if p := f.checkTotal(shapes); p != nil {
		all = append(all, p)
	}
	return all
}

// granted is what YARN makes of an ask for memory.
func (f Facts) granted(mib int64) int64 {
	switch {
	case f.MinMiB <= 0:
		return mib
	case f.Queue != nil && f.Queue.Scheduler == yarn.CapacityScheduler: // multiples of the smallest
		return max(1, (mib+f.MinMiB-1)/f.MinMiB) * f.MinMiB
	}
	return max(mib, f.MinMiB)
}

// shape is a number of equal containers.
type shape struct {
	what  string // "role worker"
	role  string // empty: it is the master's
	res   yarn.Resource
	count int
	label string
}

func (f Facts) shapesOf(j *job.Job) []shape {
	shapes := []shape{{what: "the application master", res: j.Master.YARN(), count: 1, label: j.NodeLabel}}
	for _, r := range j.Roles {
		shapes = append(shapes, shape{what: "role " + r.Name, role: r.Name, res: r.YARN(),
			count: r.Instances, label: r.NodeLabel})
	}
	for i := range shapes {
		s := &shapes[i]
		s.res.MemoryMiB = f.granted(s.res.MemoryMiB)
		if s.label == "" && f.Queue != nil {
			s.label = f.Queue.DefaultLabel
		}
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

func (s shape) check(f Facts) *Problem {
	if err := yarn.CheckResource(f.Types, s.res); err != nil {
		what, why, _ := strings.Cut(err.Error(), ": ")
		return problem(s.what+": "+what, ": ", why).
			try("YARN would quietly grant containers without it: leave it out (%s), or have it configured on the cluster (resource-types.xml)", s.setting(s.uncounted(f)))
	}
	if s.label != "" {
		if p := s.checkLabel(f); p != nil {
			return p
		}
	}
	for _, name := range amounts(s.res) {
		want := s.res.Amount(name)
		if most := f.Max.Amount(name); want > most && knownMax(f.Max, name) {
			return problem(fmt.Sprintf("%s asks for %s", s.what, amount(name, want)), ", ", "more than any container may have here: "+amount(name, most)).
				try("lower %s, or have the cluster's largest allocation raised (yarn.scheduler.maximum-allocation-…)", s.setting(name))
		}
	}
	return s.checkNodes(f)
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

// knownMax reports whether the largest container says anything of a resource: old ResourceManagers
// leave custom ones out.
func knownMax(most yarn.Resource, name string) bool {
	if name == yarn.MemoryName || name == yarn.VCoresName {
		return true
	}
	_, ok := most.Custom[name]
	return ok
}

func (s shape) checkLabel(f Facts) *Problem {
	known := map[string]bool{}
	for _, n := range f.Nodes {
		for _, l := range n.Labels {
			known[l] = true
		}
	}
	if !known[s.label] {
		have := "no node has a label"
		if len(known) > 0 {
			have = "the labels are " + strings.Join(slices.Sorted(maps.Keys(known)), ", ")
		}
		return problem(fmt.Sprintf("%s: no running node has the label %q", s.what, s.label), "; ", have).
			try("correct node-label in the job file")
	}
	if f.Queue == nil {
		return nil
	}
	if l := f.Queue.Labels; len(l) > 0 && !slices.Contains(l, "*") && !slices.Contains(l, s.label) {
		return problem(fmt.Sprintf("%s: queue %q may not use nodes with the label %q", s.what, f.Queue.Name, s.label), ", ", "only "+strings.Join(l, ", ")).
			try("use another queue")
	}
	return nil
}

// checkNodes wants one node that could hold one such container if it were empty, and room for all
// of them.
func (s shape) checkNodes(f Facts) *Problem {
	nodes := f.eligible(s.label)
	for _, name := range f.counted(s.res) {
		var most int64
		for _, n := range nodes {
			most = max(most, n.Capability.Amount(name))
		}
		if want := s.res.Amount(name); want > most {
			return problem(fmt.Sprintf("%s asks for %s", s.what, amount(name, want)), ", ",
				fmt.Sprintf("more than any node has: the largest of %s has %s", f.nodes(s.label), amount(name, most))).try("lower %s", s.setting(name))
		}
	}
	if f.fits(s.res, nodes) == 0 {
		return problem(fmt.Sprintf("%s asks for %s", s.what, s.res), ", ", "which no single node has together").try("lower %s", s.setting(""))
	}
	if n := f.fits(s.res, nodes); n < s.count {
		return problem(fmt.Sprintf("%s asks for %d containers of %s", s.what, s.count, s.res), "; ",
			fmt.Sprintf("even an empty cluster of %s holds only %d", f.nodes(s.label), n)).try("lower %s, or the number of instances", s.setting(""))
	}
	return nil
}

// eligible are the nodes that take containers which ask for a label, or for none.
func (f Facts) eligible(label string) []yarn.NodeReport {
	return slices.DeleteFunc(slices.Clone(f.Nodes), func(n yarn.NodeReport) bool {
		if label == "" {
			return f.Queue != nil && slices.ContainsFunc(n.Labels, func(l string) bool { return !f.Shared[l] })
		}
		return !slices.Contains(n.Labels, label)
	})
}

// nodes says how many nodes are eligible, and why the others are not.
func (f Facts) nodes(label string) string {
	n := len(f.eligible(label))
	text := count(n, "running node")
	switch {
	case label != "":
		text += fmt.Sprintf(" with the label %q", label)
	case n < len(f.Nodes):
		text += " without a label"
	}
	return text
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

// checkTotal compares everything together with everything there is, and with the most that the
// queue may ever have of it.
func (f Facts) checkTotal(shapes []shape) *Problem {
	want := map[string]yarn.Resource{} // by label
	var all yarn.Resource
	for _, s := range shapes {
		for range s.count {
			want[s.label] = want[s.label].Add(s.res)
			all = all.Add(s.res)
		}
	}
	if p := f.checkHave(all, f.Nodes, count(len(f.Nodes), "running node")); p != nil {
		return p
	}
	for _, label := range slices.Sorted(maps.Keys(want)) {
		if p := f.checkHave(want[label], f.eligible(label), f.nodes(label)); p != nil {
			return p
		}
		if p := f.checkLimit(label, want[label]); p != nil {
			return p
		}
	}
	return nil
}

// checkHave compares what is wanted with what nodes have.
func (f Facts) checkHave(want yarn.Resource, nodes []yarn.NodeReport, which string) *Problem {
	have := total(nodes)
	for _, name := range f.counted(want) {
		if w, h := want.Amount(name), have.Amount(name); w > h {
			return problem(fmt.Sprintf("the job needs %s all together", amount(name, w)), ", ", fmt.Sprintf("and %s have %s", which, amount(name, h))).
				try("ask for fewer instances, or less for each")
		}
	}
	return nil
}

// checkLimit compares what is wanted of the nodes with a label with what the queue may ever have
// of them.
func (f Facts) checkLimit(label string, want yarn.Resource) *Problem {
	most, known := f.limit(label)
	if !known {
		return nil
	}
	of := "the cluster"
	if label != "" {
		of = fmt.Sprintf("the nodes with the label %q", label)
	}
	have := total(f.eligible(label))
	for _, name := range f.counted(want) {
		if _, custom := most.Custom[name]; name != yarn.MemoryName && name != yarn.VCoresName && !custom {
			continue
		}
		if limit := most.Amount(name); want.Amount(name) > limit {
			return problem(fmt.Sprintf("the job needs %s all together", amount(name, want.Amount(name))), ", ",
				fmt.Sprintf("and queue %q may never have more than %.0f %% of %s, %s",
					f.Queue.FullName(), 100*float64(limit)/float64(max(1, have.Amount(name))), of, amount(name, limit))).
				try("use another queue, ask for fewer instances, or less for each")
		}
	}
	return nil
}

// limit is the most that the queue may ever have of the nodes with a label; not known where the
// scheduler does not say, and where others' nodes can be borrowed.
func (f Facts) limit(label string) (most yarn.Resource, known bool) {
	if f.Queue == nil || label == "" && len(f.Shared) > 0 {
		return most, false
	}
	if most, known = f.Queue.Most[label]; known {
		return most, true
	}
	if len(f.Queue.Most) > 0 { // it has nothing of a label that it does not tell of
		return most, f.Queue.Scheduler == yarn.CapacityScheduler
	}
	// Before Hadoop 3.1 a limit is a part of the parent's. Only below the root do we know what that
	// is, and only without labels.
	part := float64(f.Queue.MaxCapacity)
	if part <= 0 || part >= 1 || strings.Count(f.Queue.Path, ".") != 1 || label != "" {
		return most, false
	}
	have := total(f.eligible(label))
	return yarn.Resource{MemoryMiB: int64(part * float64(have.MemoryMiB)), VCores: int32(part * float64(have.VCores))}, true
}

func total(nodes []yarn.NodeReport) yarn.Resource {
	var have yarn.Resource
	for _, n := range nodes {
		have = have.Add(n.Capability)
	}
	return have
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
