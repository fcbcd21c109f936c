package fault

import (
	"time"

	"tfos/internal/job"
	"tfos/internal/membership"
)

// Pause is how a task waited for its next process.
type Pause struct {
	Task job.Task
	From time.Time // when it was lost
	// Idle is for how long nothing was waited for: no container, agent, checkpoint, master or
	// process on its way out. The rest of a pause costs what the cluster costs, this is the
	// master's own.
	Idle     time.Duration
	Progress bool // the job had got on since the loss before this one
}

// Pauses are those in a part of an event log, in the order of their ends.
func Pauses(turns []membership.Turn) []Pause {
	w := waits{lost: make(map[job.Task]*Pause), current: make(map[job.Task]job.Incarnation), absent: make(map[job.Task]bool),
		stopping: make(map[job.Task]bool), progress: true}
	for _, t := range turns {
		if !w.takeover && w.looking == 0 && len(w.absent)+len(w.stopping) == 0 {
			for _, p := range w.lost {
				p.Idle += t.Time.Sub(w.last)
			}
		}
		w.last = t.Time
		w.event(t.Event)
		for _, a := range t.Actions {
			w.action(a)
		}
	}
	return w.over
}

// waits is what a job waits for.
type waits struct {
	last             time.Time
	lost             map[job.Task]*Pause
	over             []Pause
	current          map[job.Task]job.Incarnation
	absent, stopping map[job.Task]bool // tasks without an agent; with a process that was told to end
	looking          int               // the number of the newest look at the checkpoints, until it is answered
	takeover         bool              // a new master waits for the agents' word
	progress         bool
}

func (w *waits) loses(t job.Task) {
	if w.lost[t] == nil {
		w.lost[t] = &Pause{Task: t, From: w.last, Progress: w.progress}
		w.progress = false
	}
}

func (w *waits) event(e membership.Event) {
	switch e := e.(type) {
	case membership.TakeoverBegan:
		w.takeover = true
		clear(w.lost) // what the attempt before knew ended with it
	case membership.Joined:
		delete(w.absent, e.Task)
	case membership.Left:
		if delete(w.stopping, e.Task); e.Incarnation == w.current[e.Task] {
			w.absent[e.Task] = true
			w.loses(e.Task)
		}
	case membership.Exited:
		if delete(w.stopping, e.Task); e.Incarnation == w.current[e.Task] {
			w.loses(e.Task)
		}
	case membership.Inspected:
		if e.Number == w.looking {
			w.looking = 0
		}
	case membership.Progressed, membership.CheckpointSeen:
		w.progress = true
	}
}

func (w *waits) action(a membership.Action) {
	switch a := a.(type) {
	case membership.TakeoverEnded:
		w.takeover = false
	case membership.Launch:
		if a.Spare {
			return
		}
		w.current[a.Task], w.absent[a.Task] = a.Incarnation, true
		w.loses(a.Task)
	case membership.StopProcess:
		w.stopping[a.Task] = true
	case membership.Inspect:
		w.looking = a.Number
	case membership.StartProcess:
		w.current[a.Task] = a.Incarnation
		if p := w.lost[a.Task]; p != nil {
			w.over = append(w.over, *p)
			delete(w.lost, a.Task)
		}
	}
}
