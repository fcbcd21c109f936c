// Package savedmodel reads what a TensorFlow SavedModel says of itself in saved_model.pb: which
// signatures it has, and which tensors they take and give.
//
// It reads bytes and returns values. It passes over the graph, which is most of the file, and knows
// nothing of the variables.
package savedmodel

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tfos/internal/hadoop/wire"
)

// File is the file of a SavedModel's directory that holds the program.
const File = "saved_model.pb"

// ServeTag marks the graph that is meant for inference, and DefaultSignature is the signature that
// Keras and tf.saved_model.save write.
const (
	ServeTag         = "serve"
	DefaultSignature = "serving_default"
)

// Model is the graph of a SavedModel that is meant for inference.
type Model struct {
	Signatures map[string]Signature
}

// Signature is a function of a model. Inputs and outputs are sorted by name.
type Signature struct {
	Name            string
	Inputs, Outputs []Tensor
}

// Tensor is an input or an output of a signature.
type Tensor struct {
	Name  string // in the signature
	Graph string // of the tensor in the graph, as in "serving_default_x:0"
	Type  DType
	Shape Shape
}

// String is the tensor as a person reads it: "x float32[?,4]".
func (t Tensor) String() string { return t.Name + " " + t.Type.String() + t.Shape.String() }

// Operation is the name of the graph's operation that gives the tensor, and which of its outputs it
// is.
func (t Tensor) Operation() (name string, output int, err error) {
	name, number, found := strings.Cut(t.Graph, ":")
	if found {
		output, err = strconv.Atoi(number)
	}
	if err != nil || name == "" || output < 0 {
		return "", 0, fmt.Errorf("%s: %q is no name of a tensor in a graph", t.Name, t.Graph)
	}
	return name, output, nil
}

// Shape is the shape of a tensor as a signature knows it.
type Shape struct {
	Unknown bool    // not even the number of dimensions is known
	Dims    []int64 // -1: not known
}

// String is the shape as a person reads it: "[?,4]".
func (s Shape) String() string {
	if s.Unknown {
		return "[...]"
	}
	dims := make([]string, len(s.Dims))
	for i, d := range s.Dims {
		dims[i] = strconv.FormatInt(d, 10)
		if d < 0 {
			dims[i] = "?"
		}
	}
	return "[" + strings.Join(dims, ",") + "]"
}

// Parse reads saved_model.pb. Of several graphs it takes the one with the tag "serve".
func Parse(b []byte) (Model, error) {
	var tagged []string
	var found *Model
	err := fields(b, func(f wire.Field) error {
		if f.Number != 2 { // SavedModel.meta_graphs
			return nil
		}
		m, tags, err := parseGraph(f.Bytes)
		if err != nil {
			return err
		}
		if slices.Contains(tags, ServeTag) && found == nil {
			found = &m
		}
		tagged = append(tagged, "{"+strings.Join(tags, ",")+"}")
		return nil
	})
	switch {
	case err != nil:
		return Model{}, fmt.Errorf("%s is damaged: %w", File, err)
	case len(tagged) == 0:
		return Model{}, fmt.Errorf("%s is damaged: it holds no graph", File)
	case found == nil:
		return Model{}, fmt.Errorf("%s has no graph for inference, tagged {%s}: it has %s", File, ServeTag, strings.Join(tagged, " "))
	}
	return *found, nil
}

// parseGraph reads a MetaGraphDef.
func parseGraph(b []byte) (m Model, tags []string, err error) {
	m.Signatures = make(map[string]Signature)
	err = fields(b, func(f wire.Field) error {
		switch f.Number {
		case 1: // meta_info_def
			return fields(f.Bytes, func(f wire.Field) error {
				if f.Number == 4 {
					tags = append(tags, string(f.Bytes))
				}
				return nil
			})
		case 5: // signature_def, an entry of a map
			name, value, err := entry(f.Bytes)
			if err != nil {
				return err
			}
			s, err := parseSignature(name, value)
			m.Signatures[name] = s
			return err
		}
		return nil
	})
	return m, tags, err
}

func parseSignature(name string, b []byte) (Signature, error) {
	s := Signature{Name: name}
	inputs, outputs := make(map[string]Tensor), make(map[string]Tensor)
	err := fields(b, func(f wire.Field) error {
		into := inputs
		switch f.Number {
		case 1:
		case 2:
			into = outputs
		default:
			return nil
		}
		name, value, err := entry(f.Bytes)
		if err != nil {
			return err
		}
		into[name], err = parseTensor(name, value)
		return err
	})
	s.Inputs, s.Outputs = sorted(inputs), sorted(outputs)
	return s, err
}

// sorted lists tensors by name.
func sorted(m map[string]Tensor) []Tensor {
	return slices.SortedFunc(maps.Values(m), func(a, b Tensor) int { return cmp.Compare(a.Name, b.Name) })
}

// parseTensor reads a TensorInfo. One that is no plain tensor (sparse, ragged) has no Graph name.
func parseTensor(name string, b []byte) (Tensor, error) {
	t := Tensor{Name: name, Shape: Shape{Unknown: true}}
	err := fields(b, func(f wire.Field) error {
		switch f.Number {
		case 1: // name
			t.Graph = string(f.Bytes)
		case 2: // dtype
			t.Type = DType(f.Varint)
		case 3: // tensor_shape
			var err error
			t.Shape, err = parseShape(f.Bytes)
			return err
		}
		return nil
	})
	return t, err
}

func parseShape(b []byte) (s Shape, err error) {
	err = fields(b, func(f wire.Field) error {
		switch f.Number {
		case 2: // dim
			size := int64(0)
			if err := fields(f.Bytes, func(f wire.Field) error {
				if f.Number == 1 {
					size = int64(f.Varint)
				}
				return nil
			}); err != nil {
				return err
			}
			if size < -1 {
				return errors.New("a dimension is negative")
			}
			s.Dims = append(s.Dims, size)
		case 3: // unknown_rank
			s.Unknown = f.Varint != 0
		}
		return nil
	})
	return s, err
}

// entry reads an entry of a map from names to messages.
func entry(b []byte) (key string, value []byte, err error) {
	err = fields(b, func(f wire.Field) error {
		switch f.Number {
		case 1:
			key = string(f.Bytes)
		case 2:
			value = f.Bytes
		}
		return nil
	})
	return key, value, err
}

// fields calls do with each field of a message.
func fields(b []byte, do func(wire.Field) error) error {
	for len(b) > 0 {
		f, rest, err := wire.CutField(b)
		if err != nil {
			return err
		}
		if err := do(f); err != nil {
			return err
		}
		b = rest
	}
	return nil
}
