package tfile

import (
	"encoding/binary"
	"fmt"
)

// javaObject is an object that Java serialized: of its class, by name, the fields of its
// superclasses among its own, and what its class wrote beside them (the content of a list or a
// map).
type javaObject struct {
	class  string
	fields map[string]any // int64, string, *javaObject, …; nil where Java's is null
	extra  []any          // in order; primitive data as []byte
}

// javaClass is a class as a stream describes it.
type javaClass struct {
	name   string
	flags  byte
	fields []javaField
	super  *javaClass
}

type javaField struct {
	name string
	kind byte
}

// The parts of a stream (Java Object Serialization Specification, 6.4.2), as far as indexes have
// them.
const (
	javaMagic = "\xac\xed\x00\x05"

	javaNull       = 0x70
	javaReference  = 0x71
	javaClassDesc  = 0x72
	javaNewObject  = 0x73
	javaString     = 0x74
	javaBlock      = 0x77
	javaEnd        = 0x78
	javaEnum       = 0x7e
	javaFirstRef   = 0x7e0000
	javaHasWriter  = 1
	javaSerialized = 2

	javaDepth = 64 // objects within objects; an index has six
)

// javaDecoder reads a stream. The first error sticks, and everything read after it is nothing.
type javaDecoder struct {
	b     []byte
	refs  []any
	depth int
	err   error
}

// decodeJava reads the first object of a stream.
func decodeJava(b []byte) (*javaObject, error) {
	d := &javaDecoder{b: b}
	if magic := string(d.take(len(javaMagic))); magic != javaMagic && d.err == nil {
		d.fail("it begins with %x", magic)
	}
	object, _ := d.value().(*javaObject)
	if object == nil {
		d.fail("it holds no object")
	}
	return object, d.err
}

func (d *javaDecoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: a Java object: %s", ErrFormat, fmt.Sprintf(format, args...))
	}
}

func (d *javaDecoder) take(n int) []byte {
	if d.err == nil && n > len(d.b) {
		d.fail("it ends too soon")
	}
	if d.err != nil {
		return nil
	}
	taken := d.b[:n]
	d.b = d.b[n:]
	return taken
}

// number reads an integer of n bytes.
func (d *javaDecoder) number(n int) int64 {
	var wide [8]byte
	taken := d.take(n)
	if d.err != nil {
		return 0
	}
	copy(wide[8-n:], taken)
	if taken[0]&0x80 != 0 {
		for i := range 8 - n {
			wide[i] = 0xff
		}
	}
	return int64(binary.BigEndian.Uint64(wide[:]))
}

func (d *javaDecoder) byte() byte { return byte(d.number(1)) }

func (d *javaDecoder) utf() string { return string(d.take(int(uint16(d.number(2))))) }

// remember gives what was read the next number by which the stream may mention it again.
func (d *javaDecoder) remember(v any) { d.refs = append(d.refs, v) }

// value reads whatever comes next. It is nil for null and after an error.
func (d *javaDecoder) value() any {
	if d.depth++; d.depth > javaDepth {
		d.fail("%d objects within one another", d.depth)
	}
	defer func() { d.depth-- }()
	switch kind := d.byte(); {
	case d.err != nil, kind == javaNull:
		return nil
	case kind == javaReference:
		return d.reference()
	case kind == javaClassDesc:
		return d.class()
	case kind == javaString:
		s := d.utf()
		d.remember(s)
		return s
	case kind == javaEnum:
		if class, ok := d.value().(*javaClass); !ok || class == nil {
			d.fail("a constant of no class")
		}
		at := len(d.refs)
		d.remember(nil)
		name := d.value()
		if d.err == nil {
			d.refs[at] = name
		}
		return name
	case kind == javaNewObject:
		return d.object()
	case kind == javaBlock:
		return d.take(int(d.byte()))
	default:
		d.fail("part %#x", kind)
		return nil
	}
}

func (d *javaDecoder) reference() any {
	i := d.number(4) - javaFirstRef
	if d.err == nil && (i < 0 || i >= int64(len(d.refs))) {
		d.fail("reference %d of %d", i, len(d.refs))
	}
	if d.err != nil {
		return nil
	}
	return d.refs[i]
}

func (d *javaDecoder) class() *javaClass {
	c := &javaClass{name: d.utf()}
	d.take(8) // its version
	d.remember(c)
	c.flags = d.byte()
	for range uint16(d.number(2)) {
		f := javaField{kind: d.byte(), name: d.utf()}
		if f.kind == 'L' || f.kind == '[' {
			d.value() // the field's type
		}
		if d.err != nil {
			return nil
		}
		c.fields = append(c.fields, f)
	}
	d.extra() // of the class itself
	c.super, _ = d.value().(*javaClass)
	return c
}

// extra reads what a class wrote by itself, up to its end.
func (d *javaDecoder) extra() []any {
	var all []any
	for d.err == nil {
		if len(d.b) > 0 && d.b[0] == javaEnd {
			d.take(1)
			return all
		}
		all = append(all, d.value())
	}
	return nil
}

func (d *javaDecoder) object() *javaObject {
	class, _ := d.value().(*javaClass)
	if class == nil {
		d.fail("an object of no class")
		return nil
	}
	o := &javaObject{class: class.name, fields: make(map[string]any)}
	d.remember(o)
	var line []*javaClass // from the object's own class up
	for c := class; c != nil; c = c.super {
		if line = append(line, c); len(line) > javaDepth {
			d.fail("a class above itself")
			return nil
		}
	}
	for i := len(line) - 1; i >= 0 && d.err == nil; i-- {
		c := line[i]
		if c.flags&javaSerialized == 0 {
			d.fail("%s writes itself in a way of its own", c.name)
		}
		for _, f := range c.fields {
			o.fields[f.name] = d.field(f)
		}
		if c.flags&javaHasWriter != 0 {
			o.extra = append(o.extra, d.extra()...)
		}
	}
	return o
}

// field reads a field's value. What is no integer is left as bytes: an index has none that matters.
func (d *javaDecoder) field(f javaField) any {
	switch f.kind {
	case 'B', 'Z':
		return d.number(1)
	case 'S', 'C':
		return d.number(2)
	case 'I':
		return d.number(4)
	case 'J':
		return d.number(8)
	case 'F':
		return d.take(4)
	case 'D':
		return d.take(8)
	case 'L':
		return d.value()
	}
	d.fail("field %s of type %q", f.name, f.kind)
	return nil
}

// list is the content of an ArrayList, which writes its capacity before it.
func (o *javaObject) list() []any {
	if o == nil || o.class != "java.util.ArrayList" || len(o.extra) == 0 {
		return nil
	}
	return o.extra[1:]
}

// values are those of a HashMap, which writes keys and values by turns.
func (o *javaObject) values() []any {
	if o == nil || o.class != "java.util.HashMap" {
		return nil
	}
	var values []any
	for i := 2; i < len(o.extra); i += 2 {
		values = append(values, o.extra[i])
	}
	return values
}

func (o *javaObject) object(field string) *javaObject {
	v, _ := o.fields[field].(*javaObject)
	return v
}
func (o *javaObject) text(field string) string  { v, _ := o.fields[field].(string); return v }
func (o *javaObject) number(field string) int64 { v, _ := o.fields[field].(int64); return v }
