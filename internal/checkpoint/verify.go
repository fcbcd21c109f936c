package checkpoint

import (
	"fmt"
	"slices"
)

// DefaultPieceSize is how much of a file a Piece reads, in bytes: enough that starting a read of
// HDFS costs little beside it.
const DefaultPieceSize = 32 << 20

// NewPlan reads the index of a checkpoint and plans the rest of its verification, in pieces of at
// most pieceSize bytes each where the format lets them be cut. The error is a *Problem if it is
// broken already, a *Doubt if there is nothing to be verified.
func NewPlan(c Checkpoint, open Opener, pieceSize int64) (*Plan, error) {
	if c.Unfinished != "" {
		return nil, &Problem{What: c.Unfinished}
	}
	b := &planner{pieceSize: pieceSize}
	var err error
	switch c.Format {
	case Bundle:
		err = planBundle(open, c.Name, c.Files, b)
	case Legacy:
		err = planLegacy(open, c, b)
	case SavedModel:
		err = planSavedModel(open, c, b)
	case HDF5:
		err = planHDF5(open, c.Files[slices.IndexFunc(c.Files, func(f File) bool { return f.Name == c.Name })], b)
	case Keras:
		err = planKeras(open, c, b)
	case KerasShards:
		err = planShards(open, c, b)
	default:
		err = fmt.Errorf("verify %s: there is no format %q", c.Name, c.Format)
	}
	if err != nil {
		return nil, err
	}
	for _, f := range c.Files {
		if f.Name == c.Name+".meta" {
			if err := checkMessage(open, f, graphField); err != nil {
				return nil, err
			}
		}
	}
	return &b.plan, nil
}
