package am

import "time"

// meter measures how fast one process takes its steps.
type meter struct {
	at       time.Time // of the newest step
	newest   int64
	previous time.Time // of the step that the rate is measured from
	from     int64
}

// meterSpan is the time that a rate is measured over, at least: reports come a second apart, and a
// program prints every hundredth step, say.
const meterSpan = 10 * time.Second

// step takes in a step. One that is lower than the one before begins anew.
func (m meter) step(now time.Time, step int64) meter {
	switch {
	case m.at.IsZero() || step < m.newest:
		return meter{at: now, newest: step, previous: now, from: step}
	case step == m.newest:
		return m
	case now.Sub(m.previous) > 2*meterSpan && m.at.After(m.previous):
		m.previous, m.from = m.at, m.newest
	}
	m.at, m.newest = now, step
	return m
}

// rate is steps a second; 0: not known. It falls while no step comes.
func (m meter) rate(now time.Time) float64 {
	span := max(m.at.Sub(m.previous), now.Sub(m.previous)-meterSpan)
	if span < time.Second {
		return 0
	}
	return float64(m.newest-m.from) / span.Seconds()
}
