// Package plan tells beforehand what a cluster will make of a job: what speaks against it, what it
// will have to wait for, and what could not be found out.
//
// Facts of the cluster and of the job's archives come in, findings go out. Who asks for the facts
// is the caller.
package plan

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"tfos/internal/client/preflight"
	"tfos/internal/client/term"
	"tfos/internal/dfs"
	"tfos/internal/job"
	"tfos/internal/pyenv"
	"tfos/internal/yarn"
)

// Severity says what a finding means for the job.
type Severity string

// The severities, the gravest first.
const (
	Refused  Severity = "will not run" // as the cluster is now
	Warning  Severity = "warning"      // it may wait, or fail later
	NotKnown Severity = "not known"    // it could not be found out
)

var severities = []Severity{Refused, Warning, NotKnown}

// Finding is one thing to know before a job is submitted.
type Finding struct {
	Severity Severity `json:"severity"`
	Topic    string   `json:"topic"` // containers, queue, master, hdfs, python, endpoints
	What     string   `json:"what"`
	Why      string   `json:"why,omitempty"`
	Do       string   `json:"do,omitempty"`
}

// Facts are what was found out. What is nil, or has an error, is not known.
type Facts struct {
	Job     job.Job // as it would be submitted
	User    string
	Cluster preflight.Facts // its queue is the one that the job names, if the ResourceManager lists it
	Tree    *yarn.Queue     // all queues; nil: not known
	Submit  []string        // queues that the user may submit to; nil: not known
	Limits  *Limits         // of the queue; nil: not known
	Masters int             // that the cluster grants; 0: not known

	Home, Checkpoint Place
	Upload           int64 // bytes of the job's local files
	Replication      int64 // copies of each of them
	Token            error // of getting a token for the filesystem

	Archives []Archive
	Here     Machine // where tfos runs
}

// Place is a directory on the cluster's filesystem.
type Place struct {
	URI      string // empty: the job has none
	Missing  bool   // what is told is of the nearest directory above that is there
	Write    error  // why the user may not write there; errors.ErrUnsupported: not known
	Space    dfs.Space
	SpaceErr error
}

// Archive is one of the job's, looked into.
type Archive struct {
	Name string // in the container
	pyenv.Facts
	Err error
}

// Machine is what programs find where they run.
type Machine struct{ Arch, GLibC string }

// Of finds what there is to know, the gravest first.
func Of(f Facts) []Finding {
	p := planner{Facts: f}
	p.containers()
	p.queue()
	p.limits()
	p.master()
	p.files()
	p.python()
	p.endpoints()
	slices.SortStableFunc(p.found, func(a, b Finding) int {
		return cmp.Compare(slices.Index(severities, a.Severity), slices.Index(severities, b.Severity))
	})
	return p.found
}

// WillNotRun reports whether one of the findings says so.
func WillNotRun(found []Finding) bool {
	return slices.ContainsFunc(found, func(f Finding) bool { return f.Severity == Refused })
}

type planner struct {
	Facts
	found []Finding
}

func (p *planner) add(s Severity, topic, what, why, do string) {
	p.found = append(p.found, Finding{s, topic, what, why, do})
}

// containers compares the job with nodes, labels and the queue's share.
func (p *planner) containers() {
	problems := preflight.Problems(&p.Job, p.Cluster)
	for _, x := range problems {
		p.add(Refused, "containers", x.What, x.Why, x.Do)
	}
	if len(problems) > 0 || p.Cluster.VCores {
		return
	}
	p.Cluster.VCores = true
	for _, x := range preflight.Problems(&p.Job, p.Cluster) {
		p.add(Warning, "containers", x.What, x.Why+"; schedulers that count memory alone do not mind", x.Do)
	}
	p.Cluster.VCores = false
}

