package lease

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tfos/internal/job"
)

// keptSaves is how many saved states are remembered: those of the newest checkpoints, which a job
// goes back to.
const keptSaves = 16

// savedVersion changes when older saved states cannot be read any more.
const savedVersion = 1

// Saved is what was consumed when the checkpoint of a step was made.
type Saved struct {
	Version  int            `json:"version"`
	Step     int64          `json:"step"`
	Datasets []SavedDataset `json:"datasets"` // by name
}

// SavedDataset is one dataset of a Saved.
type SavedDataset struct {
	Definition Definition `json:"definition"`
	Files      []File     `json:"files"`
	Epoch      int        `json:"epoch"`
	Extent
}

// Extent is what of the pieces of an epoch is consumed.
type Extent struct {
	Done      [][2]int      `json:"done"`                // runs of pieces, both ends included
	Positions map[int]int64 `json:"positions,omitempty"` // of pieces that are neither done nor untouched
}

// ParseSaved reads a saved state, written by whoever can write beside the checkpoints.
func ParseSaved(b []byte) (Saved, error) {
	var s Saved
	if err := json.Unmarshal(b, &s); err != nil {
		return Saved{}, fmt.Errorf("read the state of the input: %w", err)
	}
	if s.Version != savedVersion {
		return Saved{}, fmt.Errorf("read the state of the input: it is of version %d, this tfos reads %d", s.Version, savedVersion)
	}
	for _, d := range s.Datasets {
		if _, err := d.thaw(); err != nil {
			return Saved{}, fmt.Errorf("read the state of the input: %w", err)
		}
	}
	return s, nil
}

// extent is what of the epoch is consumed.
func (d *dataset) extent() Extent {
	x := Extent{Done: [][2]int{}}
	for i, p := range d.State {
		switch n := len(x.Done); {
		case p.Done && n > 0 && x.Done[n-1][1] == i-1:
			x.Done[n-1][1] = i
		case p.Done:
			x.Done = append(x.Done, [2]int{i, i})
		case p.Position != d.pieces[i].From:
			if x.Positions == nil {
				x.Positions = make(map[int]int64)
			}
			x.Positions[i] = p.Position
		}
	}
	return x
}

// beginAt begins an epoch of which a part is consumed. Nothing is free before refill.
func (d *dataset) beginAt(epoch int, x Extent) error {
	if epoch < 1 || d.Definition.Epochs > 0 && epoch > d.Definition.Epochs {
		return fmt.Errorf("dataset %s: there is no epoch %d", d.Definition.Name, epoch)
	}
	d.begin(epoch)
	for _, run := range x.Done {
		if run[0] < 0 || run[1] < run[0] || run[1] >= len(d.pieces) {
			return fmt.Errorf("dataset %s: there are no pieces %d to %d", d.Definition.Name, run[0], run[1])
		}
		for i := run[0]; i <= run[1]; i++ {
			d.State[i].Done = true
		}
	}
	for _, i := range slices.Sorted(maps.Keys(x.Positions)) {
		position := x.Positions[i]
		if i < 0 || i >= len(d.pieces) || position < d.pieces[i].From {
			return fmt.Errorf("dataset %s: piece %d has no position %d", d.Definition.Name, i, position)
		}
		d.State[i].Position = position
	}
	return nil
}

// freeze makes of a dataset what is saved of it.
func (d *dataset) freeze() SavedDataset {
	return SavedDataset{Definition: d.Definition, Files: d.Files, Epoch: d.Epoch, Extent: d.extent()}
}

// thaw is the opposite of freeze; nothing is held then.
func (s SavedDataset) thaw() (*dataset, error) {
	if err := s.Definition.Check(); err != nil {
		return nil, err
	}
	d := &dataset{Definition: s.Definition}
	for _, f := range s.Files {
		if f.Path == "" || f.Size < 0 {
			return nil, fmt.Errorf("dataset %s: a file without a name or of a negative size", s.Definition.Name)
		}
	}
	if !d.Definition.bounded(s.Files) {
		return nil, fmt.Errorf("dataset %s: more than %d pieces", s.Definition.Name, MaxPieces)
	}
	d.list(slices.Clone(s.Files))
	if d.Problem != "" {
		return nil, fmt.Errorf("%s", d.Problem)
	}
	if err := d.beginAt(s.Epoch, s.Extent); err != nil {
		return nil, err
	}
	d.refill(nil)
	return d, nil
}

