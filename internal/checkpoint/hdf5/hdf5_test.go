package hdf5

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func seed(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The weights of two dense layers and Adam's state, as Keras 3.15 wrote them.
func TestDatasets(t *testing.T) {
	b := seed(t, "keras/model-02.weights.h5")
	contents, err := Check(bytes.NewReader(b), int64(len(b)))
	if err != nil || contents.Doubt != "" {
		t.Fatal(contents.Doubt, err)
	}
	sets := contents.Datasets
	elements := map[string]int64{}
	for _, d := range sets {
		elements[d.Path] = d.Elements
		if !d.Plain || d.Offset <= 0 || d.Offset+d.Elements*d.Size > int64(len(b)) {
			t.Errorf("%+v lies nowhere", d)
		}
	}
	for name, want := range map[string]int64{"layers/dense/vars/0": 12, "layers/dense/vars/1": 4, "layers/dense_1/vars/0": 4, "optimizer/vars/0": 1} {
		if elements[name] != want {
			t.Errorf("%s has %d elements, want %d, of %v", name, elements[name], want, elements)
		}
	}
	i := slices.IndexFunc(sets, func(d Dataset) bool { return d.Path == "optimizer/vars/0" })
	if i < 0 || !sets[i].Integer {
		t.Errorf("the optimizer's iterations are no integer")
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(seed(f, "keras/model-02.weights.h5"))
	f.Add(seed(f, "keras/whole.h5"))
	f.Fuzz(func(t *testing.T, b []byte) {
		contents, err := Check(bytes.NewReader(b), int64(len(b)))
		if err != nil && !errors.As(err, new(*CorruptError)) {
			t.Errorf("%v is no damage of the file", err)
		}
		for _, d := range contents.Datasets {
			if d.Elements < 0 || d.Size < 0 {
				t.Errorf("%+v", d)
			}
		}
	})
}

// What h5py opens is not damaged, whoever wrote it, and what this package does not know of it is
// said.
func TestWhatOthersWrite(t *testing.T) {
	for name, want := range map[string]struct {
		datasets int
		doubt    string // how it begins
	}{
		"plain.h5":             {2, ""},
		"user-block.h5":        {2, ""},
		"behind-text.h5":       {2, ""},
		"links.h5":             {2, ""}, // each of them once
		"unwritten.h5":         {1, "the dataset /sparse has a shape that is larger than any file"},
		"external.h5":          {0, "of / something lies elsewhere"},
		"committed.h5":         {0, "of /ct something lies elsewhere"},
		"ordered.h5":           {0, "the header of / is of version 2"},
		"latest.h5":            {0, "its superblock is of version 3"},
		"latest-user-block.h5": {0, "its superblock is of version 3"},
	} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Check(bytes.NewReader(b), int64(len(b)))
		if err != nil || len(got.Datasets) != want.datasets || !strings.HasPrefix(got.Doubt, want.doubt) || (got.Doubt == "") != (want.doubt == "") {
			t.Errorf("%s: %d datasets, doubt %q, %v; want %+v", name, len(got.Datasets), got.Doubt, err, want)
		}
		for _, d := range got.Datasets {
			if d.Path == "w" && (!d.Plain || !bytes.Equal(b[d.Offset+8:][:16], []byte{1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0})) {
				t.Errorf("%s: the numbers of %+v do not lie there", name, d)
			}
		}
		if _, err := Check(bytes.NewReader(b), int64(len(b)-1)); !errors.As(err, new(*CorruptError)) {
			t.Errorf("%s cut by a byte: %v", name, err)
		}
		if got, err := Check(bytes.NewReader(append(bytes.Clone(b), 0)), int64(len(b)+1)); err != nil || got.Doubt == "" {
			t.Errorf("%s with a byte behind it, which libhdf5 takes no notice of: %+v, %v", name, got, err)
		}
	}
}
