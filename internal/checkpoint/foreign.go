package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"tfos/internal/checkpoint/hdf5"
	"tfos/internal/checkpoint/sstable"
)

// Foreign reports whether a checkpoint of a listing, which goes by names, is none: another library
// has written something else under such a name. A name alone makes no checkpoint, unless only
// TensorFlow or Keras gives it, or this one is Expected. Content makes one that begins, or ends, as
// the format does: the rest of it may be damaged.
func Foreign(c Checkpoint, open Opener) (bool, error) {
	var foreign bool
	var err error
	switch c.Format {
	case Bundle:
		foreign, err = foreignBundle(c, open)
	case Legacy:
		foreign, err = foreignTable(c, open)
	case HDF5:
		if !strings.Contains(path.Base(c.Name), ".weights.h5") {
			foreign, err = foreignFile(c, open, nil)
		}
	case Keras:
		foreign, err = foreignFile(c, open, []byte("PK\x03\x04"))
	case KerasShards:
		foreign, err = foreignShards(c, open)
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return false, nil // whoever is to read all of it will see
	}
	return foreign, err
}

// foreignBundle looks at an index without shards, and at shards without an index.
func foreignBundle(c Checkpoint, open Opener) (bool, error) {
	if c.Expected {
		return false, nil
	}
	index, shards := false, false
	for _, f := range c.Files {
		switch {
		case halfFile.MatchString(f.Name):
			return false, nil // TensorFlow is writing it, or was
		case f.Name == c.Name+".index":
			index = true
		case dataFile.MatchString(f.Name):
			shards = true
		}
	}
	if index == shards {
		return false, nil
	}
	if shards {
		return true, nil
	}
	_, err := readBundle(open, c.Name+".index")
	if errors.As(err, new(*Problem)) {
		return true, nil
	}
	return false, unlessDoubt(err)
}

// foreignTable looks at what is taken for a table because of the .meta file beside it, which a
// Saver fills with a graph.
func foreignTable(c Checkpoint, open Opener) (bool, error) {
	i := slices.IndexFunc(c.Files, func(f File) bool { return !strings.HasSuffix(f.Name, ".meta") })
	if c.Expected || i < 0 {
		return false, nil
	}
	in, err := open(c.Files[i].Name)
	if err != nil {
		return false, err
	}
	defer in.Close()
	if is, err := sstable.Is(in, in.Size()); is || err != nil {
		return false, err
	}
	i = slices.IndexFunc(c.Files, func(f File) bool { return f.Name == c.Name+".meta" })
	if i < 0 {
		return true, nil
	}
	err = checkMessage(open, c.Files[i], graphField)
	if errors.As(err, new(*Problem)) {
		return true, nil
	}
	return false, err
}

// foreignFile looks at the beginning of a single file: head is how its format begins, if that is
// not as HDF5 does. What is empty or begins with zeros was left behind by a writer of whatever
// format.
func foreignFile(c Checkpoint, open Opener, head []byte) (bool, error) {
	in, err := open(c.Name)
	if err != nil {
		return false, err
	}
	defer in.Close()
	b := make([]byte, min(8, in.Size()))
	if n, err := in.ReadAt(b, 0); n < len(b) {
		return false, fmt.Errorf("read %s: %w", c.Name, err)
	}
	if len(bytes.Trim(b, "\x00")) == 0 || resembles(b, head) || resembles(b, hdf5.Signature) {
		return false, nil
	}
	_, found, err := hdf5.Find(in, in.Size())
	if err == io.ErrUnexpectedEOF {
		return false, nil // it is being written
	}
	return !found, err
}

// resembles reports whether half of the bytes or more are those of a signature. One that was cut
// off is compared as far as it goes.
func resembles(b, signature []byte) bool {
	n, same := min(len(b), len(signature)), 0
	for i := range n {
		if b[i] == signature[i] {
			same++
		}
	}
	return n > 0 && 2*same >= n
}

// foreignShards looks at the index, which has a name that others may give.
func foreignShards(c Checkpoint, open Opener) (bool, error) {
	i := slices.IndexFunc(c.Files, func(f File) bool { return f.Name == c.Name })
	content, err := readSmall(open, c.Files[i])
	return err == nil && json.Valid(content) && !bytes.Contains(content, []byte(`"weight_map"`)), err
}

func unlessDoubt(err error) error {
	if errors.As(err, new(*Doubt)) {
		return nil
	}
	return err
}
