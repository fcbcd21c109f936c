// Package enum pairs constants of ours with those of a protocol, so that neither has to have the
// other's numbers.
package enum

// Table says which constant of a protocol stands for which of ours. What another version added
// reads as zero.
type Table[Ours, Theirs comparable] struct {
	theirs map[Ours]Theirs
	ours   map[Theirs]Ours
}

// New makes a Table of pairs that have each constant once.
func New[Ours, Theirs comparable](theirs map[Ours]Theirs) Table[Ours, Theirs] {
	t := Table[Ours, Theirs]{theirs: theirs, ours: make(map[Theirs]Ours, len(theirs))}
	for o, w := range theirs { // any order: each constant is there once
		t.ours[w] = o
	}
	return t
}

// Theirs is the protocol's constant for one of ours; ok is false if it has none.
func (t Table[Ours, Theirs]) Theirs(o Ours) (theirs Theirs, ok bool) {
	theirs, ok = t.theirs[o]
	return theirs, ok
}

// Ours is our constant for one of the protocol; ok is false if we have none.
func (t Table[Ours, Theirs]) Ours(w Theirs) (ours Ours, ok bool) {
	ours, ok = t.ours[w]
	return ours, ok
}

// ToWire is Theirs as an optional field of a message holds it.
func (t Table[Ours, Theirs]) ToWire(o Ours) *Theirs {
	w := t.theirs[o]
	return &w
}

// FromWire is Ours, or zero.
func (t Table[Ours, Theirs]) FromWire(w Theirs) Ours { return t.ours[w] }
