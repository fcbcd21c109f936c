package checkpoint_test

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tfos/internal/checkpoint"
)

// names are those of the checkpoints that Foreign does not call none, and of the files that are
// left.
func (d directory) names(t *testing.T) (checkpoints, others []string) {
	t.Helper()
	l := d.list(t).Without(func(c checkpoint.Checkpoint) bool {
		foreign, err := checkpoint.Foreign(c, d.open)
		if err != nil {
			t.Fatal(err)
		}
		return foreign
	})
	for _, c := range l.Checkpoints {
		checkpoints = append(checkpoints, c.Name)
	}
	for _, f := range l.Others {
		others = append(others, f.Name)
	}
	if len(l.Problems) > 0 {
		t.Errorf("problems: %q", l.Problems)
	}
	return checkpoints, others
}

// What a checkpoint is does not hang on its name alone.
func TestForeign(t *testing.T) {
	v2, h5, archive := golden(t, "v2"), golden(t, "keras")["whole.h5"], golden(t, "keras")["model.keras"]
	other := []byte("IxFI and more than a few bytes of what another library writes")
	for _, c := range []struct {
		why         string
		d           directory
		checkpoints []string
		others      []string
	}{
		{"an index of vectors", directory{"items.index": other}, nil, []string{"items.index"}},
		{"one beside checkpoints", v2.with("items.index", other), []string{"ckpt-2", "ckpt-3", "ckpt-4"}, []string{"items.index"}},
		{"an index whose shards are gone", directory{"ckpt-2.index": v2["ckpt-2.index"]}, []string{"ckpt-2"}, nil},
		{"a shard that has none", directory{"x.data-00000-of-00001": other}, nil, []string{"x.data-00000-of-00001"}},
		{"a shard whose index has still to come", v2.with("ckpt-5.data-00000-of-00001", other), []string{"ckpt-2", "ckpt-3", "ckpt-4", "ckpt-5"}, nil},
		{"one that TensorFlow is writing", directory{"a.data-00000-of-00001.tempstate12": other}, []string{"a"}, nil},
		{"an index of nobody's beside a shard", directory{"a.index": other, "a.data-00000-of-00001": other}, []string{"a"}, nil},
		{"a table of somebody's with a .meta", directory{"corpus": other, "corpus.meta": other}, nil, []string{"corpus", "corpus.meta"}},
		{"a damaged table with a graph", directory{"m": other, "m.meta": golden(t, "legacy")["model.ckpt-30.meta"]}, []string{"m"}, nil},
		{"text", directory{"notes.h5": other, "notes.keras": other}, nil, []string{"notes.h5", "notes.keras"}},
		{"the same by Keras' own name", directory{"notes.weights.h5": other}, []string{"notes.weights.h5"}, nil},
		{"HDF5 by Keras' other name", directory{"a.keras": h5}, []string{"a.keras"}, nil},
		{"HDF5 behind text", directory{"a.h5": slices.Concat(bytes.Repeat([]byte("x"), 2048), h5)}, []string{"a.h5"}, nil},
		{"what a killed writer leaves", directory{"a.h5": {}, "b.h5": make([]byte, 100), "c.h5": h5[:5], "d.keras": archive[:3]}, []string{"a.h5", "b.h5", "c.h5", "d.keras"}, nil},
		{"a json of somebody's", directory{"a.weights.json": []byte(`{"a": 1}`), "a_00000.weights.h5": h5}, nil, []string{"a.weights.json", "a_00000.weights.h5"}},
		{"a state file of somebody's", directory{"checkpoint": other, "model.pt": other}, nil, []string{"checkpoint", "model.pt"}},
		{"weights by a name that BackupAndRestore gives", directory{"latest.weights.h5": h5, "training_metadata.json": []byte(`{"run": 1}`)}, []string{"latest.weights.h5"}, []string{"training_metadata.json"}},
		{"a SavedModel among others", v2.with("saved_model.pb", golden(t, "saved-model")["1/saved_model.pb"]).with("assets/words", other), []string{".", "ckpt-2", "ckpt-3", "ckpt-4"}, nil},
		{"checkpoints in the directory of one", directory{"e/saved_model.pb": golden(t, "saved-model")["1/saved_model.pb"], "e/a.h5": h5, "e/words": other}, []string{"e", "e/a.h5"}, []string{"e/words"}},
	} {
		checkpoints, others := c.d.names(t)
		slices.Sort(checkpoints)
		if !slices.Equal(checkpoints, c.checkpoints) || !slices.Equal(others, c.others) {
			t.Errorf("%s: checkpoints %q, want %q; others %q, want %q", c.why, checkpoints, c.checkpoints, others, c.others)
		}
	}
}

