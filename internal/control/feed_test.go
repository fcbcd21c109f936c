package control_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"tfos/internal/control"
)

// echo is a feed that stands as it was ordered.
type echo struct{ orders chan control.FeedOrder }

func (e echo) Order(o control.FeedOrder) { e.orders <- o }

func (e echo) Feed(ctx context.Context, show func(control.FeedState) error) error {
	s := control.FeedState{Port: 5, Live: true, Outlook: "open", Why: "\xff"}
	for {
		if err := show(s); err != nil {
			return err
		}
		select {
		case o := <-e.orders:
			s = control.FeedState{Reader: o.Reader, Rows: o.Rows, Ended: o.Final && slices.Equal(o.Ended, []string{"input", "output"})}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// TestADriverOrdersAndHearsHowTheFeedStands: in one call, each when it has something to say.
func TestADriverOrdersAndHearsHowTheFeedStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		address := w.serveAgent(new(logSource), echo{make(chan control.FeedOrder)})
		c, err := control.DialAgent(address, w.issue(control.Subject{Party: control.PartyClient}), w.net.Host("laptop").Dial)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		orders, heard := make(chan control.FeedOrder), make(chan control.FeedState)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- c.Feed(ctx, func(ctx context.Context) (control.FeedOrder, error) {
				select {
				case o := <-orders:
					return o, nil
				case <-ctx.Done():
					return control.FeedOrder{}, ctx.Err()
				}
			}, func(s control.FeedState) error {
				heard <- s
				return nil
			})
		}()
		if s := <-heard; s != (control.FeedState{Port: 5, Live: true, Outlook: "open", Why: "\uFFFD"}) {
			t.Errorf("at first: %+v", s)
		}
		for n := range 3 {
			orders <- control.FeedOrder{Ended: []string{"input", "output"}, Reader: n, Rows: 1 << 40, Final: true}
			if s := <-heard; s != (control.FeedState{Reader: n, Rows: 1 << 40, Ended: true}) {
				t.Errorf("after order %d: %+v", n, s)
			}
		}
		cancel()
		if err := <-ended; err == nil {
			t.Error("it ended without a cause")
		}
		stranger, err := control.DialAgent(address, w.issue(control.Subject{Party: control.PartyFeeder}), w.net.Host("laptop").Dial)
		if err != nil {
			t.Fatal(err)
		}
		defer stranger.Close()
		never := func(ctx context.Context) (control.FeedOrder, error) {
			<-ctx.Done()
			return control.FeedOrder{}, ctx.Err()
		}
		if err := stranger.Feed(t.Context(), never, func(control.FeedState) error { return nil }); err == nil {
			t.Error("a feeder may watch")
		}
	})
}