// queue looks at the one that the job names. Without a name it is for YARN to choose.
func (p *planner) queue() {
	name := p.Job.Queue
	if p.Tree == nil {
		p.add(NotKnown, "queue", "the ResourceManager did not list its queues", "", "")
		return
	}
	if name == "" {
		return
	}
	q, listed := p.Tree.Find(name)
	switch {
	case !listed:
		p.add(Warning, "queue", fmt.Sprintf("there is no queue %q", name), "only a placement rule or a template could make it, or place the job elsewhere",
			"the cluster has "+strings.Join(p.Tree.Leaves(), ", ")+"; choose with --queue, or queue: in the job file")
		return
	case len(q.Children) > 0:
		p.add(Refused, "queue", fmt.Sprintf("queue %q is divided into others", q.FullName()), "a job needs one that is not", "use one of "+strings.Join(q.Leaves(), ", "))
		return
	case !q.Running:
		p.add(Refused, "queue", fmt.Sprintf("queue %q is stopped", q.FullName()), "it takes no jobs", "use another one, or ask an administrator to start it")
	}
	if p.Submit == nil {
		p.add(NotKnown, "queue", "the ResourceManager did not say who may submit where", "", "")
	} else if !slices.ContainsFunc(p.Submit, func(s string) bool { return s == q.Name || s == q.FullName() || "root."+s == q.FullName() }) {
		p.add(Refused, "queue", fmt.Sprintf("%s may not submit to queue %q", p.User, q.FullName()), "its list of who may does not name you (acl_submit_applications in capacity-scheduler.xml, aclSubmitApps in fair-scheduler.xml)",
			"ask who administers the queue, or use another one with --queue")
	}
}

// limits looks at what the scheduler lets one user, and masters, have of the queue.
func (p *planner) limits() {
	l := p.Limits
	if l == nil {
		if p.Job.Queue != "" {
			p.add(NotKnown, "queue", "the ResourceManager's page about its scheduler did not answer", "so the limits of users and masters are not known", "")
		}
		return
	}
	if l.MaxApps > 0 && l.Apps >= l.MaxApps {
		p.add(Refused, "queue", fmt.Sprintf("queue %q is full", l.Path), fmt.Sprintf("it has %d applications, of %d that it may have", l.Apps, l.MaxApps), "wait until some have ended, or use another queue")
	}
	all, largest := p.Job.Master.MemoryMiB, int64(0)
	for _, r := range p.Job.Roles {
		all += int64(r.Instances) * r.MemoryMiB
		largest = max(largest, r.MemoryMiB)
	}
	// The scheduler looks at the limit before it grants a container, so one may lie beyond it.
	if l.UserMiB > 0 && all-largest >= l.UserMiB {
		p.add(Refused, "queue", fmt.Sprintf("the job needs %d MiB of memory all together", all), fmt.Sprintf("one user may have %d MiB of queue %q (user-limit-factor %g), so it would wait for ever", l.UserMiB, l.Path, l.UserFactor),
			"ask for fewer instances or less for each, or have user-limit-factor raised")
	}
	if l.MasterMiB > 0 && l.MasterUsedMiB+p.Job.Master.MemoryMiB > l.MasterMiB && l.MasterUsedMiB > 0 {
		p.add(Warning, "queue", "the job's master will have to wait", fmt.Sprintf("masters may have %d MiB of queue %q, and have %d already (maximum-am-resource-percent, maxAMShare)", l.MasterMiB, l.Path, l.MasterUsedMiB),
			"wait until other applications have ended, or use another queue")
	}
}

// master looks at the container that leads the job.
func (p *planner) master() {
	if least := job.MasterMiB(p.Job.Size()); p.Job.Master.MemoryMiB < least {
		p.add(Warning, "master", fmt.Sprintf("the master has %d MiB of memory", p.Job.Master.MemoryMiB), fmt.Sprintf("with %d tasks it needs %d, and YARN may kill it", p.Job.Size(), least), "raise master.memory, or leave it out")
	}
	if p.Masters == 1 {
		p.add(Warning, "master", "the cluster grants one master", "so its loss ends the job (yarn.resourcemanager.am.max-attempts)", "recovery.resubmit: 2 has tfos run submit it again")
	}
}

// files looks at where the job's files and checkpoints will be.
func (p *planner) files() {
	if p.Token != nil {
		p.add(Refused, "hdfs", "the filesystem gives no token for the job", p.Token.Error(), "the job's containers could not read their files: ask who administers it")
	}
	p.place(p.Home, "tfos keeps a job's files in", p.Upload*max(1, p.Replication))
	p.place(p.Checkpoint, "checkpoints are to be written to", 0)
}

