package lease

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"tfos/internal/job"
)

// dataset is one dataset and where its epoch stands.
type dataset struct {
	Definition Definition
	Listed     bool
	Problem    string // why there are no files
	Files      []File
	Epoch      int // from 1
	State      []progress
	Back       []int // pieces that were given back, which go first, the oldest first
	Free       []int // the others that are neither done nor held, in the epoch's order
	Left       int   // pieces that are not done

	pieces []Piece // cut from Files
}

// progress is where one piece stands in the epoch.
type progress struct {
	Done     bool
	Position int64
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
	d.State, d.Back = make([]progress, len(d.pieces)), nil
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
	c.State, c.Back, c.Free = slices.Clone(d.State), nil, nil
	return &c
}

// take is the piece to be leased next. There is one.
func (d *dataset) take() int {
	from := &d.Free
	if len(d.Back) > 0 {
		from = &d.Back
	}
	piece := (*from)[0]
	*from = (*from)[1:]
	return piece
}

// refill makes free what is neither done nor held nor in Back, in the epoch's order.
func (d *dataset) refill(held map[int]bool) {
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
		if !held[i] && !slices.Contains(d.Back, i) {
			d.Free = append(d.Free, i)
		}
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

// keyOf tells a dataset of the tasks that train from one of the evaluator's, which reads all of it
// by itself.
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