// mark is one call of one process, whichever times it is looked at.
type mark struct {
	Incarnation job.Incarnation `json:"incarnation"`
	Client      string          `json:"client"`
	Number      uint64          `json:"number"`
}

func markOf(c Call) mark { return mark{c.Holder.Incarnation, c.Client, c.Number} }

// phase is how far a save or a restore is.
type phase int

const (
	gathering phase = iota // a save waits for processes
	pending                // the shell is to store, or to load
	finished
	nothing // there was nothing to load
	broken  // see Reason
)

// cutting is a save under way: a copy of the datasets, which processes that have not said save yet
// go on stepping. So it ends as what each process had consumed at its own call, although they come
// at different moments.
type cutting struct {
	Step     int64               `json:"step"`
	Phase    phase               `json:"phase"`
	Reason   string              `json:"reason,omitempty"`
	Datasets map[string]*dataset `json:"-"`
	Marked   map[string]mark     `json:"marked"`            // by task
	Dropped  map[string]mark     `json:"dropped,omitempty"` // of the save that this one took the place of
	// Lost are the machine's at the moment when the save was given up: a process that was there
	// then has its part in the failure, one that started since begins anew.
	Lost map[string]job.Incarnation `json:"lost,omitempty"`
}

// save takes a process's word that it has acknowledged what the checkpoint of a step holds.
func (m *Machine) save(c Call, s Save) Answer {
	if c.Holder.Task.Role == job.Evaluator {
		return refused(Invalid, "an evaluator has no part in what is saved")
	}
	if s.Step < 0 {
		return refused(Invalid, "step %d is negative", s.Step)
	}
	task, mine := c.Holder.Task.String(), markOf(c)
	k := m.s.Cut
	if k != nil && k.Dropped[task] == mine {
		return refused(Failed, "the input at step %d was not saved: a save of another step was begun before all processes had said this one", s.Step)
	}
	if k != nil && k.Phase == gathering && k.Step > s.Step {
		return refused(Failed, "the input at step %d was not saved: step %d is being saved already", s.Step, k.Step)
	}
	if known := k != nil && k.Step == s.Step; !known || k.again(task, mine) {
		k = m.beginCut(s.Step)
	}
	k.Marked[task] = mine
	if k.Phase == gathering && (s.Alone || len(m.awaited()) == 0) {
		k.Phase = pending
	}
	switch k.Phase {
	case finished:
		return Answer{State: Agreed}
	case broken:
		return refused(Failed, "the input at step %d was not saved: %s", k.Step, k.Reason)
	}
	return Answer{State: Waiting, Reason: strings.Join(m.awaited(), ", ")}
}

// again reports whether a call of the same step begins another save: the one that is known is over,
// and had this task's word already or was given up before this process began.
func (k *cutting) again(task string, mine mark) bool {
	old, ok := k.Marked[task]
	if k.Phase == gathering || old == mine {
		return false
	}
	return ok || k.Phase == broken && mine.Incarnation-1 > k.Lost[task]
}

func (m *Machine) beginCut(step int64) *cutting {
	k := &cutting{Step: step, Datasets: make(map[string]*dataset), Marked: make(map[string]mark)}
	if old := m.s.Cut; old != nil && old.Phase == gathering {
		k.Dropped = old.Marked
	}
	for key, d := range m.s.Datasets {
		if strings.HasPrefix(key, trainers) && d.Listed && d.Problem == "" {
			k.Datasets[key] = d.clone()
		}
	}
	m.s.Cut = k
	return k
}

