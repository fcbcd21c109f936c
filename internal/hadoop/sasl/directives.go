package sasl

import (
	"fmt"
	"strings"
)

// maxMessage bounds a challenge or response, in bytes. The RFC says 2048 and 4096; token
// identifiers make responses longer.
const maxMessage = 64 << 10

// directives are a message's key=value pairs. A key that came twice (only realm may, and we offer
// one) keeps its first value.
type directives map[string]string

// parseDirectives splits key=value pairs, of which a value may be quoted and then hold commas and
// escaped characters.
func parseDirectives(msg []byte) (directives, error) {
	if len(msg) > maxMessage {
		return nil, fmt.Errorf("%w: message of %d bytes", ErrAuthentication, len(msg))
	}
	d := directives{}
	rest := string(msg)
	for {
		rest = strings.TrimLeft(rest, " \t\r\n,")
		if rest == "" {
			return d, nil
		}
		key, after, ok := strings.Cut(rest, "=")
		key = strings.TrimRight(key, " \t")
		if !ok || key == "" || strings.ContainsAny(key, "\", \t\r\n") {
			return nil, fmt.Errorf("%w: malformed message near %.20q", ErrAuthentication, rest)
		}
		value, after, err := cutValue(strings.TrimLeft(after, " \t"))
		if err != nil {
			return nil, err
		}
		key = strings.ToLower(key)
		if _, again := d[key]; !again {
			d[key] = value
		}
		after = strings.TrimLeft(after, " \t\r\n")
		if after != "" && after[0] != ',' {
			return nil, fmt.Errorf("%w: no comma after the value of %q", ErrAuthentication, key)
		}
		rest = after
	}
}

// cutValue splits s after a token or a quoted string.
func cutValue(s string) (value, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		if end := strings.IndexAny(s, ", \t\r\n"); end >= 0 {
			return s[:end], s[end:], nil
		}
		return s, "", nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], nil
		case '\\':
			if i++; i == len(s) {
				return "", "", fmt.Errorf("%w: quoted value does not end", ErrAuthentication)
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", fmt.Errorf("%w: quoted value does not end", ErrAuthentication)
}

// quote makes a quoted string.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
