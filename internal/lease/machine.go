package lease

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tfos/internal/job"
)

// Machine is the state of all datasets of a job.
type Machine struct {
	s state
}

// state is everything that a Snapshot holds.
type state struct {
	Datasets map[string]*dataset        `json:"-"` // by keyOf
	Leases   map[ID]held                `json:"leases"`
	Issued   ID                         `json:"issued"`  // the newest lease
	Lost     map[string]job.Incarnation `json:"lost"`    // by task: this incarnation and those before it
	Clients  map[string]client          `json:"clients"` // by clientKey
	Reading  map[string]Holder          `json:"reading"` // by readingKey: who had leases of a dataset, and has not come to the end of it since
	Kept     []Saved                    `json:"kept"`    // the newest, by the time of saving
	Cut      *cutting                   `json:"cut,omitempty"`
	Round    *round                     `json:"round,omitempty"`
}

// held is a lease and whose it is.
type held struct {
	ID      ID     `json:"id"`
	Dataset string `json:"dataset"`
	Piece   int    `json:"piece"`
	Holder  Holder `json:"holder"`
}

// client remembers the last call that was answered for good, for when it comes again.
type client struct {
	Holder Holder `json:"holder"`
	Number uint64 `json:"number"`
	Answer Answer `json:"answer"`
}

// New makes a machine without datasets.
func New() *Machine {
	return &Machine{state{
		Datasets: make(map[string]*dataset), Leases: make(map[ID]held), Lost: make(map[string]job.Incarnation),
		Clients: make(map[string]client), Reading: make(map[string]Holder),
	}}
}

func clientKey(c Call) string { return c.Holder.String() + " " + c.Client }

func readingKey(h Holder, dataset string) string { return h.String() + " " + dataset }

// Call answers a call. A call that is Waiting has no lasting effect but that of a first word: a
// dataset that is to be listed, a save that has begun, a state to be loaded. It is to be made again
// whenever something has changed.
func (m *Machine) Call(c Call) Answer {
	if c.Holder.Incarnation <= m.s.Lost[c.Holder.Task.String()] {
		return refused(Lost, "%s counts as lost: its leases are another's", c.Holder)
	}
	m.Lose(c.Holder.Task, c.Holder.Incarnation-1)
	key := clientKey(c)
	if known := m.s.Clients[key]; c.Number == known.Number && c.Number > 0 {
		return known.Answer
	} else if c.Number < known.Number || c.Number == 0 {
		return refused(Invalid, "call %d of a client that was answered call %d already", c.Number, known.Number)
	}
	var a Answer
	switch op := c.Op.(type) {
	case Next:
		a = m.next(c.Holder, op)
	case Ack:
		a = m.ack(c.Holder, op)
	case Save:
		a = m.save(c, op)
	case Restore:
		a = m.restore(c, op)
	default:
		a = refused(Invalid, "a call that asks for nothing")
	}
	if a.State != Waiting {
		m.s.Clients[key] = client{c.Holder, c.Number, a}
	}
	return a
}

// Lose takes from a task's incarnations, up to the given one, what they hold. Losing one twice
// changes nothing.
func (m *Machine) Lose(t job.Task, upTo job.Incarnation) {
	if upTo <= m.s.Lost[t.String()] {
		return
	}
	m.s.Lost[t.String()] = upTo
	gone := func(h Holder) bool { return h.Task == t && h.Incarnation <= upTo }
	for _, id := range m.ids() {
		if l := m.s.Leases[id]; gone(l.Holder) {
			m.free(l)
		}
	}
	reading := false
	maps.DeleteFunc(m.s.Clients, func(_ string, c client) bool { return gone(c.Holder) })
	maps.DeleteFunc(m.s.Reading, func(_ string, h Holder) bool {
		reading = reading || gone(h)
		return gone(h)
	})
	m.interrupt(t, reading)
}

// ids are the leases that are held, in the order they were given.
func (m *Machine) ids() []ID { return slices.Sorted(maps.Keys(m.s.Leases)) }

// free gives the rest of a lease to whoever asks next.
func (m *Machine) free(l held) {
	delete(m.s.Leases, l.ID)
	d := m.s.Datasets[l.Dataset]
	d.Back = append(d.Back, l.Piece)
}

