package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

const attribute = "/.ATTRIBUTES/VARIABLE_VALUE"

// stepKeys are the variables that count training steps, the first the surest: of v1 programs, of a
// tf.train.Checkpoint made with step= or global_step=, and of optimizers.
var stepKeys = []string{
	"global_step", "global_step" + attribute, "step" + attribute,
	"optimizer/_iterations" + attribute, "optimizer/iter" + attribute,
	"optimizer/iterations" + attribute, "model/optimizer/_iterations" + attribute, "model/optimizer/iter" + attribute,
}

const (
	typeInt32 = 3
	typeInt64 = 9
)

// Step reads the training step from the variables of a checkpoint, or answers with what c has. It
// does not verify: a damaged checkpoint may say anything, or be a *Problem.
func Step(c Checkpoint, open Opener) (int64, error) {
	prefix := c.Name
	switch {
	case c.Format == HDF5 || c.Format == KerasShards:
		return kerasStep(c, open)
	case c.Format == SavedModel && slices.ContainsFunc(c.Files, func(f File) bool { return f.Name == variables(c)+".index" }):
		prefix = variables(c)
	case c.Format != Bundle || c.Unfinished != "":
		return c.Step, nil
	}
	index, err := readBundle(open, prefix+".index")
	if err != nil {
		return c.Step, err
	}
	for _, key := range stepKeys {
		i, found := slices.BinarySearchFunc(index.entries, key, func(e entry, key string) int { return strings.Compare(e.key, key) })
		if !found {
			continue
		}
		e := index.entries[i]
		if e.elements != 1 || len(e.slices) > 0 || e.dtype != typeInt32 && e.dtype != typeInt64 || e.size != dtypeSize[e.dtype] {
			continue
		}
		return readStep(open, shardName(prefix, e.shard, index.shards), e)
	}
	return c.Step, nil
}

// kerasStep reads the optimizer's first variable, which counts its iterations.
func kerasStep(c Checkpoint, open Opener) (int64, error) {
	for _, f := range kerasFiles(c) {
		contents, err := hdf5Contents(open, f)
		if err != nil {
			return c.Step, err
		}
		for _, d := range contents.Datasets {
			counts := d.Path == "optimizer/vars/0" || strings.HasPrefix(d.Path, "optimizer_weights/") && path.Base(d.Path) == "iteration"
			if counts && d.Plain && d.Integer && d.Elements == 1 && (d.Size == 4 || d.Size == 8) {
				return readStep(open, f.Name, entry{offset: d.Offset, size: d.Size})
			}
		}
	}
	return c.Step, nil
}

func readStep(open Opener, name string, e entry) (int64, error) {
	f, err := open(name)
	if err != nil {
		return Unknown, err
	}
	defer f.Close()
	b := make([]byte, 8)
	n, err := f.ReadAt(b[:e.size], e.offset)
	switch {
	case n == int(e.size):
	case err == nil || err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
		return Unknown, problemf("%s is cut short", name)
	default:
		return Unknown, fmt.Errorf("read %s: %w", name, err)
	}
	return int64(binary.LittleEndian.Uint64(b)), nil // an int32 step is not negative
}
