// Package lease shares input among the tasks of a job: which piece of which file is whose, how far
// it has been read, and what is read already.
//
// A dataset is a list of files, cut into pieces. In each epoch every piece is leased to one process
// at a time, which acknowledges how far it has consumed it. What was acknowledged stays consumed;
// the rest of a piece whose holder is lost is leased again. So the acknowledged spans of an epoch
// cover every record exactly once, whoever dies: an acknowledgement counts only while the lease is
// held. What was read after the last acknowledgement of a lost process is read again by another.
//
// The Machine takes calls of processes, losses and listings in, and returns answers. It talks to no
// one, has no clock, and the same inputs give the same answers; it is not safe for concurrent use.
//
// Invariants: a piece that is not done is held by at most one process, or free exactly once; a
// position never goes back within an epoch; a piece is done at most once in an epoch; an epoch ends
// when all its pieces are done, and only then the next one begins; a lost process holds nothing.
// Only Restore goes back, and then everything goes back to the same moment.
package lease

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tfos/internal/job"
)

// Kind says what a dataset's files hold, and with it whether a file can be cut.
type Kind string

// The kinds of dataset. Positions are offsets in bytes, but in Files: there they are whatever the
// program counts.
const (
	Files    Kind = "files"    // anything: a file is one piece
	TFRecord Kind = "tfrecord" // records of TensorFlow's framing
	Text     Kind = "text"     // lines
	CSV      Kind = "csv"      // lines, without newlines in quotes
)

// Definition is what the programs that share a dataset must agree on.
type Definition struct {
	Name     string   `json:"name"`
	Patterns []string `json:"patterns"`
	Kind     Kind     `json:"kind"`
	Split    int64    `json:"split,omitempty"`   // bytes of a piece; 0: files are whole
	Epochs   int      `json:"epochs,omitempty"`  // 0: without end
	Shuffle  *uint64  `json:"shuffle,omitempty"` // seed of each epoch's order; nil: the order of the names
}

// Check reports what is wrong with a definition.
func (d Definition) Check() error {
	switch {
	case d.Name == "":
		return fmt.Errorf("the dataset has no name")
	case len(d.Patterns) == 0 || slices.Contains(d.Patterns, ""):
		return fmt.Errorf("dataset %s: a pattern is empty", d.Name)
	case !slices.Contains([]Kind{Files, TFRecord, Text, CSV}, d.Kind):
		return fmt.Errorf("dataset %s: %q is no kind of dataset: want files, tfrecord, text or csv", d.Name, d.Kind)
	case d.Split < 0 || d.Epochs < 0:
		return fmt.Errorf("dataset %s: split and epochs cannot be negative", d.Name)
	case d.Kind == Files && d.Split > 0:
		return fmt.Errorf("dataset %s: only tfrecord, text and csv files can be split", d.Name)
	}
	return nil
}

func (d Definition) equal(e Definition) bool {
	seeds := d.Shuffle == e.Shuffle || d.Shuffle != nil && e.Shuffle != nil && *d.Shuffle == *e.Shuffle
	return d.Name == e.Name && slices.Equal(d.Patterns, e.Patterns) && d.Kind == e.Kind && d.Split == e.Split && d.Epochs == e.Epochs && seeds
}

// String is the definition as a person reads it.
func (d Definition) String() string {
	s := fmt.Sprintf("%s of %s, split %d, epochs %d", d.Kind, strings.Join(d.Patterns, ", "), d.Split, d.Epochs)
	if d.Shuffle != nil {
		s += fmt.Sprintf(", shuffle %d", *d.Shuffle)
	}
	return s
}

// File is one file of a dataset.
type File struct {
	Path string `json:"path"` // as programs open it
	Size int64  `json:"size"` // bytes
}

// compressed are the endings of files that can be read from their beginning only.
var compressed = []string{".gz", ".gzip", ".zip", ".bz2", ".zst", ".xz", ".zlib", ".deflate", ".snappy", ".lz4"}

// Piece is a part of a file: the records that begin in [From, To).
type Piece struct {
	File     int // index in the dataset's files
	From, To int64
}

