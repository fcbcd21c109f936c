package control

import (
	"testing"
	"time"
)

func TestAJobThatNobodyAttendsIsDeserted(t *testing.T) {
	var a attendance
	now := time.Now()
	a.begin(now)
	if a.deserted(now.Add(59*time.Second), time.Minute, false) {
		t.Error("before its time")
	}
	leave := a.come()
	if a.deserted(now.Add(time.Hour), time.Minute, false) {
		t.Error("while somebody is here")
	}
	leave()
	now = time.Now()
	if a.deserted(now.Add(2*time.Minute), time.Minute, true) {
		t.Error("when the master itself stood still")
	}
	now = now.Add(2 * time.Minute)
	if !a.deserted(now.Add(time.Minute), time.Minute, false) {
		t.Error("not after its time")
	}
	if a.deserted(now.Add(time.Hour), time.Minute, false) {
		t.Error("twice")
	}
}
