package savedmodel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tfos/internal/hadoop/wire"
)

func tiny(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "tiny.pb"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestParse reads what TensorFlow 2.21 wrote (testdata/make.py).
func TestParse(t *testing.T) {
	m, err := Parse(tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	want := Signature{
		Name: DefaultSignature,
		Inputs: []Tensor{
			{Name: "id", Graph: "serving_default_id:0", Type: String, Shape: Shape{Dims: []int64{-1}}},
			{Name: "n", Graph: "serving_default_n:0", Type: Int64, Shape: Shape{Dims: []int64{-1, 4}}},
			{Name: "x", Graph: "serving_default_x:0", Type: Float, Shape: Shape{Dims: []int64{-1, 3}}},
		},
		Outputs: []Tensor{
			{Name: "id", Graph: "StatefulPartitionedCall:0", Type: String, Shape: Shape{Dims: []int64{-1}}},
			{Name: "score", Graph: "StatefulPartitionedCall:1", Type: Float, Shape: Shape{Dims: []int64{-1, 2}}},
			{Name: "sum", Graph: "StatefulPartitionedCall:2", Type: Int64, Shape: Shape{Dims: []int64{-1}}},
		},
	}
	if diff := cmp.Diff(want, m.Signatures[DefaultSignature]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := want.Inputs[2].String(); got != "x float32[?,3]" {
		t.Errorf("a tensor reads %s", got)
	}
	if name, output, err := want.Outputs[1].Operation(); name != "StatefulPartitionedCall" || output != 1 || err != nil {
		t.Errorf("score is output %d of %s, %v", output, name, err)
	}
}

// TestTheGraphForInferenceIsTaken: a model may hold one for training beside it.
func TestTheGraphForInferenceIsTaken(t *testing.T) {
	graph := func(tag, signature string) []byte {
		info := wire.AppendBytesField(nil, 4, []byte(tag))
		return wire.AppendBytesField(wire.AppendBytesField(nil, 1, info), 5, wire.AppendBytesField(nil, 1, []byte(signature)))
	}
	b := wire.AppendBytesField(nil, 2, graph("train", "learn"))
	if _, err := Parse(b); err == nil || !strings.Contains(err.Error(), "it has {train}") {
		t.Errorf("a model for training alone: %v", err)
	}
	m, err := Parse(wire.AppendBytesField(b, 2, graph(ServeTag, "predict")))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Signatures["predict"]; !ok || len(m.Signatures) != 1 {
		t.Errorf("signatures %v", m.Signatures)
	}
}

func TestDamageIsSaid(t *testing.T) {
	whole := tiny(t)
	for _, b := range [][]byte{nil, []byte("x"), whole[:len(whole)/2], []byte("\x08\x01")} {
		if m, err := Parse(b); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%d bytes: %v, %v", len(b), m, err)
		}
	}
}

// FuzzParse: whatever the bytes are, there is an answer.
func FuzzParse(f *testing.F) {
	f.Add(tiny(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		for _, s := range m.Signatures {
			for _, tensor := range append(s.Inputs, s.Outputs...) {
				tensor.Operation()
				_ = tensor.String()
			}
		}
	})
}
