package am

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"go.uber.org/zap"

	"tfos/internal/membership"
	"tfos/internal/yarn"
)

const (
	// registerTimeout bounds a registration. The ResourceManager was there, it has just started us,
	// or answered a heartbeat.
	registerTimeout = 2 * time.Minute
	// finishTimeout bounds how long a ResourceManager may be away when the job has ended.
	// Afterwards this attempt fails, and the next one tells the result, which the journal has.
	finishTimeout = 15 * time.Minute
)

// register makes this attempt known. An answer may be lost with a ResourceManager that goes away:
// then the next one says that the attempt is registered already, and that is all that it says.
func (m *Master) register(ctx context.Context, address string) (yarn.Registered, error) {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return yarn.Registered{}, err
	}
	port, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return yarn.Registered{}, fmt.Errorf("register with the ResourceManager: port of %s: %w", address, err)
	}
	for pauses := rests(); ; {
		r, err := m.o.RM.Register(ctx, yarn.Registration{Host: host, Port: int32(port), TrackingURL: m.trackingURL()})
		switch {
		case err == nil:
			m.o.Nodes.SetTokens(r.NMTokens...)
			m.log.Info("registered", zap.String("queue", r.Queue), zap.Stringer("largest_container", r.Max), zap.String("address", address), zap.Int("kept", len(r.Kept)))
			return r, nil
		case errors.Is(err, yarn.ErrOutOfStep):
			m.log.Warn("registered already: an answer was lost", zap.Error(err))
			return yarn.Registered{}, nil
		case hopeless(err) || pauses.Wait(ctx) != nil:
			return yarn.Registered{}, fmt.Errorf("register with the ResourceManager: %w", err)
		}
	}
}

// unregister tells YARN how the job ended.
func (m *Master) unregister(ctx context.Context, address string, r membership.Result) error {
	ctx, cancel := context.WithTimeout(ctx, finishTimeout)
	defer cancel()
	for pauses := rests(); ; {
		err := m.o.RM.Finish(ctx, finalStatus(r), r.Diagnostics, m.finalURL())
		if errors.Is(err, yarn.ErrNotRegistered) { // it has restarted since the last heartbeat
			_, err = m.register(ctx, address)
			if err == nil {
				continue
			}
		}
		if err == nil || hopeless(err) || pauses.Wait(ctx) != nil {
			return err
		}
		if pauses.Taken() == 1 {
			m.log.Warn("the ResourceManager does not take the result, trying again", zap.Error(err))
		}
	}
}

// hopeless reports whether the ResourceManager would answer a further call alike.
func hopeless(err error) bool {
	return errors.Is(err, yarn.ErrAttemptGone) || errors.Is(err, yarn.ErrUnauthorized)
}
