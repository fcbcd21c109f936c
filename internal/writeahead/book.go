// Package writeahead keeps the books of a journal: which steps of a state machine it has, and what
// was promised once it has more.
package writeahead

import "slices"

// Book is what the owner of a state machine knows of its journal. One write is under way at a time,
// and what changes meanwhile goes into the next one. A Book writes nothing. Its zero value is that
// of a machine that has not been stepped.
type Book[P any] struct {
	turn     int64 // the machine's newest step
	writing  int64 // the step that the write under way has; 0: none is
	safe     int64 // the newest step that the journal has
	failures int   // writes that failed in a row
	promises []promise[P]
}

type promise[P any] struct {
	turn int64
	what P
}

// Step counts a step of the machine, and returns its number: 1 is the first.
func (b *Book[P]) Step() int64 {
	b.turn++
	return b.turn
}

// Safe is the newest step that the journal has.
func (b *Book[P]) Safe() int64 { return b.safe }

// Due reports whether there is something to write, and nobody writes.
func (b *Book[P]) Due() bool { return b.writing == 0 && b.turn > b.safe }

// Write notes that a write of the machine as it is now begins.
func (b *Book[P]) Write() { b.writing = b.turn }

// Wrote notes that the write under way has ended. It reports whether a person is to hear of that:
// of the first failure in a row and of each sixtieth, and of the first success after one.
func (b *Book[P]) Wrote(err error) (news bool) {
	before := b.failures
	if err != nil {
		b.failures++
		b.writing = 0
		return before%60 == 0
	}
	b.failures, b.safe, b.writing = 0, b.writing, 0
	return before > 0
}

// Failures is how many writes have failed in a row.
func (b *Book[P]) Failures() int { return b.failures }

// Promise keeps what may be told once the journal has the newest step.
func (b *Book[P]) Promise(what P) { b.promises = append(b.promises, promise[P]{b.turn, what}) }

// Kept takes out what may be told now, the oldest first: what the journal has the step of, or
// everything.
func (b *Book[P]) Kept(all bool) []P {
	var out []P
	b.promises = slices.DeleteFunc(b.promises, func(p promise[P]) bool {
		if all || p.turn <= b.safe {
			out = append(out, p.what)
			return true
		}
		return false
	})
	return out
}

// Forget takes back the promises that gone says are wanted by nobody any more.
func (b *Book[P]) Forget(gone func(P) bool) {
	b.promises = slices.DeleteFunc(b.promises, func(p promise[P]) bool { return gone(p.what) })
}
