package conf

import "strings"

// maxExpansions bounds how often ${…} is replaced in one value, as Hadoop does.
const maxExpansions = 20

// String returns a key's value with ${…} replaced and spaces around it cut; empty if it has none.
// What cannot be replaced stays as it is, as with Hadoop.
func (c *Conf) String(key string) string {
	v, ok := c.values[canonical(key)]
	if !ok {
		return ""
	}
	return strings.TrimSpace(c.expand(v.text))
}

// expand replaces the innermost ${…} first, again and again, so that a name may be made of other
// values. A name that leads back to itself, or to nothing, ends it.
func (c *Conf) expand(text string) string {
	seen := map[string]bool{}
	for range maxExpansions {
		start, end := innermost(text)
		if start < 0 {
			return text
		}
		name := text[start+2 : end]
		v, ok := c.lookup(name)
		if !ok || seen[text] || strings.Contains(v, "${"+name+"}") {
			return text
		}
		seen[text] = true
		text = text[:start] + v + text[end+1:]
	}
	return text
}

// innermost finds the first ${…} that holds no other, as the positions of its "$" and its "}".
func innermost(s string) (start, end int) {
	start = -1
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "${"):
			start = i
		case s[i] == '}' && start >= 0 && i > start+2:
			return start, i
		case (s[i] == '}' || s[i] == ' ' || s[i] == '$') && start >= 0 && i > start:
			start = -1 // an empty name, or one that no variable can have
		}
	}
	return -1, -1
}

// lookup finds what a name in ${…} stands for: env.NAME, env.NAME-word if NAME is not set,
// env.NAME:-word if it is not set or empty; else a system property; else a key of the
// configuration.
func (c *Conf) lookup(name string) (string, bool) {
	if variable, ok := strings.CutPrefix(name, "env."); ok {
		return c.lookupEnv(variable)
	}
	if v, ok := c.system[name]; ok {
		return v, true
	}
	v, ok := c.values[canonical(name)]
	return v.text, ok
}

func (c *Conf) lookupEnv(variable string) (string, bool) {
	name, word, hasWord := strings.Cut(variable, "-")
	emptyToo := strings.HasSuffix(name, ":")
	v, set := c.env(strings.TrimSuffix(name, ":"))
	if hasWord && (!set || emptyToo && v == "") {
		return word, true
	}
	return v, set
}
