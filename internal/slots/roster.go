package slots

import "time"

// Verdict is what becomes of an offer.
type Verdict string

// The verdicts.
const (
	Take   Verdict = "take"
	Wait   Verdict = "wait"   // somebody else still holds the slot
	Refuse Verdict = "refuse" // the executor has its share of slots already: another one is to be found
	All    Verdict = "all"    // all slots were there at one time, this one among them
	Over   Verdict = "over"   // the job needs no slots any more
)

// elsewhere is how long a lost slot is sought in an executor that has room. Then any will do: two
// nodes in one executor are better than none.
const elsewhere = time.Minute

// Roster knows who holds which slot of a job.
type Roster struct {
	want     int
	held     map[int]string    // by slot: the executor
	lost     map[int]time.Time // by slot that was held before and is not now: since when
	share    map[string]int    // by executor: how many slots Spark found in it when all were there first; nil: not all were yet
	finished bool
}

// NewRoster knows a job that wants so many slots.
func NewRoster(want int) *Roster {
	return &Roster{want: want, held: map[int]string{}, lost: map[int]time.Time{}}
}

// Offer decides on an offer, and takes note of one that is taken.
//
// As long as somebody holds a slot, nobody else gets it, whatever Spark thinks of a task: it may
// run a second copy of one that it finds slow. Who holds a slot and is gone falls silent.
func (r *Roster) Offer(o Offer, now time.Time) Verdict {
	switch _, taken := r.held[o.Slot]; {
	case r.finished || o.Slot < 0 || o.Slot >= r.want:
		return Over
	case taken:
		return Wait
	case !o.Held && r.full(o.Executor) && now.Sub(r.lost[o.Slot]) < elsewhere:
		return Refuse
	}
	r.held[o.Slot] = o.Executor
	delete(r.lost, o.Slot)
	if r.share == nil && len(r.held) == r.want {
		r.share = map[string]int{}
		for _, executor := range r.held { // any order: sums
			r.share[executor]++
		}
	}
	return Take
}

// full reports whether an executor has its share. One that came later has room for as many as any.
func (r *Roster) full(executor string) bool {
	if r.share == nil {
		return false // a task of Spark holds each slot until all are there: Spark has chosen a place that is free
	}
	share, known := r.share[executor]
	if !known {
		for _, n := range r.share { // any order: the most
			share = max(share, n)
		}
	}
	has := 0
	for _, other := range r.held { // any order: a sum
		if other == executor {
			has++
		}
	}
	return has >= share
}

// Leave takes note that nobody holds a slot any more. It reports whether another is to be found.
func (r *Roster) Leave(slot int, now time.Time) (lost bool) {
	delete(r.held, slot)
	r.lost[slot] = now
	return !r.finished
}

// All reports whether all slots were there at one time.
func (r *Roster) All() bool { return r.share != nil }

// Missing is how many slots nobody holds.
func (r *Roster) Missing() int { return r.want - len(r.held) }

// Finished reports whether Finish was called.
func (r *Roster) Finished() bool { return r.finished }

// Finish takes note that no slots are needed any more.
func (r *Roster) Finish() { r.finished = true }
