package unit

import (
	"path"
	"slices"
	"strings"
	"time"

	"tfos/internal/checkpoint"
)

const (
	// still is how often a unit must be seen in the same state: its writer may be between two files
	// of it.
	still = 2
	// behind is how many newer ones of its series wait when one is passed over: copying does not
	// keep up.
	behind = 2
	// restless is how many scans in a row something must be another in to be too often written.
	restless = 3
	// logPause is the least time between two copies of a log, which always grows.
	logPause = time.Minute
)

// Tracker remembers what of a directory was copied, and decides what is next. It is not safe for
// concurrent use.
type Tracker struct {
	units map[string]*tracked // by key
	order []string            // keys of those that are here, as Of has them
}

type tracked struct {
	unit    Unit
	state   string            // of unit
	scans   int               // in which it was like that; 0: it is not here
	changes int               // scans in a row in which it was another
	gone    int               // scans in which it was not here
	files   []checkpoint.File // as they were copied
	closed  string            // state in which nobody had it open for writing; empty: none
	copied  string            // state that was copied; empty: none
	at      time.Time         // when
	refused string            // state that is not whole
}

// NewTracker makes a Tracker that knows of nothing.
func NewTracker() *Tracker { return &Tracker{units: map[string]*tracked{}} }

// Scan takes in what is here now.
func (t *Tracker) Scan(units []Unit) {
	t.order = t.order[:0]
	here := map[string]bool{}
	part := map[string]bool{} // files of known checkpoints
	for _, u := range units {
		t.order = append(t.order, u.key())
		here[u.key()] = true
		for _, f := range u.Files {
			part[f.Name] = part[f.Name] || u.Known != nil
		}
		k := t.units[u.key()]
		if k == nil {
			k = &tracked{}
			t.units[u.key()] = k
		}
		if state := u.state(); state != k.state || k.scans == 0 {
			k.state, k.scans = state, 0
			k.changes++
		} else {
			k.changes = 0
		}
		k.unit, k.gone = u, 0
		k.scans++
	}
	for key, k := range t.units {
		if here[key] {
			continue
		}
		k.scans = 0
		k.gone++
		// What became a part of a checkpoint, a shard whose index has come, is not gone.
		k.files = slices.DeleteFunc(slices.Clone(k.files), func(f checkpoint.File) bool { return part[f.Name] })
		if k.copied == "" || len(k.files) == 0 {
			delete(t.units, key)
		}
	}
}

// Copy is what is to be done for a unit.
type Copy struct {
	Unit    Unit
	Changed []checkpoint.File // in the order in which they are to appear
	Stale   []string          // files of it that are no longer here
}

// Bytes is the size of what is to be copied.
func (c Copy) Bytes() int64 { return bytes(c.Changed) }

// Restless reports whether something is written so often that it is another in each scan: it is
// never still for long.
func (t *Tracker) Restless() bool {
	for _, key := range t.order {
		if k := t.units[key]; k.changes >= restless && !isLog(k.unit) {
			return true
		}
	}
	return false
}

// Life is how the program that writes the units is.
type Life int

// The ways.
const (
	Runs   Life = iota // it may be writing
	Ended              // it ended of its own will: what is here is as it is to be
	CutOff             // it was killed or failed: what it wrote last may be half of it
)

// Next is what is to be copied now; false: nothing. leaveOut names units that cannot be copied now.
// Once the program has ended the newest is copied first.
func (t *Tracker) Next(now time.Time, life Life, leaveOut func(name string) bool) (Copy, bool) {
	waiting := t.Waiting(life)
	if life == Runs {
		slices.Reverse(waiting) // the oldest first
		slices.SortStableFunc(waiting, byUrgency)
	}
	for i, u := range waiting {
		newer := 0
		for j, v := range waiting {
			if v.Known != nil && v.series() == u.series() && (j > i) == (life == Runs) && j != i {
				newer++
			}
		}
		k := t.units[u.key()]
		switch {
		case leaveOut(u.Name), newer >= behind:
		case life == Runs && isLog(u) && k.copied != "" && now.Sub(k.at) < logPause:
		default:
			return t.copy(k), true
		}
	}
	return Copy{}, false
}

