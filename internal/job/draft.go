package job

import (
	"bytes"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// Draft is a job file in the making: the keys that somebody has something to say about, in the
// order in which they are given. Nothing is checked: Parse does that. The zero value is empty.
type Draft struct{ root tree }

// Text gives a key a text, quoted where YAML would take it for something else.
func (d *Draft) Text(s string, keys ...string) { d.at(keys).becomes(text(s)) }

// Plain gives a key a number, a truth value or an amount.
func (d *Draft) Plain(s string, keys ...string) {
	d.at(keys).becomes(&yaml.Node{Kind: yaml.ScalarNode, Value: s})
}

// Item adds a text to a list.
func (d *Draft) Item(s string, keys ...string) {
	n := d.at(keys)
	n.Kind, n.Content = yaml.SequenceNode, append(n.Content, text(s))
}

// File adds a file to a list of them.
func (d *Draft) File(f File, keys ...string) { d.Item(f.text(), keys...) }

// Has reports whether a key is there.
func (d *Draft) Has(keys ...string) bool {
	n := &d.root.Node
	for _, k := range keys {
		if n = (&tree{*n}).find(k); n == nil {
			return false
		}
	}
	return true
}

// Bytes is the job file, with a comment at its top unless that is empty.
func (d *Draft) Bytes(comment string) []byte {
	doc := yaml.Node{Kind: yaml.DocumentNode, HeadComment: comment, Content: []*yaml.Node{&d.root.Node}}
	d.root.Kind = yaml.MappingNode
	d.root.sort()
	return encode(&doc)
}

// reading is the order in which people read a job file's keys; others come after these.
var reading = []string{"name", "queue", "command", "image", "files", "archives", "env", "roles"}

// sort puts a mapping's keys into that order.
func (t *tree) sort() {
	var pairs [][2]*yaml.Node
	for i := 0; i+1 < len(t.Content); i += 2 {
		pairs = append(pairs, [2]*yaml.Node{t.Content[i], t.Content[i+1]})
	}
	at := func(p [2]*yaml.Node) int {
		if i := slices.Index(reading, p[0].Value); i >= 0 {
			return i
		}
		return len(reading)
	}
	slices.SortStableFunc(pairs, func(a, b [2]*yaml.Node) int { return at(a) - at(b) })
	t.Content = t.Content[:0]
	for _, p := range pairs {
		t.Content = append(t.Content, p[0], p[1])
	}
}

// at finds the node of a key, and makes it if it is not there.
func (d *Draft) at(keys []string) *node {
	n := &d.root.Node
	for _, k := range keys {
		child := (&tree{*n}).find(k)
		if child == nil {
			child = &yaml.Node{Kind: yaml.MappingNode}
			n.Kind, n.Content = yaml.MappingNode, append(n.Content, text(k), child)
		}
		n = child
	}
	return (*node)(n)
}

type node yaml.Node

func (n *node) becomes(m *yaml.Node) { *n = node(*m) }

// find is the value of a key; nil: it is not there.
func (t *tree) find(key string) *yaml.Node {
	for i := 0; i+1 < len(t.Content); i += 2 {
		if t.Content[i].Value == key {
			return t.Content[i+1]
		}
	}
	return nil
}

func encode(n *yaml.Node) []byte {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(n); err != nil {
		panic("job: a tree of plain scalars cannot be written: " + err.Error())
	}
	return out.Bytes()
}

// block reports whether a text of several lines can be written as it stands, below its key: the
// library does not read back every text that it writes so (a first line that begins with a tab).
func block(s string) bool {
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	for _, line := range lines {
		if line != strings.TrimRightFunc(line, unicode.IsSpace) || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return false
		}
	}
	first := []rune(lines[0])
	last := lines[len(lines)-1]
	return len(lines) > 1 && len(first) > 0 && first[0] != ' ' && last != ""
}
