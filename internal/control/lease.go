package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tfos/internal/control/controlpb"
	"tfos/internal/enum"
	"tfos/internal/job"
	"tfos/internal/lease"
	"tfos/internal/pause"
)

// LeaseHandler answers calls for leases on the job's input. Calls come at the same time. One that
// has nothing to say yet is held until it has, or answered lease.Waiting after a while.
type LeaseHandler interface {
	Lease(ctx context.Context, c lease.Call) (lease.Answer, error)
}

// Lease passes an agent's call on. Whose it is the certificate says.
func (ms masterService) Lease(ctx context.Context, r *controlpb.LeaseRequest) (*controlpb.LeaseResponse, error) {
	subject, err := admit(ctx, PartyAgent)
	if err != nil {
		ms.m.o.Logger.Warn("caller turned away", zap.Error(err))
		return nil, err
	}
	if ms.m.o.Leases == nil {
		return nil, status.Error(codes.Unimplemented, "this master does not share the job's input")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // a call that is held must not hold up the master's end
		select {
		case <-ms.m.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	call := leaseCallFromPB(r)
	call.Holder.Task = subject.Task
	answer, err := ms.m.o.Leases.Lease(ctx, call)
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return leaseAnswerToPB(answer), nil
}

// Lease asks the master for a lease, or says something of one, for a process of the agent's task.
// While there is no master it waits for one: until ctx ends. The task in the call is the agent's,
// whatever it says.
func (l *Link) Lease(ctx context.Context, c lease.Call) (lease.Answer, error) {
	request := leaseCallToPB(c)
	for pauses := pause.Growing(firstPause, time.Second); ; {
		client, err := l.client()
		if err == nil {
			var answer *controlpb.LeaseResponse
			if answer, err = client.Lease(ctx, request); err == nil {
				return leaseAnswerFromPB(answer), nil
			}
			err = foreign(err)
		}
		if errors.Is(err, ErrRefused) || ctx.Err() == nil && !errors.Is(err, ErrUnreachable) {
			return lease.Answer{}, fmt.Errorf("ask the master for input: %w", err)
		}
		if pauses.Taken() == 0 {
			l.o.Logger.Info("the program's input waits for a master", zap.Error(err))
		}
		if pauses.Wait(ctx) != nil {
			return lease.Answer{}, fmt.Errorf("ask the master for input: %w: %w", ctx.Err(), err)
		}
	}
}

// client is the connection of the session, once the master has welcomed the agent.
func (l *Link) client() (controlpb.MasterClient, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil || !l.open.welcome {
		return nil, fmt.Errorf("%w: there is no session with a master", ErrUnreachable)
	}
	return l.open.client, nil
}

var (
	leaseEnds = enum.New(map[lease.End]controlpb.LeaseEnd{
		lease.Open:     controlpb.LeaseEnd_LEASE_END_OPEN,
		lease.Done:     controlpb.LeaseEnd_LEASE_END_DONE,
		lease.Returned: controlpb.LeaseEnd_LEASE_END_RETURNED,
	})
	leaseStates = enum.New(map[lease.State]controlpb.LeaseState{
		lease.Waiting: controlpb.LeaseState_LEASE_STATE_WAITING,
		lease.Granted: controlpb.LeaseState_LEASE_STATE_GRANTED,
		lease.Over:    controlpb.LeaseState_LEASE_STATE_OVER,
		lease.Agreed:  controlpb.LeaseState_LEASE_STATE_AGREED,
		lease.Fresh:   controlpb.LeaseState_LEASE_STATE_FRESH,
		lease.Refused: controlpb.LeaseState_LEASE_STATE_REFUSED,
	})
)

func leaseCallToPB(c lease.Call) *controlpb.LeaseRequest {
	p := &controlpb.LeaseRequest{Incarnation: int32(c.Holder.Incarnation), Client: valid(c.Client), Number: c.Number}
	switch op := c.Op.(type) {
	case lease.Next:
		d := op.Dataset
		p.Op = &controlpb.LeaseRequest_Next{Next: &controlpb.LeaseNext{Epoch: int32(op.Epoch), Now: op.Now, Dataset: &controlpb.LeaseDataset{
			Name: valid(d.Name), Patterns: validLines(d.Patterns), Kind: valid(string(d.Kind)), Split: d.Split, Epochs: int32(d.Epochs), Shuffle: d.Shuffle,
		}}}
	case lease.Ack:
		a := &controlpb.LeaseAck{}
		for _, x := range op.Acks {
			a.Acks = append(a.Acks, &controlpb.LeaseConsumed{Lease: uint64(x.Lease), Position: x.Position, End: *leaseEnds.ToWire(x.End)})
		}
		p.Op = &controlpb.LeaseRequest_Ack{Ack: a}
	case lease.Save:
		p.Op = &controlpb.LeaseRequest_Save{Save: &controlpb.LeaseSave{Step: op.Step, Alone: op.Alone}}
	case lease.Restore:
		p.Op = &controlpb.LeaseRequest_Restore{Restore: &controlpb.LeaseRestore{Step: op.Step}}
	}
	return p
}

// leaseCallFromPB leaves out whose call it is. One without an op that is known here is refused by
// whoever carries it out.
func leaseCallFromPB(p *controlpb.LeaseRequest) lease.Call {
	c := lease.Call{Client: p.GetClient(), Number: p.GetNumber()}
	c.Holder.Incarnation = job.Incarnation(p.GetIncarnation())
	switch op := p.GetOp().(type) {
	case *controlpb.LeaseRequest_Next:
		d := op.Next.GetDataset()
		if d == nil {
			break
		}
		c.Op = lease.Next{Epoch: int(op.Next.GetEpoch()), Now: op.Next.GetNow(), Dataset: lease.Definition{
			Name: d.GetName(), Patterns: d.GetPatterns(), Kind: lease.Kind(d.GetKind()), Split: d.GetSplit(), Epochs: int(d.GetEpochs()), Shuffle: d.Shuffle,
		}}
	case *controlpb.LeaseRequest_Ack:
		var a lease.Ack
		for _, x := range op.Ack.GetAcks() {
			a.Acks = append(a.Acks, lease.Consumed{Lease: lease.ID(x.GetLease()), Position: x.GetPosition(), End: leaseEnds.FromWire(x.GetEnd())})
		}
		c.Op = a
	case *controlpb.LeaseRequest_Save:
		c.Op = lease.Save{Step: op.Save.GetStep(), Alone: op.Save.GetAlone()}
	case *controlpb.LeaseRequest_Restore:
		c.Op = lease.Restore{Step: op.Restore.GetStep()}
	}
	return c
}

func leaseAnswerToPB(a lease.Answer) *controlpb.LeaseResponse {
	p := &controlpb.LeaseResponse{State: *leaseStates.ToWire(a.State), Epoch: int32(a.Epoch), Code: string(a.Code), Reason: valid(a.Reason)}
	if a.State == lease.Granted {
		l := a.Lease
		p.Lease = &controlpb.LeaseGrant{
			Id: uint64(l.ID), Epoch: int32(l.Epoch), Piece: int64(l.Piece), Path: valid(l.Path), Size: l.Size, From: l.From, To: l.To, Position: l.Position,
		}
	}
	return p
}

func leaseAnswerFromPB(p *controlpb.LeaseResponse) lease.Answer {
	l := p.GetLease()
	return lease.Answer{
		State: leaseStates.FromWire(p.GetState()), Epoch: int(p.GetEpoch()), Code: lease.Code(p.GetCode()), Reason: p.GetReason(),
		Lease: lease.Lease{
			ID: lease.ID(l.GetId()), Epoch: int(l.GetEpoch()), Piece: int(l.GetPiece()), Path: l.GetPath(), Size: l.GetSize(),
			From: l.GetFrom(), To: l.GetTo(), Position: l.GetPosition(),
		},
	}
}
