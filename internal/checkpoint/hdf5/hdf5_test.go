package hdf5

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
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
	sets, err := Check(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
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
		sets, err := Check(bytes.NewReader(b), int64(len(b)))
		if err != nil && !errors.As(err, new(*CorruptError)) {
			t.Errorf("%v is no damage of the file", err)
		}
		for _, d := range sets {
			if d.Elements < 0 || d.Size < 0 {
				t.Errorf("%+v", d)
			}
		}
	})
}
