package membership

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestSetIsWhatAListOfBoolsIs(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, size := range []int{1, 63, 64, 65, 200} {
		s, want := newSet(size), make([]bool, size)
		for range 1000 {
			i, in := random.IntN(size), random.IntN(2) == 0
			s.put(i, in)
			want[i] = in
			lo := random.IntN(size + 1)
			hi := lo + random.IntN(size+1-lo)
			var all []int
			between := 0
			for i, in := range want {
				if in {
					all = append(all, i)
					if lo <= i && i < hi {
						between++
					}
				}
			}
			if got := slices.Collect(s.all()); !slices.Equal(got, all) || s.len() != len(all) {
				t.Fatalf("size %d: holds %v (%d), want %v", size, got, s.len(), all)
			}
			if got := s.between(lo, hi); got != between {
				t.Fatalf("size %d: %d between %d and %d, want %d of %v", size, got, lo, hi, between, all)
			}
		}
	}
}

func TestAlarmsRingOnceAndInOrder(t *testing.T) {
	begin := time.Unix(1000, 0)
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	a := newAlarms(4)
	if !a.next().IsZero() {
		t.Error("there is an alarm before one was set")
	}
	a.set(0, at(5))
	a.set(1, at(3))
	a.set(2, at(9))
	a.set(1, at(7)) // later than before
	a.set(2, at(1)) // sooner
	a.set(3, at(2))
	a.set(3, time.Time{}) // not any more
	if got := a.next(); !got.Equal(at(1)) {
		t.Errorf("the next is at %s, want %s", got, at(1))
	}
	var rung []int
	ring := func(place int) { rung = append(rung, place) }
	a.ring(at(6), ring)
	if want := []int{2, 0}; !slices.Equal(rung, want) {
		t.Errorf("%v rang, want %v", rung, want)
	}
	a.set(0, at(5)) // once more at the same time
	rung = nil
	a.ring(at(9), ring)
	if want := []int{0, 1}; !slices.Equal(rung, want) || !a.next().IsZero() {
		t.Errorf("%v rang, want %v, and none is left", rung, want)
	}
}