// next leases a piece of the epoch that the reader is in.
func (m *Machine) next(h Holder, n Next) Answer {
	if err := n.Dataset.Check(); err != nil {
		return refused(Invalid, "%v", err)
	}
	key := keyOf(h, n.Dataset.Name)
	d := m.s.Datasets[key]
	if d == nil {
		d = &dataset{Definition: n.Dataset, Epoch: 1}
		m.s.Datasets[key] = d
	}
	switch {
	case !d.Definition.equal(n.Dataset):
		return refused(Invalid, "dataset %s is known as %s, and here as %s: give one of the two another name", n.Dataset.Name, d.Definition, n.Dataset)
	case !d.Listed:
		return Answer{State: Waiting}
	case d.Problem != "":
		return refused(NoFiles, "%s", d.Problem)
	case n.Epoch < 0:
		return refused(Invalid, "epochs count from 1")
	}
	epoch := n.Epoch
	if epoch == 0 || epoch > d.Epoch {
		if d.Left == 0 && !d.last() {
			d.begin(d.Epoch + 1)
			m.spoil(key)
		}
		epoch = d.Epoch // also for a reader that is ahead, because everything went back
	}
	if epoch < d.Epoch || d.Left == 0 {
		delete(m.s.Reading, readingKey(h, key))
		return Answer{State: Over, Epoch: epoch}
	}
	if len(d.Back)+len(d.Free) == 0 {
		return Answer{State: Waiting}
	}
	m.s.Issued++
	l := held{ID: m.s.Issued, Dataset: key, Piece: d.take(), Holder: h}
	m.s.Leases[l.ID] = l
	m.s.Reading[readingKey(h, key)] = h
	m.granted(h, l)
	return Answer{State: Granted, Epoch: d.Epoch, Lease: d.grant(l)}
}

// ack books what was consumed: all of it, or nothing.
func (m *Machine) ack(h Holder, a Ack) Answer {
	for _, c := range a.Acks {
		l, ok := m.s.Leases[c.Lease]
		if !ok || l.Holder != h {
			return refused(NotHeld, "lease %d is not %s's any more", c.Lease, h)
		}
		d := m.s.Datasets[l.Dataset]
		if c.Position < 0 { // one beyond the end is the program's affair: compressed files are longer inside
			return refused(Invalid, "position %d is not in %s", c.Position, d.Files[d.pieces[l.Piece].File].Path)
		}
		if c.End < Open || c.End > Returned {
			return refused(Invalid, "lease %d: %d is no end", c.Lease, c.End)
		}
	}
	for _, c := range a.Acks {
		l, ok := m.s.Leases[c.Lease]
		if !ok {
			continue // ended by an acknowledgement before this one
		}
		m.s.Datasets[l.Dataset].advance(l.Piece, c.Position, c.End == Done)
		m.advanceCut(h, l, c)
		switch c.End {
		case Done:
			delete(m.s.Leases, l.ID)
		case Returned:
			m.free(l)
		}
	}
	return Answer{State: Agreed}
}

// Unlisted are the datasets that wait for their files, by name.
func (m *Machine) Unlisted() []Definition {
	var all []Definition
	for _, key := range slices.Sorted(maps.Keys(m.s.Datasets)) {
		d := m.s.Datasets[key]
		if !d.Listed && !slices.ContainsFunc(all, d.Definition.equal) {
			all = append(all, d.Definition)
		}
	}
	return all
}

// List takes the files of a dataset, sorted by path here, or the problem with it: a sentence. It is
// stable from here on.
func (m *Machine) List(def Definition, files []File, problem string) {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	files = slices.CompactFunc(files, func(a, b File) bool { return a.Path == b.Path })
	for _, d := range m.s.Datasets {
		switch {
		case d.Listed || !d.Definition.equal(def):
		case problem != "":
			d.Listed, d.Problem = true, problem
		case !def.bounded(files):
			d.Listed, d.Problem = true, fmt.Sprintf("dataset %s: more than %d pieces: give a larger split", def.Name, MaxPieces)
		default:
			d.list(files)
		}
	}
}

// Forget drops the datasets that have a problem: who asks for one after this has it listed again.
func (m *Machine) Forget() {
	maps.DeleteFunc(m.s.Datasets, func(_ string, d *dataset) bool { return d.Problem != "" })
}

// View is one dataset for people.
type View struct {
	Name   string
	Role   string // "evaluator" for its own; else empty
	Epoch  int
	Epochs int // 0: without end
	Done   int // pieces of the epoch
	Total  int
	Leased int
}

// View describes the datasets, by name.
func (m *Machine) View() []View {
	leased := make(map[string]int)
	for _, l := range m.s.Leases {
		leased[l.Dataset]++
	}
	var all []View
	for _, key := range slices.Sorted(maps.Keys(m.s.Datasets)) {
		d := m.s.Datasets[key]
		v := View{
			Name: d.Definition.Name, Epoch: d.Epoch, Epochs: d.Definition.Epochs,
			Done: len(d.pieces) - d.Left, Total: len(d.pieces), Leased: leased[key],
		}
		if strings.HasPrefix(key, evaluators) {
			v.Role = job.Evaluator
		}
		all = append(all, v)
	}
	return all
}
