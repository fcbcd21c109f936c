package membership

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"tfos/internal/job"
)

// snapshotVersion changes when older snapshots cannot be read any more.
const snapshotVersion = 2

// snapshot is a machine at rest, between two steps.
type snapshot struct {
	Version int     `json:"version"`
	Job     string  `json:"job"` // the job file
	Seed    uint64  `json:"seed"`
	Options Options `json:"options"`
	State   state   `json:"state"`
}

// Snapshot is the whole machine as JSON. Restore makes of it one that acts the same from here on.
func (m *Machine) Snapshot() ([]byte, error) {
	return json.Marshal(snapshot{snapshotVersion, string(job.Marshal(m.job)), m.seed, m.opts, m.s})
}

// Restore makes a machine of a snapshot.
func Restore(b []byte) (*Machine, error) {
	var s snapshot
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("restore membership: %w", err)
	}
	if s.Version != snapshotVersion {
		return nil, fmt.Errorf("restore membership: the snapshot is of version %d, this program reads %d", s.Version, snapshotVersion)
	}
	j, err := job.Parse("job.yaml", []byte(s.Job), nil)
	if err != nil {
		return nil, fmt.Errorf("restore membership: %w", err)
	}
	return restore(j, s.Seed, s.Options, s.State)
}

// restore makes a machine that stands where s says.
func restore(j job.Job, seed uint64, opts Options, s state) (*Machine, error) {
	members := slices.DeleteFunc(slices.Clone(s.Tasks), func(t task) bool {
		r, _ := j.Role(t.Task.Role)
		return t.Leaving && t.Task.Index >= r.Instances
	})
	if !slices.EqualFunc(j.Tasks(), members, func(name job.Task, t task) bool { return name == t.Task }) {
		return nil, errors.New("restore membership: the tasks are not those of the job")
	}
	if s.Phase == stopping && s.Result == nil {
		return nil, errors.New("restore membership: the job is stopping, but has no result")
	}
	if s.Phase == finished && s.Result == nil {
		return nil, errors.New("restore membership: the job is finished, but has no result")
	}
	m := New(j, seed, opts)
	m.s = s
	m.build()
	return m, nil
}
