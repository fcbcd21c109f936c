package checkpoint

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"time"
)

// Policy says which checkpoints of a series stay. A series is those whose names differ in their
// number only.
type Policy struct {
	Keep int // the newest so many; 0: all
	// KeepEvery keeps, of those that are older, the first and then each that is at least so much
	// newer than the one kept before; 0: none.
	KeepEvery time.Duration
}

// String is the policy as a person says it.
func (p Policy) String() string {
	switch {
	case p.Keep == 0:
		return "keep all"
	case p.KeepEvery == 0:
		return fmt.Sprintf("keep %d", p.Keep)
	}
	return fmt.Sprintf("keep %d, and one every %s", p.Keep, p.KeepEvery)
}

// Series groups the checkpoints that retention is about, each series with the oldest first: those
// that have a number in their name. What is exported for good (a SavedModel) or overwritten in
// place (latest.weights.h5) is in none.
func Series(l Listing) [][]Checkpoint {
	var series [][]Checkpoint
	at := map[string]int{}
	for _, c := range l.Checkpoints {
		if c.Format == SavedModel || number(c.Name, c.Format) == Unknown {
			continue
		}
		key := c.Series()
		i, ok := at[key]
		if !ok {
			i = len(series)
			at[key] = i
			series = append(series, nil)
		}
		series[i] = append(series[i], c)
	}
	return series
}

// Series is the same for checkpoints of one format whose names differ in a number only.
func (c Checkpoint) Series() string {
	return string(c.Format) + " " + path.Join(path.Dir(c.Name), digits.ReplaceAllString(path.Base(c.Name), "#"))
}

var digits = regexp.MustCompile(`\d+`)

// Superfluous lists the checkpoints of a series that a policy lets go, the oldest first. verdicts
// are by name, for those that were verified; the newest whole one must be among them, or nothing
// may go. pinned ones, which someone reads or will read, stay.
//
// What is newer than the newest whole one stays too: it may be being written, or tell what went
// wrong. What is known to be broken counts for nothing, and goes when it is older than all that
// count. What cannot be judged counts for nothing either, and stays.
func (p Policy) Superfluous(series []Checkpoint, verdicts map[string]Verdict, pinned func(name string) bool) []Checkpoint {
	newest := -1
	for i, c := range series {
		if verdicts[c.Name].Whole {
			newest = i
		}
	}
	if newest < 0 || p.Keep == 0 {
		return nil
	}
	counted := 0
	first := newest + 1 // of the newest Keep
	for first > 0 && counted < p.Keep {
		first--
		if counts(series[first], verdicts) {
			counted++
		}
	}
	var gone []Checkpoint
	var last time.Time // of the one kept before, by KeepEvery
	for _, c := range series[:first] {
		if p.KeepEvery > 0 && counts(c, verdicts) && (last.IsZero() || c.Time.Sub(last) >= p.KeepEvery) {
			last = c.Time
			continue
		}
		if !pinned(c.Name) && !verdicts[c.Name].Unjudged {
			gone = append(gone, c)
		}
	}
	return gone
}

// counts says that nothing is known against it.
func counts(c Checkpoint, verdicts map[string]Verdict) bool {
	v, verified := verdicts[c.Name]
	return c.Unfinished == "" && (v.Whole || !verified)
}

// Pinned says whether a state file names a checkpoint as the newest: a program that starts now
// restores it.
func Pinned(l Listing, name string) bool {
	return slices.ContainsFunc(l.States, func(s StateAt) bool { return names(s.Dir, s.State.Latest, name) })
}

// Delete plans the removal of checkpoints: first the state files stop to list them, then each loses
// the file that completes it, then the others.
func Delete(l Listing, gone []Checkpoint) []Action {
	var actions []Action
	for _, s := range l.States {
		next := State{Latest: s.State.Latest, LastPreserved: s.State.LastPreserved}
		for i, written := range s.State.All {
			if slices.ContainsFunc(gone, func(c Checkpoint) bool { return names(s.Dir, written, c.Name) }) {
				continue
			}
			next.All = append(next.All, written)
			if s.State.Times != nil {
				next.Times = append(next.Times, s.State.Times[i])
			}
		}
		if len(next.All) < len(s.State.All) {
			actions = append(actions, Action{Op: Write, Name: path.Join(s.Dir, StateFile), Content: next.Marshal()})
		}
	}
	for _, c := range gone {
		for _, f := range completing(c) {
			actions = append(actions, Action{Op: Remove, Name: f.Name})
		}
	}
	return actions
}