// awaited are the processes whose word a save waits for: those that read.
func (m *Machine) awaited() []string {
	k := m.s.Cut
	if k == nil || k.Phase != gathering {
		return nil
	}
	var all []string
	for _, h := range m.s.Reading {
		if h.Task.Role != job.Evaluator && k.Marked[h.Task.String()].Incarnation != h.Incarnation {
			all = append(all, h.Task.String())
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// behind reports whether a process still steps the save that is under way.
func (m *Machine) behind(h Holder) bool {
	return m.s.Cut != nil && m.s.Cut.Phase == gathering && m.s.Cut.Marked[h.Task.String()].Incarnation != h.Incarnation
}

// advanceCut books an acknowledgement of a process that has not said save yet in the save as well.
func (m *Machine) advanceCut(h Holder, l held, c Consumed) {
	if !m.behind(h) {
		return
	}
	if d := m.s.Cut.Datasets[l.Dataset]; d != nil {
		d.advance(l.Piece, c.Position, c.End == Done)
	}
}

// granted gives up a save when a process that has not said save yet goes on where one that has was:
// what it consumes from here on does not follow what the save knows.
func (m *Machine) granted(h Holder, l held) {
	if !m.behind(h) {
		return
	}
	if d := m.s.Cut.Datasets[l.Dataset]; d != nil && d.State[l.Piece] != m.s.Datasets[l.Dataset].State[l.Piece] {
		m.breakCut("%s went on with a piece that another process had read after its save: every process has to save at the same step", h)
	}
}

// spoil gives up a save when its datasets are not those of its beginning any more.
func (m *Machine) spoil(key string) {
	if k := m.s.Cut; k != nil && k.Phase == gathering && k.Datasets[key] != nil {
		m.breakCut("dataset %s began another epoch meanwhile: every process has to save at the same step", strings.TrimPrefix(key, trainers))
	}
}

// interrupt gives up a save when a process is lost that had a part in it: where its pieces go on,
// the save does not know.
func (m *Machine) interrupt(t job.Task, reading bool) {
	k := m.s.Cut
	if k == nil || k.Phase != gathering {
		return
	}
	if _, ok := k.Marked[t.String()]; ok || reading {
		m.breakCut("%s was lost meanwhile", t)
		k.Lost[t.String()] = 0 // its next incarnation began after that
	}
}

func (m *Machine) breakCut(format string, args ...any) {
	m.s.Cut.Datasets, m.s.Cut.Lost = nil, maps.Clone(m.s.Lost)
	m.s.Cut.Phase, m.s.Cut.Reason = broken, fmt.Sprintf(format, args...)
}

// Storable is the state that is to be stored now, if there is one.
func (m *Machine) Storable() (Saved, bool) {
	k := m.s.Cut
	if k == nil || k.Phase != pending {
		return Saved{}, false
	}
	s := Saved{Version: savedVersion, Step: k.Step, Datasets: []SavedDataset{}}
	for _, key := range slices.Sorted(maps.Keys(k.Datasets)) {
		s.Datasets = append(s.Datasets, k.Datasets[key].freeze())
	}
	return s, true
}

// Stored says that what Storable gave is stored, or with a problem, a sentence, that it is not.
func (m *Machine) Stored(s Saved, problem string) {
	k := m.s.Cut
	if k == nil || k.Phase != pending || k.Step != s.Step {
		return
	}
	if problem != "" {
		m.breakCut("%s", problem)
		return
	}
	k.Phase, k.Datasets = finished, nil
	m.keep(s)
}

func (m *Machine) keep(s Saved) {
	m.s.Kept = slices.DeleteFunc(m.s.Kept, func(old Saved) bool { return old.Step == s.Step })
	m.s.Kept = append(m.s.Kept, s)
	m.s.Kept = m.s.Kept[max(0, len(m.s.Kept)-keptSaves):]
}

// round is one going back: the first process that restores begins it, and the others of the same
// start join it.
type round struct {
	Step    int64           `json:"step"`
	Phase   phase           `json:"phase"`
	Reason  string          `json:"reason,omitempty"`
	Members map[string]mark `json:"members"` // by task
}

// restore goes back to what was saved for a step, once for all processes that start together.
func (m *Machine) restore(c Call, o Restore) Answer {
	if c.Holder.Task.Role == job.Evaluator {
		return refused(Invalid, "an evaluator has no part in what is saved")
	}
	if o.Step < 0 {
		return refused(Invalid, "step %d is negative", o.Step)
	}
	task, mine := c.Holder.Task.String(), markOf(c)
	r := m.s.Round
	if r != nil && r.Phase == pending && r.Step != o.Step {
		return refused(Invalid, "the input goes back to step %d at this moment, and %s wants step %d: all processes have to restore the same checkpoint", r.Step, c.Holder.Task, o.Step)
	}
	known := r != nil && r.Step == o.Step && r.Phase != broken
	if old, member := r.member(task); r != nil && old == mine {
		known = true
	} else if member && r.Phase != pending {
		known = false // it was in that round, and starts another one
	}
	if !known {
		r = &round{Step: o.Step, Phase: pending, Members: make(map[string]mark)}
		m.s.Round = r
		i := slices.IndexFunc(m.s.Kept, func(s Saved) bool { return s.Step == o.Step })
		switch {
		case o.Step == 0 && i < 0:
			m.goBack(Saved{Version: savedVersion})
		case i >= 0:
			m.goBack(m.s.Kept[i])
		}
	}
	r.Members[task] = mine
	switch r.Phase {
	case finished:
		return Answer{State: Agreed}
	case nothing:
		return Answer{State: Fresh}
	case broken:
		return refused(Failed, "the input did not go back to step %d: %s", r.Step, r.Reason)
	}
	return Answer{State: Waiting}
}

func (r *round) member(task string) (mark, bool) {
	if r == nil {
		return mark{}, false
	}
	old, ok := r.Members[task]
	return old, ok
}

// Wanted is the step whose saved state is to be loaded now, if there is one.
func (m *Machine) Wanted() (int64, bool) {
	r := m.s.Round
	if r == nil || r.Phase != pending {
		return 0, false
	}
	return r.Step, true
}

// Loaded gives what was saved for a step; nil: nothing was, or with a problem, a sentence, that it
// cannot be known.
func (m *Machine) Loaded(step int64, s *Saved, problem string) {
	r := m.s.Round
	switch {
	case r == nil || r.Phase != pending || r.Step != step:
	case problem != "":
		r.Phase, r.Reason = broken, problem
	case s == nil:
		r.Phase = nothing
	default:
		m.goBack(*s)
		m.keep(*s)
	}
}

// goBack makes everything that is read for training as it was saved, and what was not known then as
// it began. Every lease ends.
func (m *Machine) goBack(s Saved) {
	r := m.s.Round
	thawed := make(map[string]*dataset)
	for _, saved := range s.Datasets {
		key := trainers + saved.Definition.Name
		if d := m.s.Datasets[key]; d != nil && !d.Definition.equal(saved.Definition) {
			r.Phase, r.Reason = broken, fmt.Sprintf("dataset %s is known as %s, and was saved as %s", saved.Definition.Name, d.Definition, saved.Definition)
			return
		}
		d, err := saved.thaw()
		if err != nil {
			r.Phase, r.Reason = broken, err.Error()
			return
		}
		thawed[key] = d
	}
	r.Phase = finished
	m.s.Cut = nil
	m.s.Kept = slices.DeleteFunc(m.s.Kept, func(k Saved) bool { return k.Step > s.Step }) // of a way that was not gone
	for _, id := range m.ids() {
		if strings.HasPrefix(m.s.Leases[id].Dataset, trainers) {
			delete(m.s.Leases, id)
		}
	}
	maps.DeleteFunc(m.s.Reading, func(_ string, h Holder) bool { return h.Task.Role != job.Evaluator })
	for key, d := range m.s.Datasets {
		if strings.HasPrefix(key, trainers) && d.Listed && d.Problem == "" && thawed[key] == nil {
			d.begin(1)
		}
	}
	maps.Copy(m.s.Datasets, thawed)
}