// cut makes the pieces of a dataset. Files without a byte have no records; a program that reads
// whole files may want them.
func cut(d Definition, files []File) []Piece {
	var pieces []Piece
	for i, f := range files {
		if f.Size == 0 && d.Kind != Files {
			continue
		}
		step := d.Split
		if step <= 0 || slices.ContainsFunc(compressed, func(end string) bool { return strings.HasSuffix(strings.ToLower(f.Path), end) }) {
			step = max(f.Size, 1)
		}
		pieces = append(pieces, Piece{File: i, To: min(step, f.Size)})
		for from := step; from < f.Size; from += step {
			pieces = append(pieces, Piece{File: i, From: from, To: min(from+step, f.Size)})
		}
	}
	return pieces
}

// MaxPieces bounds the pieces of a dataset: each is a little of the master's memory, and of each
// saved state.
const MaxPieces = 4 << 20

// bounded reports whether the files make no more pieces than there may be.
func (d Definition) bounded(files []File) bool {
	n := int64(0)
	for _, f := range files {
		n++
		if d.Split > 0 {
			n += f.Size / d.Split
		}
		if n > MaxPieces {
			return false
		}
	}
	return true
}

// Holder is a process: one incarnation of a task.
type Holder struct {
	Task        job.Task        `json:"task"`
	Incarnation job.Incarnation `json:"incarnation"`
}

// String is the form used in logs and messages: "worker/3 (incarnation 2)".
func (h Holder) String() string {
	return h.Task.String() + " (incarnation " + strconv.Itoa(int(h.Incarnation)) + ")"
}

// ID names a lease. No two leases of a job have the same.
type ID uint64

// Lease is a piece in the hands of a process.
type Lease struct {
	ID       ID
	Epoch    int // from 1
	Piece    int // which one of the dataset's
	Path     string
	Size     int64 // of the file, bytes
	From, To int64 // the records that begin there are meant
	Position int64 // where to go on; From at first
}

// Call is what a process asks. The calls of one client (a reader within the process) come one after
// the other; their numbers grow, and a call that is repeated with its number is answered again and
// changes nothing.
type Call struct {
	Holder Holder
	Client string
	Number uint64
	Op     Op
}

// Op is what a Call wants.
type Op interface{ op() }

type (
	// Next wants a lease. The epoch is the one that the reader is in; 0: it begins with whatever is
	// under way. A reader that has something else to do wants to know Now whether there is one.
	Next struct {
		Dataset Definition
		Epoch   int
		Now     bool
	}
	// Ack says how far leases have been consumed.
	Ack struct{ Acks []Consumed }
	// Save keeps the state of all datasets beside the checkpoint of a step. Every process that
	// reads calls it at that step, when it has acknowledged what the checkpoint holds; Alone: this
	// one call is enough, as the moment is the same for all.
	Save struct {
		Step  int64
		Alone bool
	}
	// Restore goes back to what was saved for a step; 0: to the beginning. In a job whose processes
	// restore together, all of them call it before they read: the first one goes back, the others
	// join it.
	Restore struct{ Step int64 }
)

func (Next) op()    {}
func (Ack) op()     {}
func (Save) op()    {}
func (Restore) op() {}

// Consumed is how far a lease has been consumed.
type Consumed struct {
	Lease    ID
	Position int64
	End      End
}

// End says whether a lease is given back.
type End int

// The ends of a lease.
const (
	Open     End = iota // it goes on
	Done                // the whole piece is consumed
	Returned            // the rest is for another
)

// State is how a Call was answered.
type State int

// The states of an Answer.
const (
	Waiting State = iota // not yet: ask again when something has changed
	Granted              // Next: a Lease
	Over                 // Next: the Epoch is over
	Agreed               // Ack, Save, Restore: done
	Fresh                // Restore: nothing was saved for that step, and nothing has changed
	Refused              // see Code and Reason
)

// Code says why a call was refused.
type Code string

// The reasons for a refusal.
const (
	NotHeld Code = "not held" // a lease is not the caller's any more
	Lost    Code = "lost"     // the caller counts as lost
	NoFiles Code = "no files" // no file matches, or they cannot be listed
	Invalid Code = "invalid"  // the call makes no sense, or not with what others said
	Failed  Code = "failed"   // the state could not be saved or loaded
)

// Answer is the answer to a Call.
type Answer struct {
	State  State
	Lease  Lease
	Epoch  int // Granted, Over
	Code   Code
	Reason string // a sentence
}

func refused(c Code, format string, args ...any) Answer {
	return Answer{State: Refused, Code: c, Reason: fmt.Sprintf(format, args...)}
}
