package job

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// decoder fills in a job from a tree. It goes on after a problem, so that one run tells them all.
type decoder struct {
	errs  Errors
	named map[string]string // source of each file, by its name in the container
	board string            // what the key tensorboard says; empty: false
}

func (d *decoder) fail(at place, key, format string, args ...any) {
	d.errs = append(d.errs, &Error{File: at.file, Line: at.line, Flag: at.flag, Key: key, Problem: fmt.Sprintf(format, args...)})
}

// setter takes the value of a key; the key is there for messages.
type setter func(v *value, key string)

// rule is a key that a mapping may have. Rules are applied in the order in which they are written.
type rule struct {
	key string
	set setter
}

// fields applies rules to a mapping. A key without a value counts as one that is not there.
func (d *decoder) fields(v *value, key string, rules ...rule) {
	if !d.want(mapping, v, key) {
		return
	}
	known := make([]string, len(rules))
	for i, r := range rules {
		known[i] = r.key
	}
	for _, f := range v.fields {
		if slices.Contains(known, f.key) {
			continue
		}
		near := suggest(f.key, known)
		if near != "" && f.at.flag != "" {
			near = join(key, near)
		}
		switch {
		case near != "":
			d.fail(f.at, join(key, f.key), "is not a key of the job file: did you mean %s?", near)
		case len(known) <= maxKnown:
			d.fail(f.at, join(key, f.key), "is not a key of the job file: known here are %s", strings.Join(known, ", "))
		default:
			d.fail(f.at, join(key, f.key), "is not a key of the job file")
		}
	}
	for _, r := range rules {
		if fv := v.field(r.key); fv != nil && fv.kind != null {
			r.set(fv, join(key, r.key))
		}
	}
}

// want checks a value's kind.
func (d *decoder) want(k kind, v *value, key string) bool {
	if v.kind == k {
		return true
	}
	d.fail(v.at, key, "is %s: want %s", v.kind, k)
	return false
}

// section is a mapping with rules of its own.
func (d *decoder) section(rules ...rule) setter {
	return func(v *value, key string) { d.fields(v, key, rules...) }
}

// scalarOf is a single value that parse turns into a T.
func scalarOf[T any](d *decoder, dst *T, parse func(string) (T, error)) setter {
	return func(v *value, key string) {
		if !d.want(scalar, v, key) {
			return
		}
		x, err := parse(v.text)
		if err != nil {
			d.fail(v.at, key, "%s", err)
			return
		}
		*dst = x
	}
}

func (d *decoder) text(dst *string, check func(string) error) setter {
	return scalarOf(d, dst, func(s string) (string, error) {
		switch { // the value itself may be a secret
		case strings.ContainsRune(s, 0):
			return "", errors.New("holds a zero byte")
		case !utf8.ValidString(s):
			return "", errors.New("is not UTF-8")
		}
		if check != nil {
			return s, check(s)
		}
		return s, nil
	})
}

func (d *decoder) bool(dst *bool) setter {
	return scalarOf(d, dst, func(s string) (bool, error) {
		switch s {
		case "true", "True", "TRUE":
			return true, nil
		case "false", "False", "FALSE":
			return false, nil
		}
		return false, fmt.Errorf("%q: want true or false", s)
	})
}

// number is a whole number of at least low.
func number[T int | int32 | int64](d *decoder, dst *T, low, high int64) setter {
	return scalarOf(d, dst, func(s string) (T, error) {
		n, err := strconv.ParseInt(s, 10, 64)
		switch {
		case err != nil:
			return 0, fmt.Errorf("%q: want a whole number", s)
		case n < low:
			return 0, fmt.Errorf("%d: want at least %d", n, low)
		case n > high:
			return 0, fmt.Errorf("%d: want at most %d", n, high)
		}
		return T(n), nil
	})
}

func (d *decoder) memory(dst *int64) setter { return scalarOf(d, dst, ParseMiB) }

// duration is one of at least low.
func (d *decoder) duration(dst *time.Duration, low time.Duration) setter {
	return scalarOf(d, dst, func(s string) (time.Duration, error) {
		x, err := parseDuration(s)
		if err == nil && x < low {
			err = fmt.Errorf("%q: want at least %s", s, formatDuration(low))
		}
		return x, err
	})
}

// list takes the texts of a list, or of a flag's comma-separated value.
func (d *decoder) list(add func(text string, at place, key string)) setter {
	return func(v *value, key string) {
		if v.kind == scalar && v.at.flag != "" {
			for text := range strings.SplitSeq(v.text, ",") {
				if text = strings.TrimSpace(text); text != "" {
					add(text, v.at, key)
				}
			}
			return
		}
		if !d.want(list, v, key) {
			return
		}
		for i, item := range v.items {
			itemKey := fmt.Sprintf("%s[%d]", key, i)
			if d.want(scalar, item, itemKey) {
				add(item.text, item.at, itemKey)
			}
		}
	}
}

// environment takes a mapping of names to texts. A number or a truth value is taken as it is
// written.
func (d *decoder) environment(dst *map[string]string) setter {
	return func(v *value, key string) {
		if !d.want(mapping, v, key) {
			return
		}
		for _, f := range v.fields {
			full := join(key, f.key)
			switch {
			case !isEnvName(f.key):
				d.fail(f.at, full, "%s", notEnvName(f.key))
			case SetByTfos(f.key):
				d.fail(f.at, full, "%s is set by tfos for each task", f.key)
			case f.value.kind == null:
				d.fail(f.at, full, `has no value: write %s: "" for an empty one`, f.key)
			case d.want(scalar, f.value, full):
				var text string
				d.text(&text, func(value string) error { return checkString(len(f.key) + 1 + len(value)) })(f.value, full)
				if *dst == nil {
					*dst = make(map[string]string)
				}
				(*dst)[f.key] = text
			}
		}
	}
}

// SetByTfos reports whether a job file must leave an environment variable alone: what it would set
// is overwritten.
func SetByTfos(name string) bool {
	return strings.HasPrefix(name, "TFOS_") || name == "TF_CONFIG" || name == "TF_GRPC_REUSE_PORT"
}

func notEnvName(s string) string {
	return fmt.Sprintf("%q is not the name of an environment variable: want letters, digits and _, no digit first", s)
}

func isEnvName(s string) bool {
	return s != "" && !(s[0] >= '0' && s[0] <= '9') && isWord(s)
}

// isWord reports whether s has nothing but ASCII letters, digits and underscores.
func isWord(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_')
	})
}

// amounts takes further resource types by name.
func (d *decoder) amounts(dst *map[string]int64) setter {
	return func(v *value, key string) {
		if !d.want(mapping, v, key) {
			return
		}
		for _, f := range v.fields {
			full := join(key, f.key)
			switch f.key {
			case GPU:
				d.fail(f.at, full, "has a key of its own: write gpus")
				continue
			case "memory", "memory-mb", "vcores":
				d.fail(f.at, full, "has a key of its own: write it beside resources")
				continue
			}
			if f.key == "" || strings.ContainsFunc(f.key, func(r rune) bool { return r <= ' ' || r > '~' }) {
				d.fail(f.at, full, "%q is not the name of a resource type", f.key)
				continue
			}
			n := int64(0)
			number(d, &n, 0, math.MaxInt32)(f.value, full)
			if n > 0 {
				if *dst == nil {
					*dst = make(map[string]int64)
				}
				(*dst)[f.key] = n
			}
		}
	}
}
