package am

import (
	"math"
	"testing"
	"time"
)

func TestMeter(t *testing.T) {
	at := func(seconds float64) time.Time {
		return time.Unix(1000, 0).Add(time.Duration(seconds * float64(time.Second)))
	}
	var m meter
	if got := m.rate(at(5)); got != 0 {
		t.Errorf("rate without a step: %v", got)
	}
	for i := range 60 {
		m = m.step(at(float64(i)), int64(5*i))
	}
	if got := m.rate(at(59)); math.Abs(got-5) > 0.1 {
		t.Errorf("five steps a second: %v", got)
	}
	for i := range 60 { // it becomes faster
		m = m.step(at(float64(60+i)), int64(300+50*i))
	}
	if got := m.rate(at(119)); math.Abs(got-50) > 1 {
		t.Errorf("fifty steps a second: %v", got)
	}
	if got := m.rate(at(1000)); got > 1.5 {
		t.Errorf("a quarter of an hour after the last step: %v", got)
	}
	m = m.step(at(1000), 0) // from a checkpoint
	if got := m.rate(at(1001)); got != 0 {
		t.Errorf("just begun again: %v", got)
	}
}
