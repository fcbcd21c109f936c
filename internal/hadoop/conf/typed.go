package conf

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// valueError says that a value is not what its key wants, and where it stands.
func (c *Conf) valueError(key, text, want string) error {
	return fmt.Errorf("%s: %s = %q: want %s", c.Source(key), key, text, want)
}

// Int returns a whole number, decimal or, behind 0x, hexadecimal; def if the key has no value.
func (c *Conf) Int(key string, def int64) (int64, error) {
	text := c.String(key)
	if text == "" {
		return def, nil
	}
	base, digits := 10, text
	if hex, ok := strings.CutPrefix(strings.ToLower(text), "0x"); ok {
		base, digits = 16, hex
	}
	n, err := strconv.ParseInt(digits, base, 64)
	if err != nil {
		return 0, c.valueError(key, text, "a whole number")
	}
	return n, nil
}

// Float returns a number; def if the key has no value.
func (c *Conf) Float(key string, def float64) (float64, error) {
	text := c.String(key)
	if text == "" {
		return def, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return 0, c.valueError(key, text, "a number")
	}
	return n, nil
}

// Bool returns true or false; def if the key has no value. Hadoop takes anything else for the
// default, in silence; we do not.
func (c *Conf) Bool(key string, def bool) (bool, error) {
	switch text := c.String(key); strings.ToLower(text) {
	case "":
		return def, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	default:
		return false, c.valueError(key, text, "true or false")
	}
}

var durationUnits = map[string]time.Duration{
	"ns": time.Nanosecond, "us": time.Microsecond, "ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
}

// Duration returns a length of time such as "30s" or "5m" (ns, us, ms, s, m, h, d). A bare number
// is in the unit that the key has by its documentation. Def if the key has no value.
func (c *Conf) Duration(key string, unit, def time.Duration) (time.Duration, error) {
	text := c.String(key)
	if text == "" {
		return def, nil
	}
	digits, suffix := splitUnit(text)
	if suffix != "" {
		var ok bool
		if unit, ok = durationUnits[strings.ToLower(suffix)]; !ok {
			return 0, c.valueError(key, text, "a number with ns, us, ms, s, m, h or d")
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, c.valueError(key, text, "a number with ns, us, ms, s, m, h or d")
	}
	if n > 0 && n > math.MaxInt64/int64(unit) || n < 0 && n < math.MinInt64/int64(unit) {
		return 0, c.valueError(key, text, "less than 292 years")
	}
	return time.Duration(n) * unit, nil
}

// Bytes returns a size such as "64k" or "128m" (k, m, g, t, p: powers of 1024, a trailing b is
// allowed), in bytes. Def if the key has no value.
func (c *Conf) Bytes(key string, def int64) (int64, error) {
	text := c.String(key)
	if text == "" {
		return def, nil
	}
	digits, suffix := splitUnit(text)
	suffix = strings.ToLower(suffix)
	if len(suffix) == 2 {
		suffix = strings.TrimSuffix(suffix, "b")
	}
	shift := strings.Index(" kmgtp", suffix)
	if suffix == "" || suffix == "b" {
		shift = 0
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || len(suffix) > 1 || shift < 0 || n > math.MaxInt64>>(10*shift) || n < math.MinInt64>>(10*shift) {
		return 0, c.valueError(key, text, "a number of bytes, with k, m, g, t or p")
	}
	return n << (10 * shift), nil
}

// splitUnit separates a number from the letters behind it.
func splitUnit(text string) (digits, unit string) {
	end := len(strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
	return strings.TrimSpace(text[:end]), text[end:]
}

// List returns the parts of a comma-separated value, spaces around them cut and empty ones left
// out.
func (c *Conf) List(key string) []string {
	var parts []string
	for p := range strings.SplitSeq(c.String(key), ",") {
		if p = strings.TrimSpace(p); p != "" {
			parts = append(parts, p)
		}
	}
	return parts
}
