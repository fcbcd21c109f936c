package control

import (
	"sync"
	"time"
)

// attendance counts those who attend a job that is to end when nobody does.
type attendance struct {
	mu      sync.Mutex
	here    int       // guarded by mu
	last    time.Time // guarded by mu: when somebody was seen last
	stopped bool      // guarded by mu: it was deserted once
}

// begin gives those who attend the time that they have from now on.
func (a *attendance) begin(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = now
}

// come takes note of one who attends, until the function that it returns is called.
func (a *attendance) come() (leave func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.here++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.here--
		a.last = time.Now()
	}
}

// deserted reports, once, that nobody has attended for as long as most says. Late says that this
// process stood still, so that whoever wanted to come could not.
func (a *attendance) deserted(now time.Time, most time.Duration, late bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.here > 0 || late {
		a.last = now
	}
	if a.stopped || now.Sub(a.last) < most {
		return false
	}
	a.stopped = true
	return true
}
