package migrate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxDepth bounds how deep a source nests, which also ends one that refers to itself.
const maxDepth = 40

// field is a key of a mapping, and where it is: "services.worker.env.X".
type field struct {
	key, at string
	value   *yaml.Node
}

// fields are a mapping's own, then those of its merge keys (<<) that it does not have. What is no
// mapping has none.
func fields(n *yaml.Node, at string) []field {
	var out []field
	merge(n, at, map[*yaml.Node]bool{}, &out)
	return out
}

func merge(n *yaml.Node, at string, seen map[*yaml.Node]bool, out *[]field) {
	n = follow(n)
	if n == nil || seen[n] {
		return
	}
	if n.Kind == yaml.SequenceNode && len(seen) > 0 {
		for _, m := range n.Content {
			merge(m, at, seen, out)
		}
	}
	seen[n] = true
	if n.Kind != yaml.MappingNode {
		return
	}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := follow(n.Content[i])
		if key.ShortTag() == "!!merge" {
			merged = append(merged, n.Content[i+1])
			continue
		}
		f := field{key.Value, at + "." + key.Value, follow(n.Content[i+1])}
		if at == "" {
			f.at = key.Value
		}
		known := false
		for _, o := range *out {
			known = known || o.key == f.key
		}
		if !known {
			*out = append(*out, f)
		}
	}
	for _, m := range merged {
		merge(m, at, seen, out)
	}
}

// follow is what an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	for depth := 0; n != nil && n.Kind == yaml.AliasNode && depth < maxDepth; depth++ {
		n = n.Alias
	}
	return n
}

// empty reports whether a value says nothing: null, "", [], {}, 0 or false.
func empty(n *yaml.Node) bool {
	switch n.Kind {
	case yaml.ScalarNode:
		switch strings.ToLower(n.Value) {
		case "", "null", "~", "false", "0", "no":
			return true
		}
		return false
	}
	return len(n.Content) == 0
}

// items are the values of a list; a single value is a list of one.
func items(n *yaml.Node) []*yaml.Node {
	switch n.Kind {
	case yaml.SequenceNode:
		out := make([]*yaml.Node, len(n.Content))
		for i, c := range n.Content {
			out[i] = follow(c)
		}
		return out
	case yaml.ScalarNode:
		if n.ShortTag() != "!!null" {
			return []*yaml.Node{n}
		}
	}
	return nil
}

// key is what to do with a key of a mapping.
type key struct {
	name string
	do   func(f field)
}

// walk gives each key of a mapping to its rule; one that has none gets a note.
func (r *Result) walk(n *yaml.Node, at string, keys []key) {
next:
	for _, f := range fields(n, at) {
		for _, k := range keys {
			if k.name == f.key {
				if f.value.ShortTag() != "!!null" {
					k.do(f)
				}
				continue next
			}
		}
		r.note(Unknown, f.at, "tfos does not know what it means")
	}
}

// drop has a key noted as one that is not carried over, unless it says nothing.
func (r *Result) drop(why string) func(field) { return r.tell(Dropped, why) }

// needless has a key noted as one that nothing need be done for.
func (r *Result) needless(why string) func(field) { return r.tell(Needless, why) }

func (r *Result) tell(k Kind, why string) func(field) {
	return func(f field) {
		if !empty(f.value) {
			r.note(k, f.at, "%s", why)
		}
	}
}

// yamlFile reads skein's specification or a TFJob, in YAML or JSON.
func yamlFile(s Source) (Result, error) {
	dec := yaml.NewDecoder(bytes.NewReader(s.Data))
	var found *yaml.Node
	var kind string
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Result{}, fmt.Errorf("%s: %s", s.Name, strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if err := twice(&doc, s.Name, 0); err != nil {
			return Result{}, err
		}
		top := follow(doc.Content[0])
		switch k := kindOf(top); {
		case k == "":
		case k == ownKind:
			return Result{}, fmt.Errorf("%s is a job file of tfos already: tfos run %[1]s", s.Name)
		case found != nil:
			return Result{}, fmt.Errorf("%s has more than one job: give tfos one of them, in a file of its own", s.Name)
		default:
			found, kind = top, k
		}
	}
	switch {
	case found == nil:
		return Result{}, fmt.Errorf("%s is none of what tfos can read: TonY's XML, a script that starts TonY's client, skein's specification (services), a TFJob (kind: TFJob)", s.Name)
	case kind == "TFJob":
		return tfjob(s, found), nil
	}
	return skein(s, found), nil
}

// twice refuses a mapping that has a key two times: which of them counts is the reader's whim.
func twice(n *yaml.Node, name string, depth int) error {
	seen := map[string]int{}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && c.ShortTag() != "!!merge" {
			if first, ok := seen[c.Value]; ok {
				return fmt.Errorf("%s:%d: %s is there twice: first in line %d", name, c.Line, c.Value, first)
			}
			seen[c.Value] = c.Line
		}
		if depth > maxDepth {
			return fmt.Errorf("%s:%d: is nested too deep", name, c.Line)
		}
		if err := twice(c, name, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// ownKind is a job file of tfos.
const ownKind = "tfos"

// kindOf tells what a document is; empty: nothing that is known.
func kindOf(n *yaml.Node) (kind string) {
	for _, f := range fields(n, "") {
		switch {
		case f.key == "kind" && f.value.Value == "TFJob":
			return "TFJob"
		case f.key == "services", f.key == "master" && kind == "":
			kind = "skein"
		case f.key == "roles":
			return ownKind
		}
	}
	return kind
}
