package membership

import (
	"container/heap"
	"iter"
	"math/bits"
	"time"
)

// set is a set of places in the list of tasks. To put one in or out costs nothing that grows with
// the job, and to go through them in order costs a step for each 64 tasks: 160 for 10,000.
type set struct {
	words []uint64
	n     int
}

func newSet(size int) set { return set{words: make([]uint64, (size+63)/64)} }

func (s *set) put(i int, in bool) {
	if s.has(i) == in {
		return
	}
	s.words[i/64] ^= 1 << (i % 64)
	if in {
		s.n++
	} else {
		s.n--
	}
}

func (s *set) has(i int) bool { return s.words[i/64]&(1<<(i%64)) != 0 }

func (s *set) len() int { return s.n }

// next is the first place from i on; -1: there is none.
func (s *set) next(i int) int {
	if s.n == 0 {
		return -1
	}
	for w := i / 64; w < len(s.words); w++ {
		word := s.words[w]
		if w == i/64 {
			word &= ^uint64(0) << (i % 64)
		}
		if word != 0 {
			return w*64 + bits.TrailingZeros64(word)
		}
	}
	return -1
}

// all are the places, in order. One that is put in or out meanwhile may be seen or not.
func (s *set) all() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := s.next(0); i >= 0 && yield(i); i = s.next(i + 1) {
		}
	}
}

// between counts the places from lo to below hi.
func (s *set) between(lo, hi int) int {
	if s.n == 0 {
		return 0
	}
	n := 0
	for w := lo / 64; w*64 < hi; w++ {
		word := s.words[w]
		if w == lo/64 {
			word &= ^uint64(0) << (lo % 64)
		}
		if rest := hi - w*64; rest < 64 {
			word &= 1<<rest - 1
		}
		n += bits.OnesCount64(word)
	}
	return n
}

// alarms are the times at which tasks want a look, the next one first. Each task has one at most.
type alarms struct {
	of    []time.Time // by place; zero: it has none
	queue alarmQueue  // some are outdated, and count no more
}

type alarm struct {
	at    time.Time
	place int
}

func newAlarms(size int) alarms { return alarms{of: make([]time.Time, size)} }

// set gives a task another time, in the place of the one that it had.
func (a *alarms) set(place int, at time.Time) {
	if a.of[place].Equal(at) {
		return
	}
	if a.of[place] = at; !at.IsZero() {
		heap.Push(&a.queue, alarm{at, place})
	}
}

// next is the earliest; zero: there is none.
func (a *alarms) next() time.Time {
	for len(a.queue) > 0 {
		if first := a.queue[0]; a.of[first.place].Equal(first.at) {
			return first.at
		}
		heap.Pop(&a.queue)
	}
	return time.Time{}
}

// ring takes out the tasks whose time has come. They have no alarm until they are given one.
func (a *alarms) ring(now time.Time, task func(place int)) {
	for at := a.next(); !at.IsZero() && !now.Before(at); at = a.next() {
		place := heap.Pop(&a.queue).(alarm).place
		a.of[place] = time.Time{}
		task(place)
	}
}

// alarmQueue is a heap.
type alarmQueue []alarm

func (q alarmQueue) Len() int           { return len(q) }
func (q alarmQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q alarmQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *alarmQueue) Push(x any)        { *q = append(*q, x.(alarm)) }
func (q *alarmQueue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}