// Waiting lists what is complete here and not elsewhere: checkpoints that tfos knows, the newest
// first, then others, then logs. A checkpoint of which there is a newer one elsewhere does not wait
// any more: it would seem to be the newest there.
func (t *Tracker) Waiting(life Life) []Unit {
	var units []Unit
	done := map[string]bool{} // series
	for _, key := range slices.Backward(t.order) {
		k := t.units[key]
		complete := life == Ended || life == CutOff && k.unit.Known != nil || k.closed == k.state
		series := k.unit.series()
		switch {
		case k.copied == k.state:
			done[series] = true
		case complete && k.state != k.refused && !done[series]:
			units = append(units, k.unit)
		}
	}
	slices.SortStableFunc(units, byUrgency)
	return units
}

// byUrgency puts checkpoints first and logs last.
func byUrgency(a, b Unit) int { return urgency(a) - urgency(b) }

func urgency(u Unit) int {
	switch {
	case u.Known != nil:
		return 0
	case isLog(u):
		return 2
	}
	return 1
}

// Doubtful lists what is not copied because the program may have been cut off while it wrote it.
func (t *Tracker) Doubtful() []Unit {
	var units []Unit
	for _, key := range t.order {
		if k := t.units[key]; k.unit.Known == nil && k.closed != k.state && k.state != k.copied {
			units = append(units, k.unit)
		}
	}
	return units
}

// Still lists what has not changed for a while and is not copied: if nobody has its files open for
// writing it is complete, which Closed is to say.
func (t *Tracker) Still() []Unit {
	var units []Unit
	for _, key := range t.order {
		if k := t.units[key]; k.scans >= still && k.closed != k.state && k.state != k.copied {
			units = append(units, k.unit)
		}
	}
	return units
}

// Closed notes that nobody has a unit's files open for writing.
func (t *Tracker) Closed(u Unit) {
	if k := t.units[u.key()]; k != nil {
		k.closed = u.state()
	}
}

func (t *Tracker) copy(k *tracked) Copy {
	c := Copy{Unit: k.unit}
	for _, f := range k.unit.Files {
		if k.unit.Known != nil || !slices.Contains(k.files, f) {
			c.Changed = append(c.Changed, f)
		}
	}
	for _, f := range k.files {
		if !slices.ContainsFunc(k.unit.Files, func(g checkpoint.File) bool { return g.Name == f.Name }) {
			c.Stale = append(c.Stale, f.Name)
		}
	}
	return c
}

// Copied notes that a unit is elsewhere as it is here.
func (t *Tracker) Copied(now time.Time, u Unit) {
	k := t.units[u.key()]
	if k == nil {
		k = &tracked{unit: u}
		t.units[u.key()] = k
	}
	k.copied, k.files, k.at = u.state(), u.Files, now
}

// Refuse notes that a unit is not whole. It is looked at again when it changes.
func (t *Tracker) Refuse(u Unit) {
	if k := t.units[u.key()]; k != nil {
		k.refused = u.state()
	}
}

// Deleted lists units of unknown kinds that the program has deleted, by name.
func (t *Tracker) Deleted(life Life) []Copy {
	var deleted []Copy
	for _, k := range t.units {
		if k.unit.Known != nil || k.gone == 0 || life == Runs && k.gone < still {
			continue
		}
		c := Copy{Unit: k.unit}
		for _, f := range k.files {
			c.Stale = append(c.Stale, f.Name)
		}
		deleted = append(deleted, c)
	}
	slices.SortFunc(deleted, func(a, b Copy) int { return strings.Compare(a.Unit.Name, b.Unit.Name) })
	return deleted
}

// Forget notes that a deleted unit is gone elsewhere too.
func (t *Tracker) Forget(u Unit) {
	if k := t.units[u.key()]; k != nil && k.scans == 0 {
		delete(t.units, u.key())
	}
}

// Has reports whether a known checkpoint was copied.
func (t *Tracker) Has(name string) bool {
	for _, k := range t.units {
		if k.unit.Known != nil && k.unit.Name == name && k.copied != "" {
			return true
		}
	}
	return false
}

// isLog reports whether a unit is what TensorBoard reads.
func isLog(u Unit) bool {
	return u.Known == nil && slices.ContainsFunc(u.Files, func(f checkpoint.File) bool { return strings.Contains(path.Base(f.Name), ".tfevents.") })
}
