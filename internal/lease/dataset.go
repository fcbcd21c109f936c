package lease

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"tfos/internal/job"
)

// dataset is one dataset and where its epoch stands.
type dataset struct {
	Definition Definition `json:"definition"`
	Listed     bool       `json:"listed,omitempty"`
	Problem    string     `json:"problem,omitempty"` // why there are no files
	Files      []File     `json:"files,omitempty"`
	Epoch      int        `json:"epoch"` // from 1
	State      []progress `json:"state,omitempty"`
	Free       []int      `json:"free,omitempty"` // pieces that are neither done nor held, the next one first
	Left       int        `json:"left"`           // pieces that are not done

	pieces []Piece // cut from Files
}

// progress is where one piece stands in the epoch.
type progress struct {
	Done     bool  `json:"d,omitempty"`
	Position int64 `json:"p,omitempty"`
}

// list takes the dataset's files and begins its first epoch.
func (d *dataset) list(files []File) {
	d.Files, d.Listed, d.Problem = files, true, ""
	d.pieces = cut(d.Definition, files)
	if len(d.pieces) == 0 {
		d.Problem = fmt.Sprintf("dataset %s: every file that matches is empty", d.Definition.Name)
	}
	d.begin(1)
}

// begin makes everything free, in the epoch's order.
func (d *dataset) begin(epoch int) {
	d.Epoch, d.Left = epoch, len(d.pieces)
	d.State = make([]progress, len(d.pieces))
	d.Free = make([]int, len(d.pieces))
	for i, p := range d.pieces {
		d.State[i].Position = p.From
		d.Free[i] = i
	}
	d.shuffle(d.Free)
}

// shuffle puts sorted pieces into the epoch's order.
func (d *dataset) shuffle(pieces []int) {
	if seed := d.Definition.Shuffle; seed != nil {
		r := rand.New(rand.NewPCG(*seed, uint64(d.Epoch)))
		r.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
	}
}

// advance books how far a piece is consumed.
func (d *dataset) advance(piece int, position int64, done bool) {
	s := &d.State[piece]
	if s.Done {
		return
	}
	s.Position = max(s.Position, position)
	if done {
		s.Done = true
		d.Left--
	}
}

// last reports whether there is no epoch after the current one.
func (d *dataset) last() bool { return d.Definition.Epochs > 0 && d.Epoch >= d.Definition.Epochs }

// clone is a copy that can be stepped apart from d.
func (d *dataset) clone() *dataset {
	c := *d
	c.State, c.Free = slices.Clone(d.State), nil
	return &c
}

// refill makes free what is not done, in the epoch's order.
func (d *dataset) refill() {
	all := make([]int, len(d.pieces))
	for i := range all {
		all[i] = i
	}
	d.shuffle(all)
	d.Left = 0
	d.Free = all[:0]
	for _, i := range all {
		if d.State[i].Done {
			continue
		}
		d.Left++
		d.Free = append(d.Free, i)
	}
}

// grant is a lease as its holder sees it.
func (d *dataset) grant(l held) Lease {
	p, s := d.pieces[l.Piece], d.State[l.Piece]
	return Lease{
		ID: l.ID, Epoch: d.Epoch, Piece: l.Piece, Path: d.Files[p.File].Path, Size: d.Files[p.File].Size,
		From: p.From, To: p.To, Position: s.Position,
	}
}

// keyOf tells a dataset of the tasks that train from one of the evaluator's, which reads all of it by itself.
func keyOf(h Holder, name string) string {
	if h.Task.Role == job.Evaluator {
		return evaluators + name
	}
	return trainers + name
}

const (
	trainers   = "train:"
	evaluators = "evaluate:"
)
