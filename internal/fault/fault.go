// Package fault reads fault plans: what goes wrong with a job that trains, and when. Tests alone
// use it.
//
// A plan is text, one fault in a line, carried out in order:
//
//	# A worker's process dies, and the master while it is being replaced.
//	step 120 kill process worker/1
//	+1s      kill master
//
// A fault comes when the job has taken so many steps, or so long after the fault in the line
// before; +0s is at once with it. What the machinery of a test cannot do it must refuse
// (Plan.Only), so that no line is ever skipped. The same plans are carried out in the simulation
// (package sim), on a real master over an in-memory network (package am), and on a real cluster
// (test/e2e).
package fault

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tfos/internal/job"
)

// Kind is what goes wrong.
type Kind string

// The kinds. Those that end something end it for good: what comes in its place is a new one.
const (
	KillProcess        Kind = "kill process"         // of a task: its program's, at once
	KillAgent          Kind = "kill agent"           // of a task, and its program with it
	KillNode           Kind = "kill node"            // that a task is on: the NodeManager and all containers
	StopProcess        Kind = "stop process"         // SIGSTOP of a task's program for a while; its agent goes on
	StopAgent          Kind = "stop agent"           // SIGSTOP of a task's agent for a while; its program goes on
	StopNode           Kind = "stop node"            // SIGSTOP of the NodeManager and all containers of the node that a task is on, for a while
	MuteAgent          Kind = "mute agent"           // nothing that a task's agent says arrives for a while; what it is told does
	CutAgent           Kind = "cut agent"            // nothing passes between a task's agent and the master for a while
	CutNode            Kind = "cut node"             // nothing passes between the node that a task is on and all others for a while
	KillMaster         Kind = "kill master"          // the application master's process
	StopMaster         Kind = "stop master"          // SIGSTOP of the application master's process for a while
	KillMasterNode     Kind = "kill master node"     // the node of the application master, for a while: the NodeManager and all containers
	HoldManager        Kind = "hold manager"         // the ResourceManager answers nothing for a while
	RestartManager     Kind = "restart manager"      // the ResourceManager
	KillManager        Kind = "kill manager"         // the ResourceManager is gone for a while
	FailOver           Kind = "fail over"            // from the active ResourceManager to the other one
	RestartNodeManager Kind = "restart node manager" // of the node that a task is on; containers live on
	KillNodeManager    Kind = "kill node manager"    // it is gone for a while; containers live on
	KillDataNode       Kind = "kill data node"       // of the node that a task is on, for a while
	RestartNameNode    Kind = "restart name node"
	SafeMode           Kind = "safe mode" // HDFS takes no change for a while
)

// needs is what a kind is told besides.
type needs struct{ task, span bool }

var kinds = map[Kind]needs{
	KillProcess:        {task: true},
	KillAgent:          {task: true},
	KillNode:           {task: true},
	StopProcess:        {task: true, span: true},
	StopAgent:          {task: true, span: true},
	StopNode:           {task: true, span: true},
	MuteAgent:          {task: true, span: true},
	CutAgent:           {task: true, span: true},
	CutNode:            {task: true, span: true},
	KillMaster:         {},
	StopMaster:         {span: true},
	KillMasterNode:     {span: true},
	HoldManager:        {span: true},
	KillManager:        {span: true},
	RestartManager:     {},
	FailOver:           {},
	RestartNodeManager: {task: true},
	KillNodeManager:    {task: true, span: true},
	KillDataNode:       {task: true, span: true},
	RestartNameNode:    {},
	SafeMode:           {span: true},
}

// Leader is the task that a plan calls "leader": the job says who that is (job.Job.Leader).
var Leader = job.Task{Role: "leader"}

// Fault is one thing that goes wrong.
type Fault struct {
	Line  int           // in the plan's text, from 1
	Step  int64         // when the job has taken so many steps; 0: After counts
	After time.Duration // after the fault before it
	Kind  Kind
	Task  job.Task      // that it happens to, Leader included; zero: to none
	For   time.Duration // how long it lasts; 0: it is over at once, or lasts for good
}

// String is the fault as a plan writes it.
func (f Fault) String() string {
	when := "+" + f.After.String()
	if f.Step > 0 {
		when = "step " + strconv.FormatInt(f.Step, 10)
	}
	s := when + " " + string(f.Kind)
	switch {
	case f.Task == Leader:
		s += " leader"
	case f.Task != job.Task{}:
		s += " " + f.Task.String()
	}
	if f.For > 0 {
		s += " for " + f.For.String()
	}
	return s
}

// Plan is faults in the order in which they come. There is at least one.
type Plan []Fault

// String is the plan's text.
func (p Plan) String() string {
	var b strings.Builder
	for _, f := range p {
		b.WriteString(f.String() + "\n")
	}
	return b.String()
}

// Error says what is wrong with a line of a plan.
type Error struct {
	Line int // from 1; 0: the plan as a whole
	What string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return "fault plan: " + e.What
	}
	return fmt.Sprintf("fault plan, line %d: %s", e.Line, e.What)
}

// Only is an Error for the first fault that is not of these kinds: those that a machinery, named
// who, can do.
func (p Plan) Only(who string, can ...Kind) error {
	for _, f := range p {
		if !slices.Contains(can, f.Kind) {
			return &Error{f.Line, fmt.Sprintf("%s cannot %s", who, f.Kind)}
		}
	}
	return nil
}

// For is the plan for a job: who leads it is filled in. It is an Error if a fault happens to a task
// that the job does not have.
func (p Plan) For(j job.Job) (Plan, error) {
	out := slices.Clone(p)
	for i := range out {
		f := &out[i]
		if f.Task == Leader {
			f.Task = j.Leader()
		}
		if kinds[f.Kind].task && !slices.Contains(j.Tasks(), f.Task) {
			return nil, &Error{f.Line, "the job has no " + f.Task.String()}
		}
	}
	return out, nil
}
