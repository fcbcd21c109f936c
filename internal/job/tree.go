package job

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Limits on what is read. A real job file is a page; beyond these someone points at the wrong file,
// or at an alias bomb.
const (
	maxFile  = 1 << 20 // bytes
	maxNodes = 50_000
	maxDepth = 16
)

// place is where something was written.
type place struct {
	file string
	line int
	flag string
}

func (p place) String() string {
	switch {
	case p.flag != "":
		return p.flag
	case p.line > 0:
		return fmt.Sprintf("%s:%d", p.file, p.line)
	default:
		return p.file
	}
}

type kind int

const (
	null kind = iota
	scalar
	list
	mapping
)

func (k kind) String() string {
	return [...]string{"nothing", "a single value", "a list", "a mapping"}[k]
}

// value is a node of the job file with aliases followed, merge keys merged in and flags laid over
// it.
type value struct {
	at     place
	kind   kind
	text   string // of a scalar
	items  []*value
	fields []field // keys are unique
}

type field struct {
	key   string
	at    place
	value *value
}

// field finds a key's value; nil: it is not there.
func (v *value) field(key string) *value {
	if v == nil {
		return nil
	}
	for _, f := range v.fields {
		if f.key == key {
			return f.value
		}
	}
	return nil
}

// set puts a value under a key: in the place of the one that was there, or at the end.
func (v *value) set(f field) {
	for i := range v.fields {
		if v.fields[i].key == f.key {
			v.fields[i] = f
			return
		}
	}
	v.fields = append(v.fields, f)
}

// reader turns YAML into values.
type reader struct {
	file    string
	nodes   int
	refused bool // for its depth or size; said once
	errs    Errors
}

// read parses one YAML document, which must be a mapping or empty; nil: it is neither, and the
// reason noted.
func (r *reader) read(data []byte) *value {
	if len(data) > maxFile {
		r.fail(0, "", "has %d bytes, which is no job file: at most %d", len(data), maxFile)
		return nil
	}
	empty := &value{at: place{file: r.file}, kind: mapping} // its job comes from flags alone
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return empty
	case err != nil:
		r.syntax(err)
		return nil
	}
	switch err := dec.Decode(new(yaml.Node)); {
	case err == nil:
		r.fail(0, "", "holds more than one YAML document: a job file is one")
		return nil
	case !errors.Is(err, io.EOF):
		r.syntax(err)
		return nil
	}
	v := r.value(&doc, "", 0)
	switch {
	case v == nil:
		return nil
	case v.kind == null:
		return empty
	case v.kind != mapping:
		r.fail(v.at.line, "", "is %s: a job file is a mapping of keys, as in name: digits", v.kind)
		return nil
	}
	v.at.line = 0 // what is missing is missing in the whole file
	return v
}

// syntax reports YAML that cannot be parsed. The library has no type for it; its text carries the
// line.
func (r *reader) syntax(err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if n, problem, ok := strings.Cut(rest, ": "); ok {
			if i, err := strconv.Atoi(n); err == nil {
				line, text = i, problem
			}
		}
	}
	r.fail(line, "", "not valid YAML: %s", text)
}

func (r *reader) fail(line int, key, format string, args ...any) {
	r.errs = append(r.errs, &Error{File: r.file, Line: line, Key: key, Problem: fmt.Sprintf(format, args...)})
}

// value converts a node; nil: it was refused, and the reason noted.
func (r *reader) value(n *yaml.Node, key string, depth int) *value {
	if r.nodes++; r.nodes > maxNodes || depth > maxDepth {
		if !r.refused {
			r.fail(n.Line, key, "is nested too deep, or refers to itself")
			r.refused = true
		}
		return nil
	}
	v := &value{at: place{file: r.file, line: n.Line}}
	switch n.Kind {
	case yaml.DocumentNode:
		if len(n.Content) == 0 {
			return v
		}
		return r.value(n.Content[0], key, depth+1)
	case yaml.AliasNode:
		return r.value(n.Alias, key, depth+1)
	case yaml.ScalarNode:
		if n.ShortTag() == "!!null" {
			return v
		}
		v.kind, v.text = scalar, n.Value
		if !utf8.ValidString(v.text) || strings.ContainsRune(v.text, 0) {
			r.fail(n.Line, key, "holds bytes that are no text")
			return nil
		}
	case yaml.SequenceNode:
		v.kind = list
		for i, c := range n.Content {
			if item := r.value(c, fmt.Sprintf("%s[%d]", key, i), depth+1); item != nil {
				v.items = append(v.items, item)
			}
		}
	case yaml.MappingNode:
		v.kind = mapping
		r.mapping(v, n, key, depth)
	}
	return v
}

// mapping fills in a mapping's fields: its own, then those of merge keys (<<) that it does not
// have.
func (r *reader) mapping(v *value, n *yaml.Node, key string, depth int) {
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, c := n.Content[i], n.Content[i+1]
		for k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if k.ShortTag() == "!!merge" {
			merges = append(merges, c)
			continue
		}
		if k.Kind != yaml.ScalarNode {
			r.fail(k.Line, key, "has a key that is no plain word")
			continue
		}
		full := join(key, k.Value)
		if !utf8.ValidString(k.Value) {
			r.fail(k.Line, key, "has a key with bytes that are no text")
			continue
		}
		if j := indexField(v.fields, k.Value); j >= 0 {
			r.fail(k.Line, full, "is there twice: first in line %d", v.fields[j].at.line)
			continue
		}
		if child := r.value(c, full, depth+1); child != nil {
			v.fields = append(v.fields, field{k.Value, place{file: r.file, line: k.Line}, child})
		}
	}
	for _, m := range merges {
		mv := r.value(m, key, depth+1)
		if mv == nil {
			continue
		}
		from := []*value{mv}
		if mv.kind == list {
			from = mv.items
		}
		for _, f := range from {
			if f.kind != mapping {
				r.fail(m.Line, key, "merges (<<) %s: want a mapping", f.kind)
				continue
			}
			for _, inherited := range f.fields {
				if indexField(v.fields, inherited.key) < 0 {
					v.fields = append(v.fields, inherited)
				}
			}
		}
	}
}

func indexField(fields []field, key string) int {
	for i, f := range fields {
		if f.key == key {
			return i
		}
	}
	return -1
}

// join makes a dotted key.
func join(prefix, key string) string {
	if prefix == "" {
		return key
	}
	return prefix + "." + key
}
