package sim

import (
	"container/heap"
	"time"
)

// clock is the world's time: what is to happen, in order. What is to happen at the same moment
// happens in the order in which it was planned.
type clock struct {
	now   time.Time
	count int
	queue queue
}

type happening struct {
	at    time.Time
	order int
	do    func()
}

func (c *clock) at(t time.Time, do func()) {
	c.count++
	heap.Push(&c.queue, happening{t, c.count, do})
}

// step lets the next thing happen; false: nothing is left to.
func (c *clock) step() bool {
	if len(c.queue) == 0 {
		return false
	}
	h := heap.Pop(&c.queue).(happening)
	c.now = h.at
	h.do()
	return true
}

type queue []happening

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].order < q[j].order
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(happening)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	h := (*q)[last]
	*q = (*q)[:last]
	return h
}
