package control

import (
	"context"
	"sync"
	"time"
)

// views holds the newest status document and wakes whoever watches it.
type views struct {
	mu      sync.Mutex
	view    []byte        // guarded by mu; nil: none yet
	changed chan struct{} // guarded by mu: closed at the next change
}

func newViews() *views { return &views{changed: make(chan struct{})} }

func (v *views) publish(view []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.view = view
	close(v.changed)
	v.changed = make(chan struct{})
}

func (v *views) current() ([]byte, <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.view, v.changed
}

// watch sends the current view and each newer one, leaving out those that follow too fast, but never the last before done.
func (v *views) watch(ctx context.Context, done <-chan struct{}, interval time.Duration, send func([]byte) error) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	var sent <-chan struct{} // the changed channel of the view that was sent last
	for ending := false; ; {
		view, changed := v.current()
		if view != nil && changed != sent {
			if err := send(view); err != nil {
				return err
			}
			sent = changed
		}
		if ending {
			return nil
		}
		pause.Reset(interval)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-done:
			ending = true
			continue
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-done:
			ending = true
		case <-changed:
		}
	}
}
