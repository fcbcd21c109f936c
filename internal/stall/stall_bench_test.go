package stall

import (
	"testing"
	"time"

	"tfos/internal/job"
)

// BenchmarkStep is a step of one of a thousand tasks that train apart, and the look after it.
func BenchmarkStep(b *testing.B) {
	w := begin(Rules{After: 10, Least: time.Minute, Apart: true})
	step := int64(0)
	for b.Loop() {
		step++
		w.now = w.now.Add(time.Millisecond)
		w.Step(w.now, job.Task{Role: "worker", Index: int(step % 1000)}, step, 0)
		w.Check(w.now)
		w.Next()
	}
}
