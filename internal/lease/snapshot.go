package lease

import (
	"encoding/json"
	"fmt"
)

// snapshotVersion changes when a snapshot of before cannot be read any more.
const snapshotVersion = 1

type snapshot struct {
	Version int   `json:"version"`
	State   state `json:"state"`
}

// Snapshot is the whole machine as JSON. Resume makes of it one that answers the same from here on.
func (m *Machine) Snapshot() ([]byte, error) {
	return json.Marshal(snapshot{snapshotVersion, m.s})
}

// Resume makes a machine of a snapshot.
func Resume(b []byte) (*Machine, error) {
	m := New()
	s := snapshot{State: m.s}
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("resume the input: %w", err)
	}
	if s.Version != snapshotVersion {
		return nil, fmt.Errorf("resume the input: the snapshot is of version %d, this program reads %d", s.Version, snapshotVersion)
	}
	m.s = s.State
	for key, d := range m.s.Datasets {
		if err := d.recut(); err != nil {
			return nil, fmt.Errorf("resume the input: %w", err)
		}
		if m.s.Cut != nil && m.s.Cut.Datasets[key] != nil {
			if err := m.s.Cut.Datasets[key].recut(); err != nil {
				return nil, fmt.Errorf("resume the input: %w", err)
			}
		}
	}
	for id, l := range m.s.Leases {
		if d := m.s.Datasets[l.Dataset]; d == nil || l.Piece < 0 || l.Piece >= len(d.pieces) || l.ID != id {
			return nil, fmt.Errorf("resume the input: lease %d is of no piece", id)
		}
	}
	return m, nil
}

// recut makes the pieces anew, which a snapshot does not hold.
func (d *dataset) recut() error {
	if !d.Listed || d.Problem != "" {
		return nil
	}
	if err := d.Definition.Check(); err != nil {
		return err
	}
	if !d.Definition.bounded(d.Files) {
		return fmt.Errorf("dataset %s: more than %d pieces", d.Definition.Name, MaxPieces)
	}
	if d.pieces = cut(d.Definition, d.Files); len(d.State) != len(d.pieces) {
		return fmt.Errorf("dataset %s: %d pieces, state of %d", d.Definition.Name, len(d.pieces), len(d.State))
	}
	for _, i := range d.Free {
		if i < 0 || i >= len(d.pieces) {
			return fmt.Errorf("dataset %s: there is no piece %d", d.Definition.Name, i)
		}
	}
	return nil
}
