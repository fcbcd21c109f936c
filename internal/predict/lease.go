package predict

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"tfos/internal/lease"
	"tfos/internal/pause"
	"tfos/internal/predict/plan"
)

const (
	// leasePatience is how long there may be no agent and no master: a new master takes over
	// meanwhile.
	leasePatience = 15 * time.Minute
	// leaseHeld bounds one call: an agent may hold it for a while, where there is no shard yet.
	leaseHeld = time.Minute
)

// AgentLeases are Leases that a task's agent passes on to the master (POST /v1/lease).
type AgentLeases struct {
	http        http.Client
	incarnation int
	dataset     lease.Definition
	id          string
	number      uint64
	epoch       int
	held        *grant // nil: nothing is
}

// grant is a lease in the agent's answer.
type grant struct {
	ID   lease.ID `json:"id"`
	From int64    `json:"from"`
	To   int64    `json:"to"`
}

// NewAgentLeases leases the shards of a plan for an incarnation of a task, whose agent listens on a
// Unix socket.
func NewAgentLeases(socket string, incarnation int, p plan.Plan) *AgentLeases {
	return &AgentLeases{
		http:        agentClient(socket),
		incarnation: incarnation,
		id:          rand.Text(),
		dataset: lease.Definition{
			Name: "predict", Patterns: []string{plan.Pattern(p.In(plan.Leases))}, Kind: lease.Text, Split: plan.LeaseBytes, Epochs: 1,
		},
	}
}

// Next implements Leases.
func (l *AgentLeases) Next(ctx context.Context) (shard int, ok bool, err error) {
	a, err := l.call(ctx, "next", map[string]any{"dataset": l.dataset, "epoch": l.epoch})
	if err != nil {
		return 0, false, fmt.Errorf("lease a shard: %w", err)
	}
	if l.epoch = a.Epoch; a.State == "over" {
		return 0, false, nil
	}
	l.held = a.Lease
	return int(a.Lease.From / plan.LeaseBytes), true, nil
}

// Done implements Leases.
func (l *AgentLeases) Done(ctx context.Context) error {
	if l.held == nil {
		return errors.New("no shard is leased")
	}
	_, err := l.call(ctx, "ack", []map[string]any{{"lease": l.held.ID, "position": l.held.To, "end": "done"}})
	if err != nil {
		return fmt.Errorf("say that a shard is done: %w", err)
	}
	l.held = nil
	return nil
}

type answer struct {
	State  string `json:"state"`
	Epoch  int    `json:"epoch"`
	Lease  *grant `json:"lease"`
	Code   string `json:"code"`
	Reason string `json:"reason"`
	Error  string `json:"error"` // of a call that the agent refused
}

// call makes a call until it is answered. A call that is made again with its number is answered
// again.
func (l *AgentLeases) call(ctx context.Context, op string, body any) (answer, error) {
	request, err := json.Marshal(map[string]any{"incarnation": l.incarnation, "client": l.id, "number": l.number + 1, op: body})
	if err != nil {
		return answer{}, err
	}
	reached := time.Now()
	for pauses := pause.Growing(100*time.Millisecond, 2*time.Second); ; {
		a, again, err := l.post(ctx, request)
		switch {
		case err == nil && a.State == "waiting":
			reached = time.Now()
			pauses.Reset()
			continue
		case err == nil && a.State == "refused":
			return a, errors.New(a.Reason)
		case err == nil && a.State == "granted" && a.Lease == nil:
			return a, errors.New("the agent granted nothing")
		case err == nil:
			l.number++
			return a, nil
		case !again || time.Since(reached) > leasePatience:
			return a, err
		}
		if err := pauses.Wait(ctx); err != nil {
			return a, err
		}
	}
}

// post makes one attempt; again says that another may be answered.
func (l *AgentLeases) post(ctx context.Context, request []byte) (a answer, again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent/v1/lease", bytes.NewReader(request))
	if err != nil {
		return a, false, err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := l.http.Do(r)
	if err != nil {
		return a, ctx.Err() == nil, fmt.Errorf("the task's agent does not answer: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return a, true, fmt.Errorf("the task's agent does not answer: %w", err)
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, false, fmt.Errorf("the agent's answer is no JSON: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return a, response.StatusCode == http.StatusServiceUnavailable, errors.New(a.Error)
	}
	return a, false, nil
}