func (p *planner) place(d Place, what string, need int64) {
	if d.URI == "" {
		return
	}
	switch {
	case errors.Is(d.Write, errors.ErrUnsupported):
		return
	case errors.Is(d.Write, fs.ErrPermission):
		why := fmt.Sprintf("%s may not write there", p.User)
		if d.Missing {
			why = fmt.Sprintf("it is not there, and %s may not make it", p.User)
		}
		p.add(Refused, "hdfs", what+" "+d.URI, why, "have it made and given to you: hdfs dfs -mkdir, -chown, -setfacl")
		return
	case d.Write != nil:
		p.add(NotKnown, "hdfs", what+" "+d.URI, d.Write.Error(), "")
		return
	}
	switch s := d.Space; {
	case errors.Is(d.SpaceErr, errors.ErrUnsupported):
	case d.SpaceErr != nil:
		p.add(NotKnown, "hdfs", "how much room there is in "+d.URI, d.SpaceErr.Error(), "")
	case s.Free <= need:
		p.add(Refused, "hdfs", "the filesystem is full: "+what+" "+d.URI, fmt.Sprintf("%s are left, and the job's files need %s with their replicas", size(s.Free), size(need)), "make room: hdfs dfs -df shows how much is left")
	case s.Bytes <= need:
		p.add(Refused, "hdfs", "the space quota is used up: "+what+" "+d.URI, fmt.Sprintf("it leaves %s, and the job's files need %s with their replicas", size(max(0, s.Bytes)), size(need)), "remove what is not needed, or have it raised: hdfs dfsadmin -setSpaceQuota")
	case s.Names <= fewNames:
		p.add(Refused, "hdfs", "the name quota is used up: "+what+" "+d.URI, fmt.Sprintf("it leaves %d files and directories", max(0, s.Names)), "remove what is not needed, or have it raised: hdfs dfsadmin -setQuota")
	}
}

// fewNames is how many files and directories a job makes at least.
const fewNames = 10

func size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	return term.Bytes(n)
}

// python compares archives that hold a Python with this machine. The nodes are not asked: they are
// most often alike.
func (p *planner) python() {
	tensorflow, pythons := "", 0
	for _, a := range p.Archives {
		if a.Err != nil {
			p.add(NotKnown, "python", fmt.Sprintf("archive %s cannot be looked into", a.Name), a.Err.Error(), "")
			continue
		}
		if a.Python == "" {
			continue
		}
		pythons++
		tensorflow = cmp.Or(tensorflow, a.TensorFlow)
		if a.Link != "" {
			p.add(Warning, "python", fmt.Sprintf("the Python of archive %s is a link to %s", a.Name, a.Link), "every node must have the same Python there", "pack it with its Python: --venv DIR, --conda PREFIX or conda-pack")
		}
		if a.Machine != "" && p.Here.Arch != "" && a.Machine != p.Here.Arch {
			p.add(Warning, "python", fmt.Sprintf("the Python of archive %s is for %s", a.Name, a.Machine), fmt.Sprintf("this machine is %s, and so are the nodes, if they are like it", p.Here.Arch), "make the environment on a machine like the nodes")
		}
		if a.GLibC != "" && pyenv.Older(p.Here.GLibC, a.GLibC) && p.Here.GLibC != "" {
			p.add(Warning, "python", fmt.Sprintf("the Python of archive %s needs glibc %s", a.Name, a.GLibC), fmt.Sprintf("this machine has %s, and so have the nodes, if they are like it", p.Here.GLibC), "make the environment on a machine as old as the nodes")
		}
		if a.Static && p.Job.Endpoints == job.EndpointsRedirect {
			p.add(Warning, "endpoints", fmt.Sprintf("the Python of archive %s loads no libraries", a.Name), "so its tasks get forward in place of redirect, at 0.3 to 0.45 of the speed", "use a Python that is not static")
		}
	}
	if pythons > 0 && tensorflow == "" {
		p.add(Warning, "python", "no archive of the job has TensorFlow", "a program that imports it would fail", "install it into the environment before that is packed")
	}
}

// endpoints looks at what keeps tasks from being led to each other.
func (p *planner) endpoints() {
	if p.Job.Endpoints != job.EndpointsRedirect {
		return
	}
	for _, r := range p.Job.Roles {
		if strings.Contains(r.Command, "unset LD_PRELOAD") {
			p.add(Warning, "endpoints", fmt.Sprintf("the command of role %s unsets LD_PRELOAD", r.Name), "so its tasks get forward in place of redirect, at 0.3 to 0.45 of the speed", "leave LD_PRELOAD to tfos")
		}
	}
}
