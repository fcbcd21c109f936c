package job

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxMiB bounds memory: more than any machine has, and far from overflow.
const maxMiB = 1 << 30

// ParseMiB reads an amount of memory: a number and a unit. All units are binary, as Hadoop and the
// JVM have them: 2GiB, 2GB, 2G, 2g and 2048m are the same. A part of a MiB counts as a whole one. A
// bare number is refused: Hadoop would take it for MiB, others for bytes.
func ParseMiB(s string) (int64, error) {
	bad := fmt.Errorf("%q is not an amount of memory: want a number and a unit, as in 2GiB or 2048MiB", s)
	digits := strings.TrimLeft(s, "0123456789.")
	number, unit := s[:len(s)-len(digits)], strings.ToLower(strings.TrimSpace(digits))
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		if strings.HasPrefix(s, "-") {
			return 0, fmt.Errorf("%q is negative: want an amount of memory, as in 2GiB", s)
		}
		return 0, bad
	}
	switch unit {
	case "k", "kb", "ki", "kib":
		n /= 1 << 10
	case "m", "mb", "mi", "mib":
	case "g", "gb", "gi", "gib":
		n *= 1 << 10
	case "t", "tb", "ti", "tib":
		n *= 1 << 20
	case "":
		return 0, fmt.Errorf("%q has no unit: want %sMiB or %sGiB", s, number, number)
	default:
		return 0, bad
	}
	switch {
	case n <= 0:
		return 0, fmt.Errorf("%q is no memory at all: want at least 1MiB", s)
	case n > maxMiB:
		return 0, fmt.Errorf("%q is more memory than any machine has", s)
	}
	return int64(math.Ceil(n)), nil
}

// formatMiB writes what ParseMiB reads.
func formatMiB(n int64) string {
	if n%(1<<10) == 0 {
		return strconv.FormatInt(n>>10, 10) + "GiB"
	}
	return strconv.FormatInt(n, 10) + "MiB"
}

// parseDuration reads Go's form of a duration.
func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case err == nil && d < 0:
		return 0, fmt.Errorf("%q is negative: want a length of time, as in 30s, 5m or 1h30m", s)
	case err == nil:
		return d, nil
	case s != "" && strings.Trim(s, "0123456789") == "":
		return 0, fmt.Errorf("%q has no unit: want %ss or %sm", s, s, s)
	default:
		return 0, fmt.Errorf("%q is not a length of time: want a number and a unit, as in 30s, 5m or 1h30m", s)
	}
}

// formatDuration writes what parseDuration reads, without the zeros that Go adds: 5m, not 5m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if t, ok := strings.CutSuffix(s, "m0s"); ok {
		s = t + "m"
	}
	if t, ok := strings.CutSuffix(s, "h0m"); ok {
		s = t + "h"
	}
	return s
}
