package am

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestTheWallClockIsSet: somebody sets the node's clock while the owner waits for something. It
// waits for as long as it would have.
func TestTheWallClockIsSet(t *testing.T) {
	const (
		when = 10 * time.Second
		text = "command: train\nroles: {worker: {instances: 2}}\nstrategy: none\n"
	)
	for name, by := range map[string]time.Duration{"forward": time.Hour, "back": -time.Hour} {
		t.Run("gang "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, map[string]program{"worker": after(time.Minute, 0)})
				w.limit = 1
				time.AfterFunc(when, func() { w.setClock(by) })
				time.AfterFunc(when+2*time.Second, func() { w.mayLive(0) })
				began := time.Now()
				w.succeeded(t, text)
				if took := time.Since(began); len(w.released) > 0 || took > 10*time.Minute {
					t.Errorf("after %s, containers released before the gang was whole: %v", took, w.released)
				}
			})
		})
		t.Run("pause "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := plan{"worker/0#1": after(time.Minute, 0), "worker/1#1": after(when, 1), "worker/1#2": after(when, 1), "worker/1#3": after(when, 0)}
				w := newWorld(t, p.programs())
				time.AfterFunc(2*when+500*time.Millisecond, func() { w.setClock(by) }) // in the pause after the second failure
				v := w.succeeded(t, text)
				if len(v.Restarts) != 2 || v.Restarts[1].Seconds < 0.7 || v.Restarts[1].Seconds > 2 {
					t.Errorf("want a pause of about a second before the second restart: %+v", v.Restarts)
				}
			})
		})
		t.Run("takeover "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, map[string]program{"worker": after(time.Minute, 0)})
				time.AfterFunc(3*when, func() { w.kill(); w.setClock(by) })
				v := w.succeeded(t, text)
				if len(v.Takeovers) != 1 || v.Takeovers[0].Before(*v.Tasks[0].Started) || v.Finished.Before(v.Takeovers[0]) {
					t.Errorf("time went back: started at %s, took over at %s, finished at %s", v.Tasks[0].Started, v.Takeovers, v.Finished)
				}
			})
		})
	}
}

// setClock moves the clock of the masters' node.
func (w *world) setClock(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clockOff += by
}

// wall is that clock.
func (w *world) wall() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.clockOff)
}

// mayLive changes how many containers may live; 0: any number.
func (w *world) mayLive(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limit = n
}
