package am

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tfos/internal/pause"
	"tfos/internal/yarn"
)

// How often the ResourceManager hears from us: often while containers are awaited, since a grant is
// handed out only in answer to a heartbeat.
const (
	beatSoon = 10 * time.Millisecond
	beatBusy = 100 * time.Millisecond
	beatIdle = time.Second
	// silentBeats is how many heartbeats in a row have to fail for people to be told: with the
	// pauses between, some six seconds.
	silentBeats = 6
	// beatTimeout bounds one call. The ResourceManager waits ten minutes or more for a master, so
	// one lost call is nothing.
	beatTimeout = 30 * time.Second
	// unheard is after how long without the ResourceManager a master looks whether it was replaced,
	// and again.
	unheard = 30 * time.Second
)

// beat is what came of one heartbeat.
type beat struct {
	response yarn.AllocateResponse
	err      error
	// registered says that the ResourceManager did not know this master and now does: it remembers
	// nothing that was asked. The containers are those that it found alive.
	registered bool
	kept       []yarn.Container
}

// heart carries the owner's requests to the ResourceManager, one at a time, and registers again
// with one that restarted. It decides nothing.
type heart struct {
	rm       ResourceManager
	register func(context.Context) (yarn.Registered, error)
	replaced func(context.Context) bool // another attempt has announced itself

	heard time.Time // when a call last worked
	asked time.Time // when replaced was

	next  chan yarn.AllocateRequest // capacity 1: the owner sends one when the one before was answered
	beats chan beat                 // capacity 1
}

func newHeart(rm ResourceManager, register func(context.Context) (yarn.Registered, error), replaced func(context.Context) bool) *heart {
	return &heart{rm: rm, register: register, replaced: replaced, heard: time.Now(), next: make(chan yarn.AllocateRequest, 1), beats: make(chan beat, 1)}
}

// run calls until ctx ends. A call that failed is reported, not repeated: the owner's ledger makes
// the same request again.
func (h *heart) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case req := <-h.next:
			h.beats <- h.beat(ctx, req)
		}
	}
}

func (h *heart) beat(ctx context.Context, req yarn.AllocateRequest) beat {
	call, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	resp, err := h.rm.Allocate(call, req)
	if err == nil || errors.Is(err, yarn.ErrNotRegistered) {
		h.heard = time.Now()
	} else if now := time.Now(); now.Sub(h.heard) > unheard && now.Sub(h.asked) > unheard {
		// Perhaps it is only we that cannot reach it. It gives up on a master that it does not
		// hear, and agents that stay with us cannot report to the next one.
		h.asked = now
		if h.replaced(ctx) {
			err = fmt.Errorf("%w: another one has announced itself, and the ResourceManager cannot be reached: %w", yarn.ErrAttemptGone, err)
		}
	}
	if !errors.Is(err, yarn.ErrNotRegistered) {
		return beat{response: resp, err: err}
	}
	r, err := h.register(ctx)
	return beat{err: err, registered: err == nil, kept: r.Kept}
}

// rests are the pauses between calls that fail: up to some five seconds.
func rests() *pause.Pauses { return pause.Growing(2*beatBusy, 4*time.Second) }
