package page

import (
	"encoding/json"
	"hash/maphash"
	"time"

	"tfos/internal/job"
	"tfos/internal/status"
)

// Update is what a browser gets when it polls: the job, and the tasks that have changed since the
// version that the browser has.
type Update struct {
	Epoch   uint64        `json:"epoch,string"` // of versions: those of another one mean nothing
	Version int64         `json:"version"`
	Whole   bool          `json:"whole"` // it has all tasks, and there are no others
	Now     time.Time     `json:"now"`   // by the master's clock
	Job     status.View   `json:"job"`   // without its tasks
	Tasks   []status.Task `json:"tasks"`
	History History       `json:"history"`
}

// Feed makes updates. Of a thousand tasks few change between two polls, so it remembers when each
// did. It is not safe for concurrent use.
type Feed struct {
	seed    maphash.Seed
	epoch   uint64
	version int64
	names   []job.Task
	rows    []row
}

// row is a task as it was shown last.
type row struct {
	sum     uint64
	changed int64 // the version that it has been so since
}

// NewFeed makes the feed of an epoch. A master's epoch differs from that of the master before.
func NewFeed(epoch uint64) *Feed { return &Feed{seed: maphash.MakeSeed(), epoch: epoch} }

// Look takes in how the job stands now. It costs a marshalling of each task.
func (f *Feed) Look(d Document) error {
	f.version++
	if !f.sameTasks(d.Job.Tasks) {
		f.epoch++
		f.names, f.rows = make([]job.Task, len(d.Job.Tasks)), make([]row, len(d.Job.Tasks))
		for i, t := range d.Job.Tasks {
			f.names[i] = t.ID()
		}
	}
	for i, t := range d.Job.Tasks {
		b, err := json.Marshal(t)
		if err != nil {
			return err
		}
		if sum := maphash.Bytes(f.seed, b); sum != f.rows[i].sum {
			f.rows[i] = row{sum, f.version}
		}
	}
	return nil
}

func (f *Feed) sameTasks(tasks []status.Task) bool {
	if len(tasks) != len(f.names) {
		return false
	}
	for i, t := range tasks {
		if t.ID() != f.names[i] {
			return false
		}
	}
	return true
}

// Since is the update for a browser that has a version of an epoch. The document is the one that
// Look took in last.
func (f *Feed) Since(d Document, epoch uint64, version int64, now time.Time) Update {
	u := fullUpdate(d)
	u.Epoch, u.Version, u.Now = f.epoch, f.version, now
	if u.Whole = epoch != f.epoch || version > f.version; u.Whole {
		return u
	}
	all := u.Tasks
	u.Tasks = []status.Task{}
	for i, t := range all {
		if f.rows[i].changed > version {
			u.Tasks = append(u.Tasks, t)
		}
	}
	return u
}

// fullUpdate has all tasks of a document.
func fullUpdate(d Document) Update {
	u := Update{Whole: true, Now: d.Job.Started, Job: d.Job, Tasks: d.Job.Tasks, History: d.History}
	if d.Job.Finished != nil {
		u.Now = *d.Job.Finished
	}
	u.Job.Tasks = nil
	if u.Tasks == nil {
		u.Tasks = []status.Task{}
	}
	if u.History.Generations == nil {
		u.History.Generations = []Generation{}
	}
	if u.History.Curve == nil {
		u.History.Curve = []Point{}
	}
	return u
}
