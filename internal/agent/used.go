package agent

import (
	"math"
	"time"

	"tfos/internal/supervise"
)

// used is what a program used lately.
type used struct {
	memory int64   // bytes; 0: not known
	cpu    float64 // processors

	at    time.Time // of the look
	total time.Duration
}

// usedEvery is how often a program's processes are looked at.
const usedEvery = 5 * time.Second

// What is reported is rounded, so that a program which rests is no news.
const (
	memoryStep = 1 << 20
	cpuStep    = 0.05
)

// look looks again if it is time.
func (u used) look(now time.Time, usage func() supervise.Usage) used {
	elapsed := now.Sub(u.at)
	if elapsed < usedEvery {
		return u
	}
	is := usage()
	next := used{at: now, total: is.CPU, memory: (is.Memory + memoryStep - 1) / memoryStep * memoryStep}
	if !u.at.IsZero() && is.CPU > u.total { // it is less when a child has ended and its parent does not wait for it
		next.cpu = math.Round((is.CPU-u.total).Seconds()/elapsed.Seconds()/cpuStep) * cpuStep
	}
	return next
}
