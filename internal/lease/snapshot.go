package lease

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// snapshotVersion changes when older snapshots cannot be read any more.
const snapshotVersion = 1

// snapshot is a machine between two calls. The files of datasets are many and do not change: a
// snapshot has them apart.
type snapshot struct {
	Version  int                    `json:"version"`
	State    state                  `json:"state"`
	Datasets map[string]datasetCopy `json:"datasets"`
	Cut      map[string]datasetCopy `json:"cut,omitempty"`
}

// datasetCopy is a dataset in a snapshot.
type datasetCopy struct {
	Definition Definition `json:"definition"`
	Listed     bool       `json:"listed,omitempty"`
	Epoch      int        `json:"epoch"`
	Extent
	Back []int `json:"back,omitempty"`
}

// FilesOf are the files of the datasets that are listed, by a key that is the snapshot's. The lists
// do not change.
func (m *Machine) FilesOf() map[string][]File {
	all := make(map[string][]File)
	for key, d := range m.s.Datasets {
		if d.Listed && d.Problem == "" {
			all[key] = d.Files
		}
	}
	return all
}

// Snapshot is the machine as JSON, but for FilesOf. FromSnapshot makes of the two one that answers
// the same from here on. A dataset with a problem is left out: it is listed again.
func (m *Machine) Snapshot() ([]byte, error) {
	s := snapshot{Version: snapshotVersion, State: m.s, Datasets: make(map[string]datasetCopy)}
	for key, d := range m.s.Datasets {
		if d.Problem == "" {
			s.Datasets[key] = d.copy()
		}
	}
	if m.s.Cut != nil {
		s.Cut = make(map[string]datasetCopy)
		for key, d := range m.s.Cut.Datasets {
			s.Cut[key] = d.copy()
		}
	}
	s.State.Kept = slices.Clone(m.s.Kept)
	for i := range s.State.Kept {
		k := &s.State.Kept[i]
		k.Datasets = slices.Clone(k.Datasets)
		for j := range k.Datasets {
			k.Datasets[j].Files = nil // those of the dataset
		}
	}
	return json.Marshal(s)
}

func (d *dataset) copy() datasetCopy {
	c := datasetCopy{Definition: d.Definition, Listed: d.Listed, Epoch: d.Epoch, Back: d.Back}
	if d.Listed {
		c.Extent = d.extent()
	}
	return c
}

// FromSnapshot makes a machine of a snapshot and the files that its datasets had.
func FromSnapshot(b []byte, files map[string][]File) (*Machine, error) {
	m, err := fromSnapshot(b, files)
	if err != nil {
		return nil, fmt.Errorf("read the snapshot of the input: %w", err)
	}
	return m, nil
}

func fromSnapshot(b []byte, files map[string][]File) (*Machine, error) {
	m := New()
	s := snapshot{State: m.s}
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, err
	}
	if s.Version != snapshotVersion {
		return nil, fmt.Errorf("the snapshot is of version %d, this program reads %d", s.Version, snapshotVersion)
	}
	m.s = s.State
	m.s.Datasets = make(map[string]*dataset)
	m.s.Leases, m.s.Lost, m.s.Clients, m.s.Reading = orEmpty(m.s.Leases), orEmpty(m.s.Lost), orEmpty(m.s.Clients), orEmpty(m.s.Reading)
	if m.s.Cut != nil {
		m.s.Cut.Marked = orEmpty(m.s.Cut.Marked)
	}
	if m.s.Round != nil {
		m.s.Round.Members = orEmpty(m.s.Round.Members)
	}
	held := make(map[string]map[int]bool)
	for _, id := range m.ids() {
		l := m.s.Leases[id]
		if held[l.Dataset] == nil {
			held[l.Dataset] = make(map[int]bool)
		}
		if l.ID != id || held[l.Dataset][l.Piece] {
			return nil, fmt.Errorf("lease %d is of piece %d, which is leased twice", id, l.Piece)
		}
		held[l.Dataset][l.Piece] = true
	}
	for _, key := range slices.Sorted(maps.Keys(s.Datasets)) {
		c := s.Datasets[key]
		d, err := c.dataset(files[key])
		if err != nil {
			return nil, err
		}
		for _, i := range slices.Concat(slices.Sorted(maps.Keys(held[key])), c.Back) {
			if i < 0 || i >= len(d.pieces) || d.State[i].Done {
				return nil, fmt.Errorf("dataset %s: piece %d is not there, or is done", c.Definition.Name, i)
			}
		}
		d.Back = c.Back
		d.refill(held[key])
		m.s.Datasets[key] = d
	}
	for _, key := range slices.Sorted(maps.Keys(held)) {
		if m.s.Datasets[key] == nil {
			return nil, fmt.Errorf("a lease is of dataset %s, which is not there", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.Cut)) {
		c := s.Cut[key]
		d, err := c.dataset(files[key])
		if err != nil {
			return nil, err
		}
		if m.s.Cut == nil {
			return nil, fmt.Errorf("dataset %s is of a save that is not there", key)
		}
		if m.s.Cut.Datasets == nil {
			m.s.Cut.Datasets = make(map[string]*dataset)
		}
		m.s.Cut.Datasets[key] = d
	}
	for _, k := range m.s.Kept {
		for j := range k.Datasets {
			k.Datasets[j].Files = files[trainers+k.Datasets[j].Definition.Name]
		}
	}
	return m, nil
}

// orEmpty is a map that can be written to: a null in the JSON makes none.
func orEmpty[M ~map[K]V, K comparable, V any](m M) M {
	if m == nil {
		return make(M)
	}
	return m
}

// dataset is the copied one, with nothing free.
func (c datasetCopy) dataset(files []File) (*dataset, error) {
	if err := c.Definition.Check(); err != nil {
		return nil, err
	}
	d := &dataset{Definition: c.Definition, Epoch: 1}
	if !c.Listed {
		return d, nil
	}
	if !c.Definition.bounded(files) {
		return nil, fmt.Errorf("dataset %s: more than %d pieces", c.Definition.Name, MaxPieces)
	}
	if d.list(files); d.Problem != "" {
		return nil, fmt.Errorf("%s", d.Problem)
	}
	if err := d.beginAt(c.Epoch, c.Extent); err != nil {
		return nil, err
	}
	d.Free = nil
	d.Left = 0
	for _, p := range d.State {
		if !p.Done {
			d.Left++
		}
	}
	return d, nil
}
