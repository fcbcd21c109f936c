package conf

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
)

// declaration is <?xml version="1.1" encoding="ISO-8859-1"?> at the start of a file.
var declaration = regexp.MustCompile(`^<\?xml\s[^>]*\?>`)

// declared finds the encoding in it.
var declared = regexp.MustCompile(`encoding\s*=\s*["']([^"']*)["']`)

// toUTF8 makes of a file what encoding/xml reads: UTF-8 without a declaration, for it knows no
// other encoding and no XML 1.1, in which site files mean the same. Lines stay where they are.
func toUTF8(data []byte) ([]byte, error) {
	wide, err := wide(data)
	if err != nil {
		return nil, err
	}
	if wide != nil {
		data = wide
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	head := declaration.Find(data)
	if name := declared.FindSubmatch(head); name != nil && wide == nil {
		if data, err = decode(string(name[1]), data); err != nil {
			return nil, err
		}
		head = declaration.Find(data)
	}
	return append(bytes.Repeat([]byte("\n"), bytes.Count(head, []byte("\n"))), data[len(head):]...), nil
}

// wide decodes UTF-16, which its first bytes tell: a byte order mark, or a < of two bytes. Nil: it
// is something else.
func wide(data []byte) ([]byte, error) {
	var order unicode.Endianness
	switch {
	case bytes.HasPrefix(data, []byte("\xfe\xff")), bytes.HasPrefix(data, []byte("\x00<")):
		order = unicode.BigEndian
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("<\x00")):
		order = unicode.LittleEndian
	default:
		return nil, nil
	}
	return unicode.UTF16(order, unicode.UseBOM).NewDecoder().Bytes(data)
}

// decode reads an encoding that a file declares.
func decode(name string, data []byte) ([]byte, error) {
	upper := strings.ToUpper(name)
	if upper == "UTF-8" || upper == "UTF8" {
		return data, nil // encoding/xml finds what is wrong with it, and where
	}
	e, err := ianaindex.IANA.Encoding(name)
	if err != nil || e == nil || strings.HasPrefix(upper, "UTF-") { // one that was not there would have been found by its first bytes
		return nil, fmt.Errorf("the file says that it is in encoding %q, which tfos does not read or it is not in: want UTF-8, as iconv -f %[1]s -t UTF-8 writes it", name)
	}
	return e.NewDecoder().Bytes(data)
}

// Bounds of the entities that a document type defines.
const (
	maxEntity      = 64 << 10 // bytes of a value, with those that it names
	maxEntityDepth = 16
)

// entityDefinition is <!ENTITY name "value">, or what stands in a value's place.
var entityDefinition = regexp.MustCompile(`<!ENTITY\s+(%\s+)?([^\s"']+)\s+(?:"([^"]*)"|'([^']*)'|([^>]*))\s*>`)

// reference is an entity or a character in a value.
var reference = regexp.MustCompile(`&(#x[0-9a-fA-F]+|#[0-9]+|[^;\s&]+);`)

// comment is a comment in a document type.
var comment = regexp.MustCompile(`(?s)<!--.*?-->`)

// entities reads those that a document type defines in the file itself; the first definition of a
// name counts. What is none that stands for text is left out, and so is unknown where it is used.
func entities(doctype string) map[string]string {
	values := map[string]string{}
	for _, d := range entityDefinition.FindAllStringSubmatch(comment.ReplaceAllString(doctype, ""), -1) {
		if _, known := values[d[2]]; known || d[1] != "" || d[5] != "" {
			continue
		}
		values[d[2]] = d[3] + d[4]
	}
	text := map[string]string{}
	for name, value := range values {
		if value, ok := expandEntity(value, values, 0); ok {
			text[name] = value
		}
	}
	return text
}

// predefined are the entities of XML itself.
var predefined = map[string]string{"lt": "<", "gt": ">", "amp": "&", "apos": "'", "quot": `"`}

// expandEntity replaces the references in a value. It fails for one that is not known, for
// elements, and for what grows beyond bounds.
func expandEntity(value string, all map[string]string, depth int) (string, bool) {
	ok := depth < maxEntityDepth && !strings.Contains(value, "<")
	out := ""
	for ok && value != "" {
		at := reference.FindStringSubmatchIndex(value)
		if at == nil {
			out, value = out+value, ""
			break
		}
		name, inner := value[at[2]:at[3]], ""
		if number, is := strings.CutPrefix(name, "#"); is {
			base := 10
			if hex, is := strings.CutPrefix(number, "x"); is {
				number, base = hex, 16
			}
			n, err := strconv.ParseInt(number, base, 32)
			inner, ok = string(rune(n)), err == nil
		} else if inner, ok = predefined[name]; !ok {
			if inner, ok = all[name]; ok {
				inner, ok = expandEntity(inner, all, depth+1)
			}
		}
		out, value = out+value[:at[0]]+inner, value[at[1]:]
		ok = ok && len(out) <= maxEntity
	}
	return out, ok && len(out) <= maxEntity
}
