package am

import (
	"context"
	"time"

	"tfos/internal/yarn"
)

// timed is a ResourceManager whose calls are measured.
type timed struct {
	rm     ResourceManager
	called func(method string, took time.Duration, err error)
}

func (t timed) Register(ctx context.Context, r yarn.Registration) (yarn.Registered, error) {
	begun := time.Now()
	out, err := t.rm.Register(ctx, r)
	t.called("register", time.Since(begun), err)
	return out, err
}

func (t timed) Allocate(ctx context.Context, r yarn.AllocateRequest) (yarn.AllocateResponse, error) {
	begun := time.Now()
	out, err := t.rm.Allocate(ctx, r)
	t.called("allocate", time.Since(begun), err)
	return out, err
}

func (t timed) Finish(ctx context.Context, final yarn.FinalStatus, diagnostics, trackingURL string) error {
	begun := time.Now()
	err := t.rm.Finish(ctx, final, diagnostics, trackingURL)
	t.called("finish", time.Since(begun), err)
	return err
}