// zipOf makes an archive, whose members hold their names.
func zipOf(t *testing.T, method uint16, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		f, err := w.CreateRaw(&zip.FileHeader{Name: name, Method: method, CompressedSize64: uint64(len(name)), UncompressedSize64: uint64(len(name))})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What tfos does not know is not broken for that; what is cut off is, whatever it is.
func TestWhatCannotBeJudged(t *testing.T) {
	others := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("hdf5", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	program := golden(t, "saved-model")
	v2 := golden(t, "v2")
	const shard = "ckpt-4.data-00000-of-00001"
	longer := v2.with(shard, append(bytes.Clone(v2[shard]), 0))
	damaged := v2.with(shard, append([]byte{v2[shard][0] ^ 1}, append(bytes.Clone(v2[shard][1:]), 0)...))
	cut := program.with("1/saved_model.pb", nil).with("1/saved_model.cpb", []byte("in parts"))
	for _, c := range []struct {
		name string
		d    directory
		want string // how the verdict begins
	}{
		{"ckpt-4", longer, "cannot be judged: " + shard + " has 3070 bytes, should have 3069"},
		{"ckpt-4", damaged, "tensor "},
		{"a.h5", directory{"a.h5": others("user-block.h5")}, "whole"},
		{"a.h5", directory{"a.h5": others("links.h5")}, "whole"},
		{"a.h5", directory{"a.h5": others("latest.h5")}, "cannot be judged: a.h5: its superblock is of version 3"},
		{"a.h5", directory{"a.h5": others("latest.h5")[:2000]}, "a.h5 is damaged: it has 2000 bytes, says that it has 2200"},
		{"a.keras", directory{"a.keras": others("plain.h5")}, "whole"},
		{"a.keras", directory{"a.keras": zipOf(t, zip.Store, "weights.bin")}, "weights.bin in a.keras is damaged: its checksum"},
		{"a.keras", directory{"a.keras": zipOf(t, 12, "weights.bin")}, "cannot be judged: a.keras is no archive as Keras writes it"},
		{"a.keras", directory{"a.keras": zipOf(t, 12, "config.json", "metadata.json", "model.weights.h5")}, "cannot be judged: config.json in a.keras is encrypted, or"},
		{"1", cut, "cannot be judged: 1/saved_model.cpb is a program in a form"},
		{"1", cut.with("1/variables/variables.index", nil), "1/variables/variables.index is missing"},
	} {
		if got := c.d.verify(t, find(c.d.list(t), c.name), 100).String(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// Keras writes the index of its shards anew whenever one is full, and each of them in its place.
func TestShardsOfAKilledWriter(t *testing.T) {
	whole := golden(t, "keras-shards")
	const index, first, second = "model-02.weights.json", "model-02_00000.weights.h5", "model-02_00001.weights.h5"
	early := []byte(`{"metadata": {"total_size": 250.0}, "weight_map": {"/layers/dense/vars": "` + first + `"}}`)
	for _, c := range []struct {
		why  string
		d    directory
		want string
	}{
		{"a shard is missing", whole.with(second, nil), second + " is missing"},
		{"it was killed within the second", whole.with(index, early).with(second, nil), index + " is not whole: it speaks of 250 bytes of variables, its files hold 192"},
		{"a shard of a save before", whole.with("model-02_00002.weights.h5", whole[second]), "whole"},
		{"a shard is cut off", whole.with(second, whole[second][:3000]), second + " is damaged"},
	} {
		if got := c.d.verify(t, find(c.d.list(t), index), 100).String(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
	c := find(whole.list(t), index)
	// The index appears first: without it the shards would be a series of weights of which all but
	// the newest may go.
	if w := c.Written(); c.Number != 2 || len(c.Files) != 3 || w[0].Name != index {
		t.Errorf("%+v", c)
	}
}
