package fileserver

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"

	"tfos/internal/dfs"
)

// glob finds the paths that match a pattern, as fnmatch(3) with FNM_PATHNAME does: * and ? match no
// slash, [a-z] and [!a-z] one character, \ takes the next character as it is. The paths have the
// pattern's scheme and authority.
func (t tree) glob(ctx context.Context, pattern string) ([]string, error) {
	where := locate(pattern)
	parts := strings.FieldsFunc(where.path, func(r rune) bool { return r == '/' })
	found := []string{"/"}
	for i, part := range parts {
		last := i == len(parts)-1
		var next []string
		for _, dir := range found {
			if err := t.working(); err != nil {
				return nil, err
			}
			matches, err := t.globIn(ctx, location{where.prefix, dir}, part, last)
			if err != nil {
				return nil, err
			}
			next = append(next, matches...)
		}
		found = next
	}
	for i := range found {
		found[i] = where.prefix + found[i]
	}
	return found, nil
}

// globIn finds the paths in one directory. What comes of a plain name before the last is not looked
// at: the rest of the pattern will be.
func (t tree) globIn(ctx context.Context, dir location, part string, last bool) ([]string, error) {
	if plain, ok := literal(part); ok {
		name := path.Join(dir.path, plain)
		if last {
			if _, err := t.stat(ctx, location{dir.prefix, name}.String()); err != nil {
				return nil, unlessAbsent(err)
			}
		}
		return []string{name}, nil
	}
	children, err := t.list(ctx, dir.String())
	if err != nil {
		return nil, unlessAbsent(err)
	}
	var found []string
	for _, child := range children {
		if matches(part, child) {
			found = append(found, path.Join(dir.path, child))
		}
	}
	return found, nil
}

// unlessAbsent drops an error that says that nothing is there.
func unlessAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, dfs.ErrNotDirectory) {
		return nil
	}
	return err
}

// literal is the name that a part of a pattern stands for, if it stands for one only.
func literal(part string) (string, bool) {
	if strings.ContainsAny(part, "*?[") {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(part); i++ {
		if part[i] == '\\' && i+1 < len(part) {
			i++
		}
		b.WriteByte(part[i])
	}
	return b.String(), true
}

// matches reports whether a name without slashes matches. A * is tried at its shortest first, and
// only the last one is widened: that is enough, and takes no more than len(pattern)*len(name)
// steps.
func matches(pattern, name string) bool {
	p, n := 0, 0
	star, retry := -1, 0
	for n < len(name) {
		if p < len(pattern) && pattern[p] == '*' {
			star, retry = p, n
			p++
			continue
		}
		if width, ok := matchOne(pattern[p:], name[n:]); ok {
			p += width
			n += runeLength(name[n:])
			continue
		}
		if star < 0 {
			return false
		}
		retry += runeLength(name[retry:])
		p, n = star+1, retry
	}
	return strings.Trim(pattern[p:], "*") == ""
}

func runeLength(s string) int {
	for i := range s {
		if i > 0 {
			return i
		}
	}
	return len(s)
}

// matchOne matches one character, and says how much of the pattern that took.
func matchOne(pattern, name string) (int, bool) {
	if pattern == "" {
		return 0, false
	}
	c, _ := firstRune(name)
	switch pattern[0] {
	case '?':
		return 1, true
	case '[':
		if width, ok, closed := matchSet(pattern, c); closed {
			return width, ok
		}
	case '\\':
		if len(pattern) > 1 {
			w := runeLength(pattern[1:])
			return 1 + w, pattern[1:1+w] == name[:runeLength(name)]
		}
	}
	w := runeLength(pattern)
	return w, pattern[:w] == name[:runeLength(name)]
}

// matchSet matches a bracket expression at the start of pattern. One that is not closed is none.
func matchSet(pattern string, c rune) (width int, ok, closed bool) {
	at := 1
	more := func() bool { return at < len(pattern) }
	next := func() rune {
		r, n := firstRune(pattern[at:])
		at += n
		return r
	}
	negated := more() && (pattern[at] == '!' || pattern[at] == '^')
	if negated {
		at++
	}
	for first := true; more() && (first || pattern[at] != ']'); first = false {
		if pattern[at] == '\\' && at+1 < len(pattern) {
			at++
		}
		low := next()
		high := low
		if at+1 < len(pattern) && pattern[at] == '-' && pattern[at+1] != ']' {
			at++
			high = next()
		}
		if low <= c && c <= high {
			ok = true
		}
	}
	if !more() {
		return 0, false, false
	}
	return at + 1, ok != negated, true
}

// firstRune is the first character and its length in bytes. A byte that begins none is one itself,
// which no text has.
func firstRune(s string) (rune, int) {
	r, n := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && n == 1 {
		r = utf8.MaxRune + rune(s[0])
	}
	return r, n
}
