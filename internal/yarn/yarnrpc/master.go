package yarnrpc

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"

	"tfos/internal/hadoop/pb"
	"tfos/internal/hadoop/rpc"
	"tfos/internal/hadoop/token"
	"tfos/internal/yarn"
)

// Master speaks ApplicationMasterProtocol: one attempt's line to the ResourceManager. The
// scheduler's port takes an AMRMToken and nothing else, in clusters without Kerberos too. It is
// safe for concurrent use, though heartbeats come one after the other by their nature.
type Master struct {
	caller
	mu    sync.Mutex
	token token.Token // guarded by mu; the newest
}

// NewMaster returns a master's line. It connects when it is first used. amrm is the token of kind
// token.KindAMRM in the credentials that YARN gave the container.
func NewMaster(o Options, amrm token.Token) *Master {
	m := &Master{token: amrm}
	m.caller = caller{rpc.NewClient(o.rpc(masterProtocol, func() (token.Token, bool) { return m.Token(), true }))}
	return m
}

// Close ends the connection.
func (m *Master) Close() error { return m.rpc.Close() }

// Token is the newest AMRMToken: the ResourceManager rolls it over every day, and a connection made
// later needs the new one.
func (m *Master) Token() token.Token {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.token
}

func (m *Master) renew(t token.Token) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.token = t
}

// call adds one meaning: the ResourceManager forgets the token of an attempt that is over.
func (m *Master) call(ctx context.Context, method string, req, resp proto.Message) error {
	err := m.caller.call(ctx, method, req, resp)
	if errors.Is(err, rpc.ErrInvalidToken) {
		return &meant{err, yarn.ErrAttemptGone}
	}
	return err
}

// Register makes the attempt known. A second time it is yarn.ErrOutOfStep, unless the
// ResourceManager restarted; so it is when the answer to the first was lost.
func (m *Master) Register(ctx context.Context, r yarn.Registration) (yarn.Registered, error) {
	resp := &pb.RegisterApplicationMasterResponseProto{}
	if err := m.call(ctx, "registerApplicationMaster", registrationToPB(r), resp); err != nil {
		return yarn.Registered{}, err
	}
	return registeredFromPB(resp), nil
}

// Allocate is one heartbeat. The same request may be sent again until it is answered; see ledger. A
// rolled AMRMToken is kept for the next connection.
func (m *Master) Allocate(ctx context.Context, r yarn.AllocateRequest) (yarn.AllocateResponse, error) {
	p := &pb.AllocateResponseProto{}
	if err := m.call(ctx, "allocate", allocateRequestToPB(r), p); err != nil {
		return yarn.AllocateResponse{}, err
	}
	// Hadoop before 2.6 said by a command what it says by exceptions now.
	switch {
	case p.AMCommand == nil:
	case p.GetAMCommand() == pb.AMCommandProto_AM_RESYNC:
		return yarn.AllocateResponse{}, fmt.Errorf("allocate: %w", yarn.ErrNotRegistered)
	case p.GetAMCommand() == pb.AMCommandProto_AM_SHUTDOWN:
		return yarn.AllocateResponse{}, fmt.Errorf("allocate: %w", yarn.ErrAttemptGone)
	}
	resp := allocateResponseFromPB(p)
	if !resp.AMRMToken.IsZero() {
		m.renew(resp.AMRMToken)
	}
	return resp, nil
}

// Finish unregisters and returns when the ResourceManager has stored that. trackingURL is where the
// application's history is to be seen; empty: the ResourceManager's own page. The master should
// exit soon after.
func (m *Master) Finish(ctx context.Context, final yarn.FinalStatus, diagnostics, trackingURL string) error {
	req := &pb.FinishApplicationMasterRequestProto{
		FinalApplicationStatus: finalStatuses.ToWire(final), Diagnostics: some(diagnostics), TrackingUrl: some(trackingURL),
	}
	return until(ctx, "unregister", func() (bool, error) {
		resp := &pb.FinishApplicationMasterResponseProto{}
		err := m.call(ctx, "finishApplicationMaster", req, resp)
		return resp.GetIsUnregistered(), err
	})
}
