package fileserver

import "testing"

// TestMatches has fnmatch(3)'s answers.
func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "", true}, {"*", "a", true}, {"*", ".hidden", true}, {"a*b*c", "aXbYbZc", true}, {"a*b", "aXbc", false},
		{"?", "a", true}, {"?", "", false}, {"?", "ä", true}, {"??", "ä", false}, {"*ä?", "xäö", true},
		{"[abc]", "b", true}, {"[abc]", "d", false}, {"[!abc]", "d", true}, {"[^abc]", "b", false}, {"[a-c]x", "bx", true}, {"[a-]", "-", true},
		{"[]a]", "]", true}, {"[!]a]", "]", false}, {"[a", "[a", true}, {"[a", "a", false}, {"[\\]]", "]", true}, {"[ä-ö]", "ä", true},
		{"\\*", "*", true}, {"\\*", "a", false}, {"a\\", "a\\", true}, {"**", "ab", true}, {"", "", true}, {"", "a", false},
		{"[a\xff]", "a", true}, {"[a\xff]", "\xff", true}, {"[a\xff]", "\xfe", false}, {"[a\xff]b", "ab", true}, {"[a\xff", "a", false}, {"[a-\\]", "b", false}, {"\xff", "\xff", true},
		{"a*a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
	} {
		if got := matches(c.pattern, c.name); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}

func FuzzMatches(f *testing.F) {
	f.Add("a*[!b-d]?\\", "abcd")
	f.Fuzz(func(t *testing.T, pattern, name string) { matches(pattern, name) })
}
