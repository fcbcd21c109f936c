package checkpoint

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"tfos/internal/hadoop/wire"
)

// maxProgram is how large a saved_model.pb may be, in bytes: protobuf's own limit.
const maxProgram = 2 << 30

// graphField is the number of meta_graphs in a SavedModel, and of graph_def in a MetaGraphDef.
const graphField = 2

const programFile = "saved_model.pb"

// isProgram says whether a file, by its last element, makes its directory a SavedModel. Besides
// programFile it is protobuf's text, and the parts that a program of more than 2 GiB is cut into.
func isProgram(base string) bool {
	return base == programFile || base == "saved_model.pbtxt" || base == "saved_model.cpb"
}

// ownFiles are the files and directories of a SavedModel's directory that are its own.
var ownFiles = []string{"saved_model.pb", "saved_model.pbtxt", "saved_model.cpb", "fingerprint.pb", "keras_metadata.pb", "variables", "assets", "assets.extra", "debug"}

// variables is the prefix of a SavedModel's variables, which are a bundle.
func variables(c Checkpoint) string { return path.Join(c.Name, "variables", "variables") }

// planSavedModel looks at the program and plans the verification of the variables. The program has
// no checksum that could be computed without TensorFlow: whole means that it is a message from its
// first byte to its last.
func planSavedModel(open Opener, c Checkpoint, b *planner) error {
	variables := variables(c)
	hasVariables := false
	for _, f := range c.Files {
		hasVariables = hasVariables || strings.HasPrefix(f.Name, variables+".")
	}
	program := c.Files[slices.IndexFunc(c.Files, func(f File) bool { return isProgram(path.Base(f.Name)) })]
	if path.Base(program.Name) != programFile {
		b.doubt("%s is a program in a form that tfos does not know", program.Name)
	} else if err := checkMessage(open, program, graphField); err != nil {
		return err
	}
	if !hasVariables {
		return nil // a program without variables has no such files
	}
	if !slices.ContainsFunc(c.Files, func(f File) bool { return f.Name == variables+".index" }) {
		return problemf("%s.index is missing", variables)
	}
	return planBundle(open, variables, c.Files, b)
}

// checkMessage reads a SavedModel or MetaGraphDef message, whose fields are few and long, one by
// one. needed is the number of a field that it has. A damage within a field is not found: these
// files have no checksum.
func checkMessage(open Opener, f File, needed uint64) error {
	if f.Size == 0 || f.Size > maxProgram {
		return problemf("%s has %d bytes", f.Name, f.Size)
	}
	in, err := open(f.Name)
	if err != nil {
		return err
	}
	defer in.Close()
	found := false
	for at := int64(0); at < f.Size; {
		head := make([]byte, min(20, f.Size-at)) // of the key and a number
		if n, err := in.ReadAt(head, at); n < len(head) {
			return fmt.Errorf("read %s: %w", f.Name, err)
		}
		key, rest, err := wire.CutUvarint(head)
		if err != nil {
			return problemf("%s is damaged at byte %d", f.Name, at)
		}
		var length uint64
		switch number, kind := key>>3, key&7; {
		case kind == 2 && number >= 1 && number < 16:
			length, rest, err = wire.CutUvarint(rest)
			found = found || number == needed
		case kind == 0 && number >= 1 && number < 16:
			_, rest, err = wire.CutUvarint(rest)
		default:
			err = wire.ErrMalformed
		}
		at += int64(len(head) - len(rest))
		if err != nil || length > uint64(f.Size-at) {
			return problemf("%s is cut short, or damaged at byte %d", f.Name, at)
		}
		at += int64(length)
	}
	if !found {
		return problemf("%s is damaged: it holds no graph", f.Name)
	}
	return nil
}
