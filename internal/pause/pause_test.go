package pause

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPausesGrowAndAreSpread(t *testing.T) {
	p := Growing(time.Second, 5*time.Second)
	seen := map[time.Duration]bool{}
	for range 2 {
		for i, about := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second} {
			if p.Taken() != i {
				t.Errorf("%d pauses were taken, want %d", p.Taken(), i)
			}
			d := p.Next()
			if d < about/2 || d > about*3/2 || seen[d] {
				t.Errorf("pause %d is %v, want about %v", i+1, d, about)
			}
			seen[d] = true
		}
		p.Reset()
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, reason := time.Now(), errors.New("no more")
		ctx, cancel := context.WithCancelCause(t.Context())
		if err := Growing(time.Hour, time.Hour).Wait(ctx); err != nil || time.Since(began) < time.Hour/2 {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		began = time.Now()
		time.AfterFunc(time.Minute, func() { cancel(reason) })
		if err := About(ctx, time.Hour); err != reason || time.Since(began) != time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if err := For(ctx, time.Hour); err != reason || time.Since(began) != time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}
