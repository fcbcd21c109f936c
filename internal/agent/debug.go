package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"tfos/internal/control"
	"tfos/internal/job"
)

// state is where the agent stands, for whoever looks into it.
type state struct {
	Task        string          `json:"task"`
	Incarnation job.Incarnation `json:"incarnation"`
	Generation  job.Generation  `json:"generation"` // of the newest cluster_spec
	Members     int             `json:"members"`    // of it
	Joined      bool            `json:"joined"`     // there is a session with a master
	PID         int             `json:"pid"`        // of the program; 0: none runs
	Waits       bool            `json:"waits"`      // a start that was ordered has not been made yet
	Retiring    bool            `json:"retiring"`
	Endpoints   job.Endpoints   `json:"endpoints"` // how the program reaches its peers; empty: not known yet
	Reason      string          `json:"endpoints_reason"`
	Step        int64           `json:"step"`
}

// pages are what the agent shows of its inside. Its events are in its log (control.AgentLog).
func (a *Agent) pages() []control.Page {
	return []control.Page{{Name: "state", Says: "where the agent and its program stand, JSON", Write: func(_ context.Context, w io.Writer) error {
		asked := make(chan state, 1)
		if !a.post(func(o *owner) { asked <- o.state() }) {
			return errors.New("the agent is ending")
		}
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(<-asked)
	}}, {Name: control.StacksPage, Says: "where the threads of the program's processes are: Python's stacks", Write: a.showStacks}}
}

func (o *owner) state() state {
	s := state{
		Task: o.a.task.String(), Incarnation: o.incarnation, Generation: o.generation, Members: len(o.newest.Members), Joined: o.a.link.Joined(),
		Waits: o.next != nil, Retiring: o.retiring, Step: o.told.Step,
	}
	if o.program != nil {
		s.PID = o.program.PID()
	}
	if o.endpoints != nil {
		s.Endpoints, s.Reason = o.endpoints.Kind(), o.reason
	}
	return s
}
