package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"tfos/internal/job"
	"tfos/internal/lease"
)

const (
	// leaseWait bounds how long the agent tries to reach a master for one call. The program asks
	// again.
	leaseWait = 40 * time.Second
	// leaseBytes bounds a call: acknowledgements of some thousand leases.
	leaseBytes = 1 << 20
)

// leaseCall is what a program posts: one of the four operations, by a client and with a number as
// package lease wants them. Its keys, and those of leaseAnswer, are a promise to programs of the
// same version only: the module tfos.data stands before them.
type leaseCall struct {
	Incarnation job.Incarnation `json:"incarnation"`
	Client      string          `json:"client"`
	Number      uint64          `json:"number"`
	Next        *struct {
		Dataset lease.Definition `json:"dataset"`
		Epoch   int              `json:"epoch"`
		Now     bool             `json:"now"`
	} `json:"next"`
	Ack []struct {
		Lease    lease.ID `json:"lease"`
		Position int64    `json:"position"`
		End      string   `json:"end"`
	} `json:"ack"`
	Save *struct {
		Step  int64 `json:"step"`
		Alone bool  `json:"alone"`
	} `json:"save"`
	Restore *struct {
		Step int64 `json:"step"`
	} `json:"restore"`
}

// leaseAnswer is the answer to it.
type leaseAnswer struct {
	State  string      `json:"state"`
	Epoch  int         `json:"epoch,omitempty"`
	Lease  *leaseGrant `json:"lease,omitempty"`
	Code   string      `json:"code,omitempty"`
	Reason string      `json:"reason,omitempty"`
}

type leaseGrant struct {
	ID       lease.ID `json:"id"`
	Piece    int      `json:"piece"`
	Path     string   `json:"path"`
	Size     int64    `json:"size"`
	From     int64    `json:"from"`
	To       int64    `json:"to"`
	Position int64    `json:"position"`
}

var leaseStates = map[lease.State]string{
	lease.Waiting: "waiting", lease.Granted: "granted", lease.Over: "over", lease.Agreed: "agreed", lease.Fresh: "fresh", lease.Refused: "refused",
}

var leaseEnds = map[string]lease.End{"": lease.Open, "done": lease.Done, "returned": lease.Returned}

// serveLease passes a program's call to the master, and waits for one while there is none.
func serveLease(agent *Agent, w http.ResponseWriter, r *http.Request) {
	call, err := readLeaseCall(http.MaxBytesReader(w, r.Body, leaseBytes))
	if err != nil {
		reply(w, http.StatusBadRequest, errorBody{err.Error()})
		return
	}
	current := make(chan job.Incarnation, 1)
	if !agent.post(func(o *owner) { current <- o.incarnation }) {
		reply(w, http.StatusServiceUnavailable, errorBody{"the agent is ending"})
		return
	}
	if n := <-current; n != call.Holder.Incarnation {
		reply(w, http.StatusConflict, errorBody{fmt.Sprintf("the call is of incarnation %d, and the task is incarnation %d now", call.Holder.Incarnation, n)})
		return
	}
	call.Holder.Task = agent.task
	ctx, cancel := context.WithTimeout(r.Context(), leaseWait)
	defer cancel()
	answer, err := agent.link.Lease(ctx, call)
	if err != nil {
		reply(w, http.StatusServiceUnavailable, errorBody{err.Error()})
		return
	}
	body := leaseAnswer{State: leaseStates[answer.State], Epoch: answer.Epoch, Code: string(answer.Code), Reason: answer.Reason}
	if l := answer.Lease; answer.State == lease.Granted {
		body.Lease = &leaseGrant{ID: l.ID, Piece: l.Piece, Path: l.Path, Size: l.Size, From: l.From, To: l.To, Position: l.Position}
	}
	reply(w, http.StatusOK, body)
}

// readLeaseCall reads a call. Whose it is, it does not say.
func readLeaseCall(body io.Reader) (lease.Call, error) {
	var b leaseCall
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return lease.Call{}, fmt.Errorf("read a call for leases: %w", err)
	}
	c := lease.Call{Client: b.Client, Number: b.Number}
	c.Holder.Incarnation = b.Incarnation
	ops := 0
	if b.Next != nil {
		c.Op, ops = lease.Next{Dataset: b.Next.Dataset, Epoch: b.Next.Epoch, Now: b.Next.Now}, ops+1
	}
	if b.Ack != nil {
		var a lease.Ack
		for _, x := range b.Ack {
			end, ok := leaseEnds[x.End]
			if !ok {
				return lease.Call{}, fmt.Errorf("read a call for leases: %q is no end of a lease: want done or returned", x.End)
			}
			a.Acks = append(a.Acks, lease.Consumed{Lease: x.Lease, Position: x.Position, End: end})
		}
		c.Op, ops = a, ops+1
	}
	if b.Save != nil {
		c.Op, ops = lease.Save{Step: b.Save.Step, Alone: b.Save.Alone}, ops+1
	}
	if b.Restore != nil {
		c.Op, ops = lease.Restore{Step: b.Restore.Step}, ops+1
	}
	if ops != 1 {
		return lease.Call{}, errors.New("read a call for leases: want one of next, ack, save and restore")
	}
	return c, nil
}
