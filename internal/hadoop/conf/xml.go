package conf

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// property is one <property> of a file.
type property struct {
	name, value string
	final       bool
	source      string // file:line
}

// maxIncludes bounds how deep files include each other, which also ends a file that includes
// itself.
const maxIncludes = 10

// parse reads the properties of a file and of those it includes, in order.
func parse(name string, data []byte, open func(href string) ([]byte, error)) ([]property, error) {
	if open == nil {
		open = func(string) ([]byte, error) { return nil, fs.ErrNotExist }
	}
	p := &parser{open: open}
	if err := p.file(name, data); err != nil {
		return nil, err
	}
	return p.props, nil
}

type parser struct {
	open  func(href string) ([]byte, error)
	depth int
	props []property

	name string // of the file at hand
	dec  *xml.Decoder
}

// errorf says what is wrong where the parser stands.
func (p *parser) errorf(format string, args ...any) error {
	line, _ := p.dec.InputPos()
	return fmt.Errorf("%s:%d: %w", p.name, line, fmt.Errorf(format, args...))
}

// file reads a whole file. Hadoop wants a <configuration> around the properties.
func (p *parser) file(name string, data []byte) error {
	if p.depth++; p.depth > maxIncludes {
		return fmt.Errorf("%s: includes nest deeper than %d: does a file include itself?", name, maxIncludes)
	}
	text, err := toUTF8(data)
	if err != nil {
		return fmt.Errorf("%s:1: %w", name, err)
	}
	outer := *p
	p.name, p.dec = name, xml.NewDecoder(bytes.NewReader(text))
	err = p.document()
	p.name, p.dec, p.depth = outer.name, outer.dec, outer.depth-1
	return err
}

func (p *parser) document() error {
	for {
		tok, err := p.dec.Token()
		switch {
		case err == io.EOF:
			return p.errorf("no <configuration>")
		case err != nil:
			return p.syntax(err)
		}
		if doctype, ok := tok.(xml.Directive); ok {
			p.dec.Entity = entities(string(doctype))
		}
		if start, ok := tok.(xml.StartElement); ok {
			if start.Name.Local != "configuration" {
				return p.errorf("<%s> where <configuration> was due", start.Name.Local)
			}
			return p.configuration()
		}
	}
}

// configuration reads what is inside a <configuration> or an <xi:fallback>, up to its end.
func (p *parser) configuration() error {
	for {
		tok, err := p.dec.Token()
		if err != nil {
			return p.syntax(err)
		}
		switch t := tok.(type) {
		case xml.EndElement:
			return nil
		case xml.StartElement:
			switch t.Name.Local {
			case "property":
				err = p.property(t)
			case "configuration":
				err = p.configuration()
			case "include":
				err = p.include(t)
			default:
				err = p.skip()
			}
			if err != nil {
				return err
			}
		}
	}
}

// property reads a <property>, whose parts are elements or, since Hadoop 3, attributes.
func (p *parser) property(start xml.StartElement) error {
	line, _ := p.dec.InputPos()
	prop := property{source: fmt.Sprintf("%s:%d", p.name, line)}
	hasValue := false
	set := func(part, text string) {
		switch part {
		case "name":
			prop.name = strings.TrimSpace(text)
		case "value":
			prop.value, hasValue = text, true
		case "final":
			prop.final = strings.TrimSpace(text) == "true"
		}
	}
	for _, a := range start.Attr {
		set(a.Name.Local, a.Value)
	}
	for {
		tok, err := p.dec.Token()
		if err != nil {
			return p.syntax(err)
		}
		switch t := tok.(type) {
		case xml.StartElement:
			text, err := p.text()
			if err != nil {
				return err
			}
			set(t.Name.Local, text)
		case xml.EndElement:
			if prop.name == "" {
				return p.errorf("<property> without a name")
			}
			if hasValue { // Hadoop passes over a property without one
				p.props = append(p.props, prop)
			}
			return nil
		}
	}
}

// text reads the characters up to the end of the element, those of elements within left out.
func (p *parser) text() (string, error) {
	var b strings.Builder
	for {
		tok, err := p.dec.Token()
		if err != nil {
			return "", p.syntax(err)
		}
		switch t := tok.(type) {
		case xml.CharData:
			b.Write(t)
		case xml.StartElement:
			if err := p.skip(); err != nil {
				return "", err
			}
		case xml.EndElement:
			return b.String(), nil
		}
	}
}

// include reads the file that an <xi:include> names, or else what its <xi:fallback> holds.
func (p *parser) include(start xml.StartElement) error {
	href := ""
	for _, a := range start.Attr {
		if a.Name.Local == "href" {
			href = a.Value
		}
	}
	data, err := p.open(href)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case err == nil:
		if err := p.file(href, data); err != nil {
			return p.errorf("include: %w", err)
		}
	case !missing:
		return p.errorf("include %s: %w", href, err)
	}
	for {
		tok, err := p.dec.Token()
		if err != nil {
			return p.syntax(err)
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if t.Name.Local == "fallback" && missing {
				missing = false
				err = p.configuration()
			} else {
				err = p.skip()
			}
			if err != nil {
				return err
			}
		case xml.EndElement:
			if missing {
				return p.errorf("include %q: there is no such file, and no fallback", href)
			}
			return nil
		}
	}
}

func (p *parser) skip() error {
	if err := p.dec.Skip(); err != nil {
		return p.syntax(err)
	}
	return nil
}

// syntax says where the XML is broken, without the decoder's own way of saying it.
func (p *parser) syntax(err error) error {
	if syntax, ok := errors.AsType[*xml.SyntaxError](err); ok {
		if strings.HasPrefix(syntax.Msg, "invalid character entity") {
			return p.errorf("XML: %s: it is not defined in this file, or stands for something else than text: write its value in its place", syntax.Msg)
		}
		return p.errorf("XML: %s", syntax.Msg)
	}
	if err == io.EOF {
		return p.errorf("XML: the file ends too soon")
	}
	return p.errorf("%w", err)
}
