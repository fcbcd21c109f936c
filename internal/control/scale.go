package control

import (
	"context"
	"fmt"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tfos/internal/control/controlpb"
)

// ScaleWish is a client's wish for another number of a role's tasks.
type ScaleWish struct {
	Role               string
	Count              int
	RestartCoordinator bool   // have it start again in place once the new tasks are there
	VCores             string // why the cluster can never hold it if its scheduler counts vcores, which the master knows
}

// ScaleAnswer is what became of a ScaleWish.
type ScaleAnswer struct {
	Was     int    // how many tasks the role had
	Refused string // why not; empty: it is done, the tasks come and go as they can
	Usage   bool   // refused for any job of this kind, rather than for what this one is doing
}

// Scale passes a client's wish on.
func (ms masterService) Scale(ctx context.Context, r *controlpb.ScaleRequest) (*controlpb.ScaleResponse, error) {
	if _, err := admit(ctx, PartyClient); err != nil {
		ms.m.o.Logger.Warn("caller turned away", zap.Error(err))
		return nil, err
	}
	a, err := ms.m.o.Handler.Scale(ctx, ScaleWish{Role: r.GetRole(), Count: int(r.GetCount()), RestartCoordinator: r.GetRestartCoordinator(), VCores: r.GetVcores()})
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return &controlpb.ScaleResponse{Was: int32(a.Was), Refused: valid(a.Refused), Usage: a.Usage}, nil
}

// Scale asks the master for another number of tasks of a role. It returns when the master has
// decided.
func (c *MasterClient) Scale(ctx context.Context, w ScaleWish) (ScaleAnswer, error) {
	r, err := c.rpc.Scale(ctx, &controlpb.ScaleRequest{Role: valid(w.Role), Count: int32(w.Count), RestartCoordinator: w.RestartCoordinator, Vcores: valid(w.VCores)})
	if err != nil {
		return ScaleAnswer{}, fmt.Errorf("scale the job: %w", foreign(err))
	}
	return ScaleAnswer{Was: int(r.GetWas()), Refused: r.GetRefused(), Usage: r.GetUsage()}, nil
}
