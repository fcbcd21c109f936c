// Package checkpoint knows what TensorFlow and Keras save: which files make up a checkpoint,
// whether it is whole, which is the newest, and which may go.
//
// It reads the formats without TensorFlow and decides; it opens no file, starts nothing and never
// looks at the clock. Files come to it as an Opener, work leaves it as a Plan of independent
// Pieces, changes as a list of Actions. Package checkpoint/store does them on a filesystem.
//
// There are three verdicts. Whole means: nothing that a restore needs is missing, of the wrong
// size, or other than its checksum says. What a format has no checksum for it cannot promise: see
// Format. Broken means that this is proven: no library would restore it. What is neither, a variant
// of a format that this package does not know, it cannot judge. That is restored, copied and kept
// as if it were whole, and it is said. A file whose content is of no format here is no checkpoint,
// whatever its name: see Foreign.
package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Format is how a checkpoint is stored, and so what "whole" can mean.
type Format string

// The formats.
const (
	// Bundle is what tf.train.Saver and tf.train.Checkpoint write: PREFIX.index and
	// PREFIX.data-?????-of-?????. Every block of the index and every tensor has a checksum, and the
	// index says how long each shard is.
	Bundle Format = "bundle"
	// Legacy is the Saver's first format: one table, or one per shard. Every block has a checksum.
	Legacy Format = "legacy"
	// SavedModel is an exported directory: a bundle of variables, whose checksums are verified, and
	// a program.
	SavedModel Format = "saved-model"
	// HDF5 is Keras' .weights.h5 (BackupAndRestore's too) and .h5. HDF5 has no checksums as Keras
	// writes it: whole means that the file is as long as it says, and that every object in it lies
	// within it and is made as the format asks. Changed numbers are not found.
	HDF5 Format = "hdf5"
	// Keras is a .keras archive. Every member has a checksum; that of the weights covers all of
	// them.
	Keras Format = "keras"
	// KerasShards is what Keras' save_weights(max_shard_size=) writes: PREFIX.weights.json, which
	// says in which of PREFIX_NNNNN.weights.h5 each variable lies, and how many bytes they are
	// together.
	KerasShards Format = "keras-shards"
)

// Unknown is the Step and the Number of a checkpoint that says none.
const Unknown = -1

// Checkpoint is one checkpoint, as a listing shows it.
type Checkpoint struct {
	Name   string // what TensorFlow is given to restore it, relative to the directory: "ckpt-12", "latest.weights.h5", "export/1"
	Format Format
	// Number is in the name: the 12 of ckpt-12; Unknown if there is none. Often it counts saves,
	// not steps.
	Number int64
	// Step is the training step it was written at, as far as is known: what the variables in it say
	// once Step was asked, before that, or if they say nothing, Number or BackupAndRestore's epoch;
	// else Unknown.
	Step  int64
	Size  int64     // bytes, of all files
	Time  time.Time // when the file was written that completes it
	Files []File    // by name
	// Unfinished says what the listing shows to be missing, as a sentence: its writer has not
	// finished or never will. Empty if nothing is.
	Unfinished string
	// Expected says that its name is not all there is to make it one: a state file names it, or
	// there are others of its series.
	Expected bool
}

// File is one file of a directory.
type File struct {
	Name string // slash-separated, relative to the directory
	Size int64  // bytes
	Time time.Time
}

// Content is an open file.
type Content interface {
	io.ReaderAt
	Size() int64
	Close() error
}

// Opener opens a file of the directory by its relative name.
type Opener func(name string) (Content, error)

// Verdict is what a verification came to: whole, cannot be judged, or, if neither is set, broken.
type Verdict struct {
	Whole    bool
	Unjudged bool
	Problem  string // a sentence without its full stop that names the file, and the tensor if there is one; empty if whole
}

// Broken reports whether no library would restore it.
func (v Verdict) Broken() bool { return !v.Whole && !v.Unjudged }

// String is "whole", or the problem.
func (v Verdict) String() string {
	switch {
	case v.Whole:
		return "whole"
	case v.Unjudged:
		return "cannot be judged: " + v.Problem
	}
	return v.Problem
}

// Problem is the error that makes a checkpoint broken.
type Problem struct{ What string }

func (p *Problem) Error() string { return p.What }

func problemf(format string, args ...any) error {
	return &Problem{What: fmt.Sprintf(format, args...)}
}

// Doubt is the error of a checkpoint that cannot be judged. Errors that are neither a Doubt nor a
// Problem say that it could not be read.
type Doubt struct{ What string }

func (d *Doubt) Error() string { return d.What }

func doubtf(format string, args ...any) error {
	return &Doubt{What: fmt.Sprintf(format, args...)}
}

// Judge makes an error of a verification its verdict. What is no Problem and no Doubt stays an
// error: an unreadable checkpoint is not a broken one.
func Judge(err error) (Verdict, error) {
	var p *Problem
	var d *Doubt
	switch {
	case err == nil:
		return Verdict{Whole: true}, nil
	case errors.As(err, &p):
		return Verdict{Problem: p.What}, nil
	case errors.As(err, &d):
		return Verdict{Unjudged: true, Problem: d.What}, nil
	}
	return Verdict{}, err
}
