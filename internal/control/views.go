package control

import (
	"context"
	"sync"
	"time"
)

// views gives the status document to those who watch it. It has one made when somebody looks, once
// for all who do, and a few times a second at most.
type views struct {
	document func(context.Context) ([]byte, error) // the document as it is now
	interval time.Duration                         // the least time between two
	making   chan struct{}                         // capacity 1: whoever has put something in has the document made
	made     time.Time                             // owned by whoever holds making: when the newest document was

	mu      sync.Mutex
	state   int           // guarded by mu: how often the job has changed
	changed chan struct{} // guarded by mu: closed at the next change
	view    []byte        // guarded by mu: the newest document; nil: none yet
	shows   int           // guarded by mu: the state that it shows
}

func newViews(document func(context.Context) ([]byte, error), interval time.Duration) *views {
	return &views{document: document, interval: interval, making: make(chan struct{}, 1), changed: make(chan struct{})}
}

// change says that the newest document is out of date.
func (v *views) change() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state++
	close(v.changed)
	v.changed = make(chan struct{})
}

// look is where the job stands now, and a channel that is closed when it stands elsewhere.
func (v *views) look() (state int, changed <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state, v.changed
}

// current is the newest document and the state that it shows, unless that is an older one than the
// job's.
func (v *views) current() (view []byte, shows int, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.view, v.shows, v.view != nil && v.shows == v.state
}

// newest has a document made if the newest is out of date. After done it waits for no interval.
func (v *views) newest(ctx context.Context, done <-chan struct{}) (view []byte, shows int, err error) {
	select {
	case v.making <- struct{}{}:
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	defer func() { <-v.making }()
	if view, shows, ok := v.current(); ok {
		return view, shows, nil
	}
	pause := time.NewTimer(v.interval - time.Since(v.made))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-done:
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	state, _ := v.look()
	if view, err = v.document(ctx); err != nil {
		return nil, 0, err
	}
	v.made = time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.view, v.shows = view, state
	return view, state, nil
}

// watch sends the current document and newer ones, leaving out those that follow too fast, but
// never the last before done.
func (v *views) watch(ctx context.Context, done <-chan struct{}, send func([]byte) error) error {
	for sent, ending := -1, false; ; {
		state, changed := v.look()
		if state != sent {
			view, shows, err := v.newest(ctx, done)
			if err != nil {
				return err
			}
			if err := send(view); err != nil {
				return err
			}
			sent = shows
			continue
		}
		if ending {
			return nil
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
