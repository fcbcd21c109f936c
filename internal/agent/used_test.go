package agent

import (
	"testing"
	"time"

	"tfos/internal/supervise"
)

func TestUsed(t *testing.T) {
	at, looks := time.Unix(1000, 0), 0
	var u used
	after := func(d time.Duration, is supervise.Usage) used {
		at = at.Add(d)
		u = u.look(at, func() supervise.Usage { looks++; return is })
		return u
	}
	if u := after(0, supervise.Usage{Memory: 1, CPU: time.Second}); u.memory != 1<<20 || u.cpu != 0 {
		t.Errorf("the first look: %+v", u)
	}
	if after(time.Second, supervise.Usage{}); looks != 1 {
		t.Error("looked again after a second")
	}
	if u := after(9*time.Second, supervise.Usage{Memory: 3<<20 + 1, CPU: 16 * time.Second}); u.memory != 4<<20 || u.cpu != 1.5 {
		t.Errorf("15 s of CPU in 10 s: %+v", u)
	}
	before := u
	if u := after(10*time.Second, supervise.Usage{Memory: 3<<20 + 4096, CPU: 31*time.Second + 10*time.Millisecond}); u.memory != before.memory || u.cpu != before.cpu {
		t.Errorf("about the same is news: %+v", u)
	}
	if u := after(10*time.Second, supervise.Usage{CPU: time.Second}); u.cpu != 0 || u.memory != 0 {
		t.Errorf("a child has ended: %+v", u)
	}
}
