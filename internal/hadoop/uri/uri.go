// Package uri reads and writes the names of files as Hadoop does: scheme://authority/path.
//
// They look like URLs and are none. As org.apache.hadoop.fs.Path and TensorFlow's plugin have it,
// every character of the path stands for itself: # begins no fragment, ? no query, and %20 is three
// characters.
package uri

import "strings"

// URI is the name of a file.
type URI struct {
	Scheme    string // lower case; empty: Path is all there is
	Authority string // "host:port", a nameservice or a mount table; empty: the scheme's default
	Path      string
}

// Parse takes a name apart. Whatever has no scheme is a path.
func Parse(name string) URI {
	scheme, rest, ok := strings.Cut(name, ":")
	if !ok || !isScheme(scheme) {
		return URI{Path: name}
	}
	u := URI{Scheme: strings.ToLower(scheme), Path: rest}
	if below, ok := strings.CutPrefix(rest, "//"); ok {
		u.Authority, u.Path = below, ""
		if i := strings.IndexByte(below, '/'); i >= 0 {
			u.Authority, u.Path = below[:i], below[i:]
		}
	}
	return u
}

// String is the name that Parse reads.
func (u URI) String() string {
	if u.Scheme == "" {
		return u.Path
	}
	return u.Scheme + "://" + u.Authority + u.Path
}

// isScheme reports whether s is a scheme by RFC 3986, section 3.1.
func isScheme(s string) bool {
	for i, r := range s {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
		case i > 0 && ('0' <= r && r <= '9' || strings.ContainsRune("+-.", r)):
		default:
			return false
		}
	}
	return s != ""
}
