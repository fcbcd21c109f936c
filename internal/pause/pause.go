// Package pause lets time pass between two attempts at something.
//
// Whoever tries again takes growing pauses, so that what is down is not kept down, spread at
// random, so that a thousand who lost the same service do not return in step. The library backoff
// reckons how long they are.
package pause

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// For waits for d, or until ctx ends; then it returns ctx's cause.
func For(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// spread is how far a pause may be from the one that is reckoned, as a part of it.
const spread = 0.5

// About waits for about d: for half to one and a half as long. It returns as For does.
func About(ctx context.Context, d time.Duration) error {
	return Growing(d, d).Wait(ctx)
}

// Pauses are each twice as long as the one before. One goroutine uses them.
type Pauses struct {
	reckoned backoff.ExponentialBackOff
	taken    int
}

// Growing makes Pauses of about first, and in the end of about longest; each is half to one and a
// half as long.
func Growing(first, longest time.Duration) *Pauses {
	return &Pauses{reckoned: backoff.ExponentialBackOff{InitialInterval: first, MaxInterval: longest, Multiplier: 2, RandomizationFactor: spread}}
}

// Next is how long the next pause is, for who waits for something else too.
func (p *Pauses) Next() time.Duration {
	p.taken++
	return p.reckoned.NextBackOff()
}

// Wait takes the next pause. It returns as For does.
func (p *Pauses) Wait(ctx context.Context) error { return For(ctx, p.Next()) }

// Taken is how many pauses there were since Reset: 0 at the first failure of a row, of which
// somebody may want to hear.
func (p *Pauses) Taken() int { return p.taken }

// Reset begins again with the first pause, after something worked.
func (p *Pauses) Reset() {
	p.reckoned.Reset()
	p.taken = 0
}
